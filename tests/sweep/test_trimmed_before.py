"""A sweep with vocab_when=before: its runs share a baseline that was trained with the kept tokens."""

import pytest
import yaml
from transformers import AutoTokenizer

from tests.helpers.commands import FRAMES, TOPICS, write_classifier, write_recipe, write_task
from tests.helpers.publishing import QUIET
from trainer_ext import report
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.group import Group
from trainer_ext.sweep.worker import run_job

TEXTS = [frame.format(word) for words in TOPICS.values() for word in words for frame in FRAMES]
SIZE = 60


@pytest.fixture
def group(tmp_path):
    """A sweep of two runs that keep `SIZE` tokens and one that keeps some more."""
    fields = {
        "model_name_or_path": str(write_classifier(tmp_path / "m", TEXTS)),
        "data_dir": str(write_task(tmp_path / "data")),
        "vocab_size": SIZE,
        "vocab_when": "before",
        "baseline_epochs": 1,
        "num_train_epochs": 0,
        "prune_method": "obs",
        "prune_sparsity": 0.5,
        "max_length": 16,
        "latency_sequence_length": 8,
        "latency_batch_sizes": [1],
        "use_cpu": True,
        "disable_tqdm": True,
    }
    write_recipe(tmp_path / "recipe.yaml", fields)
    more = {"prune_sparsity": 0.5, "vocab_size": SIZE + 10}
    grid = {
        "base": "recipe.yaml",
        "output_dir": str(tmp_path / "out"),
        "axes": {"what": {"half": {"prune_sparsity": 0.5}, "more": {"prune_sparsity": 0.75}, "tokens": more}},
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    found = Group(read_sweep_file(tmp_path / "grid.yaml"), "", (), None, None, QUIET)
    found.begin()
    return found


def tokens(folder):
    return len(AutoTokenizer.from_pretrained(folder))


@pytest.mark.slow
def test_runs_that_keep_the_same_tokens_share_a_baseline_that_reads_no_others(group, tmp_path):
    half, more, other = group.jobs
    for job in group.jobs:
        run_job(group.describe(job))
    runs = [group.directory.run(job) for job in (half, more, other)]
    assert group.describe(half).baseline == group.describe(more).baseline != group.describe(other).baseline
    for run, size in zip(runs, (SIZE, SIZE, SIZE + 10), strict=True):
        assert tokens(run.baseline) == tokens(run.compressed) == size
        made = report.load(run.root)
        assert (made.vocabulary.trimmed, made.vocabulary.tokens.compressed) == ("before", size)
        assert made.parameters.baseline.total > made.parameters.compressed.total
    weights = [(run.baseline / "model.safetensors").read_bytes() for run in runs[:2]]
    assert weights[0] == weights[1]

    alone = yaml.safe_load((tmp_path / "recipe.yaml").read_text(encoding="utf-8"))
    path = write_recipe(tmp_path / "alone.yaml", {**alone, "output_dir": str(tmp_path / "alone")})
    numbers, run = compress(read_recipe(path), console=QUIET)
    assert (run.baseline / "model.safetensors").read_bytes() == weights[0], "as a run of its own has it"
    assert numbers.vocabulary == report.load(runs[0].root).vocabulary
    assert numbers.parameters == report.load(runs[0].root).parameters


def test_without_it_the_baseline_keeps_all_tokens(group):
    group.common["vocab_when"] = "after"
    job = group.jobs[0]
    run_job(group.describe(job))
    run = group.directory.run(job)
    assert tokens(run.baseline) > tokens(run.compressed) == SIZE
    assert report.load(run.root).vocabulary.trimmed == "after"
