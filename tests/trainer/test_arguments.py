"""Arguments: parsed from a command line and from YAML, documented, and strict."""

import dataclasses
import re

import pytest
import yaml
from transformers import HfArgumentParser, TrainingArguments

from tests.helpers.training import arguments
from trainer_ext import DistillPruneTrainingArguments, PruningSpec

INHERITED = {field.name for field in dataclasses.fields(TrainingArguments)}
OURS = [field for field in dataclasses.fields(DistillPruneTrainingArguments) if field.name not in INHERITED]
CHOSEN = {
    "prune_method": "magnitude",
    "prune_sparsity": 0.75,
    "prune_attention": "head",
    "prune_block_size": 16,
    "prune_ffn": "none",
    "prune_start": 0.2,
    "prune_end": 0.7,
    "prune_score_lr": 0.02,
    "prune_speedup": 1.5,
    "prune_structure": "plain",
    "prune_layers": 2,
    "prune_layer_ids": [1, 3],
    "prune_recovery_epochs": 1.5,
    "prune_latency_device": "cpu",
    "prune_latency_dtype": "bfloat16",
    "prune_latency_busy": "refuse",
    "prune_latency_batch_size": 8,
    "prune_latency_length": 64,
    "dense_epochs": 1.5,
    "distill_teacher": "self",
    "distill_alpha": 0.25,
    "distill_temperature": 4.0,
    "distill_hidden": 0.5,
    "distill_relations": 0.25,
    "distill_layers": [0, 3],
}
ALONE = {"distill_cache_dir": "answers", "distill_teachers": ["self", "folder"]}  # refused beside one of those
STOCK = {"output_dir": "out", "use_cpu": True, "report_to": "none"}


def parse_command_line(values, folder):
    listed = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    words = [word for name, value in listed.items() for word in (f"--{name}", *map(str, value))]
    return HfArgumentParser(DistillPruneTrainingArguments).parse_args_into_dataclasses(words)[0]


def parse_yaml(values, folder):
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return HfArgumentParser(DistillPruneTrainingArguments).parse_yaml_file(folder / "recipe.yaml")[0]


@pytest.mark.parametrize("parse", [parse_command_line, parse_yaml])
def test_every_field_can_be_given(tmp_path, parse):
    for given in (CHOSEN, ALONE):
        args = parse({**STOCK, **given}, tmp_path)
        assert {name: getattr(args, name) for name in given} == given
    given = {**CHOSEN, **ALONE}
    assert given.keys() == {field.name for field in OURS}
    assert all(given[field.name] != field.default for field in OURS)  # else a parser that ignored it would pass


@pytest.mark.parametrize("parse", [parse_command_line, parse_yaml])
def test_defaults_ask_for_nothing(tmp_path, parse):
    args = parse(STOCK, tmp_path)
    assert args.prune_method == "none"
    assert args.pruning_spec is None
    assert args.distill_teacher is None


@pytest.mark.parametrize(
    ("given", "method", "sparsity"),
    [
        ({"prune_sparsity": 0.3}, "obs", 0.3),
        ({"prune_speedup": 2.0}, "obs", 0.5),
        ({"prune_method": "magnitude"}, "magnitude", 0.5),
        ({"prune_method": "none", "prune_sparsity": 0.3}, "none", 0.3),
    ],
    ids=str,
)
@pytest.mark.parametrize("parse", [parse_command_line, parse_yaml])
def test_sparsity_or_speed_alone_prunes(tmp_path, parse, given, method, sparsity):
    args = parse({**STOCK, **given}, tmp_path)
    assert (args.prune_method, args.prune_sparsity) == (method, sparsity)
    assert (args.pruning_spec is None) is (method == "none")


def test_no_teacher_by_name(tmp_path):
    assert parse_yaml({**STOCK, "distill_teacher": "none"}, tmp_path).teacher_names == []


@pytest.mark.parametrize("field", OURS, ids=lambda field: field.name)
def test_every_field_says_what_it_is_and_what_it_may_be(field):
    text = field.metadata["help"]
    assert len(text) > 30
    if field.type in ("int", "float", int, float):
        assert re.search(r"[\[(]\S+, \S+[\])]|above 0|at least|must divide|in \[0, 1\]", text)
    else:
        assert any(word in text for word in ("none", "Default"))


def test_a_field_without_a_range_would_be_seen():
    text = "How much to prune."
    assert not re.search(r"[\[(]\S+, \S+[\])]|above 0|at least|must divide|in \[0, 1\]", text)


NAN, INF = float("nan"), float("inf")
REFUSED = {
    "prune_method": ["l0", "", "Movement"],
    "prune_attention": ["blocks", None],
    "prune_ffn": ["head", None],
    "prune_sparsity": [-0.01, 1.0, 50, NAN, INF, -INF, "half"],
    "prune_block_size": [0, 12.8, -32, NAN, INF, "32", None],
    "prune_start": [-0.1, 1.0, NAN, INF, "0.1", None],
    "prune_end": [0.0, -0.5, 1.01, NAN, INF, "0.6", None],
    "prune_score_lr": [0.0, -0.01, NAN, INF, "1e-2", None],
    "prune_speedup": [0.99, 0, NAN, INF, "2"],
    "prune_structure": ["stock", None],
    "prune_layers": [-1, 1.5, NAN, INF, "1", None],
    "dense_epochs": [-1, NAN, INF, "1"],
    "prune_recovery_epochs": [-1, NAN, INF, "1", None],
    "prune_latency_dtype": ["fp32", None],
    "prune_latency_busy": ["ignore", None],
    "prune_latency_batch_size": [0, 2.7, NAN, INF, "8", None],
    "prune_latency_length": [0, 9.5, NAN, INF, "64"],
    "distill_alpha": [-0.1, 1.1, NAN, INF, -INF, "0.9", None],
    "distill_temperature": [0.0, -2.0, NAN, INF, "2", None],
    "distill_hidden": [-0.1, NAN, INF, -INF, "1"],
    "distill_relations": [-0.1, NAN, INF, -INF, "1", None],
    "distill_teachers": [[], [""], ["self", 3], "self"],
    "distill_layers": [[], [-1], [1.0], [1, 1], ["1"], 3, "last"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_what_is_out_of_range_is_refused_in_one_line(tmp_path, name, value):
    with pytest.raises(ValueError, match=name) as refusal:
        arguments(tmp_path, **{name: value})
    message = str(refusal.value)
    assert "\n" not in message
    assert (repr(value) if isinstance(value, str | None) else str(value)) in message


ACCEPTED = {
    "prune_sparsity": [0, 0.999],
    "prune_block_size": [1, 64],
    "prune_start": [0, 0.59],
    "prune_end": [0.11, 1],
    "prune_score_lr": [1e-9, 10],
    "distill_alpha": [0, 1],
    "distill_temperature": [0.1, 100],
    "distill_hidden": [0, 100],
    "distill_relations": [0, 100],
    "distill_layers": [None, [0], [3, 1]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ACCEPTED.items() for value in values])
def test_the_ends_of_a_range_are_accepted(tmp_path, name, value):
    assert getattr(arguments(tmp_path, **{name: value}), name) == value


@pytest.mark.parametrize("value", [0.6, 0.7])
def test_a_ramp_that_ends_before_it_starts_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match=f"prune_start={value} must be below prune_end=0.6"):
        arguments(tmp_path, prune_start=value)


def test_an_empty_teacher_is_refused(tmp_path):
    with pytest.raises(ValueError, match="distill_teacher is empty"):
        arguments(tmp_path, distill_teacher="")


def test_one_teacher_or_several(tmp_path):
    with pytest.raises(ValueError, match=r"both distill_teacher='self' and distill_teachers=\['a', 'b'\]. Choose one"):
        arguments(tmp_path, distill_teacher="self", distill_teachers=["a", "b"])
    assert arguments(tmp_path).teacher_names == []
    assert arguments(tmp_path, distill_teacher="self").teacher_names == ["self"]
    assert arguments(tmp_path, distill_teachers=["self", "b"]).teacher_names == ["self", "b"]


def test_a_cache_is_refused_where_it_cannot_help(tmp_path):
    for name in ("distill_hidden", "distill_relations"):
        with pytest.raises(ValueError, match=f"distill_cache_dir keeps only the teacher's logits, but {name}=0.5"):
            arguments(tmp_path, distill_cache_dir="answers", **{name: 0.5})
    with pytest.raises(ValueError, match="distill_cache_dir is empty"):
        arguments(tmp_path, distill_cache_dir="")


def test_pruning_nothing_is_refused_only_where_pruning_is_asked_for(tmp_path):
    nothing = {"prune_attention": "none", "prune_ffn": "none"}
    with pytest.raises(ValueError, match="prune_attention and prune_ffn are both 'none'"):
        arguments(tmp_path, prune_method="movement", **nothing)
    assert arguments(tmp_path, **nothing).pruning_spec is None


def test_the_spec_holds_what_the_fields_say(tmp_path):
    spec = arguments(tmp_path, **CHOSEN).pruning_spec
    assert spec == PruningSpec("magnitude", 0.75, "none", 16, "none", 0.2, 0.7, structure="plain", speedup=1.5)
    assert arguments(tmp_path, **{**CHOSEN, "prune_structure": "compact"}).pruning_spec.attention == "head"
    assert spec != arguments(tmp_path, **{**CHOSEN, "prune_sparsity": 0.5}).pruning_spec
    assert arguments(tmp_path, **{**CHOSEN, "prune_sparsity": 0.0}).pruning_spec is not None  # the speed-up asks
    assert arguments(tmp_path, **{**CHOSEN, "prune_sparsity": 0.0, "prune_speedup": None}).pruning_spec is None
    assert arguments(tmp_path, **{**CHOSEN, "prune_method": "none", "prune_speedup": None}).pruning_spec is None
