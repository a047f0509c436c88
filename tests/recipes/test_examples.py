"""The examples: each runs on a user's own files, shrinks its model, and what it saves opens with the Auto class of its task."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

from tests.helpers.training import new_model
from tests.scripts import common
from trainer_ext.pipeline.scratch import train_tokenizer

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "recipes/examples"
# The Auto class of the result, its metric, and the files that the script reads.
KINDS = {
    "classify": ("AutoModelForSequenceClassification", "eval_accuracy", "csv"),
    "several_labels": ("AutoModelForSequenceClassification", "eval_f1", "bars"),
    "tag_words": ("AutoModelForTokenClassification", "eval_f1", "tags"),
    "answer_questions": ("AutoModelForQuestionAnswering", "eval_exact", "answers"),
    "own_trainer": ("AutoModelForSequenceClassification", "eval_accuracy", "csv"),
    "lora_first": ("AutoModelForSequenceClassification", "eval_accuracy", "csv"),
}
FIELDS = {
    **{"max_steps": 60, "learning_rate": 3e-3, "per_device_train_batch_size": 16, "use_cpu": True, "max_length": 32},
    **{"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "prune_block_size": 8},
}
WORDS = {word: topic for topic, words in common.TOPICS.items() for word in words}


def write_table(file, header, rows):
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder that was never fine-tuned, and the files of every script: train and test."""
    folder = tmp_path_factory.mktemp("examples")
    made = common.texts(4)
    parts = {"train": [row for i, row in enumerate(made) if i % 4], "test": made[::4]}
    tokenizer = train_tokenizer([row["text"] for row in made] + [f"which {topic}" for topic in common.TOPICS])
    tokenizer.save_pretrained(folder / "encoder")
    model = new_model(num_labels=2, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, dropout=0.0)
    model.base_model.save_pretrained(folder / "encoder")
    for part, rows in parts.items():
        pairs = [(row["text"], row["label"]) for row in rows]
        write_table(folder / f"{part}.csv", ("text", "label"), pairs)
        both = [(f"{a} and {b}", "|".join(sorted({x, y}))) for (a, x), (b, y) in zip(pairs, pairs[5:], strict=False)]
        write_table(folder / f"{part}.bars", ("text", "labels"), both)
        tagged = ["\n".join(f"{w}\t{'B-' + WORDS[w] if w in WORDS else 'O'}" for w in t.split()) for t, _ in pairs]
        (folder / f"{part}.tags").write_text("\n\n".join(tagged), encoding="utf-8")
        asked = [
            {"question": f"which {topic}", "context": text, "answer": word, "start": text.index(word)}
            for text, topic in pairs
            for word in common.TOPICS[topic]
            if word in text
        ]
        (folder / f"{part}.answers").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcomes(folder):
    """What every script printed; all run in one process, because imports take longer than they do."""
    calls = []
    for name, (_, _, files) in KINDS.items():
        values = {"model": folder / "encoder", "output_dir": folder / name, **FIELDS}
        values |= {part: folder / f"{part}.{files}" for part in ("train", "test")}
        if name == "lora_first":
            values |= {"lora_epochs": 3, "lora_learning_rate": 1e-2}
        calls.append(
            [str(EXAMPLES / f"{name}.py"), *(word for key in values for word in (f"--{key}", str(values[key])))]
        )
    code = (
        "import json, runpy, sys\n"
        "for sys.argv in json.loads(sys.argv[1]):\n"
        "    print('== ' + sys.argv[0], flush=True)\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(calls)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    shown = done.stdout.split("== ")[1:]
    return {Path(part.splitlines()[0]).stem: part for part in shown}


@pytest.mark.parametrize("name", KINDS)
def test_it_learns_and_its_small_model_opens(name, folder, outcomes):
    kind, metric, _ = KINDS[name]
    (line,) = [line for line in outcomes[name].splitlines() if line.strip().startswith(f"{metric} ")]
    assert float(line.split("=")[1]) > 0.6  # a guess: 0.33, and less for tags and answers
    small = getattr(transformers, kind).from_pretrained(folder / name)
    whole = transformers.AutoModel.from_pretrained(folder / "encoder")
    inner = small.base_model.encoder
    assert sum(p.numel() for p in inner.parameters()) < 0.6 * sum(p.numel() for p in whole.encoder.parameters())


def test_every_example_is_run_and_listed():
    assert {file.stem for file in EXAMPLES.glob("*.py")} == set(KINDS)
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name}.py)" in page for name in KINDS)
