"""Recipe files: each is read at its full and at its small scale, says where its values are from, and is not refused."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from recipes.tools import results, stand_in
from trainer_ext import InputError
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep.config import (
    common_fields,
    is_sweep_file,
    read_sweep_file,
    recipe_from,
    recipe_scales,
    run_fields,
)
from trainer_ext.utils.yaml import read_yaml

FILES = [path for path in results.recipe_files() if path.stem != "quickstart"]
RECIPES = [path for path in FILES if not is_sweep_file(path)]
SWEEPS = [path for path in FILES if is_sweep_file(path)]


def says_where_from(line):
    """Whether a line sets no value, or says where it is from; what follows "as all that follows" needs no more."""
    value = line.split("#")[0].strip()
    return not value or value.endswith(":") or "#" in line


def unannotated(path):
    """Lines that set a hyper-parameter without saying where it is from."""
    found, free = (
        [],
        ("task", "data", "train_files", "test_file", "text_column", "label_column", "language", "class_names"),
    )
    covered = False
    for line in path.read_text(encoding="utf-8").splitlines():
        covered = (covered or "as all that follows" in line) and bool(line.strip())
        name = line.strip().split(":")[0]
        if not covered and name not in (*free, "output_dir", "fp16", "use_cpu") and not says_where_from(line):
            found.append(line)
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_at_every_scale(path):
    named = "model_name_or_path" in read_yaml(path)
    given = ["--data_dir", "nowhere", *([] if named else ["--model_name_or_path", "a/b"])]
    for scale in (None, *recipe_scales(path)):
        recipe = read_recipe(path, given, scale)
        assert recipe.training.use_cpu or scale is None, "the small scale is for machines without a GPU"
        with pytest.raises(InputError, match="--data_dir nowhere"):  # what the data says: all else is in order
            compress(recipe)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_says_where_it_is_from(path, tmp_path):
    assert unannotated(path) == []
    spoilt = tmp_path / path.name
    spoilt.write_text(path.read_text(encoding="utf-8") + "\nadam_beta1: 0.8\n", encoding="utf-8")
    assert unannotated(spoilt) == ["adam_beta1: 0.8"]


@pytest.mark.parametrize("scale", [None, "small"])
def test_the_papers_grid_is_thirteen_models_of_each_data_set(scale):
    file = read_sweep_file(results.HERE / "paper_grid.yaml")
    jobs = file.jobs()
    assert len(jobs) == 13
    labels = {label for job in jobs for label in job.settings.values()}
    assert {"25 % removed (75 % kept)", "50 % removed (50 % kept)", "75 % removed (25 % kept)", "KD"} <= labels
    for group in ("SHC", "LPC"):
        common = common_fields(file, group, ["--data_dir", "nowhere"], scale)
        recipes = [recipe_from(run_fields(common, job, Path("run"), Path("answers"))) for job in jobs]
        methods = [(recipe.training.prune_method, bool(recipe.training.teacher_names)) for recipe in recipes]
        assert methods.count(("none", False)) == 2, "the control, in both precisions"
        assert sorted({recipe.training.prune_sparsity for recipe in recipes if recipe.training.pruning_spec}) == [
            *(0.25, 0.5, 0.75)
        ]
        assert sum(bool(recipe.training.teacher_names) for recipe in recipes) == 8
        assert sum(recipe.training.prune_method == "obs" for recipe in recipes) == 3
        assert {recipe.model.latency_sequence_length for recipe in recipes} == {32 if scale else 64}
        for recipe in recipes:
            with pytest.raises(InputError, match="--data_dir nowhere"):
                compress(recipe)


def test_a_stand_in_has_the_tokens_and_the_shape_that_were_asked_for(tmp_path):
    (tmp_path / "texts.txt").write_text("पुणे शहर आज\nमुंबई शहर उद्या\n" * 20, encoding="utf-8")
    words = [
        tmp_path / "model",
        tmp_path / "texts.txt",
        "--own",
        60,
        "--size",
        400,
        "--hidden-size",
        64,
        "--layers",
        1,
    ]
    done = CliRunner().invoke(stand_in.app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=3)
    assert len(tokenizer) == model.config.vocab_size == 400
    inputs = tokenizer("पुणे शहर", return_tensors="pt")
    assert tokenizer.unk_token_id not in inputs["input_ids"]
    with torch.inference_mode():
        assert model(**inputs).logits.shape == (1, 3)
