"""Checks of a card's metadata: it is read as YAML, and every field has to have the type that the Hub gives it.

These are the checks that can be made honestly without the Hub's own lists: types, forms and small closed sets. Which
licences, languages and tasks the Hub knows is not checked.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import yaml

Check = Callable[[Any], str | None]  # a value -> what is wrong with it, as the rest of a sentence

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_RELATIONS = ("adapter", "merge", "quantized", "finetune")
_SDKS = ("gradio", "docker", "static", "streamlit")


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that comes twice, as the Hub's does."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicated mapping key {key}", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def front_matter(readme: str) -> str | None:
    """The YAML between `---` at the head of a README, or None if there is none."""
    match = _FRONT_MATTER.match(readme)
    return match and match.group(1)


def metadata(readme: str) -> dict[str, Any]:
    """The metadata of a README; {} if there is none that can be read."""
    try:
        found = yaml.load(front_matter(readme) or "", _Loader)
    except (yaml.YAMLError, TypeError):  # TypeError: a mapping as a key
        return {}
    return found if isinstance(found, dict) else {}


def text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a string"


def flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def number(value: Any) -> str | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return None if fine else "must be a finite number"


def one_of(*values: str) -> Check:
    return lambda value: None if value in values else f"must be one of [{', '.join(values)}]"


def matching(pattern: str, words: str) -> Check:
    return lambda value: text(value) or (None if re.fullmatch(pattern, value) else f"must be {words}")


def at_most(length: int) -> Check:
    return lambda value: text(value) or (None if len(value) <= length else f"must have at most {length} characters")


def listed(check: Check) -> Check:
    """Every item of a list passes."""

    def every(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be an array"
        return next((f"[{index}] {wrong}" for index, item in enumerate(value) if (wrong := check(item))), None)

    return every


def one_or_more(check: Check) -> Check:
    """A single value, or a list of them."""
    return lambda value: listed(check)(value) if isinstance(value, list) else check(value)


def fields(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """A mapping in which these fields pass."""
    checks = required | (optional or {})

    def every(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        missing = [name for name in required if name not in value]
        if missing:
            return f".{missing[0]} is required"
        present = ((name, check(value[name])) for name, check in checks.items() if name in value)
        return next((f".{name} {wrong}" for name, wrong in present if wrong), None)

    return every


def _emissions(value: Any) -> str | None:
    names = ("source", "training_type", "geographical_location", "hardware_used")
    described = fields({"emissions": number}, dict.fromkeys(names, text))
    return described(value) if isinstance(value, dict) else number(value)


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
    "short_description": at_most(60),
    "suggested_hardware": text,
    "pinned": flag,
    "models": listed(_ID),
    "preload_from_hub": listed(text),
}
CHECKS: dict[str, dict[str, Check]] = {"model": _MODEL, "space": _SPACE, "dataset": _SHARED}


def check_card(readme: str, repo_type: str) -> tuple[list[str], list[str]]:
    """What is wrong with the metadata of a README.

    Args:
        readme: the whole file.
        repo_type: "model", "dataset" or "space".

    Returns:
        Errors, for which the Hub refuses the file, and warnings.
    """
    head = front_matter(readme)
    if head is None or not head.strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        found = yaml.load(head, _Loader)
    except yaml.YAMLError as error:
        return [f"YAML Metadata Error: {error}"], []
    except TypeError as error:
        return [f"YAML Metadata Error: a key is no text: {error}"], []
    if not isinstance(found, dict):
        return ["YAML Metadata Error: the metadata must be an object"], []
    checks = CHECKS[repo_type]
    wrong = ((name, checks[name](value)) for name, value in found.items() if name in checks)
    return [f'"{name}" {text}'.replace('" [', '"[').replace('" .', '".') for name, text in wrong if text], []
