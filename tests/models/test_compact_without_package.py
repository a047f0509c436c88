"""Compact models without this package: loaded, used and saved by a process that cannot import it."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)

pytestmark = pytest.mark.slow

# One of every kind of architecture, and the other tasks.
LOADED_THERE = dict.fromkeys(
    ("albert", "bert", "deberta-v2", "distilbert", "modernbert", "mpnet"), AutoModelForSequenceClassification
) | {"bert tokens": AutoModelForTokenClassification, "bert spans": AutoModelForQuestionAnswering}

PIPELINES = ("bert", "deberta-v2")


@pytest.fixture
def compact(tiny_model, cut):
    """`compact(name)`: a model with an empty layer and another, named labels, and its logits."""

    def make(name):
        spans = {"num_labels": 2} if name == "bert spans" else {}
        model = tiny_model(name.split()[0], auto_class=LOADED_THERE[name], **spans)
        model.config.id2label = dict(enumerate("abc"[: model.config.num_labels]))
        model.config.label2id = {label: index for index, label in model.config.id2label.items()}
        return cut(model, [[], [1, 3]], [[], [0, 5, 9]])

    return make


def answers(model, batch):
    with torch.inference_mode():
        return {name: value for name, value in model(**batch).items() if name.endswith("logits")}


WITHOUT_PACKAGE = """
import json, sys
from pathlib import Path

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "trainer_ext":
            raise ImportError("trainer_ext is not installed here")

sys.meta_path.insert(0, Blocker())

import torch
from safetensors.torch import load_file, save_file
import transformers

torch.set_num_threads(1)

def answers(model, batch, prefix):
    with torch.inference_mode():
        return {prefix + name: value.contiguous() for name, value in model(**batch).items() if name.endswith("logits")}

found = {}
for name, auto_class in json.loads(sys.argv[1]).items():
    folder, auto_class = Path(name), getattr(transformers, auto_class)
    batch = load_file(folder / "batch.safetensors")
    try:
        auto_class.from_pretrained(folder, trust_remote_code=False)
        refused = "no"
    except ValueError as error:
        refused = str(error)
    model = auto_class.from_pretrained(folder, trust_remote_code=True).eval()
    again = folder / "again"
    model.save_pretrained(again)
    reloaded = auto_class.from_pretrained(again, trust_remote_code=True).eval()
    save_file(answers(model, batch, "first ") | answers(reloaded, batch, "second "), folder / "logits.safetensors")
    found[name] = {
        "refused": refused, "module": type(model).__module__,
        "files": sorted(file.name for file in again.iterdir()),
    }
for name in json.loads(sys.argv[2]):
    pipe = transformers.pipeline("text-classification", model=name, trust_remote_code=True)
    found[name]["answers"] = pipe(["w1 w2 w3", "w100 w9"])
try:
    import trainer_ext
    found["blocked"] = False
except ImportError:
    found["blocked"] = not any(name.split(".")[0] == "trainer_ext" for name in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {f"w{index}": index for index in range(2, 128)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_input_names=inputs
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("without_package")


@pytest.fixture
def without_package(home, compact, tiny_batch, tokenizer):
    """The results of one process that cannot import this package, for the folders in `home`."""
    answer = home / "found.json"
    if not answer.exists():
        for name in LOADED_THERE:
            model = compact(name)
            model.save_pretrained(home / name)
            tokenizer.save_pretrained(home / name)
            save_file(tiny_batch(model), home / name / "batch.safetensors")
        (home / "without_package.py").write_text(WITHOUT_PACKAGE)
        arguments = ({name: auto_class.__name__ for name, auto_class in LOADED_THERE.items()}, PIPELINES)
        done = subprocess.run(
            [sys.executable, "-I", "without_package.py", *map(json.dumps, arguments)],
            cwd=home,
            env={**os.environ, "HF_MODULES_CACHE": str(home / "modules"), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answer.write_text(done.stdout.splitlines()[-1])
    return json.loads(answer.read_text())


@pytest.mark.parametrize("name", LOADED_THERE)
def test_it_loads_without_this_package(compact, tiny_batch, home, without_package, name):
    assert without_package["blocked"]
    here, there = compact(name), without_package[name]
    logits, expected = load_file(home / name / "logits.safetensors"), answers(here, tiny_batch(here))
    assert len(logits) == 2 * len(expected) > 0
    for key, value in expected.items():
        assert torch.equal(logits[f"first {key}"], value)
        assert torch.equal(logits[f"second {key}"], value)  # saved there and opened again
    assert there["module"].startswith("transformers_modules.")
    assert there["files"] == ["config.json", "model.safetensors", "modeling_compact.py"]
    assert "trust_remote_code=True" in there["refused"]


@pytest.mark.parametrize("name", LOADED_THERE)
def test_a_model_saved_there_loads_here(compact, tiny_batch, home, without_package, name):
    opened, here = LOADED_THERE[name].from_pretrained(home / name / "again"), compact(name)
    assert type(opened) is type(here)
    found, expected = answers(opened, tiny_batch(here)), answers(here, tiny_batch(here))
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_there_gives_the_scores_of_the_model_here(compact, tokenizer, without_package, name):
    here = compact(name)
    for text, answer in zip(["w1 w2 w3", "w100 w9"], without_package[name]["answers"], strict=True):
        with torch.inference_mode():
            scores = here(**tokenizer(text, return_tensors="pt")).logits.softmax(1)[0]
        assert answer["label"] == here.config.id2label[scores.argmax().item()]
        assert answer["score"] == pytest.approx(scores.max().item(), abs=1e-6)
