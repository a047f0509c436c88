"""Latency target: the solution is optimal, and whole blocks are removed where this saves most."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer_ext.pruning.latency_target import LatencyTable, fastest_structure

LAYERS, HEADS, NEURONS = 2, 4, 6
COSTS = {"head_costs": [40] * LAYERS, "neuron_costs": [10] * LAYERS}
FREE = {"prune_heads": True, "prune_neurons": True, "equal": False}


def table(*, block_ms=0.0, fixed_ms=1.0, heads=HEADS, neurons=NEURONS, **changes):
    """Return a table in which a block costs `block_ms`, plus 0.5 ms per head or 0.2 ms per neuron."""
    made = LatencyTable(
        heads=[0, 1, heads],
        attention_ms=[0.0, block_ms + 0.5, block_ms + 0.5 * heads],
        neurons=[0, 1, neurons],
        ffn_ms=[0.0, block_ms + 0.2, block_ms + 0.2 * neurons],
        fixed_ms=fixed_ms,
        correction=1.0,
        machine={},
    )
    return replace(made, **changes)


def random(size, layers=LAYERS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, generator=generator) for _ in range(layers)]


def solve(times, speedup, *, seed=0, uses=(1,) * LAYERS, heads=None, neurons=None, **changes):
    heads, neurons = heads or random(HEADS, seed=seed), neurons or random(NEURONS, seed=seed + 50)
    dense_ms = times.total_ms([len(x) for x in heads], [len(x) for x in neurons], uses)
    options = {**COSTS, **FREE, **changes}
    return fastest_structure(heads, neurons, **options, uses=uses, table=times, dense_ms=dense_ms, speedup=speedup)


def counts(structure):
    return [len(ids) for ids in structure.heads], [len(ids) for ids in structure.neurons]


def value(structure, heads, neurons):
    """Return the value of a structure: the sum of cost times rank of the units that stay."""
    total = 0.0
    for scores, ids, cost in ((heads, structure.heads, 40), (neurons, structure.neurons, 10)):
        flat = torch.cat(scores)
        ranks = (flat[:, None] >= flat[None]).sum(1) / len(flat)
        kept = torch.cat(
            [
                torch.zeros(len(s)).index_fill(0, torch.tensor(i, dtype=torch.long), 1)
                for s, i in zip(scores, ids, strict=True)
            ]
        )
        total += cost * float((ranks * kept).sum())
    return total


def best_value(times, budget_ms, heads, neurons, uses=(1, 1)):
    """The reference: try every count of every block, 5 * 5 * 7 * 7 of them."""
    worth = []
    for scores, cost in ((heads, 40), (neurons, 10)):
        flat = torch.cat(scores)
        for part in scores:
            ranks = sorted([float((flat <= x).sum()) / len(flat) for x in part], reverse=True)
            worth.append(np.concatenate([[0], np.cumsum(ranks)]) * cost)
    options = [*[range(HEADS + 1)] * 2, *[range(NEURONS + 1)] * 2]
    return max(
        sum(w[count] for w, count in zip(worth, chosen, strict=True))
        for chosen in itertools.product(*options)
        if times.total_ms(chosen[:2], chosen[2:], uses) <= budget_ms
    )


@pytest.mark.parametrize("uses", [(1, 1), (3, 1)])
@pytest.mark.parametrize("block_ms", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("speedup", [1.0, 1.3, 2.0, 3.0])
def test_the_solution_is_as_good_as_the_best_of_all(speedup, block_ms, uses):
    times = table(block_ms=block_ms)
    for seed in range(5):
        heads, neurons = random(HEADS, seed=seed), random(NEURONS, seed=seed + 50)
        found = solve(times, speedup, seed=seed, uses=uses)
        budget = times.total_ms([HEADS] * 2, [NEURONS] * 2, uses) / speedup
        assert times.total_ms(*counts(found), uses) <= budget + 1e-9
        assert value(found, heads, neurons) >= 0.99 * best_value(times, budget, heads, neurons, uses)
        for ids, size in [(i, HEADS) for i in found.heads] + [(i, NEURONS) for i in found.neurons]:
            assert ids == sorted(set(ids))
            assert set(ids) <= set(range(size))


def test_the_reference_detects_a_worse_choice():
    heads, neurons = random(HEADS), random(NEURONS, seed=50)
    found = solve(table(), 2.0)
    worse = replace(found, heads=[found.heads[0][1:], found.heads[1]])
    assert value(worse, heads, neurons) < 0.99 * value(found, heads, neurons)


@pytest.mark.parametrize("speedup", [1.5, 2.0, 2.5])
def test_the_best_of_every_block_stay(speedup):
    heads, neurons = random(HEADS), random(NEURONS, seed=50)
    found = solve(table(), speedup)
    for scores, kept in ((heads, found.heads), (neurons, found.neurons)):
        for part, ids in zip(scores, kept, strict=True):
            assert ids == sorted(part.argsort(descending=True)[: len(ids)].tolist())


def test_whole_blocks_are_removed_if_their_fixed_cost_is_high():
    """Twelve blocks with equal units: only the fixed cost of a block matters."""
    size, layers = 8, 6
    heads, neurons = random(size, layers), random(size, layers, seed=9)
    options = {"head_costs": [10] * layers, "neuron_costs": [10] * layers, "uses": (1,) * layers}
    cheap = solve(table(heads=size, neurons=size), 1.5, heads=heads, neurons=neurons, **options)
    dear = solve(table(heads=size, neurons=size, block_ms=20.0), 1.5, heads=heads, neurons=neurons, **options)
    assert all(cheap.heads)
    closed = sum(not ids for ids in dear.heads + dear.neurons)
    assert closed >= 3
    assert sum(map(len, cheap.heads + cheap.neurons)) < 2 * layers * size
    assert [ids for ids in dear.heads + dear.neurons if ids]  # and not all


def test_faster_keeps_less():
    times = table(block_ms=0.3)
    heads, neurons = random(HEADS), random(NEURONS, seed=50)
    values = [value(solve(times, speedup), heads, neurons) for speedup in (1.0, 1.2, 1.5, 2.0, 3.0, 5.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-1]
    assert counts(solve(times, 1.0)) == ([HEADS] * 2, [NEURONS] * 2)


@pytest.mark.parametrize(
    ("changes", "highest"),
    [
        ({}, 7.4),  # 7.4 ms dense, 1 ms of it fixed
        ({"prune_heads": False}, 7.4 / 5),
        ({"prune_neurons": False}, 7.4 / 3.4),
        ({"equal": True}, 7.4 / 5),
    ],
)
def test_a_target_out_of_reach_is_an_error_that_names_the_highest(changes, highest):
    solve(table(), highest - 0.01, **changes)
    with pytest.raises(ValueError, match=rf"prune_speedup=.*cannot be reached: .*{highest:.2f} times as fast"):
        solve(table(), highest + 0.01, **changes)


def test_a_correction_shrinks_the_budget():
    plain, corrected = table(), table(correction=1.25)
    assert solve(corrected, 2.0) == solve(plain, 2.5)
    with pytest.raises(ValueError, match=f"{7.4 / 1.25:.2f} times as fast"):
        solve(corrected, 6.5)


@pytest.mark.parametrize("part", ["prune_heads", "prune_neurons"])
def test_parts_that_may_not_be_pruned_stay(part):
    heads, neurons = counts(solve(table(), 1.4, **{part: False}))
    assert (heads == [HEADS] * 2) is (part == "prune_heads")
    assert (neurons == [NEURONS] * 2) is (part == "prune_neurons")


@pytest.mark.parametrize(("speedup", "width"), [(1.0, 6), (1.1, 4), (1.2, 2), (1.35, 1), (1.479, 1)])
def test_equal_widths_by_hand(speedup, width):
    """7.4 ms, of which a neuron in both layers takes 0.4. One always stays, because a stock config needs it."""
    found = solve(table(), speedup, equal=True)
    assert counts(found) == ([HEADS] * 2, [width] * 2)
    for part, ids in zip(random(NEURONS, seed=50), found.neurons, strict=True):
        assert ids == sorted(part.argsort(descending=True)[:width].tolist())


def test_layers_that_run_more_often_lose_more():
    same = [torch.linspace(0, 1, HEADS)] * 2, [torch.linspace(0, 1, NEURONS)] * 2
    heads, neurons = counts(solve(table(), 1.5, uses=(5, 1), heads=same[0], neurons=same[1]))
    assert heads[0] < heads[1]
    assert neurons[0] <= neurons[1]


def test_wide_blocks_are_solved_in_steps():
    heads, neurons = random(12, 4), random(1024, 4)
    times = table(heads=12, neurons=1024, ffn_ms=[0.0, 0.5, 20.0])
    options = {"head_costs": [256] * 4, "neuron_costs": [64] * 4, "uses": (1,) * 4}
    found = solve(times, 2.0, heads=heads, neurons=neurons, **options)
    assert {len(ids) % 16 for ids in found.neurons} == {0}
    asked = times.total_ms([12] * 4, [1024] * 4, (1,) * 4) / 2
    assert times.total_ms(*counts(found), (1,) * 4) == pytest.approx(asked, rel=0.02)


def test_times_between_the_points_are_interpolated():
    times = table(block_ms=1.0)
    assert [float(times.attention(n)) for n in (0, 1, 2, 4)] == pytest.approx([0, 1.5, 2.0, 3.0])
    assert times.total_ms([4, 0], [6, 0], [2, 1]) == pytest.approx(1 + 2 * (3.0 + 2.2))
