"""Compress with texts alone: no labels, no accuracy; how often both models agree on texts that were held out."""

import io
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from charts.compare import reported
from rich.console import Console
from transformers import AutoTokenizer, pipeline

from tests.helpers.commands import FRAMES, TOPICS, run_command, write_csv
from tests.helpers.publishing import QUIET
from tests.helpers.tiny_models import build
from trainer_ext import InputError, report
from trainer_ext.data.arguments import DataArguments
from trainer_ext.export.source import open_source
from trainer_ext.export.verify import check_quality, judged_rows
from trainer_ext.hub.card import CardInput, render
from trainer_ext.pipeline.compress import _warn_if_far, compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pruning.calibration import FEWEST_TEXTS as FEWEST_CALIBRATION
from trainer_ext.report.tables import summary
from trainer_ext.tasks.dataset import FEWEST_TEXTS, HELD_OUT, MOST_HELD_OUT, ONE_IN, load_data

TEXTS = [
    f"{frame.format(word)}{end}" for words in TOPICS.values() for word in words for frame in FRAMES for end in ".!"
]
SMALL = ("--max_length", "16", "--latency_sequence_length", "8", "--latency_batch_sizes", "1")
QUICK = (*SMALL, "--use_cpu", "--disable_tqdm")
ONLY_PRUNE = ("--prune_method", "obs", "--num_train_epochs", "0")


def lines(path: Path, texts) -> Path:
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def words_for(finished_run, folder: Path, *more) -> list[str]:
    """The words of a command that compresses the tiny baseline with texts."""
    model, texts = finished_run / "baseline", lines(folder / "texts.txt", TEXTS)
    words = ("--model_name_or_path", model, "--texts", texts, "--output_dir", folder / "run", *QUICK, *more)
    return [str(word) for word in words]


def compress_with(finished_run, folder: Path, *more):
    return compress(read_recipe(None, words_for(finished_run, folder, *more)), console=QUIET)


@pytest.fixture(scope="module")
def made(finished_run, tmp_path_factory):
    """The report and the run of texts alone; it is shared, so tests that write copy it."""
    return compress_with(finished_run, tmp_path_factory.mktemp("texts"), *ONLY_PRUNE)


def args_of(folder: Path, texts=TEXTS, **fields) -> DataArguments:
    return DataArguments(texts=str(lines(folder / "texts.txt", texts)), **fields)


def tables(numbers) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(summary(numbers))
    return console.file.getvalue()


@pytest.mark.slow
def test_the_agreement_is_that_of_both_models_on_texts_that_were_held_out(made, tmp_path):
    numbers, run = made
    data = load_data(args_of(tmp_path))
    held_out = list(data.tests[HELD_OUT]["text"])
    assert not {*held_out} & {*data.train["text"]}
    answers = [
        [answer["label"] for answer in pipeline("text-classification", str(folder))(held_out)]
        for folder in (run.baseline, run.compressed)
    ]
    same = np.mean([first == second for first, second in zip(*answers, strict=True)])
    assert numbers.quality.agreement == pytest.approx(same)
    low, high = numbers.quality.agreement_ci95
    assert low < same <= high
    assert (numbers.quality.rows, numbers.data.train_rows) == (len(held_out), len(TEXTS) - len(held_out))


@pytest.mark.slow
def test_there_is_no_accuracy_in_the_report(made):
    numbers, run = made
    found = numbers.quality
    assert (found.split, found.metric, numbers.other_quality) == (HELD_OUT, "agreement", [])
    assert [found.baseline, found.compressed, found.difference, found.lost, found.won, found.mcnemar_p] == [None] * 6
    assert found.per_class == []
    assert report.load(run.root) == numbers
    assert sorted(numbers.model.labels) == sorted(TOPICS)
    assert numbers.recipe["texts"] == "texts.txt", "and no path of this machine"
    assert numbers.sparsity.achieved > 0.3
    assert numbers.latency[0].speedup > 0


@pytest.mark.slow
def test_the_tables_say_what_was_not_measured(made):
    rows = [line.split("│") for line in tables(made[0]).splitlines() if "│" in line]
    cells = {row[1].strip(): [cell.strip() for cell in row[2:5]] for row in rows}
    assert cells["accuracy"] == ["not measured", "not measured", ""]
    assert cells["same answer %"][1].startswith(f"{100 * made[0].quality.agreement:.1f} [")
    assert "McNemar exact p" not in cells


@pytest.mark.slow
def test_the_card_says_that_the_accuracy_is_not_known(made):
    numbers, run = made
    cards = [render(CardInput(numbers, "user/name")), (run.compressed / "README.md").read_text(encoding="utf-8")]
    for card in cards:
        assert "there were no labels, so its accuracy is not known" in card
        assert f"for {100 * numbers.quality.agreement:.1f} % of them" in card
        assert "Not trained: 144 texts without labels" in card
        assert "model-index" not in card
        assert "Trained on" not in card
    labelled = render(CardInput(replace(numbers, quality=report.Quality("test", 5, report.Scores(0.5))), "user/name"))
    assert "is not known" not in labelled


@pytest.mark.slow
def test_the_page_says_it_too(made):
    share = f"{100 * made[0].quality.agreement:.1f} %"
    told = reported(made[0], "/tmp", "en")
    assert f"Same answer as before for {share} of 36 held-out texts; there were no labels" in told
    assert f"36 मजकुरांपैकी {share}" in reported(made[0], "/tmp", "mr")


@pytest.mark.slow
def test_a_report_of_before_opens(made):
    values = report.to_dict(made[0])
    values["quality"] |= {"metric": "accuracy", "baseline": {"accuracy": 0.9}}
    del values["quality"]["agreement_ci95"]
    old = report.from_dict(values)
    assert old.quality.agreement_ci95 is None
    assert "same answer" in tables(old)


@pytest.mark.slow
def test_a_labelled_test_file_is_measured_as_ever_and_all_texts_calibrate(finished_run, tmp_path, monkeypatch):
    write_csv(tmp_path / "labelled.csv", [("mango and iron", "fruit"), ("ganga once", "river"), ("old tin", "metal")])
    monkeypatch.chdir(tmp_path)
    unused = ("--distill_teacher", "self")  # nothing is trained, so its loss has no labels to miss
    numbers, _ = compress_with(finished_run, tmp_path, *ONLY_PRUNE, *unused, "--test_file", "labelled.csv")
    assert (numbers.quality.split, numbers.quality.rows, numbers.quality.metric) == ("test", 3, "accuracy")
    assert numbers.quality.baseline.accuracy is not None
    assert numbers.data.train_rows == len(TEXTS)


@pytest.mark.slow
def test_a_teacher_alone_is_learned_from_without_labels(finished_run, tmp_path):
    more = ("--prune_method", "movement", "--prune_block_size", 8, "--distill_teacher", "self", "--distill_alpha", 1)
    numbers, run = compress_with(finished_run, tmp_path, *more, "--num_train_epochs", 1, "--logging_steps", 2)
    log = json.loads(run.log("compressed").read_text(encoding="utf-8"))["log_history"]
    losses = [row for row in log if "loss" in row]
    assert all(row["loss"] == pytest.approx(row["loss_distill"]) and row["loss"] > 0 for row in losses)
    assert "loss_task" not in losses[0]
    assert numbers.quality.metric == "agreement"
    card = render(CardInput(numbers, "user/name"))
    assert "as well as on the labels" not in card
    assert "Trained on 144 texts without labels" in card


@pytest.mark.slow
@pytest.mark.parametrize(("agreement", "warns"), [(0.899, True), (0.9, False)])
def test_models_that_often_disagree_are_warned_of(made, agreement, warns, caplog):
    numbers = replace(made[0], quality=replace(made[0].quality, agreement=agreement))
    with caplog.at_level(logging.WARNING):
        _warn_if_far(numbers)
    assert [f"{100 * agreement:.1f} %" in message for message in caplog.messages] == [True] * warns
    assert all("\n" not in message for message in caplog.messages)


def test_a_fifth_is_held_out_and_at_most_so_many(tmp_path):
    texts = [f"text {number}" for number in range(11_000)]
    data = load_data(args_of(tmp_path, [*texts[:100], "", "Text 5", *texts[:3]]))
    assert (len(data.train), len(data.tests[HELD_OUT])) == (80, 20)
    assert data.dropped == {"texts: duplicate": 4}
    assert data.train.column_names == data.tests[HELD_OUT].column_names == ["text"]
    assert len(load_data(args_of(tmp_path, texts)).tests[HELD_OUT]) == MOST_HELD_OUT
    assert load_data(args_of(tmp_path, texts[:100])).train["text"] == data.train["text"], "and always the same"
    assert len(load_data(args_of(tmp_path, texts[:100], max_train_rows=30)).train) == 30


def test_the_fewest_texts_leave_enough_to_calibrate_with():
    assert FEWEST_TEXTS - FEWEST_TEXTS // ONE_IN >= FEWEST_CALIBRATION


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.txt"])
def test_every_kind_of_file_gives_the_same_texts(name, tmp_path):
    path = tmp_path / name
    rows = [{"sentence": text, "id": str(index)} for index, text in enumerate(TEXTS)]
    if path.suffix == ".txt":
        lines(path, TEXTS)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        lines(path, map(json.dumps, rows))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines(path, ["sentence" + mark + "id", *(f"{row['sentence']}{mark}{row['id']}" for row in rows)])
    data = load_data(DataArguments(texts=str(path), text_column="sentence"))
    assert sorted([*data.train["text"], *data.tests[HELD_OUT]["text"]]) == sorted(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "holds"), [(0.05, True), (0.2, False)])
def test_an_int8_file_is_judged_by_the_same_answers(made, wrong, holds):
    source = open_source(made[1].root)
    rows = judged_rows(source)
    expected = np.zeros(len(rows), dtype=int)
    seen = [0]

    class Runtime:
        def run(self, batch):
            first, seen[0] = seen[0], seen[0] + len(batch["input_ids"])
            return np.array([[3.0, 2.0, 1.0 if row >= wrong * len(rows) else 9.0] for row in range(first, seen[0])])

    findings = check_quality(source, Runtime(), expected, max_drop=0.0, on_rows=lambda count: None)
    assert (findings.holds, findings.split, findings.quality) == (holds, HELD_OUT, None)
    assert findings.agreement == pytest.approx(1 - wrong, abs=0.03)


@pytest.mark.slow
def test_texts_that_moved_are_found_for_an_export(made, tmp_path):
    run = shutil.copytree(made[1].root, tmp_path / "run")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("texts.txt", "gone/texts.txt"), encoding="utf-8")
    with pytest.raises(InputError, match="There is no file .*gone/texts.txt"):
        open_source(run)
    lines(tmp_path / "texts.txt", TEXTS)
    assert HELD_OUT in open_source(run, data_dir=str(tmp_path)).data.tests


@pytest.mark.slow
def test_what_is_done_with_a_run_works_on_this_one(made, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(made[1].root, tmp_path / "run")
    status, out, err = run_command(monkeypatch, capsys, "push", run, "user/small", "--dry-run")
    assert status == 0, err
    assert "accuracy is not known" in out
    status, _, err = run_command(
        monkeypatch, capsys, "benchmark", run, "--batch-size", 1, "--repeats", 3, "--no-memory", "--save"
    )
    assert status == 0, err
    assert report.load(run).quality == made[0].quality


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem_type", "more"),
    [("multi_label_classification", ()), ("single_label_classification", ("--text_pair_column", "pair"))],
)
def test_several_labels_and_pairs_of_texts(problem_type, more, finished_run, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(finished_run / "baseline")
    build("bert", vocab_size=len(tokenizer), problem_type=problem_type).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    write_csv(tmp_path / "texts.csv", zip(TEXTS, reversed(TEXTS), strict=True), header=("text", "pair"))
    words = words_for(finished_run, tmp_path, *ONLY_PRUNE, "--problem_type", problem_type, *more)
    numbers, run = compress(
        read_recipe(
            None, [*words, "--model_name_or_path", str(tmp_path / "model"), "--texts", str(tmp_path / "texts.csv")]
        ),
        console=QUIET,
    )
    rows = load_data(read_recipe(run.recipe).data).tests[HELD_OUT]
    assert ("text_pair" in rows.column_names) == bool(more)
    classify = [pipeline("text-classification", str(folder), top_k=None) for folder in (run.baseline, run.compressed)]
    inputs = [dict(row) for row in rows] if more else list(rows["text"])
    picked = [[pick(model(text), problem_type) for text in inputs] for model in classify]
    assert numbers.quality.agreement == np.mean([first == second for first, second in zip(*picked, strict=True)])


def pick(scores, problem_type) -> list[str]:
    """The labels above one half, or the first one."""
    several = problem_type == "multi_label_classification"
    scores = scores[0] if isinstance(scores[0], list) else scores
    return sorted(row["label"] for row in (scores if several else scores[:1]) if row["score"] > 0.5 or not several)
