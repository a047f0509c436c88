"""The chain masked = shrunk = reloaded, for every architecture, attention kernel and extreme structure."""

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from transformers import AutoModelForSequenceClassification

from tests.helpers.masking import choose, every_family
from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.compact.registration import MODEL_TYPES
from trainer_ext.pruning import masks
from trainer_ext.pruning.selection import Structure
from trainer_ext.pruning.shrinking import shrink

EAGER_ONLY = ("deberta-v2", "mpnet")
every_kernel = pytest.mark.parametrize(
    ("model_type", "kernel"),
    [
        (name, kernel)
        for name in MODEL_TYPES
        for kernel in ("eager", "sdpa")
        if kernel == "eager" or name not in EAGER_ONLY
    ],
)
# What the published models have, where it is not what the tiny models have.
LAYOUTS = {
    "deberta-v3": (
        "deberta-v2",
        {"share_att_key": True, "pos_att_type": "p2c|c2p", "norm_rel_ebd": "layer_norm", "type_vocab_size": 0}
        | {"position_biased_input": False},
    ),
    "deberta without relative positions": ("deberta-v2", {"relative_attention": False}),
    "deberta with one position projection": ("deberta-v2", {"pos_att_type": "c2p"}),
    "modernbert as published": ("modernbert", {"attention_bias": False, "mlp_bias": False}),
    "modernbert with a window": ("modernbert", {"local_attention": 8}),
    "albert as published": ("albert", {"num_hidden_groups": 1}),
    "albert with two layers in a group": ("albert", {"num_hidden_groups": 1, "inner_group_num": 2}),
}


def random_ids(size, seed):
    """Return between one and all but one of `size` ids."""
    generator = random.Random(seed)
    return sorted(generator.sample(range(size), generator.randrange(1, size)))


# Per layer the heads and the neurons that stay, of 4 and of 64.
STRUCTURES = {
    "random": lambda layer, seed: (random_ids(4, f"{seed} heads {layer}"), random_ids(64, f"{seed} neurons {layer}")),
    "empty layer": lambda layer, seed: ([], []) if layer == 0 else (random_ids(4, seed), random_ids(64, seed)),
    "one left": lambda layer, seed: ([3 - layer], [17 + layer]),
    "everything": lambda layer, seed: (list(range(4)), list(range(64))),
}


def structure_of(name, model, seed):
    pairs = [STRUCTURES[name](layer, seed) for layer in range(len(layers_of(model)))]
    return Structure([heads for heads, _ in pairs], [neurons for _, neurons in pairs])


def walk(model, structure, batch, folder):
    """Return the logits of the model with these masks, then shrunk, then saved and loaded."""
    choose(model, structure)
    masked = outputs.logits(model, batch)
    shrunk, heads, neurons = shrink(masks.merge(model))
    assert Structure(heads, neurons) == structure
    shrunk.save_pretrained(folder)
    kernel = model.config._attn_implementation
    opened, info = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation=kernel, output_loading_info=True
    )
    assert opened.config._attn_implementation == shrunk.config._attn_implementation == kernel
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    sizes = [(layer.heads, layer.neurons) for layer in layers_of(opened)]
    assert sizes == [(len(a), len(b)) for a, b in zip(structure.heads, structure.neurons, strict=True)]
    return masked, outputs.logits(shrunk, batch), outputs.logits(opened, batch)


def assert_equal_along(masked, shrunk, reloaded):
    allowed = outputs.allowed_difference(masked)
    assert (masked - shrunk).abs().max() <= allowed
    assert (shrunk - reloaded).abs().max() <= allowed
    assert masked.isfinite().all()


def test_every_attention_kernel_of_the_classes_is_tested(tiny_model):
    assert tuple(name for name in MODEL_TYPES if not tiny_model(name)._supports_sdpa) == EAGER_ONLY


@pytest.mark.parametrize("structure", STRUCTURES)
@every_kernel
def test_masked_shrunk_and_reloaded_are_equal(
    tiny_model, tiny_batch, make_spec, tmp_path, model_type, kernel, structure
):
    model = tiny_model(model_type)
    model.set_attn_implementation(kernel)
    batch = tiny_batch(model)
    dense = outputs.logits(model, batch)
    masks.attach(model, make_spec())
    chain = walk(model, structure_of(structure, model, model_type), batch, tmp_path)
    assert_equal_along(*chain)
    if structure == "everything":
        assert torch.equal(chain[0], dense)
    else:
        assert (chain[0] - dense).abs().max() > 0.05  # the masks do something, and the check would see it


@pytest.mark.parametrize("structure", ["random", "empty layer"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_published_layouts_are_equal_too(tiny_model, tiny_batch, make_spec, tmp_path, layout, structure):
    model_type, changes = LAYOUTS[layout]
    model = masks.attach(tiny_model(model_type, **changes), make_spec())
    chain = walk(model, structure_of(structure, model, layout), tiny_batch(model), tmp_path)
    assert_equal_along(*chain)


def subsets(size):
    return st.lists(st.booleans(), min_size=size, max_size=size).map(
        lambda kept: [index for index, keep in enumerate(kept) if keep]
    )


def per_layer(size):
    return st.lists(subsets(size) | st.just([]), min_size=2, max_size=2)


@every_family
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # tiny_model gives a new copy at every call
)
@given(
    heads=per_layer(4),
    neurons=per_layer(64),
    kind=st.sampled_from([{"attention": "head"}, {"block_size": 1}, {"block_size": 8}, {"method": "magnitude"}]),
)
def test_any_structure_is_equal(tiny_model, tiny_batch, make_spec, tmp_path, model_type, heads, neurons, kind):
    model = masks.attach(tiny_model(model_type), make_spec(**kind))
    chain = walk(model, Structure(heads, neurons), tiny_batch(model), tmp_path)
    assert_equal_along(*chain)
