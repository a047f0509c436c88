"""Check the metadata of a card: it must be YAML, and every field must have the type that the Hub requires.

Types, formats and small closed sets are checked; the Hub's lists of licences, languages and tasks are not.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

Check = Callable[[str, Any], str | None]  # name of the field, value -> error

_FRONT_MATTER = re.compile(r"\A\s*---[\r\n]+(.*?)[\r\n]+---(?:\r?\n|\Z)", re.DOTALL)  # as in the client
_COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_RELATIONS = ("adapter", "merge", "quantized", "finetune")
_SDKS = ("gradio", "docker", "static", "streamlit")


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a duplicate key, as the Hub does."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"duplicated mapping key {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def split(readme: str) -> tuple[str, str]:
    """Return the YAML between `---` at the top of a README ('' if there is none), and the text after it."""
    match = _FRONT_MATTER.match(readme)
    return (match.group(1), readme[match.end() :]) if match else ("", readme)


def metadata(readme: str) -> dict[str, Any]:
    """Return the metadata of a README; {} if it cannot be read."""
    try:
        found = yaml.load(split(readme)[0], _Loader)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def must_be(words: str, fine: Callable[[Any], bool]) -> Check:
    """Return a check with the error "must be WORDS"."""
    return lambda where, value: None if fine(value) else f'"{where}" must be {words}'


def one_of(*values: str) -> Check:
    """Check that the value is one of these."""
    return must_be(f"one of [{', '.join(values)}]", lambda value: value in values)


def matching(pattern: str, words: str) -> Check:
    """Check that the value is a string that matches a pattern."""
    form = must_be(words, lambda value: re.fullmatch(pattern, value) is not None)
    return lambda where, value: text(where, value) or form(where, value)


def listed(check: Check) -> Check:
    """Check that the value is a list, and every item of it."""

    def every(where: str, value: Any) -> str | None:
        if not isinstance(value, list):
            return f'"{where}" must be an array'
        found = (check(f"{where}[{index}]", item) for index, item in enumerate(value))
        return next(filter(None, found), None)

    return every


def one_or_more(check: Check) -> Check:
    """Check a single value or a list of them."""
    return lambda where, value: (listed(check) if isinstance(value, list) else check)(where, value)


def fields(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """Check that the value is a mapping, and these fields of it."""

    def every(where: str, value: Any) -> str | None:
        if not isinstance(value, dict):
            return f'"{where}" must be an object'
        for name in required:
            if name not in value:
                return f'"{where}.{name}" is required'
        checks = required | (optional or {})
        found = (check(f"{where}.{name}", value[name]) for name, check in checks.items() if name in value)
        return next(filter(None, found), None)

    return every


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


text = must_be("a string", lambda value: isinstance(value, str) and value != "")
flag = must_be("true or false", lambda value: isinstance(value, bool))
number = must_be("a finite number", _is_finite)


def _emissions(where: str, value: Any) -> str | None:
    return (_EMISSIONS if isinstance(value, dict) else number)(where, value)


_EMISSIONS = fields(
    {"emissions": number},
    dict.fromkeys(("source", "training_type", "geographical_location", "hardware_used"), text),
)
_RESULT = fields(
    {
        "task": fields({"type": text}, {"name": text}),
        "dataset": fields({"type": text, "name": text}, dict.fromkeys(("config", "split", "revision"), text)),
        "metrics": listed(fields({"type": text, "value": number}, {"name": text})),
    }
)
_ID = matching(r"[\w.-]+(/[\w.-]+)?", "the id of a repository, like user/name")
_SHARED: dict[str, Check] = {
    "license": one_or_more(matching(r"[a-z0-9][a-z0-9.+-]*", "an identifier like apache-2.0")),
    "tags": listed(text),
    "language": one_or_more(matching(r"[a-z]+(-[A-Za-z0-9]+)*", "a code like mr, or multilingual")),
    "datasets": one_or_more(_ID),
}
_MODEL = _SHARED | {
    "base_model": one_or_more(_ID),
    "base_model_relation": one_of(*_RELATIONS),
    "pipeline_tag": matching(r"[a-z0-9]+(-[a-z0-9]+)*", "a task like text-classification"),
    "library_name": text,
    "license_name": text,
    "license_link": text,
    "metrics": one_or_more(text),
    "co2_eq_emissions": _emissions,
    "widget": listed(fields({})),
    "model-index": listed(fields({"name": text, "results": listed(_RESULT)})),
}
_SPACE = _SHARED | {
    "title": text,
    "emoji": text,
    "colorFrom": one_of(*_COLORS),
    "colorTo": one_of(*_COLORS),
    "sdk": one_of(*_SDKS),
    "sdk_version": text,  # unquoted, 6.0 is a number and no longer a version
    "python_version": text,  # unquoted, 3.10 is 3.1
    "app_file": text,
    "short_description": matching(r"(?s).{1,60}", "of 60 characters at most"),
    "suggested_hardware": text,
    "pinned": flag,
    "models": listed(_ID),
    "preload_from_hub": listed(text),
}
CHECKS: dict[str, dict[str, Check]] = {"model": _MODEL, "space": _SPACE, "dataset": _SHARED}


def check_card(readme: str, repo_type: str) -> tuple[list[str], list[str]]:
    """Check the metadata of a README.

    Args:
        readme: the whole file.
        repo_type: "model", "dataset" or "space".

    Returns:
        Errors, with which the Hub refuses the file, and warnings.
    """
    head, _ = split(readme)
    if not head.strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        found = yaml.load(head, _Loader)
    except yaml.YAMLError as error:
        return [f"YAML Metadata Error: {error}"], []
    if not isinstance(found, dict):
        return ["YAML Metadata Error: the metadata must be an object"], []
    checks = CHECKS[repo_type]
    wrong = (checks[name](name, value) for name, value in found.items() if name in checks)
    return list(filter(None, wrong)), []
