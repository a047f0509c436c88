"""Selection: the target is met, the lowest scores go first, every matrix keeps its floor, wide layers fill vectors."""

import math
import pickle

import pytest
import torch

from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning import selection
from trainer_ext.pruning.structure import select_structure

HEADS, NEURONS = [12] * 4, [512] * 4  # the proportions of BERT: half as many weights in attention as in the FFN
HEAD_COST, NEURON_COST = 8192, 384


def build(heads=None, neurons=None, *, sparsity, prune_heads=True, prune_neurons=True):
    generator = torch.Generator().manual_seed(1)
    heads = [torch.randn(n, generator=generator) for n in HEADS] if heads is None else heads
    neurons = [torch.randn(n, generator=generator) for n in NEURONS] if neurons is None else neurons
    return selection.structure_for(
        heads,
        neurons,
        head_costs=[HEAD_COST] * len(heads),
        neuron_costs=[NEURON_COST] * len(neurons),
        sparsity=sparsity,
        prune_heads=prune_heads,
        prune_neurons=prune_neurons,
    )


def gone(structure):
    total = sum(HEADS) * HEAD_COST + sum(NEURONS) * NEURON_COST
    kept = sum(map(len, structure.heads)) * HEAD_COST + sum(map(len, structure.neurons)) * NEURON_COST
    return 1 - kept / total


@pytest.mark.parametrize(
    ("units", "floor"), [(1, 1), (2, 1), (199, 1), (200, 1), (400, 2), (3072, 15), (768 * 768 // 1024, 2)]
)
def test_floor_by_hand(units, floor):
    assert selection.floor_of(units) == floor


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
def test_the_target_is_met_to_within_one_neuron(sparsity):
    structure = build(sparsity=sparsity)
    total = sum(HEADS) * HEAD_COST + sum(NEURONS) * NEURON_COST
    assert abs(gone(structure) - sparsity) <= NEURON_COST / total
    for ids, size in zip(structure.heads + structure.neurons, HEADS + NEURONS, strict=True):
        assert ids == sorted(set(ids))
        assert set(ids) <= set(range(size))
        assert len(ids) >= selection.floor_of(size)


@pytest.mark.parametrize(
    ("sparsity", "heads", "neurons"), [(0.1, True, False), (0.3, True, False), (0.6, False, True)]
)
def test_one_part_alone_meets_the_whole_target(sparsity, heads, neurons):
    structure = build(sparsity=sparsity, prune_heads=heads, prune_neurons=neurons)
    assert abs(gone(structure) - sparsity) <= (HEAD_COST if heads else NEURON_COST) / 1_179_648 / 2 + 1e-9
    assert (sum(map(len, structure.heads)) == sum(HEADS)) is not heads
    assert (sum(map(len, structure.neurons)) == sum(NEURONS)) is not neurons


def test_the_lowest_scores_of_the_whole_model_are_removed():
    heads = [torch.full((12,), float(layer)) for layer in range(4)]
    structure = build(heads, sparsity=0.5)
    assert [len(ids) for ids in structure.heads] == [1, 1, 10, 12]  # floors in the worst layers, then by rank


def test_ranking_by_hand():
    scores = torch.tensor([0.1, 0.9, 0.5, 0.8, 0.7, 0.6])
    assert selection.top_units(scores, [3, 3], 3) == [[1], [0, 1]]
    assert selection.top_units(scores, [3, 3], 2) == [[1], [0]]
    assert selection.top_units(-scores, [3, 3], 4) == [[0, 2], [1, 2]]


@pytest.mark.parametrize("value", [0.0, -1e4, 1e4])
def test_equal_scores_keep_every_matrix_and_break_ties_by_id(value):
    kept = selection.top_units(torch.full((30,), value), [10, 10, 10], 12)
    assert kept == [list(range(10)), [0], [0]]


@pytest.mark.parametrize("kept", [3, 4, 15, 30])
def test_a_matrix_with_by_far_the_lowest_scores_keeps_its_floor(kept):
    scores = torch.cat([torch.full((10,), -1e4), torch.randn(20, generator=torch.Generator().manual_seed(0))])
    units = selection.top_units(scores, [10, 10, 10], kept)
    assert all(units)
    assert sum(map(len, units)) == kept
    without_floor = torch.argsort(scores, descending=True)[:kept]
    assert (without_floor < 10).any() == (kept > 20)  # the check can fail: without offsets it would be empty


def test_offsets_move_the_best_units_of_every_matrix_above_all_others():
    scores = torch.tensor([3.0, 1.0, 2.0, -5.0, -4.0])
    offsets = selection.floor_offsets(scores, [3, 2])
    assert offsets.tolist() == [selection.LIFT, 0, 0, 0, selection.LIFT]
    assert (scores + offsets)[4] > scores.max()


@pytest.mark.parametrize(("fraction", "kept"), [(0.0, 30), (0.5, 15), (0.49, 15), (0.9, 3), (1.0, 3), (1.7, 3)])
def test_kept_units_stop_at_the_floors(fraction, kept):
    assert selection.kept_units([10, 10, 10], fraction) == kept


@pytest.mark.parametrize(
    ("heads", "neurons", "highest", "words"),
    [
        (True, True, 44 / 48 / 3 + 2 * (1 - 2 / 512) / 3, r"reached: at most .*raise prune_layers"),
        (True, False, 44 / 48 / 3, "with prune_ffn off at most .*let both parts be pruned"),
        (False, True, 2 * (1 - 2 / 512) / 3, "with prune_attention off at most .*let both parts be pruned"),
    ],
)
def test_a_target_out_of_reach_is_an_error_that_names_the_highest(heads, neurons, highest, words):
    named = math.floor(1000 * highest) / 1000  # rounded up it would be refused in its turn
    with pytest.raises(selection.OutOfReach, match=words) as error:
        build(sparsity=highest + 0.001, prune_heads=heads, prune_neurons=neurons)
    assert f"prune_sparsity={highest + 0.001:.6g} cannot be reached" in str(error.value)
    assert f"at most {named:.3f} of" in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # it may come from another process
    build(sparsity=named, prune_heads=heads, prune_neurons=neurons)
    assert abs(gone(build(sparsity=highest - 1e-4, prune_heads=heads, prune_neurons=neurons)) - highest) < 5e-3


# Wide layers keep whole vectors of neurons


@pytest.mark.parametrize(
    ("kept", "size", "expected"),
    [(1537, 3072, 1536), (1541, 3072, 1544), (3, 3072, 8), (3071, 3072, 3072), (1027, 1030, 1024)]
    + [(0, 3072, 0), (3067, 3067, 3067), (37, 512, 37)],
)
def test_widths_by_hand(kept, size, expected):
    assert selection.whole_vectors(kept, size) == expected


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
