"""Selection of tokens: count what a corpus uses, and choose which part of a vocabulary stays."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tokenizers import Tokenizer

from ..errors import InputError
from .tokenizer_json import Json, algorithm_of

# Minimum share of a corpus' letters for a script to be kept: a stray Chinese name must not add 20,000 characters.
SCRIPT_SHARE = 0.001
CHUNK = 1000  # texts tokenized at once
MOST_LOST = 0.5  # largest share of a corpus that may be unknown tokens or parts of characters


@dataclass(frozen=True)
class Corpus:
    """Counts of a corpus.

    Attributes:
        pieces: how often each token id occurs.
        characters: how often each character occurs, after the normalization of the tokenizer.
    """

    pieces: Counter[int]
    characters: Counter[str]


def count(backend: Tokenizer, texts: Iterable[str]) -> Corpus:
    """Tokenize a corpus and count its tokens and characters.

    Args:
        backend: the tokenizer.
        texts: the corpus.

    Raises:
        InputError: If all texts are empty.
    """
    corpus = Corpus(Counter(), Counter())
    for chunk in chunks(texts):
        for encoding in backend.encode_batch_fast(chunk, add_special_tokens=False):
            corpus.pieces.update(encoding.ids)
        joined = "\n".join(chunk)
        corpus.characters.update(backend.normalizer.normalize_str(joined) if backend.normalizer else joined)
    if not corpus.pieces:
        raise InputError("The corpus to trim the vocabulary by is empty; give texts in the language of the task.")
    return corpus


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield lists of up to `CHUNK` texts."""
    texts = iter(texts)
    while chunk := list(islice(texts, CHUNK)):
        yield chunk


def script(character: str) -> str | None:
    """Return the script of a letter or mark, the first word of its Unicode name; None for other characters."""
    if unicodedata.category(character)[0] not in "LM":
        return None
    return unicodedata.name(character, "?").split()[0]


def alphabet(occurring: Counter[str], candidates: Iterable[str]) -> set[str]:
    """Return the candidates that a corpus needs: its characters, its scripts, and all digits and punctuation.

    Args:
        occurring: how often each character occurs in the corpus.
        candidates: the characters to choose from.
    """
    letters: Counter[str | None] = Counter()
    for character, number in occurring.items():
        letters[script(character)] += number
    del letters[None]
    scripts = {name for name, number in letters.items() if number >= SCRIPT_SHARE * letters.total()}
    return {
        character
        for character in candidates
        if character in occurring
        or script(character) in scripts
        or character.isascii()
        or unicodedata.category(character)[0] in "NP"
    }


def choose(data: Json, corpus: Corpus, size: int, *, unknown: int | None) -> set[int]:
    """Return the ids of the tokens that stay.

    Some must stay: added tokens, what the algorithm needs, every single character that the corpus needs, and tokens of the
    corpus that smaller ones cannot spell. The others follow by frequency. Of equal frequency, tokens written in the
    characters of the corpus come first, then single characters of any script (better than unknown), then lower ids.

    Args:
        data: the content of tokenizer.json.
        corpus: counts of the corpus.
        size: number of tokens that stay.
        unknown: id of the unknown token, or None.

    Raises:
        InputError: If the tokenizer does not cover the corpus, or more than `size` tokens must stay.
    """
    pieces = algorithm_of(data).pieces(data)
    kept, with_needs, wanted, written = _must_stay(data, corpus, unknown)
    if len(kept) > size:
        raise InputError(
            f"A vocabulary size of {size} is too small: {len(kept)} tokens must stay (special tokens, the characters of "
            f"the scripts in the corpus, and what they are made of). Ask for {len(kept)} or more."
        )

    def rank(index: int) -> tuple[int, bool, bool, int]:
        foreign = not wanted.issuperset(written[index])
        return -corpus.pieces[index], foreign, len(written[index]) != 1, index

    rest = sorted(pieces.keys() - kept, key=rank)
    while len(kept) < size:  # a piece that did not fit with those it needs may fit once they are kept
        for index in rest:
            more = with_needs(index) - kept
            if len(kept) + len(more) <= size:
                kept |= more
            if len(kept) == size:
                break
    return kept


def size_in_use(data: Json, corpus: Corpus, *, unknown: int | None) -> int:
    """Return how many tokens stay if every token of the corpus does; the arguments are those of `choose`."""
    kept, with_needs, _, _ = _must_stay(data, corpus, unknown)
    used = corpus.pieces.keys() & algorithm_of(data).pieces(data).keys()
    return len(kept.union(*map(with_needs, used)))


def _must_stay(
    data: Json, corpus: Corpus, unknown: int | None
) -> tuple[set[int], Callable[[int], set[int]], set[str], dict[int, str]]:
    """Return what `choose` needs.

    Returns:
        The ids that must stay, a function from an id to it and the ids it needs, the characters that the corpus needs, and
        the text of each id.
    """
    algorithm = algorithm_of(data)
    pieces = algorithm.pieces(data)
    ids = {piece: index for index, piece in pieces.items()}
    needs, letters, text = algorithm.needs(data), algorithm.letters(data), algorithm.text(data)
    written = {index: text(piece) for index, piece in pieces.items()}
    lost = sum(count for index, count in corpus.pieces.items() if index == unknown or not written.get(index, " "))
    if lost > MOST_LOST * corpus.pieces.total():
        raise InputError(
            f"The tokenizer has no pieces for {lost / corpus.pieces.total():.0%} of the corpus (at most {MOST_LOST:.0%}): "
            "give texts in a language of the model."
        )

    def with_needs(index: int) -> set[int]:
        return {index} | {ids[piece] for piece in needs(pieces[index]) if piece in ids}

    wanted = alphabet(corpus.characters, set("".join(written.values())))
    added = {token["id"] for token in data["added_tokens"]}
    singles = {index for index, found in written.items() if len(found) == 1 and found in wanted}
    used = corpus.pieces.keys() & pieces.keys()
    unspelled = {index for index in used if not ids.keys() >= {*letters(pieces[index])}}
    return added.union(algorithm.fixed(data), *map(with_needs, singles | unspelled)), with_needs, wanted, written
