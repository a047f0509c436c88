"""Strict YAML: a text becomes plain values (words, numbers, lists, mappings), or one line that says why not.

PyYAML's safe loader runs nothing, but it takes the last of two equal keys, lets aliases of aliases grow without end,
reads 2026-01-02 as a date, and lets errors of its own through. Here a date is a word, and the rest is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError, one_line

DEEPEST, MOST_VALUES = 50, 100_000  # of a file that a person wrote
_KINDS = ("null", "bool", "int", "float", "seq", "map", "str")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader of plain values."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = 0

    def compose_node(self, parent, index):
        """A node, if it is not too deep."""
        if self.depth == DEEPEST:
            raise yaml.YAMLError(f"it is more than {DEEPEST} levels deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor):
        """A mapping, if it has no key twice."""
        node = super().compose_mapping_node(anchor)
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise yaml.YAMLError(f"{twice[0]!r} is given twice in one mapping; take one of them out")
        return node


_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in _KINDS
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:
    """The values of a YAML document.

    Raises:
        ValueError: it is no YAML, has a key twice or tags of other types, or is too deep or, with its aliases, too long.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error  # what PyYAML's own readers of numbers raise is not wrapped


def _count(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many values a node stands for, each alias counted as what it repeats."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in known:
        known[node] = MOST_VALUES + 1  # while it is being counted: an alias of itself has no end
        parts = (part for item in node.value for part in (item if isinstance(item, tuple) else (item,)))
        known[node] = 1 + sum(_count(part, known) for part in parts)
    if known[node] > MOST_VALUES:
        raise yaml.YAMLError(f"its aliases (*name) make more than {MOST_VALUES:,} values of it")
    return known[node]


def read_yaml(path: Path) -> dict[str, Any]:
    """The lines of a YAML file.

    Raises:
        InputError: a file that cannot be read, or that holds anything but `name: value` lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no recipe {str(path)!r}; give the path of a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The recipe {str(path)!r} cannot be read: {error}.") from error
    try:
        values = load(text)
    except ValueError as error:
        raise InputError(f"The recipe {str(path)!r} is no YAML that can be read: {one_line(error)}.") from error
    if not is_fields(values):
        odd = next((name for name in values if not isinstance(name, str)), None) if isinstance(values, dict) else None
        got = type(values).__name__ if odd is None else f"the field {odd!r}"
        raise InputError(f"The recipe {str(path)!r} must hold `field: value` lines, got {got}.")
    return values


def is_fields(values: Any) -> bool:
    return isinstance(values, dict) and all(isinstance(name, str) for name in values)
