"""tokenizer.json: what each tokenizer algorithm says about its vocabulary, and the file with only some of its tokens.

To support another algorithm, add a row to `ALGORITHMS`, by the `model.type` of the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tokenizers import decoders, pre_tokenizers

from ..errors import InputError

Json = dict[str, Any]
Ids = dict[int, int]  # new id by old id
WORD_START = "▁"  # SentencePiece writes spaces with it


@dataclass(frozen=True)
class Algorithm:
    """What trimming needs to know about one algorithm. Each function takes the content of tokenizer.json, `data`.

    Attributes:
        pieces: data -> the piece of each id of the model, without tokens that were added to it.
        text: data -> function from a piece to its text, without the marks for the start or the inside of a word; empty
            if it is not a whole character.
        letters: data -> function from a piece to the smallest pieces that it can be split into.
        needs: data -> function from a piece to the pieces that it is merged from.
        fixed: data -> ids that always stay.
        spells_all: data -> whether the ids that always stay can spell any text, as bytes.
        rebuild: (data, kept) -> the `model` of the trimmed tokenizer, where `kept` lists old ids by new id.
    """

    pieces: Callable[[Json], dict[int, str]]
    text: Callable[[Json], Callable[[str], str]]
    letters: Callable[[Json], Callable[[str], list[str]]]
    needs: Callable[[Json], Callable[[str], Collection[str]]]
    fixed: Callable[[Json], set[int]]
    spells_all: Callable[[Json], bool]
    rebuild: Callable[[Json, list[int]], Json]


def algorithm_of(data: Json) -> Algorithm:
    """Return the algorithm of a tokenizer, given the content of tokenizer.json.

    Raises:
        InputError: If the algorithm is not in `ALGORITHMS`.
    """
    kind = data["model"]["type"]
    if kind not in ALGORITHMS:
        raise InputError(f"A vocabulary of type {kind!r} cannot be trimmed; supported: {sorted(ALGORITHMS)}.")
    return ALGORITHMS[kind]


def _nothing(data: Json) -> Callable[[str], Collection[str]]:
    return lambda piece: ()


def _by_id(data: Json) -> dict[int, str]:
    return {index: piece for piece, index in data["model"]["vocab"].items()}


def _ids(data: Json, pieces: Collection[str]) -> set[int]:
    vocabulary = data["model"]["vocab"]
    return {vocabulary[piece] for piece in pieces if piece in vocabulary}


def _renumbered(data: Json, kept: list[int]) -> dict[str, int]:
    old = _by_id(data)
    return {old[index]: number for number, index in enumerate(kept)}


def _byte_pieces(data: Json) -> set[str]:
    """Return the byte pieces, into which a character without its own piece is split."""
    return {f"<0x{byte:02X}>" for byte in range(256)} if data["model"].get("byte_fallback") else set()


def _spells_bytes(data: Json) -> bool:
    """Return whether each byte has a piece, in one of the two notations."""
    pieces = pre_tokenizers.ByteLevel.alphabet() if _byte_level(data) else _byte_pieces(data)
    return len(pieces) == len(_ids(data, pieces)) == 256


def _unigram_spells_bytes(data: Json) -> bool:
    pieces = _byte_pieces(data)
    return bool(pieces) and pieces <= {piece for piece, _ in data["model"]["vocab"]}


# WordPiece: greedy, longest piece first; pieces inside a word have a prefix.


def _wordpiece_text(data: Json) -> Callable[[str], str]:
    prefix = data["model"]["continuing_subword_prefix"]
    return lambda piece: piece.removeprefix(prefix)


def _wordpiece_letters(data: Json) -> Callable[[str], list[str]]:
    prefix = data["model"]["continuing_subword_prefix"]

    def letters(piece: str) -> list[str]:
        inside = [prefix + letter for letter in piece.removeprefix(prefix)]
        return inside if piece.startswith(prefix) else [piece[0], *inside[1:]]

    return letters


def _wordpiece_fixed(data: Json) -> set[int]:
    return _ids(data, {data["model"]["unk_token"]})


def _wordpiece_rebuild(data: Json, kept: list[int]) -> Json:
    return data["model"] | {"vocab": _renumbered(data, kept)}


# Unigram: the most probable split of a text; the scores stay as they are.


def _unigram_pieces(data: Json) -> dict[int, str]:
    return {index: piece for index, (piece, _) in enumerate(data["model"]["vocab"])}


def _unigram_fixed(data: Json) -> set[int]:
    """Return the ids that must stay: unknown, bytes, word start, and the lowest score, which sets that of unknown."""
    vocabulary, unknown = data["model"]["vocab"], data["model"]["unk_id"]
    least = min(range(len(vocabulary)), key=lambda index: vocabulary[index][1])
    pieces = _byte_pieces(data) | {WORD_START}
    named = {index for index, (piece, _) in enumerate(vocabulary) if piece in pieces}
    return named | {least} | ({unknown} if unknown is not None else set())


def _unigram_rebuild(data: Json, kept: list[int]) -> Json:
    vocabulary, unknown = data["model"]["vocab"], data["model"]["unk_id"]
    return data["model"] | {
        "vocab": [vocabulary[index] for index in kept],
        "unk_id": kept.index(unknown) if unknown is not None else None,
    }


# BPE: neighbours merge, in the order of the list of merges; over characters, or over bytes written as characters.


def derivation(piece: str, ranks: dict[tuple[str, str], int]) -> set[str]:
    """Return the symbols on the way from the characters of a piece to the piece, both included.

    Byte pair encoding merges pairs of neighbours (Sennrich et al. 2016, algorithm 1). Merges never cross the border of a
    token, so they are the same in every text: with these symbols kept, every text that contains the piece is tokenized as
    before.

    Args:
        piece: a piece without marks for its place in a word.
        ranks: number of each merge, a pair of neighbours; lower numbers merge first.
    """
    symbols = list(piece)
    passed = {*symbols, piece}
    while True:
        pairs = [pair for pair in zip(symbols, symbols[1:], strict=False) if pair in ranks]
        if not pairs:
            return passed
        first = min(pairs, key=ranks.__getitem__)
        passed.add("".join(first))
        symbols = _merged(symbols, first)


def _merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    """Return the symbols after merging every occurrence of a pair, from the left."""
    merged, index = [], 0
    while index < len(symbols):
        step = 2 if tuple(symbols[index : index + 2]) == pair else 1
        merged.append("".join(symbols[index : index + step]))
        index += step
    return merged


def _byte_level(data: Json) -> bool:
    return '"ByteLevel"' in json.dumps([data["normalizer"], data["pre_tokenizer"]])


def _sentencepiece_text(data: Json) -> Callable[[str], str]:
    single_bytes = _byte_pieces(data)
    return lambda piece: "" if piece in single_bytes else piece.removeprefix(WORD_START)


def _bpe_text(data: Json) -> Callable[[str], str]:
    if not _byte_level(data):
        return _sentencepiece_text(data)
    decode = decoders.ByteLevel().decode

    def text(piece: str) -> str:
        found = decode([piece]).removeprefix(" ")
        return "" if "\ufffd" in found else found

    return text


def _bpe_needs(data: Json) -> Callable[[str], Collection[str]]:
    model = data["model"]
    if model["continuing_subword_prefix"] or model["end_of_word_suffix"]:
        raise InputError(
            "A BPE vocabulary whose pieces are marked inside or at the end of a word cannot be trimmed; use a tokenizer "
            "that marks the start of words, or has no marks."
        )
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    return lambda piece: derivation(piece, ranks)


def _bpe_fixed(data: Json) -> set[int]:
    alphabet = set(pre_tokenizers.ByteLevel.alphabet()) if _byte_level(data) else {WORD_START}
    return _ids(data, alphabet | _byte_pieces(data) | {data["model"]["unk_token"]})


def _bpe_rebuild(data: Json, kept: list[int]) -> Json:
    vocabulary = _renumbered(data, kept)
    merges = [
        (left, right)
        for left, right in data["model"]["merges"]
        if left in vocabulary and right in vocabulary and left + right in vocabulary
    ]
    return data["model"] | {"vocab": vocabulary, "merges": merges}


ALGORITHMS: dict[str, Algorithm] = {
    "BPE": Algorithm(
        pieces=_by_id,
        text=_bpe_text,
        letters=lambda data: list,
        needs=_bpe_needs,
        fixed=_bpe_fixed,
        spells_all=_spells_bytes,
        rebuild=_bpe_rebuild,
    ),
    "Unigram": Algorithm(
        pieces=_unigram_pieces,
        text=_sentencepiece_text,
        letters=lambda data: list,
        needs=_nothing,
        fixed=_unigram_fixed,
        spells_all=_unigram_spells_bytes,
        rebuild=_unigram_rebuild,
    ),
    "WordPiece": Algorithm(
        pieces=_by_id,
        text=_wordpiece_text,
        letters=_wordpiece_letters,
        needs=_nothing,
        fixed=_wordpiece_fixed,
        spells_all=lambda data: False,
        rebuild=_wordpiece_rebuild,
    ),
}


def renumber(data: Json, kept_ids: list[int]) -> Json:
    """Return the content of a tokenizer.json with only these tokens.

    Args:
        data: the content of the file.
        kept_ids: old ids by new id, those of the model first, then the tokens that were added to it.
    """
    algorithm = algorithm_of(data)
    pieces = algorithm.pieces(data)
    new = {old: index for index, old in enumerate(kept_ids)}
    padding = data["padding"]
    return data | {
        "added_tokens": sorted(
            (token | {"id": new[token["id"]]} for token in data["added_tokens"]), key=lambda token: token["id"]
        ),
        "padding": padding and padding | {"pad_id": new[padding["pad_id"]]},
        "post_processor": _post_processor(data["post_processor"], new),
        "model": algorithm.rebuild(data, [index for index in kept_ids if index in pieces]),
    }


def _post_processor(part: Json | None, new: Ids) -> Json | None:
    """Return a post-processor with new ids; types that are not in the table have no ids."""
    return part and part | POST_PROCESSORS.get(part["type"], _no_ids)(part, new)


def _no_ids(part: Json, new: Ids) -> Json:
    return {}


def _pair(part: Json, new: Ids) -> Json:
    return {name: [part[name][0], new[part[name][1]]] for name in ("cls", "sep")}


def _sequence(part: Json, new: Ids) -> Json:
    return {"processors": [_post_processor(one, new) for one in part["processors"]]}


def _template(part: Json, new: Ids) -> Json:
    return {
        "special_tokens": {
            name: token | {"ids": [new[old] for old in token["ids"]]} for name, token in part["special_tokens"].items()
        }
    }


POST_PROCESSORS: dict[str, Callable[[Json, Ids], Json]] = {
    "BertProcessing": _pair,
    "RobertaProcessing": _pair,
    "Sequence": _sequence,
    "TemplateProcessing": _template,
}
