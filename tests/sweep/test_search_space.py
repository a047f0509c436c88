"""The candidates of a search: predicted sizes equal measured ones, and every candidate is a valid recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.helpers.searching import MINILM
from trainer_ext.errors import InputError
from trainer_ext.pruning import scores
from trainer_ext.sweep.search.goal import Goal
from trainer_ext.sweep.search.planner import space_for
from trainer_ext.sweep.search.space import (
    FINE_STRENGTHS,
    MAIN,
    METHODS,
    WHOLE,
    Space,
    VocabularyLevel,
    candidate,
    families,
)
from trainer_ext.sweep.search.surrogate import Surrogate, predicted_speedup
from trainer_ext.training_args import DEFAULT_METHOD, DistillPruneTrainingArguments, check_compression

SMALL = Goal("smallest", points=1)
# recipes/benchmarks/README.md, "Pruned int8" (all-MiniLM, two classes): MiB in PyTorch and in OpenVINO int8; speed-up in
# PyTorch at 1 x 32.
MEASURED = {
    "dense": (None, 86.7, 22.4, 1.0),
    "quarter": ((MAIN, 0.25), 76.5, 19.8, 1.23),
    "1 layer": (("layers", 0.2), 79.9, 20.6, 1.19),
    "3 layers and a fifth": ((MAIN, 0.6), 62.3, 16.0, 2.16),
    "4 layers": (("layers", 0.65), 59.6, 15.3, 2.58),
}


@pytest.mark.parametrize(("place", "torch", "int8", "speed"), MEASURED.values(), ids=MEASURED)
def test_predicted_sizes_and_speeds_equal_measured_ones(place, torch, int8, speed):
    space = Space(MINILM, trims=False, strengths=FINE_STRENGTHS)
    one = candidate(MINILM, *place, WHOLE) if place else space.baseline
    assert one.bytes["torch"] / 2**20 == pytest.approx(torch, rel=0.005)
    assert one.bytes["openvino-int8"] / 2**20 == pytest.approx(int8, rel=0.01)
    assert predicted_speedup(one) == pytest.approx(speed, rel=0.08)


@pytest.mark.parametrize("structure", ["compact", "plain"])
@pytest.mark.parametrize("layers", [1, 2, 6, 12])
def test_every_candidate_has_valid_arguments(structure, layers, tmp_path):
    facts = replace(
        MINILM,
        layers=layers,
        attention_weights=MINILM.attention_weights // 6 * layers,
        ffn_weights=MINILM.ffn_weights // 6 * layers,
        structure=structure,
    )
    candidates = space_for(SMALL, facts).candidates
    assert candidates
    given = {"prune_structure": structure, "distill_teacher": "self", "distill_cache_dir": "cache"}
    for one in candidates.values():
        fields = {name: value for name, value in one.fields.items() if name != "vocab_size"}
        args = DistillPruneTrainingArguments(**{"output_dir": str(tmp_path), "use_cpu": True, **given, **fields})
        check_compression(args)
        assert one.layers < layers
        inner = 1 - (1 - one.strength) * layers / (layers - one.layers)
        assert -1e-9 <= inner <= facts.most_of_a_layer
        assert fields["prune_method"] == "none" or inner > 0.005
        assert not fields.get("distill_hidden") or "vocab_size" not in one.fields
        assert one.strength or one.fields.get("vocab_size")
        assert one.bytes["torch"] < space_for(SMALL, facts).baseline.bytes["torch"]


def test_names_of_candidates_are_unique():
    candidates = space_for(SMALL, MINILM).candidates.values()
    assert len({one.words for one in candidates}) == len({one.name for one in candidates}) == len(candidates)
    assert len({repr(sorted(one.fields.items(), key=str)) for one in candidates}) == len(candidates)


def test_a_plain_structure_removes_less_of_a_layer():
    plain = replace(MINILM, structure="plain")
    assert plain.most_of_a_layer < 0.67 < 0.9 < MINILM.most_of_a_layer < 1
    assert replace(MINILM, prunes_heads=False).most_of_a_layer == plain.most_of_a_layer
    assert candidate(plain, "shape", 0.8, WHOLE) is None
    assert candidate(plain, MAIN, 0.8, WHOLE).layers == 4


def test_second_order_needs_no_dropped_layers():
    facts = replace(MINILM, method="obs")
    assert candidate(facts, MAIN, 0.8, WHOLE).layers == 0
    assert candidate(facts, "shape", 0.8, WHOLE).layers > 0
    assert candidate(replace(facts, structure="plain"), MAIN, 0.8, WHOLE).layers > 0  # neurons alone are not enough


def test_fields_of_the_recipe_are_kept():
    facts = replace(MINILM, method="magnitude", drops_layers=False, teacher=False)
    assert families(facts) == (MAIN, "longer", "obs", "movement", "soft_movement")
    one = candidate(facts, MAIN, 0.6, 0)
    assert (one.fields["prune_method"], one.layers) == ("magnitude", 0)
    assert one.fields["distill_teacher"] == "self"
    assert "longer" not in families(replace(MINILM, epochs=None))
    asked = replace(MINILM, trimmed=True)
    for goal in (SMALL, Goal("fastest", points=1)):
        assert all(one.fields["vocab_size"] <= 8600 for one in space_for(goal, asked).candidates.values())


def test_hidden_states_are_distilled_if_tokens_can_be_compared():
    whole, cut = candidate(MINILM, MAIN, 0.6, WHOLE), candidate(MINILM, MAIN, 0.6, 0)
    assert (whole.fields["distill_hidden"], cut.fields["distill_hidden"]) == (1.0, 0.0)
    alike = replace(MINILM, vocabulary=(VocabularyLevel(8600, 0.1, alike=True), VocabularyLevel(4300, 0.3)))
    assert [candidate(alike, MAIN, 0.6, level).fields["distill_hidden"] for level in (0, 1)] == [1.0, 0.0]
    assert candidate(MINILM, MAIN, 0.5, WHOLE).fields["distill_hidden"] == 1.0
    assert "distill_hidden" not in candidate(MINILM, MAIN, 0.4, WHOLE).fields


@pytest.mark.parametrize("sizes", [(8000, 9000), (8000, 8000), (40_000,), (0,)])
def test_sizes_of_a_vocabulary_must_decrease(sizes):
    with pytest.raises(InputError, match="Sizes of the vocabulary must decrease from 30522"):
        replace(MINILM, vocabulary=tuple(VocabularyLevel(size, 0.0) for size in sizes))


def test_chances_before_any_run_are_wide_and_fall_with_the_strength():
    space, beliefs = space_for(SMALL, MINILM), Surrogate([])
    main = [one for one in space.candidates.values() if one.family == MAIN and one.level == 0]
    chances = [beliefs.chance_within(one, "openvino-int8", 0.5) for one in main]
    assert chances == sorted(chances, reverse=True)
    assert 0.4 < chances[3] < 0.8  # half of the encoder
    assert chances[-1] < 0.1


def test_every_pruning_method_is_a_family_the_default_one_first():
    assert sorted(METHODS) == sorted(scores.METHODS)
    assert METHODS[0] == DEFAULT_METHOD


def test_a_recipe_that_trains_nothing_has_no_candidate_that_needs_a_training():
    facts = replace(MINILM, method="obs", epochs=0.0, trains=False)
    found = space_for(Goal("smallest", points=1), facts).candidates.values()
    assert {one.fields["prune_method"] for one in found} == {"obs"}
    trained = space_for(Goal("smallest", points=1), replace(MINILM, method="obs")).candidates.values()
    assert {one.fields["prune_method"] for one in trained} > {"obs", "none"}
