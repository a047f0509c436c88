"""Staging: only the listed files are published, and none of them names a path of this machine."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from trainer_ext import report
from trainer_ext.errors import InputError
from trainer_ext.hub.staging import copy_files, find_source, list_files, published_report, stale

PUBLISHED = (
    *("config.json", "model.safetensors", "modeling_compact.py", "tokenizer.json", "tokenizer_config.json"),
    *("onnx/model.onnx", "onnx/classify.py", "onnx/config.json", "openvino/model.xml", "openvino/model.bin"),
)
PRIVATE = (
    *("training_args.bin", "optimizer.pt", "pytorch_model.bin", "emissions.csv", "notes.txt", ".env", "rng_state.pth"),
    *("runs/events.out.tfevents.1", "checkpoint-4/model.safetensors", "onnx/train.csv", "other.py", "onnx/.token"),
)


@pytest.fixture
def run(tmp_path):
    for name in (*PUBLISHED, *PRIVATE):
        file = tmp_path / "run/compressed" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}" if name.endswith(".json") else name)
    exports = [
        report.Export("onnx", "compressed/onnx/model.onnx"),
        report.Export("openvino-int8", "compressed/openvino/gone.xml"),
        report.Export("onnx-int8", "baseline/onnx/model.onnx"),
    ]
    numbers = report.CompressionReport(created=report.utc_now(), model=report.Model(), exports=exports)
    report.save(numbers, tmp_path / "run")
    return tmp_path / "run"


def test_a_model_inside_a_run_is_not_a_run(run, monkeypatch):
    (run / "baseline").mkdir()
    for name in ("compressed", "baseline"):
        with pytest.raises(InputError, match=f"is a model of the run {run}; name the run"):
            find_source(run / name)
    monkeypatch.chdir(run / "compressed")
    with pytest.raises(InputError, match=f"^[.] is a model of the run {run}; name the run"):
        find_source(".")
    assert find_source("..").folder.resolve() == run / "compressed"


def test_only_listed_files_are_published(run):
    published, left_out = list_files(run / "compressed")
    assert set(map(str, published)) == set(PUBLISHED)
    assert set(map(str, left_out)) == set(PRIVATE)


def test_a_link_out_of_the_folder_is_not_published(run, tmp_path):
    (tmp_path / "elsewhere.json").write_text("{}")
    (run / "compressed/vocab.json").symlink_to(tmp_path / "elsewhere.json")
    published, left_out = list_files(run / "compressed")
    assert Path("vocab.json") in left_out
    assert Path("vocab.json") not in published


def test_staged_files_are_the_same_without_local_paths(run, tmp_path):
    config = {"_name_or_path": str(run), "hidden_size": 8}
    (run / "compressed/config.json").write_text(json.dumps(config))
    (run / "compressed/tokenizer_config.json").write_text(json.dumps({"is_local": True, "pad_token": "अ"}))
    left_out = copy_files(find_source(run), tmp_path / "stage")
    assert set(map(str, left_out)) == set(PRIVATE)
    assert {str(file) for file in list_files(tmp_path / "stage")[0]} == set(PUBLISHED)
    assert json.loads((tmp_path / "stage/config.json").read_text("utf-8")) == {"hidden_size": 8}
    assert json.loads((tmp_path / "stage/tokenizer_config.json").read_text("utf-8")) == {"pad_token": "अ"}
    assert (tmp_path / "stage/model.safetensors").read_text() == "model.safetensors"
    assert json.loads((run / "compressed/config.json").read_text()) == config, "the run must not change"


def test_the_report_lists_only_published_exports(run):
    assert [export.path for export in published_report(find_source(run)).exports] == ["compressed/onnx/model.onnx"]


def test_old_published_files_are_deleted_and_other_files_are_kept(run):
    remote = ["onnx/model.onnx", "onnx/old.onnx", "vocab.txt", "training_args.bin", "pytorch_model.bin"]
    theirs = ["README.md", ".gitattributes", "figure.png", "docs/guide.md", "compression.json"]
    gone = ["onnx/old.onnx", "vocab.txt"]
    folder = run / "compressed"
    for name in ("training_args.bin", "pytorch_model.bin"):
        os.remove(folder / name)
    assert stale([*remote, *theirs], folder) == [*gone, "training_args.bin", "pytorch_model.bin"]


def test_sources(run, tmp_path):
    found = find_source(run)
    assert (found.folder, found.root, found.is_baseline) == (run / "compressed", run, False)
    assert replace(found, folder=run / "baseline").is_baseline
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "config.json").write_text("{}")
    report.save(found.report, trained)
    assert (find_source(trained).folder, find_source(trained).run) == (trained, None)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), "holds no run"),
        (("recipe.yaml",), "not finished"),
        (("compression.json",), "schema_version"),
    ],
)
def test_folders_that_cannot_be_published(tmp_path, files, words):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=words):
        find_source(tmp_path)


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        find_source(tmp_path / "nowhere")


def test_a_report_without_a_model(run, tmp_path):
    report.save(find_source(run).report, tmp_path / "alone")
    with pytest.raises(InputError, match="no model"):
        find_source(tmp_path / "alone")
