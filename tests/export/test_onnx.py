"""ONNX files: every family gives the same logits after uneven pruning; int8 is close and quantizes every matrix."""

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification

from tests.helpers.exporting import (
    HEADS,
    NEURONS,
    OTHER_HEADS,
    OTHER_NEURONS,
    SHAPES,
    arrays,
    batches,
    difference,
    input_names,
)
from tests.helpers.masking import every_family
from trainer_ext.errors import InputError
from trainer_ext.export import onnx as onnx_files
from trainer_ext.export.onnx import quantise_onnx, quantise_rows, write_onnx
from trainer_ext.export.traceable import Traceable
from trainer_ext.models import outputs
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.pruning.layer_dropping import drop_layers


@pytest.fixture
def exported(tmp_path):
    """`exported(model, names)`: the fp32 file of a model."""

    def make(model, names):
        file = tmp_path / "model.onnx"
        write_onnx(Traceable(model, names), file)
        return file

    return make


def initialisers(file):
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}


@every_family
def test_every_family_gives_the_same_logits_at_other_shapes(tiny_model, cut, exported, tmp_path, model_type):
    """Heads and widths differ per layer, one attention and one feed-forward block are empty; then in int8."""
    model, names = cut(tiny_model(model_type), HEADS, NEURONS), input_names(model_type)
    file = exported(model, names)
    assert difference(model, file, names) <= 1
    small = tmp_path / "small.onnx"
    quantise_onnx(file, small)
    assert difference(model, small, names) * outputs.TOLERANCE <= 0.15
    left = {name: x.shape for name, x in initialisers(small).items() if x.dtype == np.float32 and x.ndim == 2}
    assert all(np.prod(shape) < onnx_files.SMALLEST_TABLE for shape in left.values()), "a matrix is still fp32"


@every_family
def test_other_empty_blocks_with_eager_attention(tiny_model, cut, exported, model_type):
    model = cut(tiny_model(model_type), OTHER_HEADS, OTHER_NEURONS)
    assert model.config._attn_implementation == ("eager" if model_type in ("deberta-v2", "mpnet") else "sdpa")
    model.set_attn_implementation("eager")
    assert difference(model, exported(model, input_names(model_type)), input_names(model_type)) <= 1


@pytest.mark.parametrize(
    ("auto_class", "labels"),
    [(AutoModelForTokenClassification, 5), (AutoModelForQuestionAnswering, 2)],
    ids=["tokens", "answers"],
)
@pytest.mark.parametrize("model_type", ["deberta-v2", "distilbert"])
def test_heads_with_logits_per_token(tiny_model, cut, exported, model_type, auto_class, labels):
    """Start and end of an answer are one output, `[rows, length, 2]`."""
    model = cut(tiny_model(model_type, auto_class=auto_class, num_labels=labels), HEADS, NEURONS)
    assert difference(model, exported(model, input_names(model_type)), input_names(model_type)) <= 1


def test_a_model_with_dropped_layers(tiny_model, exported):
    model = drop_layers(tiny_model("bert", num_hidden_layers=3), 0, [0, 2])
    assert difference(model, exported(model, input_names("bert")), input_names("bert")) <= 1


def test_dropout_is_off_and_the_mode_of_the_model_is_kept(tiny_model, exported):
    model = tiny_model("bert", hidden_dropout_prob=0.5).train()
    file = exported(model, input_names("bert"))
    assert model.training
    assert difference(model, file, input_names("bert")) <= 1


def test_a_model_in_half_precision_is_written_in_fp32(tiny_model, exported):
    model = tiny_model("bert").bfloat16()
    assert difference(model.float(), exported(model, input_names("bert")), input_names("bert")) <= 1
    assert model.to(torch.bfloat16).dtype is torch.bfloat16


@pytest.mark.parametrize("name", ["classifier.bias", "word_embeddings.weight", "layer.1.attention.self.query.bias"])
def test_a_changed_weight_in_the_file_is_detected(tiny_model, exported, name):
    model = tiny_model("bert")
    file = exported(model, input_names("bert"))
    graph = onnx.load(file)
    tensor = next(tensor for tensor in graph.graph.initializer if tensor.name.endswith(name))
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(1.05), tensor.name))
    onnx.save(graph, file)
    assert difference(model, file, input_names("bert")) > 1


def test_the_tokens_of_a_second_text_reach_the_model(tiny_model, exported):
    model = tiny_model("bert")
    runtime = open_runtime(exported(model, input_names("bert")))
    first, second = (arrays(batches(model, SHAPES[1:2], second_text=both)[0]) for both in (False, True))
    assert np.abs(runtime.run(first) - runtime.run(second)).max() > 1e-2


def test_rows_are_rounded_to_the_nearest_step_of_their_own_scale():
    table = np.array([[0.5, -1.27, 0.004], [0, 0, 0], [1e-6, 2e-6, -2.54e-6]], dtype=np.float32)
    rows, scales = quantise_rows(table)
    assert rows.tolist() == [[50, -127, 0], [0, 0, 0], [50, 100, -127]]
    assert scales.ravel().tolist() == pytest.approx([0.01, 1, 2e-8])
    random = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    rows, scales = quantise_rows(random)
    assert np.all(np.abs(rows * scales - random) <= 0.5001 * scales)


def test_a_model_too_large_for_one_file_is_refused(tiny_model, exported, monkeypatch):
    monkeypatch.setattr(onnx_files, "LARGEST", 1000)
    with pytest.raises(InputError, match="2 GiB.*OpenVINO"):
        exported(tiny_model("bert"), input_names("bert"))
