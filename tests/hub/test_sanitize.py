"""Sanitizing: of a local path only the last part is published, and of a token nothing."""

from pathlib import Path

import pytest

from trainer_ext.hub import sanitize


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--hub_token", "hf_secret", "--seed", "3"], ["--hub_token", "***", "--seed", "3"]),
        (["--hub_token=hf_secret"], ["--hub_token=***"]),
        (["--data_dir", "/somewhere/private/data"], ["--data_dir", "data"]),
        (["--data_dir=/somewhere/private/data"], ["--data_dir=data"]),
        (["--model_name_or_path", "owner/name"], ["--model_name_or_path", "owner/name"]),
        (["../up/x", "~/y", "./z"], ["x", "y", "z"]),
    ],
)
def test_commands(given, told):
    assert sanitize.command(given) == told


def test_an_existing_folder_is_not_a_hub_id(tmp_path, monkeypatch):
    (tmp_path / "owner/name").mkdir(parents=True)
    assert sanitize.last_part("owner/name") == "owner/name"
    monkeypatch.chdir(tmp_path)
    assert sanitize.last_part("owner/name") == "name"


def test_the_working_folder_is_told_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "news/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "news/inner")
    told = {".": "inner", "./": "inner", "..": "news", "../": "news", "../..": tmp_path.name, "./x": "x"}
    assert {name: sanitize.last_part(name) for name in told} == told
    assert sanitize.fields({"data_dir": ".", "model_name_or_path": ".."}) == {
        "data_dir": "inner",
        "model_name_or_path": "news",
    }
    assert sanitize.command(["--label_separator", ".", "--data_dir=."]) == ["--label_separator", ".", "--data_dir=."]


def test_fields():
    given = {
        "hub_token": "x",
        "output_dir": "/a/b",
        "data_dir": "/a/data",
        "distill_teachers": ["/a/t", "o/u"],
        "seed": 1,
    }
    assert sanitize.fields(given) == {"data_dir": "data", "distill_teachers": ["t", "o/u"], "seed": 1}


@pytest.mark.parametrize(("name", "found"), [("o/n", "o/n"), ("bert", None), (None, None), ("a/b/c", None)])
def test_hub_ids(name, found):
    assert sanitize.hub_id(name) == found


def test_valid_ids(tmp_path, monkeypatch):
    (tmp_path / "owner/here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    names = ["bert-base-uncased", "owner/name", str(tmp_path), "owner/here", "./x", "a b", "a/b/c", ""]
    assert sanitize.valid_ids(names) == ("bert-base-uncased", "owner/name")


def test_versions_name_the_package():
    assert {"python", "trainer_ext", "torch", "transformers"} <= sanitize.versions().keys()
    assert not any(Path(version).is_absolute() for version in sanitize.versions().values())
