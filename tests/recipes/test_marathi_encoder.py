"""Marathi encoder: no sign is lost, the start's layers are kept, a killed run goes on to the same weights."""

import json
import os
import random

import pytest
import torch
from datasets.utils.logging import disable_progress_bar
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    BertModel,
    DataCollatorForLanguageModeling,
    TrainerCallback,
)
from typer.testing import CliRunner

from recipes.tools import initial_weights, marathi_encoder
from recipes.tools.initial_weights import token_vectors
from tests.helpers.tiny_models import build
from trainer_ext.errors import InputError
from trainer_ext.pipeline.scratch import train_tokenizer

WORDS = "पाऊस शेतकऱ्यांना मुख्यमंत्र्यांनी विद्यार्थ्यांच्या शाळेत आज नवीन पुस्तक वाचले आणि १२ दिवसांनी परत दिले , खेळाडू".split()
SIGNS = "शेतकऱ्यांच्या मुख्यमंत्र्यांनी खेळाडू"
TINY = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 64}


@pytest.fixture(scope="module")
def lines():
    """300 different lines of 8 words each, invented."""
    choose = random.Random(0)
    return [" ".join([*choose.choices(WORDS, k=7), str(number)]) for number in range(300)]


@pytest.fixture
def corpus(tmp_path, lines):
    """A folder with the lines."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A BERT encoder of three layers whose vocabulary is English."""
    folder = tmp_path_factory.mktemp("start")
    old = train_tokenizer(["the rain , 12 books and 12 days"] * 3, vocab_size=128, max_length=64)
    config = build("bert", auto_class=AutoModelForSequenceClassification, **TINY, vocab_size=len(old)).config
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    old.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _quiet():
    disable_progress_bar()


def run(out, corpus, *words):
    given = ["--vocab-size", "150", "--block", "16", "--epochs", "1", "--batch-size", "32", "--no-bf16", *words]
    return CliRunner().invoke(marathi_encoder.app, [str(out), str(corpus), *map(str, given)])


def test_a_run_leaves_an_encoder_that_a_classifier_starts_from(tmp_path, corpus, start):
    done = run(tmp_path / "out", corpus, "--start", start, "--layers", 2, "--save-steps", 4, "--learning-rate", 0.01)
    assert done.exit_code == 0, done.output
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer(SIGNS)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == SIGNS
    assert tokenizer.model_max_length == TINY["max_position_embeddings"]
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", num_labels=12)
    assert (model.config.num_hidden_layers, model.config.vocab_size) == (2, len(tokenizer))
    assert model.config.hidden_dropout_prob == marathi_encoder.DROPOUT
    figures = json.loads((tmp_path / "out" / "figures.json").read_text(encoding="utf-8"))
    losses = list(figures["held_out_loss"].values())
    assert losses[-1] < losses[0]  # it learns
    assert str(tmp_path) not in json.dumps(figures)


def test_layers_and_positions_are_kept_and_embeddings_are_new(start, lines):
    tokenizer = train_tokenizer(lines, vocab_size=150, max_length=16)
    torch.manual_seed(1)
    model = initial_weights.moved(str(start), tokenizer, layers=2, keep="even")
    old, new = AutoModel.from_pretrained(start), model.bert
    for kept, source in zip(new.encoder.layer, (old.encoder.layer[0], old.encoder.layer[2]), strict=True):
        theirs = source.state_dict()
        assert all(torch.equal(weight, theirs[name]) for name, weight in kept.state_dict().items())
    assert torch.equal(new.embeddings.position_embeddings.weight, old.embeddings.position_embeddings.weight)
    words, before = new.embeddings.word_embeddings.weight, old.embeddings.word_embeddings.weight
    assert words.shape == (len(tokenizer), 32)
    assert model.cls.predictions.decoder.weight is words
    names, theirs = tokenizer.get_vocab(), AutoTokenizer.from_pretrained(start).get_vocab()
    assert torch.equal(words[names["[MASK]"]], before[theirs["[MASK]"]])
    pa = words[names["प"]]
    assert not (before == pa).all(1).any()
    assert 0 < pa.std() < 2 * before.std()


def test_vectors_take_the_scale_of_the_embeddings_and_spare_special_tokens(start, lines):
    tokenizer = train_tokenizer(lines, vocab_size=150, max_length=16)
    model = initial_weights.moved(str(start), tokenizer)
    before = model.get_input_embeddings().weight.detach().clone()
    stream = marathi_encoder.joined(lines, tokenizer)
    initial_weights.place_vectors(model, token_vectors(stream, tokens=150, width=32, seed=0), tokenizer)
    after = model.cls.predictions.decoder.weight.detach()
    absent = sorted(set(range(150)) - set(stream) | set(tokenizer.all_special_ids))
    present = sorted(set(range(150)) - set(absent))
    assert torch.equal(after[absent], before[absent])
    assert not (after[present] == before[present]).any()
    assert 0.5 < after[present].std() / before.std() < 2


def test_tokens_used_alike_are_near_each_other():
    """2 and 3 stand between the same neighbours, 4 between others."""
    stream = [9, 5, 2, 6, 9, 5, 3, 6, 9, 7, 4, 8] * 200
    vectors = torch.nn.functional.normalize(token_vectors(stream, tokens=12, width=6, seed=0))
    assert vectors[2] @ vectors[3] > 0.5 > vectors[2] @ vectors[4]
    assert torch.equal(vectors[[0, 1]], torch.zeros(2, 6))  # these do not occur
    again = torch.nn.functional.normalize(token_vectors(stream, tokens=12, width=6, seed=0))
    assert torch.equal(vectors, again)


def test_which_layers_stay():
    chosen = {keep: initial_weights.kept_layers(6, 4, keep) for keep in initial_weights.KEEP}
    assert chosen == {"even": [0, 2, 3, 5], "first": [0, 1, 2, 3], "last": [2, 3, 4, 5]}
    assert initial_weights.kept_layers(6, 1, "even") == [0]
    with pytest.raises(InputError, match="--layers is 7"):
        initial_weights.kept_layers(6, 7, "even")


def test_rows_are_full_and_lose_nothing(lines):
    tokenizer = train_tokenizer(lines, vocab_size=150, max_length=16)
    rows = marathi_encoder.packed(marathi_encoder.joined(lines, tokenizer), tokenizer, block=16)["input_ids"]
    assert {len(row) for row in rows} == {16}
    assert {row[0] for row in rows} == {tokenizer.cls_token_id}
    stream = [token for row in rows for token in row[1:]]
    whole = [token for line in lines for token in [*tokenizer(line)["input_ids"][1:-1], tokenizer.sep_token_id]]
    assert stream == whole[: len(stream)]
    assert len(whole) - len(stream) < 15


def test_the_loss_is_that_of_all_logits(start, lines, tmp_path):
    """Guessing where a token is hidden, and only there, gives what stock BERT gives; unlike the mean over all tokens."""
    tokenizer = train_tokenizer(lines, vocab_size=150, max_length=16)
    model = initial_weights.moved(str(start), tokenizer).eval()
    args = marathi_encoder.TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    trainer = marathi_encoder.MaskedTrainer(model=model, args=args)
    ids = torch.randint(5, len(tokenizer), (4, 16), generator=torch.Generator().manual_seed(0))
    labels = ids.masked_fill(torch.arange(64).view(4, 16) % 5 > 0, -100)
    stock = model(input_ids=ids, labels=labels)
    assert torch.allclose(trainer.compute_loss(model, {"input_ids": ids, "labels": labels}), stock.loss, atol=1e-6)
    assert not torch.allclose(cross_entropy(stock.logits.flatten(0, 1), ids.flatten()), stock.loss, atol=1e-3)


class _Killed(TrainerCallback):
    """Stands in for the machine that dies after step 6, where the last checkpoint is of step 4."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 6:
            raise KeyboardInterrupt


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, corpus, start, monkeypatch):
    words = ("--start", start, "--save-steps", 4)
    assert run(tmp_path / "whole", corpus, *words).exit_code == 0
    stock = marathi_encoder.MaskedTrainer

    def killed_and_resumed(out):
        with monkeypatch.context() as patch:
            patch.setattr(marathi_encoder, "MaskedTrainer", lambda **given: stock(**given, callbacks=[_Killed()]))
            assert run(out, corpus, *words).exit_code != 0
        assert os.listdir(out / "checkpoints") == ["checkpoint-4"]
        assert not (out / "model.safetensors").exists()
        done = run(out, corpus, *words)
        assert done.exit_code == 0, done.output
        return BertForMaskedLM.from_pretrained(out).state_dict()

    whole = BertForMaskedLM.from_pretrained(tmp_path / "whole").state_dict()
    resumed = killed_and_resumed(tmp_path / "cut")
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
    # The same check with the stock collator, which draws from a random state that Trainer moves by reading ahead.
    monkeypatch.setattr(marathi_encoder, "RepeatableCollator", DataCollatorForLanguageModeling)
    resumed = killed_and_resumed(tmp_path / "stock")
    assert not all(torch.equal(weight, resumed[name]) for name, weight in whole.items())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--layers", "4", "--start", "START"), "--layers is 4, but the start has 3 layers"),
        (("--start", "nowhere"), "--start nowhere cannot be opened"),
        (("--keep", "middle", "--start", "START"), "--keep is 'middle'"),
        (("--mask", "1"), "--mask is 1.0"),
        (("--epochs", "0"), "--epochs is 0.0"),
        (("--vocab-size", "20"), "give"),
        (("--block", "4000"), "too few"),
    ],
)
def test_bad_input_is_one_line_and_trains_nothing(words, said, tmp_path, corpus, start):
    done = run(tmp_path / "out", corpus, *(str(start) if word == "START" else word for word in words))
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_folder_of_other_options_is_refused(tmp_path, corpus):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "options.json").write_text("{}", encoding="utf-8")
    done = run(tmp_path / "out", corpus)
    assert done.exit_code == 2
    assert "started with other options" in done.stderr
