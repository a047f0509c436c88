"""A script of the usual shape, run as a program: with its two imports changed it trains the same, or prunes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.helpers.commands import FRAMES, TOPICS, write_csv
from tests.helpers.training import new_model
from trainer_ext.models.architectures import layers_of, prunable_weights
from trainer_ext.pipeline.scratch import train_tokenizer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "scripts" / "classify_text.py"
STOCK = "from transformers import Trainer, TrainingArguments  # isort: skip\n"
OURS = "from trainer_ext import DistillPruneTrainer as Trainer, DistillPruneTrainingArguments as TrainingArguments\n"
COMMON = {
    **{"do_train": True, "do_eval": True, "do_predict": True, "seed": 5, "report_to": "none", "use_cpu": True},
    **{"max_steps": 60, "learning_rate": 3e-3, "per_device_train_batch_size": 16, "logging_steps": 12},
    **{"eval_strategy": "steps", "eval_steps": 12, "save_strategy": "steps", "save_steps": 12, "disable_tqdm": True},
    **{"dataloader_pin_memory": False, "label_smoothing_factor": 0.1},
}
COMPRESSED = {
    **{"prune_method": "movement", "prune_sparsity": 0.5, "prune_block_size": 8},
    **{"distill_teacher": "self", "distill_alpha": 0.2},
    **{"load_best_model_at_end": True, "metric_for_best_model": "accuracy", "early_stopping_patience": 3},
}


def prepare(folder):
    """A dense model with its tokenizer, CSV files, and the script twice: as people have it, and changed."""
    texts = [(frame.format(word), topic) for topic, words in TOPICS.items() for word in words for frame in FRAMES]
    write_csv(folder / "train.csv", [row for index, row in enumerate(texts) if index % 5])
    write_csv(folder / "validation.csv", texts[::5])
    write_csv(folder / "test.csv", [(text, "unknown") for text, _ in texts[::7]])
    tokenizer = train_tokenizer([text for text, _ in texts], vocab_size=128, max_length=16)
    tokenizer.save_pretrained(folder / "dense")
    new_model(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id).save_pretrained(folder / "dense")
    source = SCRIPT.read_text()
    assert source.count(STOCK) == 1
    assert "trainer_ext" not in source.replace(source.split('"""')[1], "")
    (folder / "stock.py").write_text(source)
    (folder / "ours.py").write_text(source.replace(STOCK, OURS))


def arguments(folder, script, output, fields, *, as_json=False):
    """The words with which somebody starts the script, with everything on the command line or in a file."""
    files = {f"{split}_file": str(folder / f"{split}.csv") for split in ("train", "validation", "test")}
    values = {"model_name_or_path": str(folder / "dense"), "output_dir": str(folder / output), **files, **fields}
    if not as_json:
        return [str(folder / script), *(word for name, value in values.items() for word in (f"--{name}", str(value)))]
    (folder / f"{output}.json").write_text(json.dumps(values))
    return [str(folder / script), str(folder / f"{output}.json")]


def start(*calls):
    """One Python that runs the script once for each list of words: imports take longer than a run."""
    run = "import json, runpy, sys\nfor sys.argv in json.loads(sys.argv[1]): runpy.run_path(sys.argv[0], run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([sys.executable, "-c", run, json.dumps(calls)], env=environment, **pipes)


def finish(process):
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the runs of the script left: as it is, changed with nothing asked, pruning, and that continued half-way."""
    folder = tmp_path_factory.mktemp("script")
    prepare(folder)
    stock = arguments(folder, "stock.py", "stock", COMMON)
    first = start(stock, arguments(folder, "ours.py", "plain", COMMON, as_json=True))
    second = start(arguments(folder, "ours.py", "small", COMMON | COMPRESSED))
    finish(first)
    finish(second)
    shutil.copytree(folder / "small" / "checkpoint-24", folder / "resumed" / "checkpoint-24")
    resumed = arguments(folder, "ours.py", "resumed", COMMON | COMPRESSED, as_json=True)
    wrong = arguments(folder, "ours.py", "wrong", COMMON | COMPRESSED | {"prune_sparsity": 1.5})
    last = start(resumed, wrong)
    (folder / "output.txt").write_text(last.communicate(timeout=280)[0])
    assert last.returncode == 1
    return folder


def weights(folder):
    """Every file of weights that a run wrote, by its place, as bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


def untimed(file):
    values = json.loads(file.read_text())
    return {name: value for name, value in values.items() if not name.endswith(("_time", "_runtime", "_per_second"))}


def test_with_nothing_asked_the_changed_script_is_the_script(folder):
    stock, plain = weights(folder / "stock"), weights(folder / "plain")
    assert {"model.safetensors", "checkpoint-12/model.safetensors", "checkpoint-60/model.safetensors"} <= stock.keys()
    assert stock == plain
    for name in ("train_results.json", "eval_results.json"):
        values = [untimed(folder / run / name) for run in ("stock", "plain")]
        assert values[0] == values[1] != {}
    for name in ("predictions.txt", "config.json", "tokenizer.json"):
        assert (folder / "stock" / name).read_bytes() == (folder / "plain" / name).read_bytes()
    assert weights(folder / "small")["model.safetensors"] != stock["model.safetensors"]  # the control


def test_every_verb_of_the_script_left_its_file(folder):
    names = {"train_results.json", "eval_results.json", "all_results.json", "trainer_state.json", "predictions.txt"}
    names |= {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    for run in ("stock", "small"):
        assert names <= {path.name for path in (folder / run).iterdir()}
    log = json.loads((folder / "small" / "trainer_state.json").read_text())["log_history"]
    assert any("loss_distill" in entry and "sparsity" in entry for entry in log)


def test_the_pruned_model_reloads_and_answers_as_the_script_did(folder):
    small = AutoModelForSequenceClassification.from_pretrained(folder / "small")
    dense = AutoModelForSequenceClassification.from_pretrained(folder / "dense")
    gone = 1 - prunable_weights(layers_of(small)) / prunable_weights(layers_of(dense))
    assert gone == pytest.approx(0.5, abs=0.005)
    classify = pipeline("text-classification", small, tokenizer=AutoTokenizer.from_pretrained(folder / "small"))
    lines = (folder / "small" / "predictions.txt").read_text().splitlines()[1:]
    with (folder / "test.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert [line.split("\t")[1] for line in lines] == [answer["label"] for answer in classify(texts)]
    assert len({line.split("\t")[1] for line in lines}) > 1
    assert "unknown" not in small.config.label2id


def test_a_script_that_finds_its_last_checkpoint_ends_with_the_same_bytes(folder):
    """Started again with a file in place of the command line."""
    whole, resumed = weights(folder / "small"), weights(folder / "resumed")
    assert "checkpoint-12/model.safetensors" not in resumed
    assert resumed.items() <= whole.items()
    assert {"model.safetensors", "checkpoint-60/model.safetensors"} <= resumed.keys()
    assert untimed(folder / "small" / "eval_results.json") == untimed(folder / "resumed" / "eval_results.json")


def test_the_card_says_what_the_script_says_of_it(folder):
    """The stock card names the folder of the base model; ours, of a compressed model, tells no path of this machine."""
    stock, small = (ModelCard.load(folder / run / "README.md") for run in ("stock", "small"))
    assert stock.data.language == small.data.language == ["mr"]
    assert "generated_from_trainer" in stock.data.tags
    assert "pruned" in small.data.tags
    assert stock.data.base_model == str(folder / "dense")
    assert small.data.base_model is None
    assert str(folder) not in small.content


def test_a_wrong_value_ends_the_script_before_training(folder):
    output = (folder / "output.txt").read_text()
    assert output.strip().endswith("ValueError: prune_sparsity must be in [0, 1); 0.5 removes half, got 1.5.")
    assert not (folder / "wrong").exists()
