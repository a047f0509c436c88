"""Scripts of the shapes that people have, from an encoder without a head: stock, and with ours and a sparsity, nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tests.helpers.training import new_model
from tests.scripts import common
from trainer_ext.models.architectures import layers_of, prunable_weights
from trainer_ext.pipeline.scratch import train_tokenizer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FIELDS = {
    **{"max_steps": 60, "learning_rate": 3e-3, "per_device_train_batch_size": 16, "seed": 5, "use_cpu": True},
    **{"report_to": "none", "disable_tqdm": True, "logging_steps": 20, "save_strategy": "no"},
}
SMALL = {"prune_sparsity": 0.5, "prune_block_size": 8}  # heads of 8, which no block of 32 fits
SHAPES = {
    "classify_glue": (("classify_glue.py",), AutoModelForSequenceClassification, "eval_accuracy"),
    "classify_glue_pairs": (("classify_glue.py", "--pairs"), AutoModelForSequenceClassification, "eval_accuracy"),
    "tag_words": (("tag_words.py",), AutoModelForTokenClassification, "eval_f1"),
    "answer_questions": (("answer_questions.py",), AutoModelForQuestionAnswering, "eval_exact"),
}
HABITS = ("weighted_loss", "many_callbacks", "search", "parameter_groups", "own_optimizer", "frozen_layers")
OPEN = """
import sys, torch, transformers
for name, kind, answers in zip(*[iter(sys.argv[1:])] * 3):
    model = getattr(transformers, kind).from_pretrained(name, trust_remote_code=True).eval()
    found = torch.load(answers, weights_only=True)
    with torch.no_grad():
        outputs = model(**found["batch"])
    print(max((outputs[each] - value).abs().max().item() for each, value in found["answers"].items()))
"""


def words_of(folder, output, trainer, script, fields):
    values = {"model": folder / "encoder", "output_dir": folder / output, **FIELDS, **fields}
    named = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return [str(ROOT / "tests" / "scripts" / script[0]), *script[1:], "--trainer", trainer, *named]


def run(calls, **more):
    """The last line that each script printed, all run in one process: imports take longer than they do."""
    code = (
        "import json, runpy, sys, traceback\n"
        "for sys.argv in json.loads(sys.argv[1]):\n"
        "    try:\n        runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "    except ValueError as error:\n        print(json.dumps({'refused': str(error)}))\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'scripts'}",
        "OMP_NUM_THREADS": "1",
    }
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(calls)], env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
    assert len(found) == len(calls), done.stdout[-3000:]
    return found, done.stderr


def differences(places):
    """By how much saved models answer otherwise in a fresh process without our package."""
    words = [str(word) for folder, kind in places for word in (folder / "model", kind.__name__, folder / "answers.pt")]
    done = subprocess.run(
        [sys.executable, "-c", OPEN, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [float(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder that was never fine-tuned, with its tokenizer."""
    folder = tmp_path_factory.mktemp("scripts")
    words = [row["text"] for row in common.texts(1)] + [f"which {topic} and" for topic in common.TOPICS]
    tokenizer = train_tokenizer(words, vocab_size=160, max_length=64)
    tokenizer.save_pretrained(folder / "encoder")
    model = new_model(num_labels=2, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, dropout=0.0)
    model.base_model.save_pretrained(folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def shapes(folder):
    calls = [
        words_of(folder, f"{name}-{trainer}", trainer, script, fields)
        for name, (script, _, _) in SHAPES.items()
        for trainer, fields in (("stock", {"max_steps": 120}), ("ours", {"max_steps": 120, **SMALL}))
    ]
    found, errors = run(calls)
    return dict(zip(SHAPES, zip(found[::2], found[1::2], strict=True), strict=True)), errors


@pytest.mark.parametrize("name", SHAPES)
def test_sparsity_alone_ends_near_stock(folder, shapes, name):
    (stock, ours), (_, kind, metric) = shapes[0][name], SHAPES[name]
    assert stock[metric] > 0.6  # a guess: 0.33, and 0.1 for an answer
    assert ours[metric] > stock[metric] - 0.1
    small, whole = (kind.from_pretrained(folder / f"{name}-{trainer}" / "model") for trainer in ("ours", "stock"))
    gone = 1 - prunable_weights(layers_of(small)) / prunable_weights(layers_of(whole))
    assert gone == pytest.approx(0.5, abs=0.005)


def test_every_script_is_told_that_its_head_is_new(shapes):
    assert shapes[1].count("is new. So the whole model is trained first") == len(SHAPES)


def test_shapes_open_in_a_fresh_process(folder, shapes):
    places = [(folder / f"{name}-ours", kind) for name, (_, kind, _) in SHAPES.items()]
    assert max(differences(places)) < 1e-5


@pytest.fixture(scope="module")
def habits(folder):
    calls = [words_of(folder, name, "ours", (f"{name}.py",), SMALL) for name in HABITS]
    movement = {**SMALL, "prune_method": "movement"}
    calls.append(words_of(folder, "frozen-movement", "ours", ("frozen_layers.py",), movement))
    return dict(zip([*HABITS, "frozen-movement"], run(calls)[0], strict=True))


@pytest.mark.parametrize("name", HABITS)
def test_habit_ends_with_a_small_model(folder, habits, name):
    assert habits[name]["eval_accuracy"] > 0.5  # a guess: 0.33
    small = AutoModelForSequenceClassification.from_pretrained(folder / name / "model")
    dense = AutoModelForSequenceClassification.from_pretrained(folder / "encoder", num_labels=3)
    gone = 1 - prunable_weights(layers_of(small)) / prunable_weights(layers_of(dense))
    assert gone == pytest.approx(0.5, abs=0.005)


def test_habits_open_in_a_fresh_process(folder, habits):
    places = [(folder / name, AutoModelForSequenceClassification) for name in habits if "refused" not in habits[name]]
    assert len(places) == len(HABITS)
    assert max(differences(places)) < 1e-5


def test_scores_that_frozen_layers_cannot_learn_are_refused_with_the_way_out(folder, habits):
    refused = habits["frozen-movement"]["refused"]
    assert "has requires_grad=False. Unfreeze the encoder or use prune_method=obs" in refused
    assert not (folder / "frozen-movement" / "model").exists()


def test_save_best_callback_opens(folder, habits):
    best = AutoModelForSequenceClassification.from_pretrained(folder / "many_callbacks" / "best")
    assert not hasattr(best.config, "pruning")
    log = [json.loads(line) for line in (folder / "many_callbacks" / "log.jsonl").read_text().splitlines()]
    assert any("loss_distill" in entry for entry in log)
    assert torch.isfinite(torch.cat([p.flatten() for p in best.parameters()])).all()
