"""Targets: the given sparsity is the fraction removed, counted in the weights of the dense and the shrunk model."""

import re

import pytest
import torch

from tests.helpers.masking import scramble
from tests.helpers.training import arguments, make_trainer, new_model
from trainer_ext.pruning import masks
from trainer_ext.pruning.prepare import prepare_model
from trainer_ext.pruning.verify import shrink_and_verify

# Wide enough that half a percentage point is more than one head's or one width's worth of rounding.
WIDE = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256}
BLOCKS = {"prune_block_size": 8}
METHODS = ("movement", "soft_movement", "magnitude")


def weights(model):
    """Return the number of entries of all matrices in the encoder layers, six each."""
    found = [p for name, p in model.bert.encoder.layer.named_parameters() if p.dim() == 2]
    assert len(found) == 6 * len(model.bert.encoder.layer)
    return sum(parameter.numel() for parameter in found)


def achieved(tmp_path, **fields):
    """Return the fraction of the weights that is removed after a ramp with random scores."""
    dense = new_model(**WIDE)
    whole = weights(dense)
    student = prepare_model(dense, arguments(tmp_path, **BLOCKS, **fields))
    scramble(student)
    for share in (0.2, 0.6, 1.0):
        masks.set_sparsity(student, share * fields["prune_sparsity"])
    small, compression = shrink_and_verify(student)
    gone = 1 - weights(small) / whole
    assert compression.sparsity == pytest.approx(gone, abs=1e-6)
    return gone


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("attention", ["block", "head"])
@pytest.mark.parametrize("method", METHODS)
def test_the_target_is_met_to_half_a_percentage_point(tmp_path, method, attention, sparsity):
    fields = {"prune_method": method, "prune_attention": attention, "prune_sparsity": sparsity}
    assert achieved(tmp_path, **fields) == pytest.approx(sparsity, abs=0.005)


@pytest.mark.parametrize(
    ("layers", "sparsity"), [(1, 0.25), (1, 0.5), (2, 0.5), (2, 0.75), (1, 0.9), (2, 0.9), (3, 0.9)]
)
@pytest.mark.parametrize("attention", ["block", "head"])
@pytest.mark.parametrize("method", METHODS)
def test_dropped_layers_count_towards_the_target(tmp_path, method, attention, layers, sparsity):
    fields = {"prune_method": method, "prune_attention": attention, "prune_sparsity": sparsity, "prune_layers": layers}
    assert achieved(tmp_path, **fields) == pytest.approx(sparsity, abs=0.005)


@pytest.mark.parametrize(("layers", "sparsity"), [(0, 0.25), (0, 0.5), (1, 0.25), (1, 0.5), (1, 0.7), (2, 0.75)])
@pytest.mark.parametrize("method", METHODS)
def test_plain_models_meet_the_target(tmp_path, method, layers, sparsity):
    fields = {"prune_method": method, "prune_structure": "plain", "prune_sparsity": sparsity, "prune_layers": layers}
    assert achieved(tmp_path, **fields) == pytest.approx(sparsity, abs=0.005)


@pytest.mark.parametrize(("only", "sparsity"), [("prune_attention", 0.2), ("prune_ffn", 0.6)])
def test_one_part_alone_meets_the_target(tmp_path, only, sparsity):
    other = {"prune_attention": "prune_ffn", "prune_ffn": "prune_attention"}[only]
    fields = {"prune_method": "movement", "prune_sparsity": sparsity, other: "none"}
    head = 4 * 16 * 64 / (4 * (4 * 64 * 64 + 2 * 64 * 256))  # one head's share: what attention alone can be off by
    assert achieved(tmp_path, **fields) == pytest.approx(
        sparsity, abs=head / 2 if only == "prune_attention" else 0.005
    )


def test_a_missed_target_is_detected(tmp_path):
    """The control: a target one percentage point away is detected."""
    assert achieved(tmp_path, prune_method="movement", prune_sparsity=0.5) != pytest.approx(0.51, abs=0.005)


@pytest.mark.parametrize(("layers", "sparsity"), [(0, 0.75), (1, 0.9), (2, 0.9)])
def test_a_plain_target_beyond_the_feed_forward_part_is_an_error(tmp_path, layers, sparsity):
    """Two thirds of the remaining weights are in the feed-forward part."""
    fields = {
        "prune_method": "movement",
        "prune_structure": "plain",
        "prune_sparsity": sparsity,
        "prune_layers": layers,
    }
    highest = int(1000 * (1 - (4 - layers) / 4 / 3)) / 1000  # of the whole model
    with pytest.raises(ValueError, match="removes neurons only.*choose prune_structure=compact") as error:
        achieved(tmp_path, **fields)
    named = re.fullmatch(r"prune_sparsity=(\S+) cannot be reached: .*at most (\S+) of .*", str(error.value))
    assert float(named[1]) == sparsity
    assert float(named[2]) == pytest.approx(highest, abs=0.01)
    assert achieved(tmp_path, **{**fields, "prune_sparsity": float(named[2])}) == pytest.approx(highest, abs=0.01)


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_limit_is_named_on_the_scale_of_the_request(tmp_path, layers):
    """Dropped layers count in the number that is asked for, and so in the highest that can be."""
    fields = {"prune_method": "magnitude", "prune_attention": "head", "prune_layers": layers}
    with pytest.raises(ValueError, match=r"prune_sparsity=0\.99 cannot be reached: at most") as error:
        achieved(tmp_path, **fields, prune_sparsity=0.99)
    assert ("dropped layers included" in str(error.value)) is bool(layers)
    highest = float(re.search(r"at most (\S+) of", str(error.value))[1])
    assert achieved(tmp_path, **fields, prune_sparsity=highest) == pytest.approx(highest, abs=0.002)


def test_dropped_layers_beyond_the_target_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"prune_layers alone removes 0\.500 of the weights.*prune_sparsity=0\.25"):
        achieved(tmp_path, prune_method="movement", prune_sparsity=0.25, prune_layers=2)


@pytest.mark.parametrize("structure", ["compact", "plain"])
@pytest.mark.parametrize("method", METHODS)
def test_a_training_run_ends_at_the_target(tmp_path, method, structure):
    model = new_model(**WIDE)
    whole = weights(model)
    fields = {"prune_method": method, "prune_structure": structure, "prune_layers": 1, "prune_sparsity": 0.6}
    trainer = make_trainer(tmp_path, model=model, rows=16, max_steps=6, **BLOCKS, **fields)
    trainer.train()
    assert 1 - weights(trainer.model) / whole == pytest.approx(0.6, abs=0.005)
    logged = [entry["sparsity"] for entry in trainer.state.log_history if "sparsity" in entry]
    assert logged[0] == pytest.approx(0.25)  # the dropped layer, before the ramp
    assert logged[-1] == pytest.approx(0.6, abs=0.005)
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())
