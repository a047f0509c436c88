"""The codec: dataclass instances to JSON values and back, strict, driven by the type hints alone.

Hints understood: str, int, float, bool, Any, Literal, ``X | None``, list[X], tuple[X, Y], dict[str, X], dataclasses
and generic dataclasses (``Pair[X]``). A field's ``metadata["range"]`` is its closed interval (low, high).
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

_HALF = re.compile("[\ud800-\udfff]")
_NOUNS = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def encode(value: Any, name: str = "") -> Any:
    """Plain JSON values of a dataclass instance; NumPy scalars become Python ones, tuples become lists.

    Raises:
        ValueError: a value has no JSON form (other types, keys that are not strings, NaN, infinity).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: encode(getattr(value, item.name), _join(name, item.name)) for item in dataclasses.fields(value)
        }
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {_key(key, name): encode(item, _join(name, str(key))) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item, f"{name}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        return _finite(value, name)
    if isinstance(value, str):
        return _encodable(value, name)
    if value is None or isinstance(value, int):
        return value
    raise ValueError(
        f"{name}: a {type(value).__name__} has no place in a report; give a plain number, string or list."
    )


def decode(hint: Any, value: Any, name: str = "") -> Any:
    """The object of type ``hint`` that the JSON value describes.

    Raises:
        ValueError: unknown or missing field, wrong type, out of range, NaN or infinite; with the dotted name.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return encode(value, name)
    if origin in (Union, types.UnionType):
        rest = [item for item in arguments if item is not type(None)]
        return None if value is None and len(rest) < len(arguments) else decode(rest[0], value, name)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{name}: got {value!r}, expected one of {list(arguments)}.")
        return value
    if dataclasses.is_dataclass(origin or hint):
        return _decode_dataclass(hint, value, name)
    if origin in (list, tuple):
        return _decode_sequence(origin, arguments, value, name)
    if origin is dict:
        _require(isinstance(value, Mapping), "an object", value, name)
        return {_key(key, name): decode(arguments[1], item, _join(name, str(key))) for key, item in value.items()}
    number_for_float = hint is float and type(value) is int
    _require(type(value) is hint or number_for_float, _NOUNS[hint], value, name)
    if hint is str:
        return _encodable(value, name)
    return _finite(value, name) if hint is float else value


def _decode_sequence(origin: type, arguments: tuple[Any, ...], value: Any, name: str) -> Any:
    _require(isinstance(value, (list, tuple)), "a list", value, name)
    if origin is tuple and len(value) != len(arguments):
        raise ValueError(f"{name}: got {len(value)} values, expected {len(arguments)}.")
    hints = arguments if origin is tuple else arguments * len(value)
    return origin(
        decode(hint, item, f"{name}[{index}]") for index, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


def _decode_dataclass(hint: Any, value: Any, name: str) -> Any:
    cls, arguments = get_origin(hint) or hint, get_args(hint)
    _require(isinstance(value, Mapping), "an object", value, name)
    fields = {item.name: item for item in dataclasses.fields(cls)}
    for key in value:
        if key not in fields:
            raise ValueError(f"{_join(name, str(key))}: unknown field; known: {sorted(fields)}.")
    hints = get_type_hints(cls)
    found = {}
    for key, item in fields.items():
        dotted = _join(name, key)
        if key in value:
            found[key] = decode(_bind(hints[key], arguments), value[key], dotted)
            _check_range(found[key], item.metadata.get("range"), dotted)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ValueError(f"{dotted}: missing, expected {hints[key]}; write null where nothing was measured.")
    return cls(**found)


def _bind(hint: Any, arguments: tuple[Any, ...]) -> Any:
    """The hint with the type variable of a generic dataclass replaced."""
    if isinstance(hint, TypeVar):
        return arguments[0]
    return hint[arguments] if getattr(hint, "__parameters__", ()) else hint


def _check_range(value: Any, bounds: tuple[float, float] | None, name: str) -> None:
    """Of a pair each number must lie in the range."""
    if dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            _check_range(getattr(value, item.name), bounds, _join(name, item.name))
    elif value is not None and bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"{name}: got {value!r}, outside [{bounds[0]}, {bounds[1]}].")


def _finite(value: float, name: str) -> float:
    """A whole number may be too large for a float too."""
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name}: got {str(value)[:40]}; write null where nothing was measured.")
    return float(value)


def _encodable(value: str, name: str) -> str:
    """JSON can write half a character, which no file can hold."""
    if _HALF.search(value):
        raise ValueError(f"{name}: {ascii(value)[:80]} holds half a character; write it whole.")
    return value


def _require(condition: bool, expected: str, value: Any, name: str) -> None:
    if not condition:
        raise ValueError(f"{name or 'report'}: got {value!r} ({type(value).__name__}), expected {expected}.")


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{name}: key {key!r} is not a string; JSON objects have string keys.")
    return _encodable(key, name)


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
