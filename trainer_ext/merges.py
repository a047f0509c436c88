"""Merges: which pieces byte pair encoding passes on its way to a piece (Sennrich et al. 2016, algorithm 1).

A text's pieces never merge across their borders, so what happens inside one of them is the same in any text: the pieces
passed on the way to it, kept with it, are enough for every text to be cut as before.
"""

from __future__ import annotations


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
