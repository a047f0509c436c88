"""Bad reports: other schema versions, wrong types, values out of range, and files that are not reports."""

from __future__ import annotations

import json

from tests.inputs.ground import Bad, change_json


def _push(g, change):
    change(g.run / "compression.json")
    return ["push", g.run, "user/small", "--dry-run"]


def _with(**changes):
    return lambda g: _push(g, lambda file: change_json(file, **changes))


def _bytes(content):
    return lambda g: _push(g, lambda file: file.write_bytes(content))


def _text(old, new):
    return lambda g: _push(
        g, lambda file: file.write_text(json.dumps(json.loads(file.read_text())).replace(old, new, 1))
    )


MODEL = {"baseline": "a", "compressed": "b", "labels": ["x", "y"]}
REPORTS = {
    "a future schema": Bad(_with(schema_version=2), ("version 2", "reads up to 1", "pip install -U trainer-ext")),
    "a version that is a string": Bad(_with(schema_version="1"), ("schema_version", "'1'")),
    "a version that is a boolean": Bad(_with(schema_version=True), ("schema_version", "True")),
    "a negative version": Bad(_with(schema_version=-1), ("schema_version", "-1")),
    "no version": Bad(_with(schema_version=...), ("schema_version", "None")),
    "empty": Bad(_bytes(b""), ("compression.json", "not JSON")),
    "cut off": Bad(_bytes(b'{"schema_version": 1, "created"'), ("not JSON",)),
    "a list": Bad(_bytes(b"[]"), ("list", "not an object")),
    "a string": Bad(_bytes(b'"x"'), ("str", "not an object")),
    "null": Bad(_bytes(b"null"), ("NoneType",)),
    "a BOM": Bad(_bytes(b"\xef\xbb\xbf{}"), ("BOM",)),
    "UTF-16": Bad(_bytes("{}".encode("utf-16")), ("not UTF-8",)),
    "zero bytes": Bad(_bytes(b"\0" * 64), ("not JSON",)),
    "deep": Bad(_bytes(b"[" * 100_000), ("too deeply",)),
    "deep inside": Bad(_text('"recipe": {', '"recipe": {"x": ' + "[" * 900 + "]" * 900 + ", "), ("too deeply",)),
    "a giant number": Bad(_bytes(b'{"schema_version": ' + b"9" * 5000 + b"}"), ("4300 digits",)),
    "an infinite integer": Bad(_text('"seconds": ', '"seconds": ' + "9" * 400 + ', "x": '), ("seconds",)),
    "NaN": Bad(_text('"agreement": ', '"agreement": NaN, "lost": '), ("quality.agreement", "nan")),
    "infinity": Bad(
        _text('"masked_vs_shrunk": ', '"masked_vs_shrunk": Infinity, "rows": '),
        ("equivalence.masked_vs_shrunk", "inf"),
    ),
    "an unknown field": Bad(_with(colour="red"), ("colour", "unknown field")),
    "a missing field": Bad(_with(model=...), ("model", "missing")),
    "a model that is a string": Bad(_with(model="bert"), ("model", "'bert'", "object")),
    "labels that are numbers": Bad(_with(model=MODEL | {"labels": [1, 2]}), ("model.labels[0]", "1")),
    "labels that are a string": Bad(_with(model=MODEL | {"labels": "xy"}), ("model.labels", "'xy'")),
    "a share above one": Bad(
        _with(sparsity={"requested": 1.5}), ("sparsity.requested", "1.5", "less than or equal to 1")
    ),
    "negative bytes": Bad(_with(bytes={"baseline": -1, "compressed": 1}), ("bytes.baseline", "-1")),
    "a seed that is a string": Bad(_with(seed="17"), ("seed", "'17'")),
    "half a surrogate pair": Bad(_text('"task": "', '"task": "\\ud800'), ("model.task", "lone surrogate")),
    "an unknown structure": Bad(_with(sparsity={"structure": "thin"}), ("sparsity.structure", "'thin'")),
    "a structure that is a list": Bad(_with(sparsity={"structure": ["plain"]}), ("sparsity.structure", "['plain']")),
    "an interval of three numbers": Bad(
        _with(quality={"split": "test", "rows": 3, "baseline": {"ci95": {"accuracy": [0, 1, 2]}}}),
        ("quality.baseline.ci95.accuracy", "at most 2 items", "not 3"),
    ),
    "an empty batch": Bad(_text('"batch_size": ', '"batch_size": 0, "runs": '), ("latency[0].batch_size",)),
    "a recipe that is a string": Bad(_with(recipe="recipe.yaml"), ("recipe", "'recipe.yaml'")),
    "languages that are a number": Bad(_with(recipe={"card_language": 5}), ("card_language", "5")),
    "datasets that are not ids": Bad(_with(recipe={"card_datasets": ["../x"]}), ("../x",)),
    "base model": Bad(_with(recipe={"card_base_model": ["x"]}), ("base_model", "['x']")),
    "no report": Bad(lambda g: _push(g, lambda file: file.unlink()), ("not finished",)),
    "a folder instead of the report": Bad(
        lambda g: _push(g, lambda file: (file.unlink(), file.mkdir())), ("compression.json",)
    ),
    "energy: a future schema": Bad(
        lambda g: ["energy", _push(g, lambda f: change_json(f, schema_version=9))[1]], ("version 9",)
    ),
    "energy: no latency": Bad(
        lambda g: ["energy", _push(g, lambda f: change_json(f, latency=[]))[1]], ("no latency row",)
    ),
    "compress: a future schema": Bad(lambda g: _resume(g, schema_version=9), ("version 9",)),
    "benchmark: a future schema": Bad(
        lambda g: ["benchmark", _push(g, lambda f: change_json(f, schema_version=9))[1], "--save"], ("version 9",)
    ),
    "a list for published.json": Bad(lambda g: _run_file(g, "published.json", "[1, 2]"), ("published.json",)),
    "a truncated published.json": Bad(lambda g: _run_file(g, "published.json", "{"), ("published.json",)),
    "a model card in Latin-1": Bad(lambda g: _run_file(g, "compressed/README.md", b"caf\xe9"), ("README.md",)),
}


def _run_file(ground, name, content):
    ground.file(f"run/../{ground.run.name}/{name}", content)
    return ["push", ground.run, "user/small", "--dry-run"]


def _resume(ground, **changes):
    change_json(ground.run / "compression.json", **changes)
    fields = ground.run / "recipe.yaml"
    return ["compress", fields, "--output_dir", ground.run, "--resume"]
