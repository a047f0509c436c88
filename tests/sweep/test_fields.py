"""The teacher's logits are cached for all runs, unless its hidden states are distilled too."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer_ext.sweep.config import Job, recipe_from, run_fields

COMMON = {"model_name_or_path": "scratch", "prune_method": "movement", "distill_teacher": "self", "use_cpu": True}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, "answers"),
        ({"distill_hidden": 0.0}, "answers"),
        ({"distill_hidden": 1.0}, None),
        ({"distill_hidden": 1.0, "distill_cache_dir": None}, None),
        ({"distill_relations": 1.0}, None),
        ({"distill_cache_dir": "elsewhere"}, "elsewhere"),
        ({"distill_teacher": None}, None),
    ],
)
def test_logits_are_cached_if_only_logits_are_distilled(fields, kept):
    found = run_fields(COMMON, Job("one", {}, fields), Path("run"), Path("answers"))
    assert found.get("distill_cache_dir") == kept
    assert recipe_from(found).training.distill_cache_dir == kept
