"""Merges: which pieces byte pair encoding passes on its way to a piece (Sennrich et al. 2016, algorithm 1).

A text's pieces never merge across their borders, so what happens inside one of them is the same in any text: the pieces
passed on the way to it, kept with it, are enough for every text to be cut as before.

Pieces: what each tokenizer algorithm says of its vocabulary in tokenizer.json; one row per `model.type`.

Renumbering: tokenizer.json with only some of its tokens, wherever the file repeats their ids.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tokenizers import decoders, pre_tokenizers

from ..errors import InputError


def derivation(piece: str, ranks: dict[tuple[str, str], int]) -> set[str]:
    """The symbols passed when the characters of a piece merge, its characters and itself included.

    Args:
        piece: a piece without marks of its place in a word.
        ranks: the number of each merge, a pair of neighbours; lower comes first.
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
    """The symbols after one merge of every place where the pair stands, from the left."""
    merged, index = [], 0
    while index < len(symbols):
        step = 2 if tuple(symbols[index : index + 2]) == pair else 1
        merged.append("".join(symbols[index : index + step]))
        index += step
    return merged


Json = dict[str, Any]
WORD_START = "▁"  # SentencePiece writes a space so


@dataclass(frozen=True)
class Algorithm:
    """What trimming must know of one algorithm; each function takes the whole tokenizer.json, `data`.

    Attributes:
        pieces: data -> the piece of each id of the model; tokens that were added behind it are not among them.
        text: data -> function from a piece to what it stands for, its mark of a word's start or inside taken off;
            empty where it is no whole character.
        letters: data -> function from a piece to the smallest pieces that it could fall into.
        needs: data -> function from a piece to the pieces without which it cannot be reached.
        fixed: data -> ids that stay whatever the corpus says.
        rebuild: (data, kept) -> the `model` of the trimmed tokenizer, where `kept` lists old ids by new id.
    """

    pieces: Callable[[Json], dict[int, str]]
    text: Callable[[Json], Callable[[str], str]]
    letters: Callable[[Json], Callable[[str], list[str]]]
    needs: Callable[[Json], Callable[[str], Collection[str]]]
    fixed: Callable[[Json], set[int]]
    rebuild: Callable[[Json, list[int]], Json]


def algorithm_of(data: Json) -> Algorithm:
    """The row of a tokenizer.

    Raises:
        InputError: there is none.
    """
    kind = data["model"]["type"]
    if kind not in ALGORITHMS:
        raise InputError(f"A vocabulary of type {kind!r} cannot be trimmed; those that can: {sorted(ALGORITHMS)}.")
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
    """The pieces that a character without a piece of its own falls into."""
    return {f"<0x{byte:02X}>" for byte in range(256)} if data["model"].get("byte_fallback") else set()


# WordPiece: greedy, the longest piece first; pieces inside a word have a prefix.


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


# Unigram: the most probable way to cut a text; scores stay as they are.


def _unigram_pieces(data: Json) -> dict[int, str]:
    return {index: piece for index, (piece, _) in enumerate(data["model"]["vocab"])}


def _unigram_fixed(data: Json) -> set[int]:
    """The unknown, the bytes, the bare word start, and the least probable piece: an unknown scores 10 below it."""
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


# BPE: neighbours merge, the earliest merge of the list first; over characters, or over bytes written as characters.


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
            "that marks the start of a word, or none."
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
        rebuild=_bpe_rebuild,
    ),
    "Unigram": Algorithm(
        pieces=_unigram_pieces,
        text=_sentencepiece_text,
        letters=lambda data: list,
        needs=_nothing,
        fixed=_unigram_fixed,
        rebuild=_unigram_rebuild,
    ),
    "WordPiece": Algorithm(
        pieces=_by_id,
        text=_wordpiece_text,
        letters=_wordpiece_letters,
        needs=_nothing,
        fixed=_wordpiece_fixed,
        rebuild=_wordpiece_rebuild,
    ),
}


Ids = dict[int, int]  # new by old


def renumber(data: Json, kept_ids: list[int]) -> Json:
    """A tokenizer.json with only these tokens.

    Args:
        data: the file.
        kept_ids: old ids by new id: first those of the model's vocabulary, then the tokens added behind it.
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
    """A post-processor with new ids; one without a row holds none."""
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
