"""`trainer-ext compress` without a recipe and without labels: from end to end, and what it refuses in one line."""

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from tests.helpers.commands import run_command
from tests.helpers.tiny_models import build
from tests.pipeline.test_texts import ONLY_PRUNE, QUICK, TEXTS, lines
from trainer_ext import report


@pytest.fixture
def call(finished_run, tmp_path, monkeypatch, capsys):
    """`call(*words, **fields)`: compress the tiny baseline; fields replace the usual words, None leaves one out."""

    def run(*words, **fields):
        usual = {
            "model_name_or_path": finished_run / "baseline",
            "texts": tmp_path / "texts.txt",
            "output_dir": tmp_path / "run",
        }
        given = {name: value for name, value in (usual | fields).items() if value is not None}
        named = [word for name, value in given.items() for word in (f"--{name}", value)]
        return run_command(monkeypatch, capsys, "compress", *named, *QUICK, *words)

    lines(tmp_path / "texts.txt", TEXTS)
    return run


@pytest.mark.slow
def test_texts_and_a_fine_tuned_model_are_enough(call, tmp_path, monkeypatch, capsys):
    status, out, err = call(*ONLY_PRUNE, "--prune_sparsity", "0.5")
    assert status == 0, err
    assert "held-out texts (36 rows)" in out
    assert "same answer %" in out
    assert not [word for word in ("a training step", "train_runtime", "it/s") if word in out + err], (
        "nothing is trained"
    )
    numbers = report.load(tmp_path / "run")
    assert numbers.command.startswith("trainer-ext compress --model_name_or_path baseline --texts texts.txt")
    assert numbers.training.baseline.seconds is None
    small, whole = (AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / each) for each in SIDES)
    assert small.num_parameters() < whole.num_parameters()
    status, out, err = run_command(monkeypatch, capsys, "check", tmp_path / "run")
    assert (status, "NO" in out) == (0, False), err
    status, _, err = call(*ONLY_PRUNE, "--prune_sparsity", "0.5")
    assert (status, "already holds a run" in err) == (2, True)


SIDES = ("compressed", "baseline")
TRAIN = ("--num_train_epochs", "1")
# Words beside those of a good command, what replaces its fields, and what the line must say.
REFUSED = {
    "missing file": (ONLY_PRUNE, {"texts": "nowhere.txt"}, "There is no file nowhere.txt"),
    "missing table": (ONLY_PRUNE, {"texts": "nowhere.csv"}, "There is no file nowhere.csv"),
    "other file": (ONLY_PRUNE, {"texts": "texts.pdf"}, "texts.pdf is or holds no .txt"),
    "empty file": (ONLY_PRUNE, {"texts": "empty.txt"}, "empty.txt is empty"),
    "three texts": (ONLY_PRUNE, {"texts": "three.txt"}, "has 3 different texts; give at least 20"),
    "one text": (ONLY_PRUNE, {"texts": "same.txt"}, "has 1 different text; give at least 20"),
    "not UTF-8": (ONLY_PRUNE, {"texts": "latin.txt"}, "0xe9"),
    "unknown column": (ONLY_PRUNE, {"texts": "table.csv"}, "'sentence'"),
    "train files too": ((*ONLY_PRUNE, "--train_files", "train.csv"), {}, "train_files and texts are both given"),
    "no test file there": ((*ONLY_PRUNE, "--test_file", "gone.csv"), {}, "holds no file 'gone.csv'"),
    "training without labels": (("--prune_method", "obs", *TRAIN), {}, "needs labels, and texts has none"),
    "half of the loss from labels": (
        ("--prune_method", "obs", *TRAIN, "--distill_teacher", "self", "--distill_alpha", "0.5"),
        {},
        "distill_alpha=1",
    ),
    "recovery without labels": ((*ONLY_PRUNE, "--prune_recovery_epochs", "1"), {}, "num_train_epochs=0"),
    "baseline": ((*ONLY_PRUNE, "--baseline_epochs", "2"), {}, "baseline_epochs=2 needs labels"),
    "scratch": (ONLY_PRUNE, {"model_name_or_path": "scratch"}, "name a fine-tuned classifier"),
    "holdout": ((*ONLY_PRUNE, "--holdout_share", "0.2"), {}, "holdout_share"),
    "metrics": ((*ONLY_PRUNE, "--metrics", "f1"), {}, "metrics=['f1'] needs labels"),
    "regression": ((*ONLY_PRUNE, "--problem_type", "regression"), {}, "text regression"),
    "tags": ((*ONLY_PRUNE, "--task", "token-classification"), {}, "token classification"),
    "pairs of lines": ((*ONLY_PRUNE, "--text_pair_column", "b"), {}, "--text_pair_column"),
    "wrong problem type": (
        (*ONLY_PRUNE, "--problem_type", "multi_label_classification"),
        {},
        "fine-tune it first on labelled texts",
    ),
    "new head": (ONLY_PRUNE, {"model_name_or_path": "no-head"}, "fine-tune it first on labelled texts"),
    "one number": (ONLY_PRUNE, {"model_name_or_path": "one-number"}, "gives one number and no class"),
    "no texts": (ONLY_PRUNE, {"texts": None}, "--data_dir is not given"),
    "a scale of no recipe": ((*ONLY_PRUNE, "--scale", "small"), {}, "--scale small"),
}


@pytest.mark.parametrize(("words", "fields", "says"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_in_one_line_and_nothing_is_made(
    words, fields, says, call, finished_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "empty.txt", ["", " "])
    lines(tmp_path / "three.txt", TEXTS[:3])
    lines(tmp_path / "same.txt", ["the same"] * 30)
    lines(tmp_path / "texts.pdf", TEXTS)
    lines(tmp_path / "table.csv", ["sentence,id", *(f"{text},1" for text in TEXTS)])
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n" * 30)
    folder = fields.get("model_name_or_path")
    if folder in ("no-head", "one-number"):
        tokenizer = AutoTokenizer.from_pretrained(finished_run / "baseline")
        model = build("bert", vocab_size=len(tokenizer), num_labels=1 if folder == "one-number" else 3)
        model.config.problem_type = None
        (model if folder == "one-number" else model.bert).save_pretrained(tmp_path / folder)
        tokenizer.save_pretrained(tmp_path / folder)
        assert AutoConfig.from_pretrained(tmp_path / folder).model_type == "bert"
    status, _, err = call(*words, **fields)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert says in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_fields_and_help_teach_it(monkeypatch, capsys):
    _, out, _ = run_command(monkeypatch, capsys, "compress", "--help")
    assert "--texts texts.txt --prune_method obs --prune_speedup 2" in " ".join(out.split())
    _, out, _ = run_command(monkeypatch, capsys, "compress", "--fields")
    assert "texts without labels" in " ".join(out.replace("│", " ").split())
