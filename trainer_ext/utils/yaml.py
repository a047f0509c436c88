"""Read and write YAML 1.2 as plain values: text, numbers, booleans, None, lists and mappings.

Loading runs no code and refuses a key given twice, tags of other types, deep nesting and aliases that multiply without
end. Two readings differ from YAML 1.2: a date (2026-01-02) stays text, and so does a number with a leading zero (007).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver, implicit_resolvers

from ..errors import InputError, one_line

MAX_DEPTH, MAX_VALUES = 50, 100_000  # of a file that a person wrote
_TAG = "tag:yaml.org,2002:"
_LEADING_ZERO = re.compile(r"[-+]?(0[0-9_]|_)[0-9_]*")  # 007, and the `-_` that ruamel.yaml takes for a number
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")
_PLAIN_TAGS = {f"{_TAG}{kind}" for kind in ("null", "bool", "int", "float", "seq", "map", "str")}


class _Resolver(VersionedResolver):
    """Decides what an unquoted word means: YAML 1.2, without dates and numbers with a leading zero."""

    @property
    def processing_version(self) -> tuple[int, int]:
        """YAML 1.2, whatever a %YAML line says."""
        return 1, 2

    def resolve(self, kind: type, value: Any, implicit: Any) -> Any:
        """Return the tag of a node."""
        tag = super().resolve(kind, value, implicit)
        if kind is ScalarNode and implicit[0]:
            if tag in (f"{_TAG}timestamp", f"{_TAG}value") or (tag == f"{_TAG}int" and _LEADING_ZERO.fullmatch(value)):
                return self.DEFAULT_SCALAR_TAG
        return tag


class _Constructor(SafeConstructor):
    yaml_constructors = {
        tag: make for tag, make in SafeConstructor.yaml_constructors.items() if tag is None or tag in _PLAIN_TAGS
    }


class _QuotingResolver(VersionedResolver):
    """Knows the words of YAML 1.1 and 1.2, so that a text which either would read as something else is quoted."""

    @property
    def versioned_resolver(self) -> dict[str, list[tuple[str, Any]]]:
        """The rules of both versions by first character."""
        return _RULES


_RULES: dict[str, list[tuple[str, Any]]] = {}
for _, _tag, _pattern, _first in implicit_resolvers:
    for _character in _first:
        _RULES.setdefault(_character, []).append((_tag, _pattern))


class _Representer(SafeRepresenter):
    def represent_str(self, data: str) -> ScalarNode:
        """Write text with line ends and other control characters in double quotes, with escapes."""
        style = '"' if _CONTROL.search(data) else None
        return self.represent_scalar(f"{_TAG}str", data, style=style)

    def represent_float(self, data: float) -> ScalarNode:
        """Write 1e-05 as 1.0e-05, which is a number in YAML 1.1 too."""
        node = super().represent_float(data)
        if "." not in node.value:
            node.value = node.value.replace("e", ".0e")
        return node


_Representer.add_representer(str, _Representer.represent_str)
_Representer.add_representer(float, _Representer.represent_float)


def load(text: str) -> Any:
    """Return the value of a YAML document, None if it is empty.

    Raises:
        ValueError: The text is not YAML, gives a key twice, has tags of other types, is nested too deeply, or is too long
            with its aliases written out.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Constructor, yaml.max_depth = _Resolver, _Constructor, MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
        if node is None:
            return None
        _check(node, {})
        return yaml.constructor.construct_document(node)
    except MaxDepthExceededError as error:
        raise ValueError(f"it is more than {MAX_DEPTH} levels deep") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        snippet = (mark and mark.get_snippet(indent=0)) or ""
        where = f" (line {mark.line + 1}: {snippet.partition(chr(10))[0]!r})" if mark else ""
        raise ValueError(f"{error.problem or error.context}{where}") from error
    # ruamel.yaml does not wrap what Python raises for a malformed number or key.
    except (YAMLError, ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError) as error:
        raise ValueError(one_line(error)) from error


def _check(node: Node, known: dict[Node, int]) -> int:
    """Count the values of a node with its aliases written out, and refuse a key that is given twice."""
    if isinstance(node, ScalarNode):
        return 1
    if node not in known:
        known[node] = MAX_VALUES + 1  # while it is being counted: an alias of itself has no end
        children = list(node.value)
        if isinstance(node, MappingNode):
            names = [key.value for key, _ in children if isinstance(key, ScalarNode)]
            if len(names) < len(children):
                raise ValueError("the key of a mapping is a list or a mapping")
            if repeated := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{repeated[0]!r} is given twice in one mapping; take one of them out")
            children = [child for pair in children for child in pair]
        known[node] = 1 + sum(_check(child, known) for child in children)
    if known[node] > MAX_VALUES:
        raise ValueError(f"its aliases (*name) make more than {MAX_VALUES:,} values of it")
    return known[node]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the fields of a YAML file.

    Raises:
        InputError: The file cannot be read, or holds anything but `field: value` lines.
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
        raise InputError(f"The recipe {str(path)!r} is not valid YAML: {one_line(error)}.") from error
    if not is_fields(values):
        bad_key = next((k for k in values if not isinstance(k, str)), None) if isinstance(values, dict) else None
        got = type(values).__name__ if bad_key is None else f"the field {bad_key!r}"
        raise InputError(f"The recipe {str(path)!r} must hold `field: value` lines, got {got}.")
    return values


def is_fields(values: Any) -> bool:
    """Return whether a value is a mapping of names."""
    return isinstance(values, dict) and all(isinstance(name, str) for name in values)


def dump(values: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, in its order, that readers of YAML 1.1 and 1.2 read as the same values."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver, yaml.Representer = _QuotingResolver, _Representer
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]  # None there
    yaml.width = 2**16  # no line is broken
    stream = io.StringIO()
    yaml.dump(dict(values), stream)
    return stream.getvalue()
