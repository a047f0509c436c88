"""Alphabet: the characters that a corpus calls for, those of its scripts included that happen not to occur in it.

Choice of pieces: which part of a vocabulary stays, by what a corpus was counted to use.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from tokenizers import Tokenizer

from ..errors import InputError
from .tokenizer_json import Json, algorithm_of

# A script counts as one of the corpus from this share of its letters on: a stray Chinese name does not ask for 20,000.
SCRIPT_SHARE = 0.001


def script(character: str) -> str | None:
    """The script of a letter or mark, as the first word of its Unicode name; None for digits, punctuation, symbols."""
    if unicodedata.category(character)[0] not in "LM":
        return None
    return unicodedata.name(character, "?").split()[0]


def alphabet(occurring: Counter[str], candidates: Iterable[str]) -> set[str]:
    """The candidates that a corpus calls for.

    These are the characters that occur in it, the letters and marks of its scripts, and all digits and punctuation.

    Args:
        occurring: how often each character occurs in the corpus.
        candidates: the characters to choose from.
    """
    letters = Counter()
    for character, count in occurring.items():
        letters[script(character)] += count
    del letters[None]
    scripts = {name for name, count in letters.items() if count >= SCRIPT_SHARE * letters.total()}
    return {
        character
        for character in candidates
        if character in occurring
        or script(character) in scripts
        or character.isascii()
        or unicodedata.category(character)[0] in "NP"
    }


CHUNK = 1000  # texts cut at once
MOST_LOST = 0.5  # share of a corpus' pieces that are unknown or less than a character


@dataclass(frozen=True)
class Corpus:
    """What was counted of a corpus.

    Attributes:
        pieces: how often each id occurs.
        characters: how often each character occurs, after the tokenizer's normalization.
    """

    pieces: Counter[int]
    characters: Counter[str]


def count(backend: Tokenizer, texts: Iterable[str]) -> Corpus:
    """Cut a corpus into pieces, and count.

    Raises:
        InputError: no text has anything in it.
    """
    corpus = Corpus(Counter(), Counter())
    for chunk in chunks(texts):
        for encoding in backend.encode_batch_fast(chunk, add_special_tokens=False):
            corpus.pieces.update(encoding.ids)
        joined = "\n".join(chunk)
        corpus.characters.update(backend.normalizer.normalize_str(joined) if backend.normalizer else joined)
    if not corpus.pieces:
        raise InputError("The corpus to trim the vocabulary by is empty; give it texts of the language that is read.")
    return corpus


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of up to `CHUNK` texts."""
    texts = iter(texts)
    while chunk := list(islice(texts, CHUNK)):
        yield chunk


def choose(data: Json, corpus: Corpus, size: int, *, unknown: int | None) -> set[int]:
    """The ids of the tokens that stay.

    First what must stay: added tokens, what the algorithm needs, every single character that the corpus calls for, and
    occurring pieces that could not be spelled without. Then by frequency; of equals, first what is written in the
    corpus' characters, then single characters of any script (better than unknown), then lower ids.

    Args:
        data: tokenizer.json.
        corpus: what was counted.
        size: how many tokens stay.
        unknown: the id of what has no piece, where the tokenizer has one.

    Raises:
        InputError: the tokenizer has next to no piece for the corpus, or what must stay is more than `size`.
    """
    pieces = algorithm_of(data).pieces(data)
    kept, with_needs, wanted, written = _must_stay(data, corpus, unknown)
    if len(kept) > size:
        raise InputError(
            f"A vocabulary size of {size} is too small: {len(kept)} tokens must stay (special ones, the characters of "
            f"the corpus' scripts, and what they are made of). Ask for {len(kept)} or more."
        )

    def rank(index: int) -> tuple[int, bool, bool, int]:
        foreign = not wanted.issuperset(written[index])
        return -corpus.pieces[index], foreign, len(written[index]) != 1, index

    rest = sorted(pieces.keys() - kept, key=rank)
    while len(kept) < size:  # a piece that had no room for those it needs may find them kept the next time
        for index in rest:
            more = with_needs(index) - kept
            if len(kept) + len(more) <= size:
                kept |= more
            if len(kept) == size:
                break
    return kept


def size_in_use(data: Json, corpus: Corpus, *, unknown: int | None) -> int:
    """How many tokens stay if every piece that the corpus is cut into does; the arguments are those of `choose`."""
    kept, with_needs, _, _ = _must_stay(data, corpus, unknown)
    used = corpus.pieces.keys() & algorithm_of(data).pieces(data).keys()
    return len(kept.union(*map(with_needs, used)))


def _must_stay(data: Json, corpus: Corpus, unknown: int | None) -> tuple:
    """The ids that no size may leave out; what a piece cannot do without, the characters that count, and all texts."""
    algorithm = algorithm_of(data)
    pieces = algorithm.pieces(data)
    ids = {piece: index for index, piece in pieces.items()}
    needs, letters, text = algorithm.needs(data), algorithm.letters(data), algorithm.text(data)
    written = {index: text(piece) for index, piece in pieces.items()}
    lost = sum(count for index, count in corpus.pieces.items() if index == unknown or not written.get(index, " "))
    if lost > MOST_LOST * corpus.pieces.total():
        raise InputError(
            f"The tokenizer has no pieces for {lost / corpus.pieces.total():.0%} of the corpus (at most {MOST_LOST:.0%}): "
            "give texts in a language that the model reads."
        )

    def with_needs(index: int) -> set[int]:
        return {index} | {ids[piece] for piece in needs(pieces[index]) if piece in ids}

    wanted = alphabet(corpus.characters, set("".join(written.values())))
    added = {token["id"] for token in data["added_tokens"]}
    singles = {index for index, found in written.items() if len(found) == 1 and found in wanted}
    used = corpus.pieces.keys() & pieces.keys()
    unspelled = {index for index in used if not ids.keys() >= {*letters(pieces[index])}}
    return added.union(algorithm.fixed(data), *map(with_needs, singles | unspelled)), with_needs, wanted, written
