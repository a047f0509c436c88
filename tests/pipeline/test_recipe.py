"""Recipes: what a file and a command line say becomes typed arguments, and what they cannot mean is refused."""

import dataclasses

import pytest
import yaml as pyyaml
from transformers import HfArgumentParser

from tests.helpers.commands import recipe_fields as fields_of, write_recipe
from trainer_ext import InputError, report
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import defaults_of, meaning_of, read_recipe, recipe_fields
from trainer_ext.pipeline.recipe_file import read_words
from trainer_ext.report.run_directory import find_run


@pytest.fixture
def recipe(tmp_path):
    return lambda *overrides, **changes: read_recipe(
        write_recipe(tmp_path / "r.yaml", fields_of(tmp_path, tmp_path / "run", **changes)), overrides
    )


def test_file_gives_typed_arguments(recipe):
    read = recipe(prune_sparsity="0.25", metrics=["accuracy", "macro_f1"], fp16=None)
    assert read.training.prune_sparsity == 0.25
    assert read.model.metrics == ["accuracy", "macro_f1"]
    assert read.from_scratch


def test_command_line_wins_over_the_file(recipe):
    read = recipe("--prune_sparsity", "0.75", "--latency_batch_sizes", "2", "8", "--seed=5", prune_sparsity=0.25)
    assert read.training.prune_sparsity == 0.75
    assert read.model.latency_batch_sizes == [2, 8]
    assert read.resolved["seed"] == 5


SCALES = {"small": {"prune_sparsity": 0.1, "seed": 3, "save_strategy": False}, "none": {"metrics": None}}


def test_a_scale_wins_over_the_file_and_the_command_line_over_both(tmp_path):
    fields = fields_of(tmp_path, tmp_path / "run", prune_sparsity=0.25, scales=SCALES, metrics=["macro_f1"])
    path = write_recipe(tmp_path / "r.yaml", fields)
    assert read_recipe(path).training.prune_sparsity == 0.25
    small = read_recipe(path, ["--seed", "5"], scale="small")
    assert (small.training.prune_sparsity, small.training.seed, small.training.save_strategy) == (0.1, 5, "no")
    assert "scales" not in small.resolved
    assert small.resolved["prune_sparsity"] == 0.1
    assert read_recipe(path, scale="none").model.metrics == [], "null takes a field away"


@pytest.mark.parametrize(
    ("scales", "scale", "word"),
    [
        (SCALES, "tiny", "has no scale 'tiny'; it has 'none', 'small'"),
        (None, "small", "has no scale 'small'; it has none"),
        ({"small": None}, None, "name: {field: value}"),
        (["small"], None, "name: {field: value}"),
        ({"small": {"prune_sparsty": 0.5}}, "small", "did you mean 'prune_sparsity'"),
        ({"small": {"prune_sparsity": 2}}, "small", "prune_sparsity"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(tmp_path, scales, scale, word):
    changes = {} if scales is None else {"scales": scales}
    path = write_recipe(tmp_path / "r.yaml", fields_of(tmp_path, tmp_path / "run", **changes))
    with pytest.raises(InputError) as refused:
        read_recipe(path, scale=scale)
    assert word in str(refused.value)


def test_dashes_and_flags_are_understood(recipe):
    assert recipe("--prune-sparsity", "0.1", "--bf16").training.bf16


# Fields that may be true and are not false by default.
BOOLS = {
    *("tf32", "activation_checkpointing", "gradient_checkpointing", "include_num_input_tokens_seen", "disable_tqdm"),
    *("hub_private_repo", "greater_is_better"),
    *("ddp_find_unused_parameters", "ddp_broadcast_buffers", "ddp_static_graph"),
}


@pytest.mark.parametrize("name", [name for name, field in recipe_fields().items() if "list[" not in str(field.type)])
def test_only_a_field_that_can_be_true_goes_without_a_value(name):
    default, fields = defaults_of(recipe_fields().values())[name], recipe_fields()
    if isinstance(default, bool) or name in BOOLS:
        assert read_words([f"--{name}", "--seed", "1"], fields) == {name: True, "seed": 1}
        return
    with pytest.raises(InputError, match=f"^--{name} needs a value: --{name} VALUE"):
        read_words([f"--{name}", "--class_names", "a"], fields)
    assert read_words([f"--{name}="], fields) == {name: ""}, "an empty one is one"


def test_words_that_look_like_numbers_stay_words_where_names_are_meant():
    words = [
        "--data_dir",
        "2024_01",
        "--label_column",
        "007",
        "--class_names",
        "01",
        "1e3",
        "--seed",
        "17",
        "--vocab_size",
        "90",
    ]
    expected = {
        "data_dir": "2024_01",
        "label_column": "007",
        "class_names": ["01", "1e3"],
        "seed": 17,
        "vocab_size": 90,
    }
    assert read_words([*words, "--learning_rate", "1e-4"], recipe_fields()) == {**expected, "learning_rate": 1e-4}


def test_a_value_may_start_with_a_dash(recipe):
    with pytest.raises(InputError, match=r"prune_start must be .* got -0\.5"):
        recipe("--prune_start", "-0.5")


# As recipes were written for YAML 1.1, where these words are booleans and 1e-5 is text.
OLDER = """
model_name_or_path: scratch
data_dir: data
prune_method: magnitude
save_strategy: {off}
eval_strategy: {off}
bf16: {off}
use_cpu: {on}
full_determinism: {off}
learning_rate: 1e-5
class_names: [08, "no"]
"""


@pytest.mark.parametrize(
    ("off", "on"), [("no", "yes"), ("No", "Yes"), ("off", "on"), ("OFF", "ON"), ("false", "true"), ("'no'", "'yes'")]
)
def test_words_for_yes_and_no_mean_what_they_meant_in_older_recipes(tmp_path, off, on):
    path = tmp_path / "r.yaml"
    path.write_text(OLDER.format(off=off, on=on), encoding="utf-8")
    read = read_recipe(path)
    assert read.training.save_strategy == read.training.eval_strategy == "no"
    assert (read.training.bf16, read.training.use_cpu, read.training.full_determinism) == (False, True, False)
    assert read.training.learning_rate == 1e-5
    assert read.model.class_names == ["08", "no"]
    # What an older version wrote down of it, with PyYAML, is the same run.
    older = read.resolved | {"learning_rate": "1e-5"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(pyyaml.safe_dump(older), encoding="utf-8")
    assert find_run(tmp_path / "run", read.resolved, resume=True).holds_run


def test_a_line_for_a_field_at_its_default_does_not_keep_a_run_from_being_resumed(recipe, tmp_path):
    older = recipe().resolved
    report.save(report.CompressionReport(report.utc_now(), report.Model()), tmp_path / "run")
    write_recipe(tmp_path / "run" / "recipe.yaml", older)
    now = recipe(energy_seconds=60, metrics=None, max_grad_norm=1.0)
    assert compress(now, resume=True)[1].root == tmp_path / "run"
    with pytest.raises(InputError, match="energy_seconds"):
        compress(recipe(energy_seconds=90), resume=True)


def test_changed_training_arguments_are_checked_anew(recipe):
    read = recipe()
    assert read.training_arguments(num_train_epochs=9).num_train_epochs == 9
    with pytest.raises(InputError, match="prune_sparsity"):
        read.training_arguments(prune_sparsity=2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prune_sparsty": 0.5}, ("Unknown field 'prune_sparsty'", "did you mean 'prune_sparsity'")),
        ({"zzz": 1}, ("Unknown field 'zzz'", "--fields")),
        ({"prune_sparsity": 1.0}, ("prune_sparsity", "[0, 1)", "1.0")),
        ({"prune_sparsity": "half"}, ("--prune_sparsity", "half")),
        ({"prune_sparsity": float("nan")}, ("prune_sparsity", "nan")),
        ({"prune_start": 0.8, "prune_end": 0.3}, ("prune_start=0.8", "prune_end=0.3")),
        ({"prune_method": "wish"}, ("prune_method", "wish")),
        ({"vocab_corpus": ["a.txt"]}, ("vocab_corpus", "without vocab_size")),
        ({"model_name_or_path": None}, ("--model_name_or_path",)),
        ({"scratch_epochs": 0}, ("scratch_epochs", "above 0")),
        ({"latency_sequence_length": 99}, ("latency_sequence_length", "99", "[1, 16]")),
        ({"latency_batch_sizes": [0]}, ("latency_batch_sizes", "1 or more")),
        ({"num_train_epochs": "many"}, ("num_train_epochs", "many")),
        ({"eval_strategy": "sometimes"}, ("sometimes",)),
    ],
)
def test_a_field_that_cannot_be_is_refused_in_one_line(recipe, changes, words):
    with pytest.raises(InputError) as refused:
        recipe(**changes)
    assert "\n" not in str(refused.value)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [("[1, 2]", "field: value"), ("a: [", "not valid YAML"), ("", "field: value"), ("just text", "field: value")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, word):
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=word):
        read_recipe(tmp_path / "r.yaml")


def test_a_missing_folder_or_undecodable_file_is_refused(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    for path, word in ((tmp_path / "none.yaml", "There is no recipe"), (tmp_path, "cannot be read")):
        with pytest.raises(InputError, match=word):
            read_recipe(path)
    with pytest.raises(InputError, match=r"cannot be read|not valid YAML"):
        read_recipe(tmp_path / "r.yaml")


def test_words_that_are_no_fields_are_refused(recipe):
    with pytest.raises(InputError, match="'0.5' is not a field"):
        recipe("0.5")


def test_every_field_of_ours_is_listed_once_and_explained():
    fields = recipe_fields()
    ours = [
        field
        for name, field in fields.items()
        if name.startswith(("prune_", "distill_", "scratch_", "latency_", "vocab_"))
    ]
    assert len(ours) >= 15
    assert all(len(field.metadata["help"]) > 20 for field in ours)
    assert all(isinstance(field, dataclasses.Field) for field in fields.values())


def helped(help_text):
    """Return a dataclass with one field."""
    kind = dataclasses.make_dataclass(
        "One", [("one", int, dataclasses.field(default=1, metadata={"help": help_text}))]
    )
    return HfArgumentParser(kind).format_help()


def test_argparse_can_show_every_field():
    for name, field in recipe_fields().items():
        assert "%" not in field.metadata.get("help", "").replace("%%", ""), name
        assert "%%" not in meaning_of(field)
    assert "at most 2 % of held-out texts" in meaning_of(recipe_fields()["vocab_size"])
    assert "2 % of texts" in helped("At most 2 %% of texts.")
    with pytest.raises((TypeError, ValueError)):  # with Python 3.14 the whole parser
        helped("At most 2 % of texts.")


def test_dense_epochs_are_for_scripts(tmp_path):
    path = write_recipe(tmp_path / "r.yaml", fields_of(tmp_path, tmp_path / "run", dense_epochs=1, prune_sparsity=0.5))
    with pytest.raises(InputError, match=r"dense_epochs=1.* is for scripts; here give baseline_epochs"):
        read_recipe(path)


LISTS = [name for name, field in recipe_fields().items() if str(field.type).startswith("list[")]


def test_a_list_without_anything_is_refused_with_what_to_write(tmp_path):
    assert {"metrics", "train_files", "prune_layer_ids", "label_columns"} <= {*LISTS}
    for name in LISTS:
        recipe = write_recipe(tmp_path / "r.yaml", {"model_name_or_path": "m", name: []})
        for path, words in ((recipe, ()), (None, ("--model_name_or_path", "m", f"--{name}"))):
            with pytest.raises(InputError) as refused:
                read_recipe(path, words)
            told = f"{name} is an empty list; give at least one value, or leave it out (or write {name}: null) for "
            assert str(refused.value).startswith(told)
    for name, end in (("metrics", "for none."), ("latency_batch_sizes", "for the default, 1 32."), ("seed", ", 42.")):
        with pytest.raises(InputError, match=f"{end}$"):
            read_recipe(write_recipe(tmp_path / "r.yaml", {"model_name_or_path": "m", name: []}))
