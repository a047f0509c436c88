"""Class names as data and models write them: the same text, names that look the same, ids, and several names in one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from .records import listed

_JOINERS = "\u200c\u200d"  # they change how Indic letters join
_KEPT = frozenset(_JOINERS) | frozenset(map(chr, range(0xE0020, 0xE0080)))  # and letters inside flags
_VARIANTS = range(0xFE00, 0xFE10)  # of emoji, mostly
_NUMBER = re.compile(r"(\d+)(?:\.0+)?")  # pandas writes ids as 3.0 if one of the column is missing
_ID = re.compile(r"(?:LABEL_)?" + _NUMBER.pattern)
_MARKS = ("|", ";", ",")


def same_text(name: str) -> str:
    """Return a name in one form: composed (NFC), plain spaces, without invisible characters, and 3.0 as 3."""
    kept = (char for char in name if char in _KEPT or unicodedata.category(char) != "Cf")
    name = " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
    number = _NUMBER.fullmatch(name)
    return number[1] if number else name


def looks(name: str) -> str:
    """Return what is left of a name without case, white space, joiners and variants of letters (NFKC)."""
    kept = (char for char in same_text(name) if char not in _JOINERS and ord(char) not in _VARIANTS)
    return "".join(unicodedata.normalize("NFKC", "".join(kept)).lower().split())


def one_spelling(words: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return the spelling to use for each name that is written in several ways.

    Args:
        words: the names in each file.

    Returns:
        The new spelling by the old one, of names that are the same text.

    Raises:
        ValueError: Two names are not the same text but look the same.
    """
    found: dict[str, str] = {}
    for file, names_there in words.items():
        found |= {name: file for name in sorted(names_there) if name not in found}
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for name in found:
        texts[same_text(name)].append(name)
    to = {name: text for text, names in texts.items() for name in names if len(names) > 1 or _NUMBER.fullmatch(name)}
    seen: dict[str, str] = {}
    for name in found:
        other = seen.setdefault(looks(name), name)
        if same_text(other) != same_text(name):
            raise ValueError(
                f"{shown_beside(other, name)} in {found[other]} and {shown_beside(name, other)} in {found[name]} look "
                "like one class and would be two; write it in one way, or two classes so that they differ in more."
            )
    return {name: text for name, text in to.items() if name != text}


def shown_beside(name: str, other: str) -> str:
    """Return a name in quotes, with escapes where it is printed like the other one."""
    form, form_of_other = (re.sub(r"\s", " ", unicodedata.normalize("NFKC", word)) for word in (name, other))
    return ascii(name) if form == form_of_other or not name.isprintable() else repr(name)


def known_as(found: Collection[str], known: Sequence[str]) -> dict[str, str]:
    """Return, for names that are not known, the one known name that is the same text, or else looks the same."""
    to: dict[str, str] = {}
    for form in (same_text, looks):
        forms: defaultdict[str, list[str]] = defaultdict(list)
        for name in known:
            forms[form(name)].append(name)
        for name in found:
            if name not in known and len(forms[form(name)]) == 1:
                to.setdefault(name, forms[form(name)][0])
    return to


def known_as_ids(found: Collection[str], known: Sequence[str]) -> dict[str, str]:
    """Return the known name of each found id.

    Args:
        found: names, such as 3, 3.0 and LABEL_3.
        known: the names in the order of their ids.

    Returns:
        The name by the found word; nothing if not all are ids, or the known names are numbers themselves.

    Raises:
        ValueError: The ids are not in the range of the names, or may start at 1.
    """
    matches = [_ID.fullmatch(name) for name in found]
    if not found or any(match is None for match in matches) or any(map(_NUMBER.fullmatch, known)):
        return {}
    ids = {name: int(match[1]) for name, match in zip(found, matches, strict=True) if match}
    low, high = min(ids.values()), max(ids.values())
    if low or high >= len(known):
        raise ValueError(
            f"the labels are numbers from {low} to {high}, and the ids of {listed(known)} go from 0 to {len(known) - 1}: "
            "subtract 1 from each if they start at 1, or write the names."
        )
    return {name: known[ids[name]] for name in sorted(ids, key=lambda name: ids[name])}


def separator_in(names: Collection[str]) -> str | None:
    """Return the character that clearly separates several classes in some of the names, or None.

    Most of the names that have it consist of parts that are classes alone or in other such names, and the place of a part
    does not say what it is, as in a path. A name such as "Travel, leisure" has no such parts.
    """
    marks = (" ",) if all(re.fullmatch(r"\d+( \d+)*", name) for name in names) else _MARKS
    for mark in marks:
        split = {name: [part.strip() for part in name.split(mark)] for name in names}
        several = {name: parts for name, parts in split.items() if len(parts) > 1 and all(parts)}
        if not several or _decimals(several.values(), mark):
            continue
        alone = set(names) - several.keys()
        uses = Counter(part for parts in several.values() for part in set(parts))
        places: defaultdict[str, set[int]] = defaultdict(set)
        for parts in several.values():
            for place, part in enumerate(parts):
                places[part].add(place)
        known = [parts for parts in several.values() if all(part in alone or uses[part] > 1 for part in parts)]
        free = any(part in alone or len(places[part]) > 1 for parts in known for part in parts)
        if free and 2 * len(known) >= len(several):
            return mark
    return None


def _decimals(several: Collection[Sequence[str]], mark: str) -> bool:
    """Return whether these are numbers such as 2,5."""
    halves = {"0", "5", "25", "75", "00", "50"}
    return mark == "," and all(len(parts) == 2 and parts[0].isdecimal() and parts[1] in halves for parts in several)
