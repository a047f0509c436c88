"""Card front matter: the YAML at the top of a card, read, written and merged key by key.

Three versions meet: what was generated last time, what the card says now, and what is generated now. A key that still
says what was generated takes the new value; one that a person set, changed or took away stays as the person left it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from .errors import InputError, one_line

# What follows from the numbers is never a person's to set.
COMPUTED = frozenset({"base_model_relation", "co2_eq_emissions", "library_name", "model-index", "pipeline_tag"})
UNIONS = ("tags",)
_BLOCK = re.compile(r"\A\s*---\n(.*?\n|)---[ \t]*(?:\n|\Z)", re.DOTALL)


# What a plain word means in YAML 1.2, which the Hub reads. PyYAML reads 1.1: there `no` is false and 10:30 is 630.
_YAML_1_2 = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"0|[-+]?[1-9][0-9]*", "-+0123456789"),
    "float": (r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}


class _Loader(yaml.SafeLoader):
    """Safe, and takes words for what the Hub takes them for."""

    yaml_implicit_resolvers = {}


for _name, (_words, _first) in _YAML_1_2.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_words})$"), list(_first))


def split(card: str) -> tuple[dict[str, Any], str]:
    """The values of the front matter, empty where there is none, and the text below it.

    Raises:
        InputError: it is no YAML of `key: value` lines.
    """
    found = _BLOCK.match(card)
    if not found:
        return {}, card
    try:
        values = yaml.load(found[1], _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not
        raise InputError(
            f"The front matter of the card, between its --- lines, is no YAML: {one_line(error)}; mend it."
        ) from error
    if not isinstance(values, dict | None):
        raise InputError(f"The front matter of the card must hold `key: value` lines, got {one_line(repr(values))}.")
    return values or {}, card[found.end() :]


def write(values: Mapping[str, Any]) -> str:
    """Front matter that `yaml.safe_load` reads back as the same values."""
    return f"---\n{yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False)}---\n"


def merge_values(generated: Mapping[str, Any], now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The front matter of the merged card.

    Args:
        generated: the values of the fresh card.
        now: the values of the existing card.
        before: what was generated when the existing card was made; empty where that is not known.

    Returns:
        Computed keys as generated; tags of both, without those that a person took away; every other key as a person
        left it, or else as generated.
    """
    found = {}
    for key in dict.fromkeys([*generated, *now]):
        if key in UNIONS:
            found[key] = _union(*(_listed(side.get(key)) for side in (generated, now, before)))
            continue
        untouched = key in now and key in before and now[key] == before[key]
        theirs = key not in COMPUTED and (key in now or key in before) and not untouched
        source = now if theirs else generated
        if key in source:
            found[key] = source[key]
    return found


def _union(generated: list, now: list, before: list) -> list:
    kept = [value for value in generated if value in now or value not in before]
    for value in now:
        if value not in kept and value not in before:
            kept.append(value)
    return kept


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]
