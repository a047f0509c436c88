"""Answers are handed on: in one run each model, and each int8 file, reads each test text once, and nothing else changes."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.helpers.commands import (
    FRAMES,
    TOPICS,
    recipe_fields,
    run_command,
    write_classifier,
    write_csv,
    write_recipe,
    write_task,
)
from tests.helpers.publishing import QUIET
from trainer_ext import report
from trainer_ext.export.formats import FORMATS, export
from trainer_ext.export.source import open_source
from trainer_ext.export.verify import answers_to, run_model
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.report.run_directory import RunDirectory
from trainer_ext.sweep.collect import evaluate_exports, read_variants
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.group import Group
from trainer_ext.sweep.storage import VARIANTS
from trainer_ext.sweep.worker import run_job
from trainer_ext.tasks.dataset import HOLDOUT

FORMAT = "onnx-int8"
FILE = f"compressed/{FORMATS[FORMAT].file}"
TEXTS = [frame.format(word) for words in TOPICS.values() for word in words for frame in FRAMES]


@pytest.fixture
def read():
    """How often each model of a folder reads each row: a counter by folder and token ids, filled while a test runs."""
    counts: Counter[tuple[Path, tuple[int, ...]]] = Counter()

    def count(module, args, named, output):
        name = getattr(getattr(module, "config", None), "name_or_path", "")
        if name and "logits" in output:
            for ids, mask in zip(named["input_ids"], named["attention_mask"], strict=True):
                counts[Path(name), tuple(ids[mask.bool()].tolist())] += 1

    handle = torch.nn.modules.module.register_module_forward_hook(count, with_kwargs=True)
    yield counts
    handle.remove()
    # PyTorch 2.13 does not remove that it was a hook with keywords.
    torch.nn.modules.module._global_forward_hooks_with_kwargs.pop(handle.id, None)


def readings(read, folder) -> dict[str, set[int]]:
    """How often the model of a folder has read the rows of each test set."""
    before = dict(read)
    tests = open_source(folder).encoded.tests
    return {name: {before.get((folder, tuple(ids)), 0) for ids in rows["input_ids"]} for name, rows in tests.items()}


def recipe_for(folder, **changes) -> Path:
    """The recipe of a run that prunes a random classifier, whose answers depend on all of its weights."""
    fields = {
        "model_name_or_path": str(write_classifier(folder / "m", TEXTS)),
        "data_dir": str(write_task(folder / "data")),
        "holdout_share": 0.2,
        "prune_method": "obs",
        "prune_sparsity": 0.75,
        "num_train_epochs": 0,
        "max_length": 16,
        "latency_sequence_length": 8,
        "latency_batch_sizes": [1],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return write_recipe(folder / "recipe.yaml", {**fields, **changes})


def swept(folder) -> RunDirectory:
    """The only run of a sweep, done in this process, with int8 files of both models."""
    recipe_for(folder)
    grid = {
        "base": "recipe.yaml",
        "output_dir": str(folder / "out"),
        "axes": {"prune_sparsity": [0.75]},
        "export": [FORMAT],
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    group = Group(read_sweep_file(folder / "grid.yaml"), "", (), None, None, QUIET)
    group.begin()
    (job,) = group.jobs
    run_job(group.describe(job))
    return group.directory.run(job)


def test_in_a_run_of_a_sweep_each_model_reads_each_test_text_once(tmp_path, read):
    run = swept(tmp_path)
    for folder in (run.baseline, run.compressed):
        assert readings(read, folder) == {"test": {1}, HOLDOUT: {1}}
    # Computed again without what was known, the results are the same to the last bit.
    variants = read_variants(run.root / VARIANTS)
    assert [one.part for one in variants] == ["compressed", "baseline"]
    rows = {name: len(test) for name, test in open_source(run.root).data.tests.items()}
    for one in variants:
        counts = []
        assert evaluate_exports(run, one.part, [FORMAT], counts.append) == [one]
        assert sum(counts) == 2 * sum(rows.values()), "the baseline and the file, each on both sets"
    assert readings(read, run.baseline) == {"test": {3}, HOLDOUT: {3}}, "or nothing is counted"
    before = next(row for row in report.load(run.root).exports if row.path == FILE)
    answers, counts = {}, []
    assert export(run.root, [FORMAT], max_drop=1.0, force=True, answers=answers) == [before]
    assert set(answers) == {("baseline", "test"), ("compressed", "test"), (FILE, "test")}
    assert evaluate_exports(run, "compressed", [FORMAT], counts.append, answers=answers) == variants[:1]
    assert sum(counts) == 2 * rows[HOLDOUT], "the check of the export has read the test set"


def test_compress_hands_its_answers_to_the_export(tmp_path, read, monkeypatch, capsys):
    recipe = recipe_for(tmp_path, output_dir=str(tmp_path / "run"), export_formats=[FORMAT])
    status, _, errors = run_command(monkeypatch, capsys, "compress", recipe)
    assert status == 0, errors
    for folder in (tmp_path / "run/baseline", tmp_path / "run/compressed"):
        assert readings(read, folder) == {"test": {1}, HOLDOUT: {1}}


@pytest.mark.slow
def test_answers_that_compress_gives_are_those_of_its_models(tmp_path):
    recipe, answers = read_recipe(recipe_for(tmp_path, output_dir=str(tmp_path / "run"))), {}
    _, run = compress(recipe, answers=answers, console=QUIET)
    assert set(answers) == {(part, split) for part in ("baseline", "compressed") for split in ("test", HOLDOUT)}
    for (part, split), given in answers.items():
        source = open_source(run.root / part)
        np.testing.assert_array_equal(given, answers_to(source, split, run_model(source), on_rows=lambda rows: None))
    assert len({tuple(given) for given in answers.values()}) == len(answers), "or it does not show which is which"


@pytest.mark.slow
def test_numbers_are_computed_again_in_the_batches_of_the_file(tmp_path):
    """Their last digits depend on the batch, so a file is compared with the numbers of its own batches."""
    rows = [(f"{word} {end}", len(word) + len(end)) for word in ("iron", "zinc", "tin", "mango") for end in "abcdef"]
    data = tmp_path / "data"
    data.mkdir()
    write_csv(data / "train.csv", [row for index, row in enumerate(rows) if index % 3])
    write_csv(data / "test.csv", rows[::3])
    fields = recipe_fields(data, tmp_path / "run", problem_type="regression", latency_batch_sizes=[1])
    recipe, answers = read_recipe(write_recipe(tmp_path / "recipe.yaml", fields)), {}
    _, run = compress(recipe, answers=answers, console=QUIET)
    assert answers == {}
    options = {"max_drop": 1.0, "force": True, "console": QUIET}
    with_answers = export(run.root, [FORMAT], answers=answers, **options)
    assert with_answers == export(run.root, [FORMAT], **options)
    judge = partial(evaluate_exports, run, "compressed", [FORMAT], lambda rows: None)
    assert judge(answers=answers) == judge()


def test_answers_to_texts_that_may_be_others_are_refused(tmp_path):
    with pytest.raises(ValueError, match="both answers and data_dir"):
        export(tmp_path, [FORMAT], data_dir=str(tmp_path), answers={})
