"""The length of texts: what a model reads if nobody says it, kept in the run, and the texts that are cut are counted."""

import json
import logging

import pytest
import yaml
from datasets import Dataset

from tests.helpers.commands import recipe_fields, write_classifier, write_csv, write_recipe
from trainer_ext import InputError, report
from trainer_ext.export.source import open_source
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.pipeline.text_length import TextLengths, as_started, text_lengths, with_length
from trainer_ext.report.run_directory import RunDirectory
from trainer_ext.tasks.dataset import Data, DataArguments, tokenize

UNSAID = ("max_length", "latency_sequence_length")


@pytest.fixture
def recipe(tmp_path):
    """`recipe(**fields)`: a recipe for a model that is taken as it is, which says no length."""

    def make(**changes):
        fields = recipe_fields(tmp_path, tmp_path / "run", **{"model_name_or_path": "m", **changes})
        fields = {name: value for name, value in fields.items() if name not in UNSAID or name in changes}
        return read_recipe(write_recipe(tmp_path / "r.yaml", fields))

    return make


def tokenizer(reads):
    return train_tokenizer(["ab ba"] * 3, vocab_size=40, max_length=reads)  # each is one token


TRAINED, QA = {"baseline_epochs": 1.0}, {"task": "question-answering"}
LENGTHS = {
    "as it is": (300, {}, {"max_length": 300, "latency_sequence_length": 64}),
    "a short one": (40, {}, {"max_length": 40, "latency_sequence_length": 40}),
    "a long one": (8192, {}, {"max_length": 512}),
    "without a limit": (10**30, {}, {"max_length": 512}),
    "trained here": (300, TRAINED, {"max_length": 128, "latency_sequence_length": 64}),
    "a short one, trained here": (40, TRAINED, {"max_length": 40, "latency_sequence_length": 40}),
    "said": (300, {"max_length": 20}, {"max_length": 20, "latency_sequence_length": 20}),
    "both said": (300, {"max_length": 20, "latency_sequence_length": 9}, {"latency_sequence_length": 9}),
    "said as nothing": (300, {"max_length": None}, {"max_length": 300}),
    "a long time": (300, {"latency_sequence_length": 299}, {"max_length": 300, "latency_sequence_length": 299}),
    "windows": (300, QA, {"max_length": 300, "doc_stride": 64}),
    "short windows": (40, QA, {"max_length": 40, "doc_stride": 20}),
    "windows, said": (300, {**QA, "max_length": 60}, {"doc_stride": 30}),
}


@pytest.mark.parametrize(("reads", "fields", "expected"), LENGTHS.values(), ids=LENGTHS)
def test_the_length_follows_the_model_where_it_is_not_given(recipe, tmp_path, reads, fields, expected):
    found = with_length(recipe(**fields), tokenizer(reads))
    values = vars(found.data) | vars(found.model)
    assert {name: values[name] for name in expected} == expected
    assert found.resolved["max_length"] == found.data.max_length, "what the run writes down"
    again = read_recipe(write_recipe(tmp_path / "again.yaml", found.resolved))
    assert (again.data, again.model) == (found.data, found.model), "what reads the recipe of the run takes the same"


def test_a_model_from_scratch_is_made_for_128_tokens(recipe):
    found = recipe(model_name_or_path="scratch")
    assert (found.data.max_length, with_length(found, tokenizer(128)).resolved["max_length"]) == (128, 128)


def test_a_latency_that_is_longer_than_the_model_reads_is_refused(recipe):
    with pytest.raises(
        InputError, match="latency_sequence_length is 41, and texts are read up to 40 tokens: give at most 40"
    ):
        with_length(recipe(latency_sequence_length=41), tokenizer(40))
    with pytest.raises(InputError, match=r"latency_sequence_length must be in \[1, 128\], got 129"):
        recipe(latency_sequence_length=129, baseline_epochs=1)


def test_a_resumed_run_keeps_its_length(recipe, tmp_path):
    run = RunDirectory(tmp_path / "run")
    assert as_started(recipe(), run).data.max_length == 512, "no run: the model decides"
    run.root.mkdir()
    write_recipe(run.recipe, {**QA, "max_length": 30, "doc_stride": 15, "latency_sequence_length": 1})
    found = with_length(as_started(recipe(**QA), run), tokenizer(300))
    assert (found.data.max_length, found.data.doc_stride, found.model.latency_sequence_length) == (30, 15, 30)
    assert as_started(recipe(max_length=31), run).data.max_length == 31, "and find_run refuses it"
    write_recipe(run.recipe, {"seed": 1})  # an older run, which read 128 tokens
    assert with_length(as_started(recipe(), run), tokenizer(300)).data.max_length == 128


def data_of(train, tests, *, labels=None, pairs=None):
    def rows(texts):
        columns = {"text": texts, "label": labels(texts) if labels else [0] * len(texts)}
        return Dataset.from_dict(columns | ({"text_pair": [pairs] * len(texts)} if pairs else {}))

    return Data(rows(train), {name: rows(texts) for name, texts in tests.items()}, ["a", "b"], {}, "train.csv")


def test_every_text_that_is_cut_is_counted_once():
    words = tokenizer(16)
    texts = ["ab", "ab ba ab", "ab ba ab ba", "ab ba ab ba ab"]  # and two special tokens
    data = data_of(texts, {"clean": texts[2:], "official": texts[1:], "holdout": texts[3:]})
    args = DataArguments(max_length=5)
    assert text_lengths(data, tokenize(data, words, args), words, args) == TextLengths(8, 2 + 2 + 1)
    args = DataArguments(max_length=7)
    assert text_lengths(data, tokenize(data, words, args), words, args) == TextLengths(8, 0)
    data = data_of(texts, {"test": ["ab"]}, pairs="ba ba")
    args = DataArguments(max_length=7, text_pair_column="text_pair")
    assert text_lengths(data, tokenize(data, words, args), words, args) == TextLengths(5, 3)
    data = data_of(texts, {"test": ["ab"]}, labels=lambda texts: [[0] * len(text.split()) for text in texts])
    args = DataArguments(max_length=5, task="token-classification")
    assert text_lengths(data, tokenize(data, words, args), words, args) == TextLengths(5, 2)
    assert text_lengths(data, data, words, DataArguments(max_length=16, **QA, doc_stride=8)) is None, "pieces"


@pytest.mark.parametrize(
    ("cut", "limit", "line"),
    [
        (0, 64, ""),
        (1, 64, "1 of 3,000 texts is longer than 64 tokens and is cut; this model reads no more."),
        (
            2000,
            512,
            "2,000 of 3,000 texts are longer than 64 tokens and are cut; give a larger --max_length to read more of them, 512 "
            "at most.",
        ),
        (
            2,
            None,
            "2 of 3,000 texts are longer than 64 tokens and are cut; give a larger --max_length to read more of them.",
        ),
    ],
)
def test_what_is_cut_is_said_with_the_way_out(cut, limit, line):
    assert TextLengths(3000, cut).line(64, limit) == line


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    """A model of 32 tokens, taken as it is; some texts are longer, and no length is given."""
    folder = tmp_path_factory.mktemp("short")
    texts = [f"the {'very ' * (index % 40)}number {index}" for index in range(60)]
    model = write_classifier(folder / "model", texts)
    write_csv(
        folder / "train.csv", [(text, ("fruit", "metal", "river")[index % 3]) for index, text in enumerate(texts)]
    )
    fields = {"model_name_or_path": str(model), "data_dir": str(folder), "test_share": 0.2, "prune_method": "obs"}
    fields |= {"num_train_epochs": 0, "output_dir": str(folder / "run"), "use_cpu": True, "latency_batch_sizes": [1]}
    return write_recipe(folder / "r.yaml", fields)


def test_a_run_says_and_writes_down_how_many_texts_are_cut(short_run, caplog):
    with caplog.at_level(logging.WARNING):
        numbers, run = compress(read_recipe(short_run))
    assert (numbers.data.texts, numbers.recipe["max_length"]) == (60, 32)
    words = open_source(run.root).tokenizer
    texts = [line.split(",")[0] for line in (short_run.parent / "train.csv").read_text().splitlines()[1:]]
    expected = sum(len(ids) > 32 for ids in words(texts)["input_ids"])
    assert 0 < expected == numbers.data.cut
    line = f"{expected} of 60 texts are longer than 32 tokens and are cut; this model reads no more."
    assert [record.message for record in caplog.records if "are cut" in record.message] == [line]
    card = (run.compressed / "README.md").read_text(encoding="utf-8")
    assert f"beyond the first 32 were ignored in scoring: {expected} of 60 texts are longer and were cut." in card
    assert yaml.safe_load(run.recipe.read_text())["max_length"] == open_source(run.root).args.max_length == 32
    assert numbers.latency[0].sequence_length == 32

    before = report.load(run.root)
    run.report.unlink()
    again, _ = compress(read_recipe(short_run), resume=True)
    assert (again.recipe, again.quality, again.data) == (before.recipe, before.quality, before.data)
    with pytest.raises(InputError, match="was started with max_length=32, now it is 16"):
        compress(read_recipe(short_run, ["--max_length", "16"]), resume=True)
    assert json.loads(run.report.read_text())["data"]["cut"] == expected
