"""Compact models: saved and loaded, they compute the same, with and without this package."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.compact import modeling_compact
from trainer_ext.models.compact.registration import MODEL_TYPES
from trainer_ext.pruning import masks
from trainer_ext.pruning.shrinking import shrink

every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)


@pytest.fixture
def compact(tiny_model):
    """`compact(model_type)`: different heads and widths in every layer, and named labels."""

    def make(model_type="bert"):
        model = tiny_model(model_type)
        model.config.id2label, model.config.label2id = {0: "a", 1: "b", 2: "c"}, {"a": 0, "b": 1, "c": 2}
        first, second = layers_of(model)
        with torch.no_grad():
            first.value.weight[:16] = 0
            for matrix in first.neuron_rows:
                matrix.weight[3:50] = 0
            second.attention_output.weight[:, 8:16] = 0
            second.ffn_out.weight[:, 60:] = 0
        return shrink(model)[0]

    return make


@pytest.fixture
def edited(compact, tmp_path):
    """`edited(change)`: a saved compact model with `change` applied to its `compact_linears` or `compact_heads`."""

    def make(change, model_type="bert", field="compact_linears"):
        compact(model_type).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        change(config[field])
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


@every_family
def test_saved_and_loaded_it_computes_the_same(compact, tiny_batch, tmp_path, model_type):
    model = compact(model_type)
    model.save_pretrained(tmp_path)
    opened, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert outputs.max_logit_difference(model, opened, tiny_batch(model)) == 0
    assert type(opened) is type(model)
    assert [(x.heads, x.neurons) for x in layers_of(opened)] == [(2, 17), (3, 60)]
    assert opened.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert opened.config.architectures == [type(model).__name__]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "modeling_compact.py",
    ]


@every_family
def test_its_encoder_and_its_configuration_load_too(compact, tiny_batch, tmp_path, model_type):
    model = compact(model_type)
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.model_type == f"compact-{model_type}"
    assert config.compact_linears == model.config.compact_linears
    encoder = AutoModel.from_pretrained(tmp_path)
    with torch.inference_mode():
        states = [x(**tiny_batch(model)).last_hidden_state for x in (model.base_model, encoder)]
    assert torch.equal(*states)


def test_a_compact_model_is_smaller_on_disk(compact, tiny_model, tmp_path):
    sizes = []
    for name, model in (("small", compact()), ("full", tiny_model())):
        model.save_pretrained(tmp_path / name)
        sizes.append((tmp_path / name / "model.safetensors").stat().st_size)
    assert sizes[0] < 0.75 * sizes[1]


@every_family
def test_masks_on_a_compact_model_survive_saving(compact, tiny_batch, make_spec, tmp_path, model_type):
    model = masks.attach(compact(model_type), make_spec(method="magnitude", sparsity=0.3))
    masks.set_sparsity(model, 0.2)
    model.save_pretrained(tmp_path)
    opened = masks.load_masked(tmp_path)
    assert outputs.max_logit_difference(model, opened, tiny_batch(model)) == 0
    assert masks.current_sparsity(opened) == masks.current_sparsity(model) > 0.15


def test_stock_classes_do_not_load_it(compact, tmp_path):
    from transformers import BertForSequenceClassification

    compact().save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch|mismatched|ignore_mismatched_sizes"):
        BertForSequenceClassification.from_pretrained(tmp_path)


# A configuration is what anybody wrote: it must not be believed


@pytest.mark.parametrize("size", [[15, 32], [17, 31], [64, 32], [1, 32], [0, 32]])
def test_a_wrong_size_in_the_config_is_an_error(edited, size):
    folder = edited(lambda linears: linears.update({"encoder.layer.0.intermediate.dense": size}))
    with pytest.raises(RuntimeError, match="mismatched|size mismatch|ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_missing_size_in_the_config_is_an_error(edited):
    folder = edited(lambda linears: linears.pop("encoder.layer.0.intermediate.dense"))
    with pytest.raises(RuntimeError, match="mismatched|size mismatch|ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize(
    "path", ["encoder.layer.9.output.dense", "encoder.layer.0", "encoder", "", "a.b", "__class__"]
)
def test_a_path_that_is_not_a_linear_is_an_error(edited, path):
    folder = edited(lambda linears: linears.update({path: [4, 4]}))
    with pytest.raises(ValueError, match=f"compact_linears names '{path}', which is not a Linear of CompactBert"):
        AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize("size", [[17], [17, 32, 1], [-17, 32], [17.0, 32], ["17", "32"], []])
def test_a_size_that_is_not_a_pair_of_integers_is_an_error(edited, size):
    folder = edited(lambda linears: linears.update({"encoder.layer.0.intermediate.dense": size}))
    with pytest.raises(ValueError, match=r"intermediate.dense'\] must be \[out_features, in_features\], got"):
        AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda heads: heads.clear(),
        lambda heads: heads.popitem(),
        lambda heads: heads.update({next(iter(heads)): [2]}),
        lambda heads: heads.update({next(iter(heads)): [1, 2, 3]}),
        lambda heads: heads.update({next(iter(heads)): [3, 3]}),
        lambda heads: heads.update({next(iter(heads)): [3, 2]}),
        lambda heads: heads.update({next(iter(heads)): [3, 4]}),
        lambda heads: heads.update({next(iter(heads)): [-1, 0]}),
    ],
    ids=["none", "not all", "too few", "too many", "twice", "turned", "above", "below"],
)
@pytest.mark.parametrize("model_type", ["deberta-v2", "mpnet"])
def test_heads_that_do_not_match_the_linears_are_an_error(edited, model_type, change):
    """DeBERTa would run with heads of another size."""
    folder = edited(change, model_type, "compact_heads")
    with pytest.raises(ValueError, match=r"compact_heads\['encoder.layer.\d.attention.\w+'\] must be \d ids in asc"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_heads_of_a_module_that_is_not_attention_are_an_error(edited):
    folder = edited(lambda heads: heads.update({"encoder.layer.0": [0]}), "mpnet", "compact_heads")
    with pytest.raises(
        ValueError,
        match=r"compact_heads names \['encoder.layer.0'\], which is not an attention module of CompactMPNet",
    ):
        AutoModelForSequenceClassification.from_pretrained(folder)


# The file that travels


def test_the_file_needs_transformers_torch_and_the_standard_library():
    def needed(source):
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add("." if node.level else node.module.split(".")[0])
        return found - set(sys.stdlib_module_names)

    source = Path(modeling_compact.__file__).read_text(encoding="utf-8")
    assert needed(source) == {"torch", "transformers"}
    assert needed("def f():\n    from ..architectures import x\n    import numpy.linalg, os") == {".", "numpy"}


def test_the_file_offers_every_stock_class_and_nothing_else():
    assert modeling_compact.CompactBertConfig is modeling_compact.compact_config(
        AutoConfig.for_model("bert").__class__
    )
    assert modeling_compact.CompactRobertaModel is modeling_compact.CompactRobertaModel
    for name in ("CompactNothing", "BertModel", "Compact", "nothing"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            getattr(modeling_compact, name)
