"""Trim: the command writes a model with the same logits, or nothing; bad input is a one-line error with exit status 2."""

import re

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.helpers.commands import run_command
from tests.helpers.precision import bf16_products
from tests.helpers.tiny_models import build
from tests.helpers.vocabularies import ALL, MARATHI, tokenizer_of
from trainer_ext.vocabulary import checkpoint as trimming, trim as vocabulary


@pytest.fixture
def folder(tmp_path):
    """`folder(kind)`: a model with its tokenizer, and a corpus in the folder above."""

    def write(kind="bert", auto_class=AutoModelForSequenceClassification):
        tokenizer = tokenizer_of(kind)
        model = build(kind, auto_class=auto_class, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        (tmp_path / "corpus.txt").write_text("\n".join(MARATHI * 2), encoding="utf-8")
        (tmp_path / "unseen.txt").write_text("\n".join(ALL), encoding="utf-8")
        return tmp_path / "model"

    return write


def trim(monkeypatch, capsys, model, size, *words):
    corpus = ("--corpus", model.parent / "corpus.txt", "--held-out", model.parent / "unseen.txt")
    return run_command(monkeypatch, capsys, "trim", model, model.parent / "out", "--size", size, *(words or corpus))


@pytest.mark.parametrize(
    ("kind", "auto_class", "size"),
    [
        ("bert", AutoModelForSequenceClassification, 250),
        ("electra", AutoModelForMaskedLM, 250),
        ("roberta", AutoModel, 450),
        ("xlm-roberta", AutoModelForMaskedLM, 150),
    ],
)
def test_a_model_is_cut_and_written_with_its_tokenizer(kind, auto_class, size, folder, monkeypatch, capsys):
    model = folder(kind, auto_class)
    status, out, err = trim(monkeypatch, capsys, model, size)
    assert status == 0, err
    tokenizer, reloaded = AutoTokenizer.from_pretrained(model.parent / "out"), None
    reloaded = auto_class.from_pretrained(model.parent / "out").eval()
    assert reloaded.config.architectures == AutoConfig.from_pretrained(model).architectures  # no head more, none less
    assert len(tokenizer) == reloaded.config.vocab_size == size
    assert re.search(rf"vocabulary, tokens +│ +{len(tokenizer_of(kind))} +│ +{size} ", out)
    assert "tokenized differently, of 21 held-out texts" in out
    batches = (old(MARATHI[0], return_tensors="pt") for old in (tokenizer_of(kind), tokenizer))
    models = (auto_class.from_pretrained(model).eval(), reloaded)
    with torch.no_grad():
        before, after = (one.base_model(**batch)[0] for one, batch in zip(models, batches, strict=True))
    torch.testing.assert_close(before, after)


def test_auto_finds_a_size(folder, monkeypatch, capsys):
    """Held-out texts in other languages need all their tokens."""
    model = folder()
    words = ("--corpus", model.parent / "corpus.txt", "--held-out")
    sizes = []
    for held_out in ("corpus.txt", "unseen.txt"):
        target = model.parent / held_out.removesuffix(".txt")
        status, out, err = run_command(
            monkeypatch, capsys, "trim", model, target, "--vocab_size", "auto", *words, model.parent / held_out
        )
        assert status == 0, err
        assert "0.0%" in out
        sizes.append(AutoConfig.from_pretrained(target).vocab_size)
    assert sizes[0] < sizes[1] < len(tokenizer_of("bert"))


def test_a_part_of_the_corpus_is_held_out(folder, monkeypatch, capsys):
    model = folder()
    status, out, err = trim(monkeypatch, capsys, model, 250, "--corpus", model.parent / "unseen.txt")
    assert status == 0, err
    assert "of 2 held-out texts" in out


def test_a_model_with_other_logits_is_not_written(folder, monkeypatch, capsys):
    def wrong_rows(model, trimmed):
        vocabulary.trim_model(model, trimmed)
        with torch.no_grad():
            model.get_input_embeddings().weight[20:, ::2] += 0.1  # LayerNorm would take off what all columns have more

    monkeypatch.setattr(trimming, "trim_model", wrong_rows)
    model = folder()
    status, _, err = trim(monkeypatch, capsys, model, 250)
    assert status == 1
    assert "texts whose tokens are all kept differ by" in err
    assert {path.name for path in model.parent.iterdir()} == {"model", "corpus.txt", "unseen.txt"}


@pytest.mark.parametrize(("off", "status"), [(2e-4, 0), (2e-2, 1)])
def test_large_logits_may_differ_by_as_many_bits(folder, monkeypatch, capsys, off, status):
    def rounded(model, trimmed):
        vocabulary.trim_model(model, trimmed)
        model.classifier.bias.data += off

    monkeypatch.setattr(trimming, "trim_model", rounded)
    path = folder()
    model = AutoModelForSequenceClassification.from_pretrained(path)
    model.classifier.bias.data += 1000  # of which fp32 has multiples of 6e-5
    model.save_pretrained(path)
    assert trim(monkeypatch, capsys, path, 250)[0] == status


def test_bad_input_is_a_one_line_error_and_leaves_nothing(folder, monkeypatch, capsys):
    model = folder()
    root = model.parent
    corpus = ("--corpus", root / "corpus.txt", "--held-out", root / "unseen.txt")
    (root / "empty.txt").write_text("\n", encoding="utf-8")
    (root / "few.txt").write_text("\n".join(MARATHI[:5]), encoding="utf-8")
    (root / "georgian.txt").write_text("დღეს წვიმს და ქარი ქრის\n" * 20, encoding="utf-8")
    (root / "slow").mkdir()
    there = sorted(root.rglob("*"))
    for size, words, message in (
        (1, corpus, r"size of 1 is too small: \d+ tokens must stay"),
        ("many", corpus, "--size must be a number of tokens or 'auto', got 'many'"),
        (4000, corpus, "size 4000 is above the 420 tokens"),
        (200, ("--corpus", root / "empty.txt"), "is empty"),
        (200, ("--corpus", root / "few.txt"), "leaves none to hold out.* or a file with --held-out"),
        (200, ("--corpus", root / "nowhere.txt"), "There is no file or folder"),
        (200, ("--corpus", root / "georgian.txt", *corpus[2:]), "has no pieces for 100% of the corpus"),
    ):
        status, _, err = trim(monkeypatch, capsys, model, size, *words)
        assert status == 2, err
        assert re.search(message, err.strip().splitlines()[-1])
    for source, target, message in (
        (model, model, "is not an empty folder"),
        (model, root / "few.txt" / "out", "Cannot write to"),
        (root / "nothing", root / "out", "there is no such folder"),
        (root / "slow", root / "out", "cannot be opened"),
    ):
        status, _, err = run_command(monkeypatch, capsys, "trim", source, target, "--size", 250, *corpus)
        assert status == 2, err
        assert message in err.strip().splitlines()[-1]
    assert sorted(root.rglob("*")) == there


def test_models_without_tokenizer_or_with_masks_are_an_error(folder, monkeypatch, capsys, masked):
    model = folder()
    for file in model.glob("tokenizer*"):
        file.unlink()
    status, _, err = trim(monkeypatch, capsys, model, 250)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    masked("bert", config={"vocab_size": 420}).save_pretrained(model)
    status, _, err = trim(monkeypatch, capsys, model, 250)
    assert status == 2
    assert "finish the run, then trim the result" in err


def test_the_logits_are_compared_in_full_precision(folder, monkeypatch):
    model, seen, outputs = folder(), [], trimming._outputs
    monkeypatch.setattr(
        trimming, "_outputs", lambda *args: seen.append(torch.get_float32_matmul_precision()) or outputs(*args)
    )
    texts = {"corpus": [model.parent / "corpus.txt"], "held_out": model.parent / "unseen.txt"}
    with bf16_products():
        trimming.trim_checkpoint(str(model), model.parent / "out", size=250, **texts)
    assert seen == ["highest", "highest"]
