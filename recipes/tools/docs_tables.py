"""The reference of commands, fields of a recipe and fields of the report, as tables from the code."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from trainer_ext.cli import main as _commands  # noqa: F401  (registers the commands)
from trainer_ext.cli.app import app
from trainer_ext.pipeline.recipe import ModelArguments, PublishArguments, meaning_of, recipe_fields
from trainer_ext.pipeline.scratch import ScratchArguments
from trainer_ext.report import schema
from trainer_ext.tasks.dataset import DataArguments
from trainer_ext.training_args import PREFIXES
from trainer_ext.vocabulary.trim import VocabularyArguments

# The parts of the page of fields: heading, and the class whose fields they are.
KINDS = {
    "Model and measurement": ModelArguments,
    "Vocabulary": VocabularyArguments,
    "Data and task": DataArguments,
    "A model from scratch": ScratchArguments,
    "The model card": PublishArguments,
}
COMPRESSION, TRAINING = "Pruning and distillation", "Of `transformers.TrainingArguments`"


def commands() -> str:
    """Return the page of commands, from what `--help` says."""
    lines = [
        "# Command line",
        "",
        "`trainer-ext COMMAND --help` prints the same. The exit status is 0 (done), 1 (a check failed, or a run ended with an "
        "error), 2 (bad input, with one line that says what to do) or 130 (interrupted).",
        "",
    ]
    for name, command in _all_commands():
        lines += [f"## {name}", "", inspect.cleandoc(command.help or "").replace("    \b\n", ""), ""]
        rows = [(_spelled(option), _help(option), _default(option)) for option in _options(command)]
        lines += _table(("argument or option", "meaning", "default"), rows)
    return "\n".join(lines)


def recipe() -> str:
    """Return the page of the fields of a recipe."""
    fields = recipe_fields()
    lines = [
        "# Fields of a recipe",
        "",
        "A recipe is a YAML file of `field: value` lines for `trainer-ext compress`; each field can also be given as `--field "
        "value`, which wins over the file. `trainer-ext compress --fields` prints the same list. Those that begin with `prune_`, "
        "`distill_` or `dense_`, and all of `transformers.TrainingArguments`, are also fields of "
        "[`DistillPruneTrainingArguments`](python.md), for scripts.",
        "",
    ]
    for heading, names in _parts(fields).items():
        rows = [(f"`{name}`", meaning_of(fields[name]), _default_of(fields[name])) for name in names]
        lines += [f"## {heading}", "", *_table(("field", "meaning", "default"), rows)]
    return "\n".join(lines)


def report() -> str:
    """Return the page of the fields of the report."""
    lines = [
        "# The report",
        "",
        f"Every run writes `compression.json`, schema version {schema.SCHEMA_VERSION}. Fractions are in [0, 1]; units are part of "
        "the names; `null` means not measured. `trainer_ext.report.load(folder)` returns it as the frozen dataclasses below, "
        "`trainer_ext.report.json_schema()` the JSON schema. How to read it: [Read the report](../guides/report.md).",
        "",
    ]
    kinds = [kind for kind in vars(schema).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    for kind in sorted(kinds, key=lambda kind: kind is not schema.CompressionReport):
        comments = _comments(kind)
        rows = [
            (f"`{field.name}`", f"`{_type(field.type)}`", comments.get(field.name, ""))
            for field in dataclasses.fields(kind)
        ]
        lines += [
            f"## {kind.__name__}",
            "",
            inspect.getdoc(kind) or "",
            "",
            *_table(("field", "type", "meaning"), rows),
        ]
    return "\n".join(lines)


def undocumented() -> list[str]:
    """Return the commands, options, fields of a recipe and parts of the report that nothing is said of."""
    missing = [f"command {name}" for name, command in _all_commands() if not command.help]
    for name, command in _all_commands():
        missing += [f"{name} {_spelled(option)}" for option in _options(command) if not _help(option)]
    ours = [name for heading, names in _parts(recipe_fields()).items() if heading != TRAINING for name in names]
    missing += [f"field {name}" for name in ours if not recipe_fields()[name].metadata.get("help")]
    kinds = [kind for kind in vars(schema).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    return missing + [f"{kind.__name__} of the report" for kind in kinds if not vars(kind).get("__doc__")]


def _all_commands() -> Iterator[tuple[str, Any]]:
    group: Any = typer.main.get_command(app)
    yield from group.commands.items()


def _options(command: Any) -> list[Any]:
    return [option for option in command.params if option.name != "help"]


def _spelled(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.metavar or option.name.upper()}`"
    return " / ".join(f"`{word}`" for word in [*option.opts, *option.secondary_opts])


def _help(option: Any) -> str:
    return " ".join((option.help or "").split())


def _default(option: Any) -> str:
    value = option.default
    if option.required or value in (None, ()) or callable(value):
        return "required" if option.required else ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"`{' '.join(map(str, value)) if isinstance(value, list | tuple) else value}`"


def _parts(fields: dict[str, dataclasses.Field]) -> dict[str, list[str]]:
    """The names of the fields by the heading of their part, each once."""
    parts = {heading: [field.name for field in dataclasses.fields(kind)] for heading, kind in KINDS.items()}
    seen = {name for names in parts.values() for name in names}
    others = [name for name in fields if name not in seen]
    parts[COMPRESSION] = [name for name in others if name.startswith(PREFIXES)]
    parts[TRAINING] = [name for name in others if not name.startswith(PREFIXES)]
    return parts


def _default_of(field: dataclasses.Field) -> str:
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        value = None if field.default is dataclasses.MISSING else field.default
    return "" if value in (None, [], "") else f"`{' '.join(map(str, value)) if isinstance(value, list) else value}`"


def _comments(kind: type) -> dict[str, str]:
    """What stands behind a field in its line."""
    return dict(re.findall(r"^ +(\w+): .*?  # (.*)$", inspect.getsource(kind), re.MULTILINE))


def _type(annotation: object) -> str:
    """A type as a reader wants it, without the machinery of the ranges."""
    text = re.sub(r"Annotated\[(\w+), Field\(ge=(-?\d+)(?:, le=(-?\d+))?\)\]", _range, str(annotation))
    return (
        text.replace("NonNegativeInt", "int >= 0")
        .replace("NonNegativeFloat", "float >= 0")
        .replace("PositiveInt", "int > 0")
    )


def _range(found: re.Match[str]) -> str:
    return f"{found[1]} in [{found[2]}, {found[3]}]" if found[3] else f"{found[1]} >= {found[2]}"


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(_cell(cell) for cell in cells) + " |"

    return [line(headings), "|" + "---|" * len(headings), *map(line, rows), ""]


def _cell(text: str) -> str:
    """A cell: bars and signs that Markdown or HTML would take for their own are escaped outside code."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([<>*_\[\]])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces).replace("|", "\\|")
