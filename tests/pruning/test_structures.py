"""Structures: wide layers keep whole vectors of neurons, the best of each, and the target is still met."""

import pytest
import torch

from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning.selection import whole_vectors
from trainer_ext.pruning.structure import select_structure


@pytest.mark.parametrize(
    ("kept", "size", "expected"),
    [(1537, 3072, 1536), (1541, 3072, 1544), (3, 3072, 8), (3071, 3072, 3072), (1027, 1030, 1024)]
    + [(0, 3072, 0), (3067, 3067, 3067), (37, 512, 37)],
)
def test_widths_by_hand(kept, size, expected):
    assert whole_vectors(kept, size) == expected


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.77])
def test_wide_layers_fill_whole_vectors_with_their_best_neurons(sparsity, tiny_model, make_spec):
    layers = layers_of(tiny_model("bert", intermediate_size=2048))
    generator = torch.Generator().manual_seed(0)
    heads, neurons = (
        [torch.randn(getattr(layer, part), generator=generator) for layer in layers] for part in ("heads", "neurons")
    )
    found = select_structure(layers, make_spec(sparsity=sparsity), heads, neurons)
    for ids, scores in zip(found.neurons, neurons, strict=True):
        assert len(ids) % 8 == 0
        assert ids == sorted(scores.argsort(descending=True)[: len(ids)].tolist())
    kept = sum(
        len(h) * layer.head_cost + len(n) * layer.neuron_cost
        for layer, h, n in zip(layers, found.heads, found.neurons, strict=True)
    )
    whole = sum(layer.heads * layer.head_cost + layer.neurons * layer.neuron_cost for layer in layers)
    assert 1 - kept / whole == pytest.approx(sparsity, abs=0.005)
