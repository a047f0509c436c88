"""`trainer-ext compress MODEL DATA`: which columns are taken, what is refused in one line, and a run from end to end."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.commands import FRAMES, TOPICS, run_command, write_csv
from tests.pipeline.test_texts import QUICK, TEXTS, lines
from trainer_ext import report
from trainer_ext.benchmark.busy import Watch
from trainer_ext.cli.outcome import outcome
from trainer_ext.cli.positional import LABEL_NAMES, TEXT_NAMES, fields_for, guess
from trainer_ext.errors import InputError
from trainer_ext.pruning.prepare import BUSY
from trainer_ext.pruning.scores import METHODS, Method
from trainer_ext.report import schema
from trainer_ext.utils import yaml

ROWS = [(frame.format(word), topic) for topic, words in TOPICS.items() for word in words for frame in FRAMES]


def fields_of(words):
    return dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2], strict=True))


def find(header, names, path="data.csv"):
    return guess(header, names, path=Path(path), what="it", option="--some_column")


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        (["text", "label"], "text", "label"),
        (["id", "Headline", "Topic"], "Headline", "Topic"),
        (["title", "text", "category", "label"], "text", "label"),
        (["review_text", "n_stars", "target_class"], "review_text", "target_class"),
        (["newsTitle", "newsCategory"], "newsTitle", "newsCategory"),
        (["sentence", "sentence_id", "sentiment"], "sentence", "sentiment"),
    ],
)
def test_columns_are_guessed_by_their_names(header, text, label):
    assert (find(header, TEXT_NAMES), find(header, LABEL_NAMES)) == (text, label)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (
            ["headline", "body"],
            "may be in 'headline' or 'body' of its columns 'headline', 'body'; name it with --some_column",
        ),
        (["a", "b"], "has the columns 'a', 'b', and none is called like it"),
        (["context", "subtext"], "none is called like it"),  # a part of a word is no name
    ],
)
def test_a_guess_that_fails_lists_the_columns_and_the_option(header, says):
    with pytest.raises(InputError, match="--some_column") as raised:
        find(header, TEXT_NAMES)
    assert says in str(raised.value)
    assert str(raised.value).endswith("first line must name the columns.") == ("none is called" in says)


def test_a_file_of_keys_has_no_first_line_of_names():
    with pytest.raises(InputError, match=r"name it with --some_column\.$"):
        find(["a", "b"], TEXT_NAMES, path="data.jsonl")


def test_a_table_is_split_and_said(tmp_path):
    write_csv(tmp_path / "data.csv", ROWS, header=("Sentence", "intent"))
    words, said = fields_for("some/model", str(tmp_path / "data.csv"), {})
    assert fields_of(words) == {
        "model_name_or_path": "some/model",
        "text_column": "Sentence",
        "label_column": "intent",
        "data_dir": str(tmp_path),
        "train_files": "data.csv",
        "test_share": "0.2",
        "prune_sparsity": "0.5",
        "num_train_epochs": "0",
        "output_dir": "model-small",
    }
    assert "the texts from 'Sentence', the labels from 'intent'" in said[0]
    assert all(word in said[1] for word in ("prune_sparsity 0.5", "without training", "model-small/"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.tsv", "headline\tclass\na\tx\nb\ty\n"),
        ("data.csv", "headline;class\na;x\nb;y\n"),
        ("data.jsonl", '{"headline": "a", "class": "x"}\n{"headline": "b", "class": "y"}\n'),
        ("data.json", '[{"class": "x", "headline": "a"}]'),
    ],
)
def test_every_kind_of_table_has_its_columns_read(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    found = fields_of(fields_for("m", str(tmp_path / name), {})[0])
    assert (found["text_column"], found["label_column"]) == ("headline", "class")


def test_what_is_given_is_kept(tmp_path):
    write_csv(tmp_path / "data.csv", ROWS, header=("first", "second"))
    given = {
        "text_column": "first",
        "label_column": "second",
        "test_file": "other.csv",
        "prune_speedup": 2,
        "num_train_epochs": 3,
        "output_dir": "here",
    }
    found = fields_of(fields_for("m", str(tmp_path / "data.csv"), given)[0])
    assert not given.keys() & found.keys()
    assert "test_share" not in found, "the test file is another one"
    assert (found["distill_teacher"], "prune_sparsity" in found) == ("self", False)


def test_only_a_method_of_one_step_goes_without_training_and_teacher(tmp_path, monkeypatch):
    write_csv(tmp_path / "data.csv", ROWS)
    monkeypatch.setitem(METHODS, "another", Method(second_order=True))
    for name, method in METHODS.items():
        found = fields_of(fields_for("m", str(tmp_path / "data.csv"), {"prune_method": name})[0])
        assert ("num_train_epochs" in found) == method.second_order, name
        assert (found.get("distill_teacher") == "self") != method.second_order, name
    for untouched in ({"prune_method": "none"}, {"vocab_size": 5000}):
        assert "distill_teacher" not in fields_of(fields_for("m", str(tmp_path / "data.csv"), untouched)[0])


def test_texts_without_labels(tmp_path):
    lines(tmp_path / "texts.txt", TEXTS)
    found = fields_of(fields_for("m", str(tmp_path / "texts.txt"), {"num_train_epochs": 2})[0])
    assert found["texts"] == str(tmp_path / "texts.txt")
    assert (found["distill_teacher"], found["distill_alpha"]) == ("self", "1"), "there are no labels to learn from"
    lines(tmp_path / "one.csv", ["body", *TEXTS])
    words, said = fields_for("m", str(tmp_path / "one.csv"), {})
    assert (fields_of(words)["texts"], fields_of(words)["text_column"]) == (str(tmp_path / "one.csv"), "body")
    assert "without labels" in said[0]


REFUSED = {
    "a model alone": (("m",), "name its data too: trainer-ext compress m DATA.csv"),
    "three names": (("m", "data.csv", "more.csv"), "too many names"),
    "no file": (("m", "gone.csv"), "There is no file gone.csv"),
    "another file": (("m", "data.pdf"), "data.pdf is neither a table"),
    "no label": (("m", "unlabelled.csv"), "has the columns 'id', and none is called like the label"),
    "no label, the way out": (("m", "unlabelled.csv"), "--texts unlabelled.csv --text_column text alone"),
    "no text": (("m", "other.csv"), "the columns 'a', 'b', and none is called like the text"),
    "the model twice": (("m", "data.csv", "--model_name_or_path", "n"), "The model is given twice"),
    "the data twice": (("m", "data.csv", "--data_dir", "."), "The data are given twice"),
    "a run": (("run", "data.csv"), "run holds a run; name the model in it"),
    "another task": (("m", "data.csv", "--task", "token-classification"), "give --data_dir"),
    "swapped": (
        ("data.csv", "m"),
        "data.csv is a table and m a model: give the model first, trainer-ext compress m data.csv",
    ),
    "swapped, with texts": (
        ("lines.txt", "google/m"),
        "lines.txt is a file of texts and google/m a model: give the model",
    ),
    "swapped, no such file": (("gone.tsv", "model"), "give the model first, trainer-ext compress model gone.tsv"),
    "two tables": (("data.csv", "few.csv"), "data.csv is a table, and no model or recipe: give the model first"),
    "a table alone": (("data.csv", "--prune_sparsity", "0.5"), "trainer-ext compress MODEL data.csv"),
    "an empty file": (("m", "empty.jsonl"), "empty.jsonl is empty; it needs a column of texts and one of labels"),
    "an empty table": (("m", "empty.csv"), "empty.csv is empty; it needs a column of texts and one of labels"),
    "a recipe and data": (("recipe.yaml", "data.csv"), "'data.csv' is not a field"),
    "two test sets": (("m", "data.csv", "--test_file", "t.csv", "--test_share", "0.1"), "test_share splits"),
    "a share of all": (("m", "data.csv", "--test_share", "0.9"), "--test_share must be in (0, 0.5]"),
    "an option without its value": (("m", "data.csv", "--text_column"), "--text_column needs a value"),
    "an unknown field": (("m", "data.csv", "--prune_sparsty", "0.5"), "did you mean 'prune_sparsity'"),
    "an unknown export": (
        ("m", "data.csv", "--export_formats", "gguf"),
        "export_formats is 'gguf'; it must be one of",
    ),
    "into the model": (
        ("model", "data.csv", "--output_dir", "model"),
        "output_dir model is the folder of the model model",
    ),
    "into another model": (("m", "data.csv", "--output_dir", "./model"), "output_dir model is the folder of a model"),
    "into the teacher": (
        ("m", "data.csv", "--num_train_epochs", "1", "--distill_teacher", "model", "--output_dir", "model"),
        "output_dir model is the folder of the teacher model",
    ),
    "over the model": (
        ("run/baseline", "data.csv", "--output_dir", "run"),
        "The model run/baseline is in run/baseline, where the run would write; choose another --output_dir",
    ),
    "too few rows": (("m", "few.csv"), "few.csv has 9 different texts to train and test on; give at least 20"),
}


@pytest.mark.parametrize(("words", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_in_one_line(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "data.csv", ROWS)
    write_csv(tmp_path / "few.csv", ROWS[:9])
    write_csv(tmp_path / "unlabelled.csv", [(text, 1) for text, _ in ROWS], header=("text", "id"))
    write_csv(tmp_path / "other.csv", ROWS, header=("a", "b"))
    for name in ("data.pdf", "empty.jsonl", "empty.csv", "recipe.yaml"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "seed: 1")
    (tmp_path / "run" / "baseline").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    before = {*tmp_path.rglob("*")}
    status, out, err = run_command(monkeypatch, capsys, "compress", *words)
    last = err.strip().splitlines()[-1]
    assert (status, out) == (2, ""), err
    assert says in last
    assert {*tmp_path.rglob("*")} == before, "nothing is made"


@pytest.mark.slow
def test_a_model_and_a_table_are_enough(finished_run, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "data.csv", ROWS, header=("headline", "topic"))
    status, out, err = run_command(monkeypatch, capsys, "compress", finished_run / "baseline", "data.csv", *QUICK)
    assert status == 0, err
    assert "the texts from 'headline', the labels from 'topic'" in " ".join(err.split())
    assert "18 of its 90 different texts are the test set" in caplog.text
    numbers = report.load("baseline-small")
    assert numbers.command.startswith("trainer-ext compress baseline data.csv")
    assert (numbers.quality.split, numbers.quality.rows, numbers.data.train_rows) == ("test", 18, 72)
    assert " ".join(outcome(numbers, "baseline-small")) in " ".join(out.split())
    assert yaml.read_yaml(tmp_path / "baseline-small/recipe.yaml")["test_share"] == 0.2
    again = (*("compress", finished_run / "baseline", "data.csv"), *QUICK)
    status, _, err = run_command(monkeypatch, capsys, *again)
    assert (status, "already holds a run" in err) == (2, True)
    status, _, err = run_command(monkeypatch, capsys, *again, "--resume")
    assert status == 0, err


def runtimes_of(folder):
    """Return the runtimes and precisions that the report of a run has times of."""
    return {(row.runtime, row.precision) for row in report.load(folder).latency}


@pytest.mark.slow
def test_one_command_exports_too_and_a_missing_file_is_made_by_resume(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "data.csv", ROWS)
    words = ("compress", finished_run / "baseline", "data.csv", "--export_formats", "onnx", "onnx-int8", *QUICK)
    status, out, err = run_command(monkeypatch, capsys, *words)
    assert status == 0, err
    folder = tmp_path / "baseline-small"
    assert [row.format for row in report.load(folder).exports] == ["onnx", "onnx-int8"]
    assert "; as onnx-int8, " in " ".join(out.split())
    assert {("onnxruntime", "fp32"), ("onnxruntime", "int8")} <= runtimes_of(folder)
    file = folder / "compressed/onnx/model_int8.onnx"
    before = file.read_bytes()
    numbers = report.load(folder)
    stopped = replace(numbers, exports=numbers.exports[:1], latency=numbers.latency[:1])
    report.save(stopped, folder)  # as if it had been stopped between the two
    status, _, err = run_command(monkeypatch, capsys, *words, "--resume")
    assert status == 0, err
    assert [row.format for row in report.load(folder).exports] == ["onnx", "onnx-int8"]
    assert file.read_bytes() == before
    assert ("onnxruntime", "int8") in runtimes_of(folder)
    report.save(replace(numbers, latency=numbers.latency[:1]), folder)  # between the last file and the timing
    status, _, err = run_command(monkeypatch, capsys, *words, "--resume")
    assert ("onnxruntime", "int8") in runtimes_of(folder)


@pytest.mark.slow
def test_a_speed_up_is_not_planned_on_a_busy_machine_unless_forced(
    finished_run, tmp_path, monkeypatch, capsys, caplog
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Watch, "is_busy", True)
    monkeypatch.setattr("trainer_ext.benchmark.busy.pause", lambda seconds: None)
    write_csv(tmp_path / "data.csv", ROWS)
    sizes = ("--prune_latency_length", "8", "--prune_latency_batch_size", "2")
    words = ("compress", finished_run / "baseline", "data.csv", "--prune_speedup", "1.01", *sizes, *QUICK)
    status, out, err = run_command(monkeypatch, capsys, *words)
    last = err.strip().splitlines()[-1]
    assert (status, out) == (2, ""), err
    assert all(way in last for way in ("busy", "prune_sparsity=0.5", "--force"))
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"], "nothing is made"
    _, _, err = run_command(monkeypatch, capsys, *words, "--force")
    assert "--force" not in err
    assert BUSY in caplog.text, "it is said"


def numbers_with(**changes):
    sizes = schema.Pair(90_000_000, 45_000_000)
    timed = schema.Latency("torch", "fp32", "cpu", "a processor", 2, 1, 64, 8.0, 4.0, speedup=2.0)
    fields = {"created": report.utc_now(), "model": schema.Model(), "bytes": sizes, "latency": [timed], **changes}
    return report.CompressionReport(**fields)


def test_three_sentences_say_what_it_is_what_it_lost_and_what_to_run_next():
    difference = schema.Difference(accuracy=-0.004, ci95=(-0.012, 0.004))
    numbers = numbers_with(quality=schema.Quality("test", 500, difference=difference))
    got, lost, then = outcome(numbers, "my runs/small")
    assert "45.0 MB instead of 90.0 MB and 4.0 ms instead of 8.0 ms for a text of 64 tokens (2.00x)" in got
    assert lost == (
        "It lost 0.4 points of accuracy on 500 texts of test (95 % interval of the change [-1.2, +0.4], within noise)."
    )
    assert "trainer-ext export 'my runs/small' --format openvino-int8" in then
    files = [schema.Export(name, "m", size) for name, size in (("onnx", 45_100_000), ("onnx-int8", 11_400_000))]
    got, _, then = outcome(numbers_with(quality=numbers.quality, exports=files), "small")
    assert got.endswith("(2.00x); as onnx-int8, 11.4 MB.")
    assert "trainer-ext push small USER/NAME" in then


def test_the_exported_file_is_told_with_its_time_and_its_change_from_the_baseline():
    exported = schema.Export(
        "onnx-int8",
        "compressed/onnx/model_int8.onnx",
        2_000_000,
        from_baseline=schema.Difference(-0.01, (-0.03, 0.01)),
    )
    times = [
        schema.Latency(runtime, precision, "cpu", "a processor", 2, 1, 32, 12.0, ms, speedup=12.0 / ms)
        for runtime, precision, ms in (("onnxruntime", "int8", 2.0), ("torch", "fp32", 6.0))
    ]
    quality = schema.Quality("test", 500, difference=schema.Difference(0.0, (-0.01, 0.01)))
    numbers = numbers_with(quality=quality, exports=[exported], latency=times)
    got = outcome(numbers, "small")[0]
    assert "6.0 ms instead of 12.0 ms for a text" in got
    assert "; as onnx-int8, 2.0 MB, 2.0 ms (6.00x), accuracy -1.0 [-3.0, +1.0] from the baseline, within noise." in got
    assert "(6.00x)" not in outcome(replace(numbers, latency=times[1:]), "small")[0]


def test_what_lost_more_than_noise_is_told_how_to_lose_less():
    difference = schema.Difference(accuracy=-0.05, ci95=(-0.07, -0.03))
    numbers = numbers_with(quality=schema.Quality("test", 500, difference=difference), recipe={"num_train_epochs": 0})
    assert "--num_train_epochs 3 --distill_teacher self trains it" in outcome(numbers, "small")[2]
    trained = numbers_with(
        quality=numbers.quality, recipe={"num_train_epochs": 3}, training=schema.Pair(None, schema.TrainingCost())
    )
    assert "--num_train_epochs" not in outcome(trained, "small")[2]


def test_a_gain_over_a_baseline_of_fewer_epochs_is_not_sold_as_the_methods():
    trained = schema.Pair(schema.TrainingCost(), schema.TrainingCost())
    epochs = {"baseline_epochs": 8, "num_train_epochs": 4.5}
    longer = "Part of that may be longer training: --baseline_epochs 12.5 gives a baseline with as many epochs."

    def says(change, interval, **changes):
        difference = schema.Difference(accuracy=change, ci95=interval)
        quality = schema.Quality("test", 500, difference=difference)
        fields = {"quality": quality, "recipe": epochs, "training": trained, **changes}
        return longer in outcome(numbers_with(**fields), "small")[1]

    assert says(0.03, (0.01, 0.05))
    assert not says(0.03, (-0.01, 0.07)), "noise"
    assert not says(-0.03, (-0.05, -0.01)), "a loss"
    assert not says(0.03, (0.01, 0.05), recipe={**epochs, "num_train_epochs": 0}), "pruned without training"
    assert not says(0.03, (0.01, 0.05), training=schema.Pair(None, schema.TrainingCost())), "fine-tuned elsewhere"
    assert not says(0.03, (0.01, 0.05), training=None)


def test_without_labels_the_sentence_is_about_equal_answers():
    quality = schema.Quality("held-out texts", 400, agreement=0.97, agreement_ci95=(0.95, 0.98), metric="agreement")
    lost = outcome(numbers_with(quality=quality), "small")[1]
    assert lost == (
        "It gives the same answer as the original on 97.0 % of 400 texts without labels (95 % interval [95.0, 98.0] %)."
    )
    assert outcome(numbers_with(), "small")[1] == "What it lost was not measured."


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("accuracy", 0.012, "It gained 1.2 points of accuracy on"),
        ("accuracy", 0.0, "Its accuracy is the same as the original's on"),
        ("entity_f1", -0.0004, "Its entity F1 is the same as the original's on"),
        ("pearson", -0.0123, "It lost 0.0123 of Pearson's r on"),
        ("rmse", 0.2, "Its RMSE rose by 0.2 on"),
        ("mae", -0.2, "Its MAE fell by 0.2 on"),
    ],
)
def test_it_lost_something_only_where_something_is_lost(name, change, says):
    difference = schema.Difference(**{"accuracy" if name == "accuracy" else "value": change})
    quality = schema.Quality("test", 500, difference=difference, metric=name)
    assert outcome(numbers_with(quality=quality), "small")[1].startswith(says)


def test_numbers_of_a_json_file_are_the_same_columns_in_any_order(tmp_path):
    rows = [json.dumps({"label": topic, "extra": 1, "text": text}) for text, topic in ROWS]
    lines(tmp_path / "data.jsonl", rows)
    found = fields_of(fields_for("m", str(tmp_path / "data.jsonl"), {})[0])
    assert (found["text_column"], found["label_column"]) == ("text", "label")
