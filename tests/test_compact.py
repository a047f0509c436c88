"""Compact models: saved and opened again they are equal, here and where this package is not installed."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from trainer_ext import equivalence, masks
from trainer_ext.compact import modeling_compact
from trainer_ext.families import layers_of
from trainer_ext.family_names import MODEL_TYPES
from trainer_ext.shrink import shrink

every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)
ABROAD = ("bert", "distilbert")  # opened in a process without this package


@pytest.fixture
def compact(tiny_model):
    """`compact(model_type)`: different heads and widths in every layer, with labels that have names."""

    def make(model_type="bert"):
        model = tiny_model(model_type)
        model.config.id2label, model.config.label2id = {0: "a", 1: "b", 2: "c"}, {"a": 0, "b": 1, "c": 2}
        first, second = layers_of(model)
        with torch.no_grad():
            first.value.weight[:16] = 0
            for matrix in first.neuron_rows:
                matrix.weight[3:50] = 0
            second.attention_output.weight[:, 8:16] = 0
            second.ffn_out.weight[:, 60:] = 0
        return shrink(model)[0]

    return make


@pytest.fixture
def edited(compact, tmp_path):
    """`edited(change)`: a saved compact model whose `compact_linears` went through `change`."""

    def make(change):
        compact().save_pretrained(tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        change(config["compact_linears"])
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


@every_family
def test_saved_and_opened_it_is_equal(compact, tiny_batch, tmp_path, model_type):
    model = compact(model_type)
    model.save_pretrained(tmp_path)
    opened, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert equivalence.max_logit_difference(model, opened, tiny_batch(model)) == 0
    assert type(opened) is type(model)
    assert [(x.heads, x.neurons) for x in layers_of(opened)] == [(2, 17), (3, 60)]
    assert opened.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert opened.config.architectures == [type(model).__name__]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "modeling_compact.py",
    ]


@every_family
def test_its_encoder_and_its_configuration_open_too(compact, tiny_batch, tmp_path, model_type):
    model = compact(model_type)
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.model_type == f"compact-{model_type}"
    assert config.compact_linears == model.config.compact_linears
    encoder = AutoModel.from_pretrained(tmp_path)
    with torch.inference_mode():
        states = [x(**tiny_batch(model)).last_hidden_state for x in (model.base_model, encoder)]
    assert torch.equal(*states)


def test_a_compact_model_is_smaller_on_disk(compact, tiny_model, tmp_path):
    sizes = []
    for name, model in (("small", compact()), ("full", tiny_model())):
        model.save_pretrained(tmp_path / name)
        sizes.append((tmp_path / name / "model.safetensors").stat().st_size)
    assert sizes[0] < 0.75 * sizes[1]


@every_family
def test_masks_on_a_compact_model_survive_saving(compact, tiny_batch, make_spec, tmp_path, model_type):
    model = masks.attach(compact(model_type), make_spec(method="magnitude", sparsity=0.3))
    masks.set_sparsity(model, 0.2)
    model.save_pretrained(tmp_path)
    opened = masks.load_masked(tmp_path)
    assert equivalence.max_logit_difference(model, opened, tiny_batch(model)) == 0
    assert masks.current_sparsity(opened) == masks.current_sparsity(model) > 0.15


def test_stock_classes_do_not_open_it(compact, tmp_path):
    from transformers import BertForSequenceClassification

    compact().save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch|mismatched|ignore_mismatched_sizes"):
        BertForSequenceClassification.from_pretrained(tmp_path)


# A configuration is what anybody wrote: it must not be believed


@pytest.mark.parametrize("size", [[15, 32], [17, 31], [64, 32], [1, 32], [0, 32]])
def test_a_configuration_that_lies_about_a_size_is_refused(edited, size):
    folder = edited(lambda linears: linears.update({"encoder.layer.0.intermediate.dense": size}))
    with pytest.raises(RuntimeError, match="mismatched|size mismatch|ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)


def test_a_configuration_that_forgets_a_size_is_refused(edited):
    folder = edited(lambda linears: linears.pop("encoder.layer.0.intermediate.dense"))
    with pytest.raises(RuntimeError, match="mismatched|size mismatch|ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize(
    "path", ["encoder.layer.9.output.dense", "encoder.layer.0", "encoder", "", "a.b", "__class__"]
)
def test_a_path_that_is_no_linear_is_refused(edited, path):
    folder = edited(lambda linears: linears.update({path: [4, 4]}))
    with pytest.raises(ValueError, match=f"compact_linears names '{path}', which is no Linear of CompactBert"):
        AutoModelForSequenceClassification.from_pretrained(folder)


@pytest.mark.parametrize("size", [[17], [17, 32, 1], [-17, 32], [17.0, 32], ["17", "32"], []])
def test_a_size_that_is_no_pair_of_whole_numbers_is_refused(edited, size):
    folder = edited(lambda linears: linears.update({"encoder.layer.0.intermediate.dense": size}))
    with pytest.raises(ValueError, match=r"intermediate.dense'\] must be \[out_features, in_features\], got"):
        AutoModelForSequenceClassification.from_pretrained(folder)


# The file that travels


def test_the_file_needs_transformers_torch_and_the_standard_library():
    def needed(source):
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add("." if node.level else node.module.split(".")[0])
        return found - set(sys.stdlib_module_names)

    source = Path(modeling_compact.__file__).read_text(encoding="utf-8")
    assert needed(source) == {"torch", "transformers"}
    assert needed("def f():\n    from ..families import x\n    import numpy.linalg, os") == {".", "numpy"}


def test_the_file_offers_every_stock_class_and_nothing_else():
    assert modeling_compact.CompactBertConfig is modeling_compact.compact_config(
        AutoConfig.for_model("bert").__class__
    )
    assert modeling_compact.CompactRobertaModel is modeling_compact.CompactRobertaModel
    for name in ("CompactNothing", "BertModel", "Compact", "nothing"):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
            getattr(modeling_compact, name)


# Where this package is not installed

STRANGER = """
import json, sys
from pathlib import Path

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "trainer_ext":
            raise ImportError("trainer_ext is not installed here")

sys.meta_path.insert(0, Blocker())

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, pipeline

torch.set_num_threads(1)
found = {}
for folder in map(Path, sys.argv[1:]):
    batch = load_file(folder / "batch.safetensors")
    try:
        AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)
        refused = "no"
    except ValueError as error:
        refused = str(error)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
    again = folder / "again"
    model.save_pretrained(again)
    reloaded = AutoModelForSequenceClassification.from_pretrained(again, trust_remote_code=True).eval()
    with torch.inference_mode():
        logits = {"first": model(**batch).logits, "second": reloaded(**batch).logits}
    save_file(logits, folder / "logits.safetensors")
    pipe = pipeline("text-classification", model=str(folder), trust_remote_code=True)
    found[folder.name] = {
        "refused": refused, "answers": pipe(["w1 w2 w3", "w100 w9"]), "module": type(model).__module__,
        "files": sorted(file.name for file in again.iterdir()),
    }
try:
    import trainer_ext
    found["blocked"] = False
except ImportError:
    found["blocked"] = not any(name.split(".")[0] == "trainer_ext" for name in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def abroad(tmp_path_factory):
    """Two saved compact models, opened by one process that cannot import this package; what it found."""
    home = tmp_path_factory.mktemp("abroad")

    def run(models, tokenizer):
        answer = home / "found.json"
        if not answer.exists():
            for name, (model, batch) in models().items():
                model.save_pretrained(home / name)
                tokenizer.save_pretrained(home / name)
                save_file(batch, home / name / "batch.safetensors")
            (home / "stranger.py").write_text(STRANGER)
            done = subprocess.run(
                [sys.executable, "-I", "stranger.py", *ABROAD],
                cwd=home,
                env={**os.environ, "HF_MODULES_CACHE": str(home / "modules"), "HF_HUB_OFFLINE": "1"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            answer.write_text(done.stdout.splitlines()[-1])
        return home, json.loads(answer.read_text())

    return run


@pytest.fixture(scope="module")
def tokenizer():
    vocabulary = {"[PAD]": 0, "[UNK]": 1} | {f"w{index}": index for index in range(2, 128)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    inputs = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_input_names=inputs
    )


@pytest.mark.parametrize("model_type", ABROAD)
def test_it_opens_without_this_package(compact, tiny_batch, tokenizer, abroad, model_type):
    def saved():
        return {name: (compact(name), tiny_batch(compact(name))) for name in ABROAD}

    home, found = abroad(saved, tokenizer)
    assert found["blocked"]
    here, there = compact(model_type), found[model_type]
    expected = equivalence.logits(here, tiny_batch(here))
    logits = load_file(home / model_type / "logits.safetensors")
    assert torch.equal(logits["first"], expected)
    assert torch.equal(logits["second"], expected)  # saved there and opened again
    assert there["module"].startswith("transformers_modules.")
    assert there["files"] == ["config.json", "model.safetensors", "modeling_compact.py"]
    assert "trust_remote_code=True" in there["refused"]
    for text, answer in zip(["w1 w2 w3", "w100 w9"], there["answers"], strict=True):
        with torch.inference_mode():
            scores = here(**tokenizer(text, return_tensors="pt")).logits.softmax(1)[0]
        assert answer["label"] == here.config.id2label[scores.argmax().item()]
        assert answer["score"] == pytest.approx(scores.max().item(), abs=1e-6)


@pytest.mark.parametrize("model_type", ABROAD)
def test_what_was_saved_there_opens_here(compact, tiny_batch, tokenizer, abroad, model_type):
    home, _ = abroad(lambda: {name: (compact(name), tiny_batch(compact(name))) for name in ABROAD}, tokenizer)
    opened = AutoModelForSequenceClassification.from_pretrained(home / model_type / "again")
    assert type(opened) is type(compact(model_type))
    assert equivalence.max_logit_difference(opened, compact(model_type), tiny_batch(opened)) == 0
