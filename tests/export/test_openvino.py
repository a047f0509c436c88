"""OpenVINO files: every family gives the same logits after uneven pruning; int8 is close and small; no telemetry."""

import logging
import os
import subprocess
import sys
import urllib.request

import network_guard
import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering

from tests.helpers.exporting import HEADS, NEURONS, arrays, batches, difference, input_names
from tests.helpers.masking import every_family
from trainer_ext.export.openvino import quantise_openvino, quietly, write_openvino
from trainer_ext.export.traceable import Traceable, belongs
from trainer_ext.models import outputs
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.utils.imports import require


@every_family
def test_every_family_gives_the_same_logits_at_other_shapes(tiny_model, cut, tmp_path, model_type):
    """Heads and widths differ per layer, one attention and one feed-forward block are empty."""
    model, names = cut(tiny_model(model_type), HEADS, NEURONS), input_names(model_type)
    write_openvino(Traceable(model, names), tmp_path / "model.xml")
    assert difference(model, tmp_path / "model.xml", names) <= 1
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] += 0.1
    assert difference(model, tmp_path / "model.xml", names) > 1


def test_start_and_end_of_an_answer_are_one_output(tiny_model, cut, tmp_path):
    model = cut(tiny_model("distilbert", auto_class=AutoModelForQuestionAnswering, num_labels=2), HEADS, NEURONS)
    write_openvino(Traceable(model, input_names("distilbert")), tmp_path / "model.xml")
    assert difference(model, tmp_path / "model.xml", input_names("distilbert")) <= 1


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_int8_is_close_and_a_quarter_of_the_size(tiny_model, cut, tmp_path, model_type, monkeypatch, capfd):
    def no_network(*args, **kwargs):
        raise AssertionError("telemetry is sent")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.delenv("CI", raising=False)
    model, names = cut(tiny_model(model_type), HEADS, NEURONS), input_names(model_type)
    exact, small = tmp_path / "model.xml", tmp_path / "small.xml"
    texts = [arrays(batch) for batch in batches(model, [(2, length) for length in range(5, 21)])]
    capfd.readouterr()
    write_openvino(Traceable(model, names), exact)
    quantise_openvino(exact, small, texts)
    assert capfd.readouterr().out == ""
    runtime = open_runtime(small)
    expected = [outputs.logits(model, {name: batch[name] for name in names}).numpy() for batch in batches(model)]
    found = [runtime.run(arrays(batch)) for batch in batches(model)]
    errors = np.concatenate([first - second for first, second in zip(expected, found, strict=True)])
    assert 0 < errors.std() <= 0.5 * np.concatenate(expected).std()
    assert small.with_suffix(".bin").stat().st_size < 0.4 * exact.with_suffix(".bin").stat().st_size


@pytest.mark.slow
def test_matrices_that_are_to_stay_in_fp32_are_not_quantized(tiny_model, tmp_path):
    model, names = tiny_model("bert"), input_names("bert")
    exact, file = tmp_path / "model.xml", tmp_path / "kept.xml"
    write_openvino(Traceable(model, names), exact)
    keep = ["bert.encoder.layer.1.output.dense", "bert.embeddings.word_embeddings"]
    quantise_openvino(exact, file, [arrays(batch) for batch in batches(model)], keep)
    quantised = {
        operation.get_friendly_name(): operation.input_value(0).get_node().get_type_name() != "Constant"
        if operation.get_type_name() == "Gather"
        else operation.input_value(0).get_node().get_type_name() == "FakeQuantize"
        for operation in require("openvino", extra="export").Core().read_model(file).get_ops()
        if operation.get_type_name() in ("MatMul", "Gather")
    }
    for layer, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) or layer == keep[1]:
            (found,) = [value for node, value in quantised.items() if belongs(node, [layer])]
            assert found == (layer not in keep), layer


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("from trainer_ext.models.runtimes import open_runtime; open_runtime(sys.argv[1])", False),
        ("import openvino", True),  # negative control: the library alone
    ],
)
def test_opening_a_file_sends_no_telemetry(tiny_model, cut, tmp_path, code, calls):
    log, file = tmp_path / "asked.txt", tmp_path / "model.xml"
    write_openvino(Traceable(cut(tiny_model("bert"), HEADS, NEURONS), input_names("bert")), file)
    variables = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI")}
    variables |= {network_guard.LOG: str(log), "HOME": str(tmp_path)}
    words = [sys.executable, "-c", f"import sys, time; {code}; time.sleep(1)", str(file)]
    subprocess.run(words, env=variables, check=True, stdin=subprocess.DEVNULL)
    assert log.exists() == calls


def test_the_environment_is_restored(monkeypatch):
    monkeypatch.setenv("CI", "no")
    monkeypatch.delenv("NNCF_CI", raising=False)
    with quietly():
        assert (os.environ["CI"], os.environ["NNCF_CI"]) == ("true", "1")
    assert os.environ["CI"] == "no"
    assert "NNCF_CI" not in os.environ


def test_the_log_handlers_of_the_caller_keep_their_levels(tiny_model, cut, tmp_path):
    model = cut(tiny_model("bert"), HEADS, NEURONS)
    traceable = Traceable(model, input_names("bert"))
    handler, logger = logging.NullHandler(logging.INFO), logging.getLogger("nncf")
    logger.addHandler(handler)
    try:
        write_openvino(traceable, tmp_path / "model.xml")
        example = {name: part.numpy() for name, part in zip(traceable.names, traceable.example, strict=True)}
        quantise_openvino(tmp_path / "model.xml", tmp_path / "int8.xml", [example])
        assert handler.level == logging.INFO
        require("nncf", extra="export").set_log_level(logging.ERROR)  # negative control: the function of the library
        assert handler.level == logging.ERROR
    finally:
        logger.removeHandler(handler)
        for other in logger.handlers:
            other.setLevel(logging.NOTSET)
