"""Export: each file is checked before it is kept, the report gets the result, and bad input changes nothing."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from recipes.benchmarks import pruned_int8
from tests.helpers.commands import recipe_fields, run_command, run_script, write_recipe, write_task
from tests.helpers.tiny_models import SPEC, build
from trainer_ext import report
from trainer_ext.errors import ExportRefused, InputError
from trainer_ext.export import formats as exporting, onnx
from trainer_ext.export.formats import FORMATS, export
from trainer_ext.export.source import open_source
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.pruning import masks

FOUR = ("onnx", "onnx-int8", "openvino", "openvino-int8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of a small trained classifier."""
    folder = tmp_path_factory.mktemp("finished")
    fields = recipe_fields(write_task(folder / "data"), folder / "run", latency_batch_sizes=[1])
    compress(read_recipe(write_recipe(folder / "recipe.yaml", fields)))
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run."""
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def model(tmp_path):
    """The folder of a model without a run."""
    tokenizer = train_tokenizer(["mango and guava", "the river ganga"], vocab_size=100, max_length=24)
    build("bert").save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def texts(tmp_path):
    """A file of calibration texts."""
    file = tmp_path / "texts.txt"
    file.write_text("mango and guava\n\nthe river\nganga and the mango\n", encoding="utf-8")
    return file


def files(folder):
    """Return the bytes of every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_four_formats_of_a_run_and_their_rows_in_the_report(run, monkeypatch, capsys):
    words = [word for name in FOUR for word in ("--format", name)]
    status, out, err = run_command(monkeypatch, capsys, "export", run, *words)
    assert status == 0, err
    assert all(name in out for name in FOUR)
    numbers = report.load(run)
    assert [row.format for row in numbers.exports] == list(FOUR)
    exact, quantised = numbers.exports[::2], numbers.exports[1::2]
    for row in numbers.exports:
        assert (row.split, row.rows, row.path) == ("test", 13, f"compressed/{FORMATS[row.format].file}")
        assert row.bytes == sum(file.stat().st_size for file in FORMATS[row.format].files(run / "compressed"))
        open_runtime(run / row.path)
    assert all(row.max_abs_difference < 1e-4 and row.quality is None for row in exact)
    assert numbers.equivalence.shrunk_vs_onnx == exact[0].max_abs_difference
    for row in quantised:
        assert row.max_abs_difference is None
        assert row.quality.accuracy == pytest.approx(numbers.quality.compressed.accuracy + row.difference.accuracy)
        assert row.difference.accuracy >= -0.01
        assert row.agreement > 0.9
        lost = row.quality.accuracy - numbers.quality.baseline.accuracy
        assert row.from_baseline.accuracy == pytest.approx(lost), "what one loses who deploys it"
        assert row.from_baseline.ci95[0] <= lost <= row.from_baseline.ci95[1]
    assert [row.calibration_rows for row in quantised] == [None, 77]
    again = export(run, ["onnx-int8"])
    assert len(report.load(run).exports) == 4
    assert report.load(run).exports[-1] == again[0]
    assert not list((run / "compressed").glob(".*"))
    for name in ("onnx", "openvino"):
        folder = run / "compressed" / name
        assert {"classify.py", "config.json", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
        assert json.loads((folder / "config.json").read_text())["id2label"] == {
            "0": "fruit",
            "1": "metal",
            "2": "river",
        }


def test_the_baseline_of_a_run_is_exported_beside_its_compressed_model(run):
    (first,) = export(run, ["onnx"])
    (row,) = export(run / "baseline", ["onnx"])
    numbers = report.load(run)
    assert [export.path for export in numbers.exports] == ["compressed/onnx/model.onnx", "baseline/onnx/model.onnx"]
    assert numbers.equivalence.shrunk_vs_onnx == first.max_abs_difference
    assert row.split == "test"
    assert row.from_baseline is None
    assert (run / "baseline/onnx/classify.py").exists()


def test_an_int8_file_is_compared_with_the_baseline_too(run):
    model = AutoModelForSequenceClassification.from_pretrained(run / "baseline")
    with torch.no_grad():
        model.classifier.weight.zero_()  # one answer to every text
    model.save_pretrained(run / "baseline")
    (row,) = export(run, ["onnx-int8"])
    assert row.difference.accuracy == pytest.approx(0.0, abs=0.01)
    assert row.from_baseline.accuracy > 0.3
    assert row.from_baseline.ci95[0] > 0


@pytest.mark.slow
def test_int8_without_pruning_is_compared_with_int8_after_pruning(run, tmp_path):
    words = [f"half={run}", "--batch", "1x8", "--repeats", 3, "--output", tmp_path / "out"]
    run_script(pruned_int8.main, *words)
    found = json.loads((tmp_path / "out.json").read_text())["results"]
    rows = [(row["arm"], row["runtime"]) for row in found]
    assert rows == [(arm, runtime) for arm in ("dense", "half") for runtime in ("torch fp32", "openvino-int8")]
    quality = report.load(run).quality
    assert [row["value"] for row in found[::2]] == [quality.baseline.accuracy, quality.compressed.accuracy]
    assert found[0]["speedup"] == {"1 x 8": 1.0}
    assert "| half | openvino-int8 | 42 |" in (tmp_path / "out.md").read_text()


def test_a_file_with_other_logits_is_refused_and_not_kept(run, monkeypatch, capsys):
    """Negative control of the check in fp32: one weight in the file differs."""

    def write_other_weights(model, file):
        model.model.classifier.weight.data[0, 0] += 0.01
        onnx.write_onnx(model, file)

    monkeypatch.setattr(exporting, "write_onnx", write_other_weights)
    before = files(run)
    status, out, err = run_command(monkeypatch, capsys, "export", run, "--format", "onnx", "--force")
    assert (status, len(err.strip().splitlines()[-1:])) == (1, 1)
    assert "onnx is refused" in err
    assert files(run) == before


@pytest.fixture
def random_scales(monkeypatch):
    """Tables in int8 get random scales."""

    def garbage(table):
        rows, scales = quantise_rows(table)
        return rows, scales * np.random.default_rng(0).normal(size=scales.shape).astype(np.float32)

    quantise_rows = onnx.quantise_rows
    monkeypatch.setattr(onnx, "quantise_rows", garbage)


@pytest.fixture
def no_repair(monkeypatch):
    """Tables are int8 in every file, so that no repair can mend them."""
    quantise_tables = onnx._quantise_tables
    monkeypatch.setattr(onnx, "_quantise_tables", lambda library, graph, keep: quantise_tables(library, graph, ()))


def test_bad_tables_of_a_run_stay_in_fp32(run, random_scales):
    (row,) = export(run, ["onnx-int8"])
    assert row.repair.plain_loss > 0.01
    assert any("embeddings" in name for name in row.repair.kept_fp32)
    assert row.difference.accuracy >= -0.01
    assert report.load(run).exports == [row]


def test_a_worse_int8_file_is_refused_unless_forced(run, random_scales, no_repair, monkeypatch, capsys):
    """Negative control of the check in int8: the scales of the tables are random, and a repair cannot help."""
    before = files(run)
    status, _, err = run_command(monkeypatch, capsys, "export", run, "--format", "onnx-int8")
    assert status == 1
    assert "onnx-int8 is refused: accuracy falls by" in err
    assert "--force" in err
    assert files(run) == before
    status, out, _ = run_command(monkeypatch, capsys, "export", run, "--format", "onnx-int8", "--force")
    assert status == 0
    (row,) = report.load(run).exports
    assert row.difference.accuracy < -0.01
    export(run, ["onnx-int8"], max_drop=1)


def test_a_single_model_is_compared_on_random_tokens_and_in_int8_on_given_texts(model, texts):
    (row,) = export(model, ["onnx"])
    assert (row.path, row.split, row.rows) == ("onnx/model.onnx", None, 13)
    assert row.max_abs_difference < 1e-4
    (row,) = export(model, ["onnx-int8"], calibration=texts)
    assert (row.rows, row.quality, row.difference) == (3, None, None)
    assert row.agreement >= 0.9
    assert sorted(file.name for file in model.iterdir() if file.is_dir()) == ["onnx"]


@pytest.mark.parametrize(
    ("auto_class", "changes"),
    [
        (AutoModelForSequenceClassification, {"problem_type": "multi_label_classification"}),
        (AutoModelForTokenClassification, {"num_labels": 5}),
        (AutoModelForQuestionAnswering, {"num_labels": 2}),
        (AutoModelForSequenceClassification, {"num_labels": 1}),
    ],
)
def test_every_task_is_compared_by_its_predictions(model, texts, auto_class, changes):
    build("bert", auto_class=auto_class, **changes).save_pretrained(model)
    exact, quantised = export(model, ["onnx", "onnx-int8"], calibration=texts)
    assert exact.max_abs_difference < 1e-4
    assert quantised.rows == 3
    if changes == {"num_labels": 1}:  # two numbers hardly ever agree
        assert quantised.agreement is None
    else:
        assert 0.9 <= quantised.agreement <= 1


def test_calibration_batches_have_padding_and_no_test_texts(run, texts):
    source = open_source(run)
    assert sum(len(batch["input_ids"]) for batch in source.calibration_batches()) == len(source.encoded.train) == 77
    assert any((batch["attention_mask"] == 0).any() for batch in source.calibration_batches())
    few = open_source(run, calibration_rows=5)
    assert len(few.calibration) == 5
    assert few.calibration == open_source(run, calibration_rows=5).calibration
    assert [batch["input_ids"].shape[0] for batch in open_source(run, calibration=texts).calibration_batches()] == [
        2,
        1,
    ]


def test_a_single_model_with_other_predictions_in_int8_is_refused(model, texts, no_repair, monkeypatch):
    def opposite(table):
        rows, scales = quantise_rows(table)
        return -rows[::-1], scales

    quantise_rows = onnx.quantise_rows
    monkeypatch.setattr(onnx, "quantise_rows", opposite)
    with pytest.raises(ExportRefused, match="fraction of predictions"):
        export(model, ["onnx-int8"], calibration=texts)
    assert not (model / "onnx").exists()


def test_the_data_of_a_run_may_be_in_another_folder(run, finished, tmp_path):
    (finished / "data").rename(tmp_path / "elsewhere")
    try:
        with pytest.raises(InputError, match="--data_dir"):
            export(run, ["onnx"])
        export(run, ["onnx"], data_dir=str(tmp_path / "elsewhere"))
    finally:
        (tmp_path / "elsewhere").rename(finished / "data")


def without_report(run):
    (run / "compression.json").unlink()


def without_tokenizer(run):
    (run / "compressed" / "tokenizer.json").unlink()


def file_instead_of_folder(run):
    (run / "compressed" / "onnx").write_text("")


def masked(run):
    shutil.rmtree(run / "compressed")
    masks.attach(build("bert"), SPEC).save_pretrained(run / "compressed")


def broken_config(run):
    (run / "compressed" / "config.json").write_text("{")


def no_model(run):
    shutil.rmtree(run / "compressed")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_report, "not finished.*--resume"),
        (without_tokenizer, "tokenizer.json"),
        (file_instead_of_folder, "Cannot write"),
        (masked, "unfinished checkpoint.*load_masked"),
        (broken_config, "not JSON"),
        (no_model, "no model"),
    ],
)
def test_broken_runs_are_refused_in_one_line_and_nothing_is_written(run, spoil, message, monkeypatch, capsys):
    spoil(run)
    before = files(run)
    with pytest.raises(InputError, match=message):
        export(run, ["onnx"])
    assert files(run) == before
    status, _, err = run_command(monkeypatch, capsys, "export", run)
    assert (status, err.strip().splitlines()[-1][:12]) == (2, "trainer-ext:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": ["onnx", "tflite"]}, "--format is 'tflite'.*'onnx-int8'"),
        ({"formats": []}, "--format is not given"),
        ({"max_drop": -0.1}, "--max-drop"),
        ({"max_drop": float("nan")}, "--max-drop"),
        ({"calibration_rows": 0}, "--calibration-rows"),
        ({"formats": ["onnx-int8"]}, "--calibration"),
        ({"calibration": "nowhere.txt"}, "nowhere.txt"),
        ({"calibration": "empty.txt"}, "is empty"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(model, tmp_path, options, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n \n")
    before = files(model)
    with pytest.raises(InputError, match=message):
        export(model, **{"formats": ["onnx"], **options})
    assert files(model) == before


@pytest.mark.parametrize(
    ("name", "module"), [("onnx", "onnxruntime"), ("openvino", "openvino"), ("openvino-int8", "nncf")]
)
def test_a_missing_package_is_named_with_its_extra(model, texts, name, module, monkeypatch):
    import importlib

    def missing(wanted, *args):
        if wanted == module:
            raise ImportError(f"No module named {wanted!r}")
        return real(wanted, *args)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=rf"{module} is not installed.*trainer-ext\[export\]"):
        export(model, [name], calibration=texts)
    assert not (model / "onnx").exists()


def test_a_model_without_a_head_is_refused(model):
    values = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(values | {"architectures": ["BertForMaskedLM"]}))
    with pytest.raises(InputError, match="BertForMaskedLM"):
        export(model, ["onnx"])
