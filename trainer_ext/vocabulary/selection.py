"""Selection of tokens: count what a corpus uses, and choose which part of a vocabulary stays."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import islice

import torch
from tokenizers import Tokenizer

from ..errors import InputError
from .tokenizer_json import Json, algorithm_of
from .unseen import log_odds

# Minimum share of a corpus' letters for a script to be kept: a stray Chinese name must not add 20,000 characters.
SCRIPT_SHARE = 0.001
CHUNK = 1000  # texts tokenized at once
MOST_LOST = 0.5  # largest share of a corpus that may be unknown tokens or parts of characters
CHARACTER_SHARE = 1 / 6  # largest share of the tokens for characters of scripts that the corpus does not have
MOST_CHANGED = 0.02  # largest share of held-out texts that an automatic size may tokenize differently
MOST_UNKNOWN = 1e-5  # largest share of their tokens that it may make unknown


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


@lru_cache(maxsize=2**16)
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


class Selection:
    """Which tokens of a vocabulary stay, for any size.

    Some must stay: added tokens, what the algorithm needs, every single character that the corpus needs, and tokens of the
    corpus that smaller ones cannot spell. Then come the characters of all other scripts, those with few characters first:
    a removed character makes words unknown, any other token only splits them. The others follow by frequency. Of equal
    frequency, and above all of none, tokens that are likely in such texts come first (see `unseen`), or if nothing is known
    of that, tokens written in the characters of the corpus, then lower ids.

    Args:
        data: the content of tokenizer.json.
        corpus: counts of the corpus.
        unknown: id of the unknown token, or None.
        embeddings: those of the model, which tell what tokens are alike; None if there is no model.

    Raises:
        InputError: The tokenizer does not cover the corpus.
    """

    def __init__(
        self, data: Json, corpus: Corpus, *, unknown: int | None, embeddings: torch.Tensor | None = None
    ) -> None:
        self.algorithm = algorithm_of(data)
        self.pieces = self.algorithm.pieces(data)
        self.corpus, self.embeddings = corpus, embeddings
        self._ids = {piece: index for index, piece in self.pieces.items()}
        self._letters, self._needs = self.algorithm.letters(data), self.algorithm.needs(data)
        text = self.algorithm.text(data)
        self.written = {index: text(piece) for index, piece in self.pieces.items()}
        self.spells_all = self.algorithm.spells_all(data)
        self.with_needs = cache(self._with_needs)
        lost = sum(n for index, n in corpus.pieces.items() if index == unknown or not self.written.get(index, " "))
        if lost > MOST_LOST * corpus.pieces.total():
            raise InputError(
                f"The tokenizer has no pieces for {lost / corpus.pieces.total():.0%} of the corpus (at most "
                f"{MOST_LOST:.0%}): give texts in a language of the model."
            )
        self.wanted = alphabet(corpus.characters, set("".join(self.written.values())))
        self.used = corpus.pieces.keys() & self.pieces.keys()
        added = {token["id"] for token in data["added_tokens"]}
        singles = {index for index, found in self.written.items() if len(found) == 1 and found in self.wanted}
        unspelled = {index for index in self.used if self._unspelled(index)}
        self.must_stay = added.union(self.algorithm.fixed(data), *map(self.with_needs, sorted(singles | unspelled)))

    def _with_needs(self, index: int) -> set[int]:
        """Return an id and the ids that it needs."""
        return {index} | {self._ids[piece] for piece in self._needs(self.pieces[index]) if piece in self._ids}

    def _unspelled(self, index: int) -> bool:
        """Return whether smaller pieces cannot spell a piece."""
        return not self._ids.keys() >= {*self._letters(self.pieces[index])}

    @cached_property
    def characters(self) -> list[tuple[str, set[int]]]:
        """The characters of scripts that the corpus does not have, by script, the smallest script first."""
        found: dict[str, set[int]] = {}
        if not self.spells_all:
            for index, text in self.written.items():
                is_smallest = self._letters(self.pieces[index]) == [self.pieces[index]]
                if len(text) == 1 and (is_smallest or self._unspelled(index)):
                    found.setdefault(script(text) or "symbols", set()).add(index)
        by_script = ((name, ids - self.must_stay) for name, ids in found.items())
        return sorted((pair for pair in by_script if pair[1]), key=lambda pair: (len(pair[1]), pair[0]))

    def spelling(self, size: int) -> set[int]:
        """Return the ids that must stay and those of further characters, as far as these fit in their part of the size."""
        kept = set(self.must_stay)
        room = min(int(CHARACTER_SHARE * size), size - len(kept))
        for _, ids in self.characters:
            if len(ids) <= room:
                kept |= ids
                room -= len(ids)
        return kept

    def left_out(self, kept: set[int]) -> dict[str, int]:
        """Return how many characters do not stay, by script, the largest first."""
        counts = {name: len(ids - kept) for name, ids in reversed(self.characters)}
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def order(self) -> list[int]:
        """All ids, those to keep first in front."""
        if self.embeddings is None:
            likely: dict[int, float] = {}
        else:
            scripts = {index: _script_of(text) for index, text in self.written.items()}
            likely = log_odds(self.embeddings, scripts, self.used)

        def rank(index: int) -> tuple[int, float, bool, bool, int]:
            text = self.written[index]
            foreign = not self.wanted.issuperset(text)
            return -self.corpus.pieces[index], -likely.get(index, 0.0), foreign, len(text) != 1, index

        return sorted(self.pieces, key=rank)

    def choose(self, size: int) -> set[int]:
        """Return the ids of the tokens that stay.

        Args:
            size: number of tokens that stay.

        Raises:
            InputError: More tokens must stay.
        """
        if len(self.must_stay) > size:
            raise InputError(
                f"A vocabulary size of {size} is too small: {len(self.must_stay)} tokens must stay (special tokens, the "
                f"characters of the scripts in the corpus, and what they are made of). Ask for {len(self.must_stay)} or "
                "more."
            )
        kept = self.spelling(size)
        rest = [index for index in self.order if index not in kept]
        while len(kept) < size:  # a piece that did not fit with those it needs may fit once they are kept
            for index in rest:
                more = self.with_needs(index) - kept
                if len(kept) + len(more) <= size:
                    kept |= more
                if len(kept) == size:
                    break
        return kept

    def size_in_use(self) -> int:
        """Return the smallest size with which every token of the corpus stays."""
        used = set().union(*map(self.with_needs, self.used))
        size = len(self.must_stay | used)
        while (needed := len(self.spelling(size) | used)) > size:
            size = needed
        return size

    def size_for(self, texts: Sequence[Sequence[int]]) -> int:
        """Return the smallest size that tokenizes nearly all held-out texts as before, and makes no token unknown.

        Args:
            texts: the token ids of each held-out text.
        """
        counts = Counter(index for text in texts for index in text if index in self.pieces)
        spelled = {i: {self._ids.get(piece) for piece in self._letters(self.pieces[i])} for i in counts}
        distinct = [counts.keys() & text for text in map(set, texts)]

        def suffices(size: int) -> bool:
            kept = self.choose(size)
            changed = sum(not text <= kept for text in distinct)
            unknown = sum(n for i, n in counts.items() if i not in kept and not spelled[i] <= kept)
            few = self.spells_all or unknown <= MOST_UNKNOWN * counts.total()
            return few and changed <= MOST_CHANGED * len(texts)

        low, high = len(self.must_stay), len(self.must_stay | self.pieces.keys())
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if suffices(middle) else (middle + 1, high)
        return high


def _script_of(text: str) -> str | None:
    """Return the script of most letters of a text; None if it has none."""
    found = Counter(filter(None, map(script, text)))
    return found.most_common(1)[0][0] if found else None
