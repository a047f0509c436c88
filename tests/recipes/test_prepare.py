"""Prepared files: each data set, as it is published, becomes what its recipe reads."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recipes.tools import prepare
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.tasks.dataset import load_data

RECIPES = Path(prepare.__file__).parents[1]
# By data set: folder of the published files, rows to train on, test sets, outputs with names.
COUNTS = {
    "trec6": ("trec6", 5380, {"clean": 489, "official": 500}, 6),
    "sst2": ("sst2_sentences", 6911, {"clean": 1819, "official": 1821}, 2),
    "mahaner": ("mahaner_iob", 1500, {"clean": 1998, "official": 1999}, 15),
    "xquad": ("xquad", 894, {"clean": 289, "official": 291}, 0),
    "mahasent": ("mahasent_mr", 12000, {"test": 1500}, 3),
    "masakhanews_yor": ("masakhanews_yor", 1433, {"test": 411}, 5),
    "mahanews": (".", 4834, {"clean": 2332, "official": 2761, "lpc_test": 2302}, 12),
}
# Recipes that are not called as their data set is.
CALLED = {
    "trec6": "trec6_minilm",
    "sst2": "sst2_minilm",
    "masakhanews_yor": "yoruba_topics",
    "mahanews": "mahanews_best",
}


def test_every_data_set_has_a_recipe_and_a_count():
    assert set(prepare.DATA_SETS) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_published_files_become_what_the_recipe_reads(name, tmp_path):
    folder, train, tests, labels = COUNTS[name]
    source = Path(os.environ.get("TRAINER_EXT_DATA", Path(__file__).parents[3] / "shared" / "data")) / folder
    if not source.is_dir():
        pytest.skip(f"no {source}; set TRAINER_EXT_DATA to a folder with {folder}")
    done = CliRunner().invoke(prepare.app, [name, str(source), str(tmp_path)])
    assert done.exit_code == 0, done.output
    given = ["--data_dir", str(tmp_path), "--model_name_or_path", "scratch"]
    data = load_data(read_recipe(RECIPES / f"{CALLED.get(name, name)}.yaml", given).data)
    assert (len(data.train), {key: len(rows) for key, rows in data.tests.items()}) == (train, tests)
    assert len(data.labels) == labels
    if name == "xquad":
        assert not set(data.train["text_pair"]) & set(next(iter(data.tests.values()))["text_pair"])


def test_two_sets_become_one_and_stray_headers_are_still_seen(tmp_path):
    """The columns of the two have other names; a header that stands among the rows becomes ours."""
    for folder, header in (("shc", "Text,Label"), ("lpc", "text,labels")):
        (tmp_path / folder).mkdir()
        rows = {"Valid": [header, f"the {folder} rain", header], "Test": [header, f"{folder} tests"]}
        name = "SHC_{}.csv" if folder == "shc" else "Marathi_LPC_{}.csv"
        for split, lines in rows.items():
            text = "\r\n".join(line if line == header else f"{line},Travel" for line in lines)
            (tmp_path / folder / name.format(split)).write_text(text, encoding="utf-8")
    files = prepare.mahanews(tmp_path)
    assert files["shc_train.csv"] == "text,label\nthe shc rain,Travel\ntext,label\n"
    assert files["train.csv"] == files["shc_train.csv"] + "the lpc rain,Travel\ntext,label\n"
    assert files["lpc_test.csv"] == "text,label\nlpc tests,Travel\n"
    assert files["train.txt"] == "the shc rain\nthe lpc rain\n"


def test_layouts_are_turned_into_ours(tmp_path):
    """Latin-1, labels before texts; tags without a dash, sentences told apart by a number."""
    (tmp_path / "TREC.train.all").write_bytes("0 What is a café ?\n2 What is NATO ?\n".encode("latin-1"))
    (tmp_path / "TREC.test.all").write_text("4 Where is Pune ?\n", encoding="utf-8")
    assert prepare.trec6(tmp_path) == {
        "train.csv": "text,label\nWhat is a café ?,DESC\nWhat is NATO ?,ABBR\n",
        "test.csv": "text,label\nWhere is Pune ?,LOC\n",
    }
    words = "words\tlabels\tsentence_id\nAsha\tBNEP\t1.0\nsings\tO\t1.0\nMonday\tBED\t2.0\n"
    for name in ("valid_iob.txt", "test_iob.txt"):
        (tmp_path / name).write_text(words, encoding="utf-8")
    assert prepare.mahaner(tmp_path)["test.iob"] == "Asha\tB-NEP\nsings\tO\n\nMonday\tB-ED\n"


@pytest.mark.parametrize("words", [["nothing", "."], ["trec6", "absent"]])
def test_what_is_not_there_is_refused(words, tmp_path):
    done = CliRunner().invoke(prepare.app, [*words, str(tmp_path / "out")])
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()
