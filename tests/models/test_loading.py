"""Loading: models as people have them open with their weights, in every command, or are refused."""

import json
import pickle
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from tests.helpers.commands import recipe_fields, run_command, write_recipe
from tests.helpers.training import PRUNE, make_trainer, new_model
from tests.inputs.bad_models import Marks
from tests.inputs.bad_tokenizers import without
from tests.inputs.ground import Ground, change_json
from trainer_ext import InputError
from trainer_ext.models import outputs
from trainer_ext.models.architectures import ARCHITECTURES
from trainer_ext.models.compact.fresh_process import fresh_logits
from trainer_ext.models.loading import (
    HEADS,
    POSITIONS_BEHIND_PADDING,
    check_padding,
    load_model,
    load_tokenizer,
    longest_input,
    longest_text,
    new_head,
)
from trainer_ext.models.stored_weights import weight_files
from trainer_ext.pipeline.scratch import train_tokenizer

OPEN = {"option": "MODEL", "way_out": "give another"}


def to_pickle(folder, *, parts=1, legacy=False):
    """Store the weights of a folder as models of 2021 have them: pytorch_model.bin, whole or in parts."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if parts == 1:
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
        return folder
    names, where = sorted(state), {}
    for part in range(parts):
        file = f"pytorch_model-{part + 1:05d}-of-{parts:05d}.bin"
        where |= dict.fromkeys(names[part::parts], file)
        torch.save({name: state[name] for name in names[part::parts]}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def to_cache(folder, cache, name="user/old"):
    """Put a model where the Hub's client looks for one that it has downloaded."""
    repo = cache / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("0" * 40)
    return name


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub's client, which is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def ground(tmp_path, finished_run):
    """A good model, and data for it."""
    return Ground(tmp_path, finished_run)


@pytest.mark.parametrize("kind", [{}, {"parts": 3}, {"legacy": True}], ids=str)
def test_a_pickle_of_tensors_opens_with_its_weights(kind, tiny_model, tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    opened = load_model(to_pickle(tmp_path, **kind), **OPEN)
    assert all(torch.equal(value, opened.state_dict()[name]) for name, value in model.state_dict().items())
    assert len(weight_files(tmp_path)) == kind.get("parts", 1)
    opened.save_pretrained(tmp_path / "new")
    assert [file.name for file in weight_files(tmp_path / "new")] == ["model.safetensors"]


def test_a_model_of_the_hub_that_has_only_a_pickle_opens(tiny_model, tmp_path, cache):
    model = tiny_model()
    model.save_pretrained(tmp_path / "model")
    opened = load_model(to_cache(to_pickle(tmp_path / "model"), cache), **OPEN)
    assert torch.equal(opened.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state, mark: Marks(mark), "can run code"),
        (lambda state, mark: state | {"more": Marks(mark)}, "can run code"),
        (lambda state, mark: {name: value.to(torch.int64) for name, value in state.items()}, "stored as INT64"),
        (lambda state, mark: {n: v for n, v in state.items() if "query" not in n}, "its weights lack .*query"),
    ],
)
def test_a_bad_pickle_of_the_hub_is_refused(change, says, tiny_model, tmp_path, cache):
    tiny_model().save_pretrained(tmp_path / "model")
    file = to_pickle(tmp_path / "model") / "pytorch_model.bin"
    torch.save(change(torch.load(file, weights_only=True), tmp_path / "ran"), file)
    with pytest.raises(InputError, match=f"^MODEL user/old cannot be opened \\(.*{says}.*give another") as error:
        load_model(to_cache(tmp_path / "model", cache), **OPEN)
    assert "use_safetensors" not in str(error.value), "an option that nobody set"
    assert not (tmp_path / "ran").exists()


def test_the_pickle_of_these_tests_would_run(tmp_path):
    pickle.loads(pickle.dumps(Marks(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_whole_numbers_under_older_names_are_refused(tiny_model, tmp_path):
    """Names without the prefix of the encoder, and gamma for weight, are older names of the same tensors."""
    model = tiny_model()
    model.save_pretrained(tmp_path)
    file = to_pickle(tmp_path) / "pytorch_model.bin"
    for old in (lambda n: n.removeprefix("bert."), lambda n: n.replace("LayerNorm.weight", "LayerNorm.gamma")):
        state = {old(name): value for name, value in model.state_dict().items()}
        torch.save(state, file)
        assert torch.equal(load_model(tmp_path, **OPEN).classifier.weight, model.classifier.weight)
        bad = next(name for name in state if old(name) == name and name.endswith(("gamma", "LayerNorm.weight")))
        torch.save(state | {bad: state[bad].to(torch.int32)}, file)
        with pytest.raises(InputError, match="LayerNorm.weight is stored as INT32"):
            load_model(tmp_path, **OPEN)


TEXTS = "".join(f"the mango of {n}\nmore iron and {n} silver\n" for n in range(100))
DEBERTA = {"pad_id": 0, "pad_piece": "[PAD]", "bos_id": 1, "bos_piece": "[CLS]", "eos_id": 2, "eos_piece": "[SEP]"}
SENTENCEPIECE = {
    "spm.model": ("deberta-v2", DEBERTA | {"unk_id": 3, "unk_piece": "[UNK]"}),
    "spiece.model": (
        "albert",
        {"pad_id": 0, "pad_piece": "<pad>", "unk_id": 1, "bos_id": -1, "eos_id": -1}
        | {"control_symbols": "[CLS],[SEP],[MASK]"},
    ),
    "sentencepiece.bpe.model": ("xlm-roberta", {}),
}


def with_sentencepiece(file, folder, tiny_model):
    """A model whose tokenizer is a file of sentencepiece alone, made from a few texts."""
    import sentencepiece

    model_type, options = SENTENCEPIECE[file]
    tiny_model(model_type).save_pretrained(folder)
    (folder / "texts.txt").write_text(TEXTS, encoding="utf-8")
    options = {"vocab_size": 110, "hard_vocab_limit": False, "minloglevel": 2, "model_type": "unigram"} | options
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts.txt"), model_prefix=str(folder / "new"), **options
    )
    (folder / "new.model").rename(folder / file)
    (folder / "new.vocab").unlink()
    return folder


@pytest.mark.parametrize("file", SENTENCEPIECE)
def test_a_tokenizer_of_sentencepiece_alone_opens(file, tiny_model, tmp_path, monkeypatch, capsys):
    folder = with_sentencepiece(file, tmp_path / "model", tiny_model)
    tokenizer = load_tokenizer(folder, way_out="give another", rows=128)
    assert tokenizer.is_fast
    assert tokenizer.pad_token
    ids = tokenizer("the mango of 7").input_ids
    assert len(ids) > 4
    assert tokenizer.unk_token_id not in ids
    words = ["trim", folder, tmp_path / "out", "--size", len(tokenizer) - 2, "--corpus", folder / "texts.txt"]
    status, _, err = run_command(monkeypatch, capsys, *words)
    assert status == 0, err
    assert (tmp_path / "out/tokenizer.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["trim", "benchmark"])
def test_what_pads_no_batch_needs_no_padding_token(command, ground, monkeypatch, capsys):
    model, texts = ground.model("baseline"), ground.file("corpus.txt", TEXTS)
    without("pad_token")(model)
    with pytest.raises(InputError, match="has no padding token"):
        load_tokenizer(model, way_out="give another")
    words = {
        "trim": ["trim", model, ground.out, "--size", 110, "--corpus", texts],
        "benchmark": ["benchmark", model, "--texts", texts, "--batch-size", 2, "--repeats", 3, "--no-memory"],
    }
    status, _, err = run_command(monkeypatch, capsys, *words[command])
    assert status == 0, err


@pytest.mark.parametrize(
    ("model_type", "changes", "longest"),
    [
        ("bert", {}, 40),
        ("roberta", {"pad_token_id": 1}, 38),
        ("xlm-roberta", {"pad_token_id": 1}, 38),
        ("mpnet", {"pad_token_id": 1}, 38),
        ("mpnet", {"pad_token_id": 0}, 38),
        ("deberta-v2", {"position_biased_input": True}, 40),
        ("deberta-v2", {"position_biased_input": False}, None),
    ],
)
def test_the_longest_text_is_as_long_as_a_model_reads(model_type, changes, longest, tiny_model):
    model = tiny_model(model_type, **changes)
    assert longest_text(model.config) == longest
    logits = model(torch.full((1, longest or 90), 5)).logits
    assert logits.isfinite().all()
    if longest:
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, longest + 1), 5))


@pytest.mark.parametrize(
    ("limit", "positions", "longest"),
    [(24, 40, 24), (64, 40, 40), (64, None, 64), (int(1e30), 40, 40), (int(1e30), None, 512), (None, None, 512)],
)
def test_the_longest_input_is_what_tokenizer_and_model_allow(limit, positions, longest):
    """transformers gives a tokenizer without a limit one of 10^30."""
    tokenizer = train_tokenizer(["a text"], vocab_size=60)
    tokenizer.model_max_length = limit
    assert longest_input(tokenizer, positions) == longest


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", [{"return_dict": False}, {"output_hidden_states": True}, {"output_attentions": True}], ids=str
)
def test_what_a_config_says_of_the_outputs_changes_nothing(form, tiny_model, tiny_batch, tmp_path):
    """It is for the code of its author; the model is the same."""
    model = tiny_model()
    model.save_pretrained(tmp_path)
    change_json(tmp_path / "config.json", **form)
    opened, batch = load_model(tmp_path, **OPEN), tiny_batch(model)
    assert torch.equal(outputs.logits(opened, batch), outputs.logits(model, batch))
    assert set(opened(**batch)) == {"logits"}
    if "output_attentions" not in form:  # transformers does not open that one without asking for eager attention
        there, here = fresh_logits(tmp_path, batch), outputs.logits(model, batch)
        assert (there - here).abs().max() <= outputs.allowed_difference(here)  # its number of threads may differ
    opened.save_pretrained(tmp_path / "new")  # transformers refuses to save what output_attentions does not fit
    assert not form.items() <= json.loads((tmp_path / "new/config.json").read_text()).items()


@pytest.mark.parametrize("model_type", ARCHITECTURES)
@pytest.mark.parametrize("labels", [3, 2])
def test_a_fresh_head_has_no_stored_weight_and_the_encoder_all_of_them(model_type, labels, tiny_model, tmp_path):
    model = tiny_model(model_type)  # three labels, and no weight is that of a start
    model.save_pretrained(tmp_path)
    torch.manual_seed(3)
    found = load_model(tmp_path, **OPEN, fresh=True, num_labels=labels)
    heads = 0
    for name, value in found.named_parameters():
        stored = model.get_parameter(name)
        if name.startswith(f"{model.base_model_prefix}."):
            assert torch.equal(value, stored)
            continue
        heads += 1
        assert not torch.equal(value, stored)
        assert not value.any() if name.endswith("bias") else value.std() < 0.2  # 0.3 in the stored one
    assert heads
    assert found.config.num_labels == labels == found(torch.ones(1, 4, dtype=torch.long)).logits.shape[-1]
    assert new_head(found)
    torch.manual_seed(3)
    again = load_model(tmp_path, **OPEN, fresh=True, num_labels=labels).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in found.state_dict().items())
    change_json(tmp_path / "config.json", architectures=None)
    torch.manual_seed(3)
    again = load_model(tmp_path, **OPEN, fresh=True, num_labels=labels).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in found.state_dict().items()), (
        "a head is one without a name"
    )
    if labels != 3:
        with pytest.raises(InputError, match=r"the shape \[3.*but its config asks for \[2"):
            load_model(tmp_path, **OPEN, num_labels=labels)


@pytest.mark.parametrize("model_type", ["bert", "modernbert"])
def test_a_model_without_a_head_starts_with_the_one_that_transformers_makes(model_type, tiny_model, tmp_path):
    tiny_model(model_type, auto_class=AutoModelForMaskedLM).save_pretrained(tmp_path)
    found = []
    for options in ({}, {"fresh": True}):
        torch.manual_seed(3)
        found.append(load_model(tmp_path, **OPEN, head=HEADS[0], **options).state_dict())
    torch.manual_seed(3)
    found.append(AutoModelForSequenceClassification.from_pretrained(tmp_path).state_dict())
    assert all(torch.equal(value, other[name]) for other in found[1:] for name, value in found[0].items())


@pytest.mark.parametrize("model_type", sorted({*POSITIONS_BEHIND_PADDING, "bert", "modernbert"}))
def test_a_padding_token_moves_positions_in_some_architectures(model_type, tiny_model, tmp_path):
    """Those are refused with a tokenizer that pads with another token; the others may differ."""
    model = tiny_model(model_type, pad_token_id=1)
    other = type(model)(type(model.config)(**model.config.to_dict() | {"pad_token_id": 7}))
    other.load_state_dict(model.state_dict())
    ids = torch.tensor([[7, 2, 3, 1, 4]])
    moved = not torch.allclose(model(ids).logits, other.eval()(ids).logits, atol=1e-5)
    assert moved is (model_type in POSITIONS_BEHIND_PADDING and model_type != "mpnet")
    for tokenizer, refused in ((SimpleNamespace(pad_token_id=7), moved), (SimpleNamespace(pad_token_id=1), False)):
        with pytest.raises(InputError, match="pad_token_id 1 .* pads with 7") if refused else nullcontext():
            check_padding(model, tokenizer)
    model.save_pretrained(tmp_path)
    change_json(tmp_path / "config.json", pad_token_id=None)
    with pytest.raises(InputError, match="no pad_token_id, from which") if moved else nullcontext():
        load_model(tmp_path, **OPEN)


def commands(ground):
    """Each command that opens a model, with the file that it writes."""
    model = to_pickle(ground.model("baseline"))
    corpus = ground.file("corpus.txt", "".join(f"the mango of {n}\nmore iron and {n}\n" for n in range(40)))
    files = {"compress": ground.out / "baseline", "teacher": ground.out / "baseline", "trim": ground.out}
    words = {
        "compress": ground.recipe(model_name_or_path=str(model), num_train_epochs=1),
        "benchmark": ["benchmark", model, "--batch-size", 1, "--repeats", 3, "--no-memory"],
        "export": ["export", model, "--format", "onnx"],
        "check": ["check", model],
        "trim": ["trim", model, ground.out, "--size", 110, "--corpus", corpus],
    }
    return words, files


@pytest.mark.parametrize(
    "command",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("compress", "check")), "benchmark", "export", "trim"],
)
def test_every_command_opens_a_pickle(command, ground, monkeypatch, capsys):
    words, files = commands(ground)
    if command == "export":
        (ground.root / "model/tokenizer.json").rename(ground.root / "kept")  # nor had they that in 2021
        names = json.loads((ground.root / "kept").read_text())["model"]["vocab"]
        ground.file("model/vocab.txt", "\n".join(sorted(names, key=names.get)))
        ground.file("model/tokenizer_config.json", '{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')
    status, out, err = run_command(monkeypatch, capsys, *words[command])
    assert status == 0, err
    if command in files:
        assert (files[command] / "model.safetensors").is_file()
        assert not list(ground.out.rglob("pytorch_model*"))


@pytest.mark.slow
def test_a_teacher_may_be_a_pickle(ground, monkeypatch, capsys, tmp_path):
    to_pickle(ground.model("baseline"))
    fields = recipe_fields(ground.root / "data", ground.out, distill_teacher=str(ground.root / "model"))
    fields |= {"model_name_or_path": str(ground.finished / "baseline"), "num_train_epochs": 1}
    status, _, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "r.yaml", fields))
    assert status == 0, err


def test_a_script_whose_teacher_is_a_pickle(tmp_path):
    new_model(seed=1).save_pretrained(tmp_path / "teacher")
    teacher = to_pickle(tmp_path / "teacher")
    trainer = make_trainer(tmp_path / "out", distill_teacher=str(teacher), max_steps=2, **PRUNE)
    trainer.train()
    trainer.save_model(tmp_path / "small")
    assert (tmp_path / "small/model.safetensors").is_file()
