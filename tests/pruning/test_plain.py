"""Plain structure: a stock model of equal width that computes the same as the masked one and loads without this package."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.masking import every_family, scramble
from trainer_ext.models.architectures import ARCHITECTURES, layers_of
from trainer_ext.models.compact.modeling_compact import PREFIX
from trainer_ext.models.outputs import allowed_difference, logits
from trainer_ext.pruning import masks, shrinking
from trainer_ext.pruning.shrinking import shrink_plain
from trainer_ext.pruning.verify import shrink_and_verify

LOADED_THERE = ["albert", "bert", "distilbert", "modernbert"]  # every name of the width, gated and shared layers
PLAIN = {"structure": "plain", "attention": "none", "sparsity": 0.3}
WITHOUT_PACKAGE = """
import json, sys
sys.modules["trainer_ext"] = None
import torch, transformers
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
found = {}
for name in json.loads(sys.argv[1]):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=False).eval()
    with torch.inference_mode():
        answer = model(**load_file(name + "/batch.safetensors")).logits
    save_file({"logits": answer.contiguous()}, name + "/logits.safetensors")
    found[name] = type(model).__module__
print(json.dumps(found))
"""


@pytest.fixture
def plain(masked):
    """`plain(model_type)`: `(masked, plain, compression)`, the first with its final structure."""

    def make(model_type, **changes):
        model = masked(model_type, **{**PLAIN, **changes})
        masks.freeze_structure(model)
        return model, *shrink_and_verify(_copy(masked, model, model_type, changes))

    return make


def _copy(masked, model, model_type, changes):
    other = masked(model_type, **{**PLAIN, **changes})
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize("method", ["movement", "soft_movement", "magnitude"])
@every_family
def test_a_stock_model_of_equal_width_computes_the_same(plain, tiny_batch, model_type, method):
    model, small, compression = plain(model_type, method=method)
    batch = tiny_batch(model)
    before = logits(model, batch)
    assert (logits(small, batch) - before).abs().max() <= allowed_difference(before)
    assert not type(small).__name__.startswith(PREFIX)
    assert small.config.model_type == model_type
    widths = {layer.neurons for layer in layers_of(small)}
    assert widths == {getattr(small.config, ARCHITECTURES[model_type].width)}
    assert max(widths) < 64
    assert [len(ids) for ids in compression.neurons] == [max(widths)] * len(compression.neurons)
    assert compression.heads == [[0, 1, 2, 3]] * len(compression.heads)
    masks.merge(model)
    with torch.no_grad():  # the control: another neuron would be noticed
        layers_of(small)[0].ffn_out.linear.weight[:, 0] = 0
    assert (logits(small, batch) - before).abs().max() > 1e-3


@every_family
def test_layers_with_fewer_live_neurons_are_filled_with_dead_ones(tiny_model, tiny_batch, model_type):
    model = tiny_model(model_type)
    first, second = layers_of(model)
    with torch.no_grad():
        for layer, alive in ((first, 5), (second, 20)):
            layer.ffn_out.linear.weight[:, alive:] = 0
    batch = tiny_batch(model)
    before = logits(model, batch)
    small, heads, neurons = shrink_plain(model)
    assert neurons == [list(range(20))] * 2
    assert heads == [[0, 1, 2, 3]] * 2
    assert (logits(small, batch) - before).abs().max() <= allowed_difference(before)
    assert [layer.ffn_out.weight.ne(0).any(0).sum() for layer in layers_of(small)] == [5, 20]
    assert torch.equal(logits(model, batch), before)


def test_the_ids_that_stay_are_read_a_few_times_and_not_once_per_neuron(tiny_model, monkeypatch):
    class Counted(list):
        reads = 0

        def __iter__(self):
            Counted.reads += 1
            return super().__iter__()

    model = tiny_model()
    with torch.no_grad():
        layers_of(model)[0].ffn_out.linear.weight[:, ::2] = 0
    expected = shrink_plain(model)[2]
    surviving = shrinking.surviving_neurons
    monkeypatch.setattr(shrinking, "surviving_neurons", lambda layer: Counted(surviving(layer)))
    assert shrink_plain(model)[2] == expected
    assert Counted.reads <= 3 * len(layers_of(model))


def test_a_model_without_live_neurons_keeps_one(tiny_model, tiny_batch):
    """A stock config needs at least one."""
    model = tiny_model()
    with torch.no_grad():
        for layer in layers_of(model):
            layer.ffn_out.linear.weight.zero_()
    small, _, neurons = shrink_plain(model)
    assert neurons == [[0], [0]]
    assert torch.allclose(logits(small, tiny_batch(model)), logits(model, tiny_batch(model)), atol=1e-5)


def test_the_ramp_closes_every_layer_alike(masked):
    """The ramp does what the final structure will do, whatever the scores are."""
    model = masked(**PLAIN)
    with torch.no_grad():
        model.pruning.ffn.scores[:64] -= 100
    masks.set_sparsity(model, 0.25)
    assert [int(part.sum()) for part in model.pruning.ffn.mask().split(64)] == [32, 32]
    free = masked(attention="none", sparsity=0.3)
    with torch.no_grad():
        free.pruning.ffn.scores[:64] -= 100
    masks.set_sparsity(free, 0.25)
    assert [int(part.sum()) for part in free.pruning.ffn.mask().split(64)] == [1, 63]


@pytest.mark.parametrize(
    "changes", [{"attention": "block"}, {"attention": "head"}, {"ffn": "none", "attention": "head"}]
)
def test_pruning_heads_is_an_error(tiny_model, make_spec, changes):
    with pytest.raises(ValueError, match="prune_structure=plain keeps all heads and prunes neurons"):
        masks.attach(tiny_model(), make_spec(**{**PLAIN, **changes}))


def test_a_compact_model_is_an_error(tiny_model, make_spec, cut):
    uneven = cut(tiny_model(), [[0], [1, 3]], [[0, 1], [0, 5, 9]])
    with pytest.raises(ValueError, match="needs a model whose layers are equally wide"):
        masks.attach(uneven, make_spec(**PLAIN))
    with pytest.raises(ValueError, match="A compact model cannot become plain"):
        shrink_plain(uneven)


def test_masks_must_be_merged_first(masked):
    with pytest.raises(ValueError, match="still has masks"):
        shrink_plain(scrambled := masked(**PLAIN))
    scramble(scrambled)


@pytest.mark.slow
def test_it_loads_without_this_package_and_without_remote_code(tmp_path, plain, tiny_batch):
    """One process without this package loads them all."""
    expected = {}
    for model_type in LOADED_THERE:
        _, small, _ = plain(model_type)
        small.save_pretrained(tmp_path / model_type)
        save_file(tiny_batch(small), tmp_path / model_type / "batch.safetensors")
        expected[model_type] = logits(small, tiny_batch(small))
        assert not list((tmp_path / model_type).glob("*.py"))
        assert "auto_map" not in json.loads((tmp_path / model_type / "config.json").read_text())
    (tmp_path / "without_package.py").write_text(WITHOUT_PACKAGE)
    done = subprocess.run(
        [sys.executable, "-I", "without_package.py", json.dumps(LOADED_THERE)],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    modules = json.loads(done.stdout.splitlines()[-1])
    for model_type in LOADED_THERE:
        assert modules[model_type].startswith("transformers.models.")
        found = load_file(tmp_path / model_type / "logits.safetensors")["logits"]
        assert torch.allclose(found, expected[model_type], atol=1e-5, rtol=1e-5)
