"""Recipe file: what a YAML file, one of its scales and the words of a command line give, as fields and values."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..utils import yaml

SCALES = "scales"
_YAML_1_1 = {"yes": True, "on": True, "no": False, "off": False}
Fields = Mapping[str, dataclasses.Field]


def read_values(path: Path, known: Fields, scale: str | None = None) -> dict[str, Any]:
    """The fields of a recipe, with those of a scale laid over them.

    Args:
        path: a YAML file of `field: value` lines; under `scales` it may name further such mappings, by name.
        known: the fields that there are, for their types; names are not checked.
        scale: which of the scales; None for none.

    Raises:
        InputError: a file that cannot be read, or a scale that it does not have.
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
    """Read yes, no, on and off as recipes always could: as true or false where a field is one, else as a word.

    `save_strategy: no` is the word, `use_cpu: no` is false. A boolean in a field of words, as YAML 1.1 made of `no`, is
    the word again.
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
    """The fields of `["--field", "value", ...]`: a flag alone means true, one word is a value, several are a list.

    Raises:
        InputError: a first word that names no field.
    """
    given: dict[str, Any] = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name, joined, value = word[2:].partition("=")
            name = name.replace("-", "_")
            given[name] = [value] if joined else []
        elif name is None:
            raise InputError(f"{word!r} is no field; write --field value.")
        else:
            given[name].append(word)
    return {name: _value([_number_or_word(word) for word in words], known.get(name)) for name, words in given.items()}


def _value(words: list, field: dataclasses.Field | None) -> Any:
    if not words:
        return True
    return words if len(words) > 1 or (field is not None and "list[" in str(field.type)) else words[0]


def _number_or_word(word: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return word
