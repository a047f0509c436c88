"""Read the fields of a recipe from a YAML file, one of its scales and the words of a command line."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..utils import yaml

SCALES = "scales"
_YAML_1_1 = {"yes": True, "on": True, "no": False, "off": False}
Fields = Mapping[str, dataclasses.Field]


def read_values(path: Path, known: Fields, scale: str | None = None) -> dict[str, Any]:
    """Return the fields of a recipe file, with those of one scale in place of the same fields.

    Args:
        path: a YAML file of `field: value` lines; `scales` may hold further such mappings by name.
        known: all fields, for their types; names are not checked.
        scale: the name of a scale, or None.

    Raises:
        InputError: The file cannot be read, or does not have the scale.
    """
    values = yaml.read_yaml(path)
    scales = values.pop(SCALES, {})
    if not isinstance(scales, dict) or not all(
        isinstance(name, str) and yaml.is_fields(scales[name]) for name in scales
    ):
        raise InputError(f"{SCALES} in {str(path)!r} must hold `name: {{field: value}}` lines, got {scales!r}.")
    if scale is not None and scale not in scales:
        there = f"it has {', '.join(map(repr, scales))}" if scales else "it has none: leave --scale out"
        raise InputError(f"The recipe {str(path)!r} has no scale {scale!r}; {there}.")
    return as_words({**values, **scales.get(scale, {})}, known)


def as_words(values: Mapping[str, Any], known: Fields) -> dict[str, Any]:
    """Return the fields with yes, no, on and off as booleans in boolean fields, and as words in others.

    YAML 1.2 reads them as words, but recipes were first written for YAML 1.1, which reads them as booleans. So
    `use_cpu: no` is false, and both `save_strategy: no` and `save_strategy: false` are the word no.

    Args:
        values: fields by name.
        known: all fields, for their types.
    """

    def convert(name: str, value: Any) -> Any:
        kind = str(known[name].type) if name in known else ""
        if "bool" in kind:
            return _YAML_1_1.get(value.lower(), value) if isinstance(value, str) else value
        if isinstance(value, bool) and kind:
            return "yes" if value else "no"
        is_off = "Strategy" in kind and str(value).lower() in ("no", "off")
        return "no" if is_off else value

    return {name: convert(name, value) for name, value in values.items()}


def read_words(words: Sequence[str], known: Fields) -> dict[str, Any]:
    """Return the fields of `["--field", "value", ...]`. One word is a value, several are a list.

    A field that can be true is so without a word. A field that is a list is one with a single word too, and with none.

    Args:
        words: the words of a command line.
        known: all fields, for their types.

    Raises:
        InputError: The first word does not name a field, or a field that cannot be true has no value.
    """
    given: dict[str, Any] = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name, joined, value = word[2:].partition("=")
            name = name.replace("-", "_")
            given[name] = [value] if joined else []
        elif name is None:
            raise InputError(f"{word!r} is not a field; write --field value.")
        else:
            given[name].append(word)
    return {name: _value(name, words, known.get(name)) for name, words in given.items()}


def _value(name: str, given: list[str], field: dataclasses.Field | None) -> Any:
    kind = str(bool if field is None else field.type)
    is_text = re.search(r"\bstr\b", kind) and not re.search(r"\b(int|float)\b", kind)  # then 007 and 2024_01 are names
    words = given if is_text else [_number_or_word(word) for word in given]
    if "list[" in kind:
        return words
    if not words and "bool" not in re.sub(r"dict\[.*?]", "", kind):
        raise InputError(f"--{name} needs a value: --{name} VALUE; `trainer-ext compress --fields` says which.")
    if not words:
        return True
    return words if len(words) > 1 else words[0]


def _number_or_word(word: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word
