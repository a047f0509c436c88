"""Reports survive a round trip, and what violates the schema is neither written nor read."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from trainer_ext import report

RESULTS = sorted((Path(__file__).parents[2] / "recipes" / "results").glob("*.json"))


@pytest.fixture
def full():
    """A report with every part present."""
    scores = report.Scores(0.968, 0.951, {"mcc": 0.9}, {"accuracy": (0.949, 0.98)})
    quality = report.Quality(
        "test",
        500,
        baseline=scores,
        compressed=dataclasses.replace(scores, accuracy=0.962),
        difference=report.Difference(-0.006, (-0.015, 0.004)),
        agreement=0.978,
        lost=5,
        won=2,
        both_wrong=3,
        mcnemar_p=0.45,
        per_class=[report.ClassPair("खेळ", 40, report.ClassScores(0.9, 0.8, 0.85))],
    )
    return report.CompressionReport(
        created=report.utc_now(),
        model=report.Model("user/base", "user/small", "bert", "text-classification", labels=["खेळ", "राजकारण"]),
        recipe={"prune_sparsity": 0.5, "layers": [1, 2], "nested": {"flag": True, "nothing": None}},
        command="trainer-ext compress recipe.yaml",
        versions={"torch": "2.13"},
        seed=0,
        data=report.Data(2689, {"empty": 4}),
        sparsity=report.Sparsity(0.5, 0.501, "movement", "compact", [[0, 3], [1]], [40, 64], 2, 128),
        parameters=report.Pair(report.Parameters(10, 5, 4, 1), report.Parameters(7, 2, 4, 1)),
        bytes=report.Pair(100, 70),
        quality=quality,
        other_quality=[dataclasses.replace(quality, split="validation")],
        latency=[report.Latency("torch", "fp32", "cpu", "a processor", None, 1, 128, 12.5, 6.0, runs=30)],
        equivalence=report.Equivalence(1e-7, 0.0, 2e-6, 8),
        vocabulary=report.Vocabulary(report.Pair(197_285, 20_000), 90_000, 10_000, 0.02, report.Pair(0.0, 0.0), None),
        training=report.Pair(report.TrainingCost(60.0), None),
        inference=report.Inference(report.Pair(0.1, 0.05), None, 700.0, "IND", 1e6, True),
        exports=[report.Export("onnx-int8", "model.onnx", 30, quality=scores, agreement=0.99, calibration_rows=0)],
    )


def test_round_trip_is_exact(full, tmp_path):
    assert report.from_json(report.to_json(full)) == full
    path = report.save(full, tmp_path / "run")
    assert report.load(path) == report.load(tmp_path / "run") == full
    assert "खेळ" in path.read_text(encoding="utf-8")
    assert all(getattr(full, item.name) for item in dataclasses.fields(full) if item.name != "seed")


def test_the_smallest_report(tmp_path):
    smallest = report.CompressionReport("2026-01-01", report.Model())
    values = json.loads(report.to_json(smallest))
    assert values["schema_version"] == 1
    assert values["quality"] is None
    assert report.from_dict({"schema_version": 1, "created": "2026-01-01", "model": {}}) == smallest


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_published_results_are_kept_when_they_are_written_again(file):
    """Reports of earlier versions gain the fields that were added since, which are empty; nothing else changes."""
    text = file.read_text(encoding="utf-8")
    again = report.to_json(report.from_json(text))
    old, new = json.loads(text), json.loads(again)
    assert json.dumps(merged(new, old)) == json.dumps(new)
    if new == old:
        assert again == text
    assert report.to_json(report.from_json(again)) == again


def merged(new, old):
    """The new values, with those of the old ones that exist; a field that only the new ones have must be empty."""
    if isinstance(new, dict) and isinstance(old, dict):
        assert old.keys() <= new.keys()
        assert not any(new[name] for name in new.keys() - old.keys() - {"metric"})
        return {name: merged(value, old[name]) if name in old else value for name, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [merged(*pair) for pair in zip(new, old, strict=True)]
    return old


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_published_results_follow_the_json_schema(file):
    jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), report.json_schema())


def test_the_json_schema_refuses_what_the_reader_refuses(full):
    schema = report.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    values = json.loads(report.to_json(full))
    jsonschema.validate(values, schema)
    for wrong in ({"surprise": 1}, {"seed": "1"}, {"bytes": {"baseline": -1}}, {"sparsity": {"achieved": 50.1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values | wrong, schema)


def test_importing_the_package_does_not_import_pydantic():
    code = "import sys, trainer_ext; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numpy_scalars_become_numbers(full):
    changed = dataclasses.replace(full, seed=np.int64(3), bytes=report.Pair(np.int32(5), 6))
    scores = report.Scores(np.float32(0.5), ci95={"accuracy": [np.float64(0.4), np.float64(0.6)]})
    changed = dataclasses.replace(changed, quality=report.Quality("test", 4, baseline=scores), recipe={"a": np.True_})
    values = json.loads(report.to_json(changed))
    assert (values["seed"], values["bytes"]["baseline"], values["recipe"]) == (3, 5, {"a": True})
    assert values["quality"]["baseline"]["accuracy"] == 0.5
    assert report.from_dict(values).quality.baseline.ci95 == {"accuracy": (0.4, 0.6)}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("surprise", 1, "^surprise: unknown field"),
        ("quality.surprise", 1, r"^quality\.surprise: unknown field"),
        ("schema_version", 2, "schema_version: .* version 2.*Upgrade"),
        ("schema_version", True, "schema_version"),
        ("created", 5, "^created: got 5"),
        ("seed", 1.5, "^seed: got 1.5 .*a valid integer"),
        ("seed", True, "^seed: got True"),
        ("model", [], r"^model: got \[\]"),
        ("model.labels", "ab", r"^model\.labels: got 'ab' .*a valid array"),
        ("versions.torch", 2, r"^versions\.torch: .*a valid string"),
        ("sparsity.structure", "dense", r"^sparsity\.structure: .*compact"),
        ("sparsity.achieved", 50.1, r"^sparsity\.achieved: got 50.1 .*less than or equal to 1"),
        ("sparsity.heads", [[0], ["1"]], r"^sparsity\.heads\[1\]\[0\]: got '1'"),
        ("parameters.baseline.total", "10", r"^parameters\.baseline\.total: got '10'"),
        ("quality.baseline.accuracy", float("nan"), r"^quality\.baseline\.accuracy: got nan"),
        ("quality.baseline.ci95", {"accuracy": [0.5]}, r"^quality\.baseline\.ci95\.accuracy\[1\]: missing"),
        ("quality.rows", None, r"^quality\.rows: got None"),
        ("latency", [{}], r"^latency\[0\]\.runtime: missing"),
        ("recipe.rate", float("inf"), r"^recipe\.rate: got inf"),
        ("inference.estimated", 1, r"^inference\.estimated: .*a valid boolean"),
    ],
)
def test_broken_values_are_refused(full, path, value, message):
    values = report.to_dict(full)
    *parents, last = path.split(".")
    target = values
    for name in parents:
        target = target[name]
    target[last] = value
    with pytest.raises(ValueError, match=message):
        report.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bytes": report.Pair(float("nan"), 1)}, r"^bytes\.baseline: got nan"),
        ({"bytes": report.Pair(1.5, 1)}, r"^bytes\.baseline: got 1.5"),
        ({"recipe": {"model": object()}}, r"^recipe\.model: got a object"),
        ({"recipe": {1: 2}}, "key 1 is not a string"),
        ({"training": report.Pair(report.TrainingCost(-1.0))}, r"^training\.baseline\.seconds: got -1.0"),
        (
            {"quality": report.Quality("test", 5, baseline=report.Scores(96.8))},
            r"accuracy: got 96.8 .*less than or equal to 1",
        ),
    ],
)
def test_broken_reports_are_not_written(full, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        report.save(dataclasses.replace(full, **changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_keeps_the_old_file(full, tmp_path, monkeypatch):
    old = report.save(full, tmp_path).read_text(encoding="utf-8")
    monkeypatch.setattr(Path, "replace", _disk_full)
    with pytest.raises(OSError, match="disk full"):
        report.save(dataclasses.replace(full, seed=9), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [report.FILE_NAME]
    assert (tmp_path / report.FILE_NAME).read_text(encoding="utf-8") == old


@pytest.mark.parametrize(("content", "message"), [("{", "is not JSON"), ("[]", "not an object"), ("{}", "schema_ver")])
def test_other_files_are_refused_with_their_path(tmp_path, content, message):
    (tmp_path / report.FILE_NAME).write_text(content)
    with pytest.raises(ValueError, match=f"{report.FILE_NAME}: .*{message}"):
        report.load(tmp_path)
    with pytest.raises(ValueError, match="No report at"):
        report.load(tmp_path / "absent")


def _disk_full(*_):
    raise OSError("disk full")
