"""Data: what is refused, with which line; what is cleaned, and how it is counted; what a model gets."""

import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from transformers import HfArgumentParser

from trainer_ext.errors import InputError
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.tasks.dataset import DataArguments, load_data, tokenize

TRAIN = "text,label\nआज पाऊस पडला,weather\nसंघ सामना जिंकला,sport\nThe sun is out,weather\nA late goal,sport\n"
TEST = "text,label\nउद्या ऊन पडेल,weather\nनवा खेळाडू आला,sport\n"


@pytest.fixture
def folder(tmp_path):
    """Writes files (text or bytes) beside a good pair and returns their folder."""

    def write(**files):
        for name, content in {"train": TRAIN, "test": TEST, **files}.items():
            if content is not None:
                data = content if isinstance(content, bytes) else content.encode()
                (tmp_path / f"{name}.csv").write_bytes(data)
        return tmp_path

    return write


def load(folder, **options):
    return load_data(DataArguments(data_dir=str(folder), **options))


REFUSED = {
    "no train file": ({"train": None}, {}, ["none of the train files 'train.csv'", "'test.csv'", "--train_files"]),
    "no test file": ({"test": None}, {}, ["no file 'test.csv'", "'train.csv'", "--test_file"]),
    "no second test file": ({}, {"more_test_files": ["hard.csv"]}, ["no file 'hard.csv'", "--more_test_files"]),
    "train files as a text": ({}, {"train_files": "train.csv"}, ["as a list, [train.csv]"]),
    "empty file": ({"train": ""}, {}, ["train.csv is empty", "header"]),
    "blank file": ({"train": "\n \n"}, {}, ["train.csv is empty"]),
    "header only": ({"test": "text,label\n"}, {}, ["test.csv has a header but no rows"]),
    "other case": (
        {"train": TRAIN.replace("text,label", "Text,label")},
        {},
        ["no column 'text', only 'Text', 'label'", "did you mean --text_column 'Text'?"],
    ),
    "near name": ({}, {"label_column": "labels"}, ["no column 'labels'", "did you mean --label_column 'label'?"]),
    "far name": ({}, {"label_column": "zzz"}, ["no column 'zzz'", "name the right one with --label_column"]),
    "line break in the header": ({"train": '"te\nxt",label\na,b\n'}, {}, [r"'te\nxt'"]),
    "same column": ({}, {"label_column": "text"}, ["both 'text'"]),
    "doubled column": ({"train": "text,text,label\na,b,c\n"}, {}, ["2 columns called 'text'"]),
    "semicolons": (
        {"train": TRAIN.replace(",", ";")},
        {"text_column": "Text"},
        ["only 'text', 'label'; did you mean"],
    ),
    "one class": ({"train": "text,label\none,sport\ntwo,sport\n"}, {}, ["one class only, 'sport'"]),
    "one class after cleaning": ({"train": "text,label\none,a\nONE,b\n"}, {}, ["one class only, 'a'"]),
    "unknown label": ({"test": TEST + "x,music\n"}, {}, ["test.csv has labels that the train file lacks: 'music'"]),
    "unknown second label": (
        {"hard": "text,label\nx,music\n"},
        {"more_test_files": ["hard.csv"]},
        ["hard.csv has labels that the train file lacks: 'music'"],
    ),
    "Latin-1": ({"train": b"text,label\ncaf\xe9,food\n"}, {}, ["line 2: byte 0xe9 at offset 14 is not UTF-8"]),
    "Latin-1 after a BOM": (
        {"train": b"\xef\xbb\xbftext,label\ncaf\xe9,food\n"},
        {},
        ["line 2: byte 0xe9 at offset 17 is not UTF-8"],
    ),
    "half of UTF-16": ({"train": TRAIN.encode("utf-16")[:-1]}, {}, ["line 5: byte 0x0a", "is not UTF-16"]),
    "comma in a text": ({"train": TRAIN + "a, b,sport\n"}, {}, ["line 6: 3 cells where the header has 2", "quotes"]),
    "missing cell": ({"train": TRAIN + "alone\n"}, {}, ["line 6: 1 cells where the header has 2"]),
    "open quote": (
        {"train": TRAIN + '"open,sport\n'},
        {},
        ["line 6: not readable as CSV", "close every double quote"],
    ),
    "empty label": ({"train": TRAIN + "a text,\n"}, {}, ["line 6: the label ('label') is empty"]),
    "NaN label": ({"train": TRAIN + "a text,NaN\n"}, {}, ["line 6: the label ('label') is empty or 'NaN'"]),
    "all texts empty": ({"train": "text,label\n,sport\nNaN,weather\n"}, {}, ["no text in any of its 2 rows"]),
    "test is train": ({"test": TRAIN}, {}, ["every text of", "test.csv is also in train.csv", "--test_file"]),
    "too few rows asked": ({}, {"max_train_rows": 1}, ["--max_train_rows is 1, fewer than the 2 classes"]),
    "holdout of nothing": ({}, {"holdout_share": 0.0}, ["--holdout_share must be in (0, 0.5]; it is 0.0"]),
    "holdout of most": ({}, {"holdout_share": 0.51}, ["--holdout_share must be in (0, 0.5]; it is 0.51"]),
    "holdout of no number": ({}, {"holdout_share": float("nan")}, ["--holdout_share must be in (0, 0.5]"]),
    "holdout of too few rows": ({}, {"holdout_share": 0.1}, ["--holdout_share 0.1 of 4 train rows holds out 0"]),
    "two sets called holdout": (
        {"holdout": TEST},
        {"holdout_share": 0.5, "more_test_files": ["holdout.csv"]},
        ["--more_test_files: holdout.csv would be reported as 'holdout', which is taken"],
    ),
    "no room for a word": ({}, {"max_length": 2}, ["--max_length must be 3 or more"]),
}


@pytest.mark.parametrize(("files", "options", "fragments"), REFUSED.values(), ids=REFUSED)
def test_refuses_in_one_line(folder, files, options, fragments):
    with pytest.raises(InputError) as caught:
        load(folder(**files), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert [fragment for fragment in fragments if fragment not in message] == []


@pytest.mark.parametrize(
    ("data_dir", "fragment"),
    [(None, "--data_dir is not given"), ("absent", "does not exist"), ("train.csv", "is a file, not a folder")],
)
def test_refuses_what_is_no_folder(folder, monkeypatch, data_dir, fragment):
    monkeypatch.chdir(folder())
    with pytest.raises(InputError, match=fragment):
        load_data(DataArguments(data_dir=data_dir))


def test_clean_files_give_one_test_set_and_nothing_dropped(folder):
    data = load(folder())
    assert data.train["text"][:2] == ["आज पाऊस पडला", "संघ सामना जिंकला"]
    assert (data.labels, list(data.train["label"])) == (["sport", "weather"], [1, 0, 1, 0])
    assert data.train.features["label"].names == data.labels
    assert (list(data.tests), data.dropped, data.train_file) == (["test"], {}, "train.csv")
    assert data.train.cache_files == []


def test_cleaning_is_counted_by_reason(folder):
    train = TRAIN + (
        "text,label\n"  # a stray header
        " ,sport\nnan,sport\nNULL,\n\u200b\ufeff,sport\n"  # nothing to read
        "THE  sun is OUT,weather\n"  # the same but for case and white space
        "cafe\u0301,sport\ncaf\u00e9,sport\n"  # the same but for composition
        "a LATE goal,weather\n"  # the same text, another label
        "\n"  # a blank line is no row
    )
    test = TEST + "text,label\n,sport\nA late goal,sport\nनवा खेळाडू आला,sport\nनवा  खेळाडू आला,weather\n"
    data = load(folder(train=train, test=test))
    assert data.dropped == {
        "train: stray header": 1,
        "train: empty": 4,
        "train: duplicate": 2,
        "train: label conflict": 1,
        "test: stray header": 1,
        "test: empty": 1,
        "test: seen in train": 1,
        "test: repeated": 2,
    }
    assert len(data.train) == 5
    assert {name: len(rows) for name, rows in data.tests.items()} == {"clean": 2, "official": 5}
    assert list(data.tests) == ["clean", "official"]


def test_second_test_is_cleaned_and_counted_too(folder):
    files = folder(hard="text,label\nA late goal,sport\nढग दाटून आले,weather\n")
    data = load(files, more_test_files=["hard.csv"])
    assert {name: len(rows) for name, rows in data.tests.items()} == {"test": 2, "hard": 1}
    assert data.dropped == {"hard: seen in train": 1}


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(folder, start):
    quoted = TRAIN.replace("text,label", '"text","label"')
    data = load(folder(train=start + quoted.replace("\n", "\r\n")))
    assert data.train.to_dict() == load(folder()).train.to_dict()


def test_quoted_texts_keep_commas_quotes_and_line_breaks(folder):
    data = load(folder(train=TRAIN + '"one, ""two""\nthree",sport\n'))
    assert data.train["text"][-1] == 'one, "two"\nthree'


def test_the_first_train_file_that_exists_is_used(folder):
    assert load(folder(), train_files=["absent.csv", "train.csv", "test.csv"]).train_file == "train.csv"


def test_numbers_are_sorted_as_numbers(folder):
    rows = "".join(f"text {number},{number}\n" for number in (10, 9, 2))
    assert load(folder(train="text,label\n" + rows, test="text,label\nnew,10\n")).labels == ["2", "9", "10"]


def test_labels_of_a_fine_tuned_model_keep_their_order(folder):
    args = DataArguments(data_dir=str(folder()))
    data = load_data(args, labels=["weather", "music", "sport"])
    assert (data.labels, list(data.train["label"])) == (["weather", "music", "sport"], [0, 2, 0, 2])
    with pytest.raises(InputError, match="labels that the model lacks: 'sport', 'weather'; the model has 'LABEL_0'"):
        load_data(args, labels=["LABEL_0", "LABEL_1"])


def test_fewer_rows_keep_the_classes_and_their_shares(folder):
    rows = "".join(f"text {number},{'rare' if number == 50 else 'frequent'}\n" for number in range(100))
    train = "text,label\n" + rows
    data = load(folder(train=train, test="text,label\nnew,rare\n"), max_train_rows=10)
    assert list(data.train["label"]).count(data.labels.index("rare")) == 1
    assert len(data.train) == 10


def test_a_share_is_held_out_of_every_class_and_comes_last(folder):
    sizes = {"frequent": 60, "some": 30, "rare": 9, "single": 1}
    rows = "".join(f"{name} {number},{name}\n" for name, size in sizes.items() for number in range(size))
    hard = "text,label\nodd,rare\n"
    # A text of the test file that would be held out is still one that was seen.
    files = folder(train="text,label\n" + rows, test="text,label\nnew,rare\nfrequent 3,frequent\n", hard=hard)
    whole = load(files, more_test_files=["hard.csv"])
    data = load(files, more_test_files=["hard.csv"], holdout_share=0.2)
    held = data.tests["holdout"]
    assert list(data.tests) == ["clean", "official", "hard", "holdout"]
    assert "frequent 3" in held["text"]
    assert Counter(data.labels[label] for label in held["label"]) == {"frequent": 12, "some": 6, "rare": 2}
    assert sorted([*data.train["text"], *held["text"]]) == sorted(whole.train["text"])
    assert {name: data.tests[name].to_dict() for name in whole.tests} == {
        name: rows.to_dict() for name, rows in whole.tests.items()
    }
    assert load(files, holdout_share=0.2).tests["holdout"].to_dict() == held.to_dict()
    numbers = [int(text.split()[1]) for text in held["text"] if text.startswith("frequent")]
    assert max(high - low for low, high in pairwise([0, *numbers, 60])) <= 6  # over the whole file, not its end


def test_the_holdout_does_not_depend_on_how_many_rows_are_trained_on(folder):
    rows = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(100))
    files = folder(train="text,label\n" + rows, test="text,label\nnew,a\n")
    few, all_ = (load(files, holdout_share=0.3, max_train_rows=most) for most in (10, None))
    assert (len(few.train), len(all_.train), len(few.tests["holdout"])) == (10, 70, 30)
    assert few.tests["holdout"].to_dict() == all_.tests["holdout"].to_dict()


def test_tokenize_cuts_but_does_not_pad(folder):
    data = load(folder())
    tokenizer = train_tokenizer(data.train["text"], vocab_size=200, max_length=16)
    ready = tokenize(data, tokenizer, DataArguments(max_length=6))
    assert ready.train.column_names == ["input_ids", "token_type_ids", "attention_mask", "labels"]
    assert list(ready.train["labels"]) == list(data.train["label"])
    assert all(len(ids) <= 6 and tokenizer.pad_token_id not in ids for ids in ready.train["input_ids"])
    assert ready.labels == data.labels
    with pytest.raises(InputError, match="--max_length is 32, but this model takes at most 16 tokens"):
        tokenize(data, tokenizer, DataArguments(max_length=32))


def test_arguments_come_from_a_command_line():
    line = ["--data_dir", "d", "--train_files", "a.csv", "b.csv", "--max_train_rows", "7"]
    (args,) = HfArgumentParser(DataArguments).parse_args_into_dataclasses(line)
    assert (args.data_dir, args.train_files, args.max_train_rows) == ("d", ["a.csv", "b.csv"], 7)


def test_marathi_headlines_as_their_source_counts_them():
    root = Path(os.environ.get("TRAINER_EXT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (root / "mahanews_shc").is_dir():
        pytest.skip(f"no L3Cube-MahaNews headlines in {root}; set TRAINER_EXT_DATA to a folder with mahanews_shc")
    data = load(
        root / "mahanews_shc",
        train_files=["SHC_Train.csv", "SHC_Valid.csv"],
        test_file="SHC_Test.csv",
        text_column="Text",
        label_column="Label",
    )
    if data.train_file != "SHC_Valid.csv":
        pytest.skip(f"the counts are for training on SHC_Valid.csv, and {root} holds {data.train_file}")
    assert len(data.train) == 2393
    assert {name: len(rows) for name, rows in data.tests.items()} == {"clean": 2332, "official": 2761}
    assert len(data.labels) == 12
    assert data.dropped["train: stray header"] == data.dropped["test: stray header"] == 11


def one_file(folder, **options):
    rows = [f"{word} number {number},{word}" for number in range(30) for word in ("rain", "goal")]
    rows += ["RAIN  number 0,rain", "a single one,rare"]
    (folder / "all.csv").write_text("\n".join(["text,label", *rows]))
    return load(folder, train_files=["all.csv"], test_share=0.2, **options)


def test_one_file_becomes_a_train_and_a_test_set(folder):
    data = one_file(folder(test=None))
    texts = {name: set(rows["text"]) for name, rows in (("train", data.train), *data.tests.items())}
    assert {name: len(found) for name, found in texts.items()} == {"train": 49, "test": 12}, "of 61 different texts"
    assert not texts["train"] & texts["test"]
    assert set(Counter(data.tests["test"]["label"]).values()) == {6}, "as much of each class"
    assert "a single one" in texts["train"], "a test could not tell what was never learned"
    assert data.dropped == {"train: duplicate": 1}
    (note,) = data.notes
    assert all(word in note for word in ("12 of its 61 different texts", "within each class", "--test_file"))


def test_the_split_is_the_same_each_time_and_a_holdout_comes_from_the_rest(folder):
    first, again = (one_file(folder(test=None), **more) for more in ({}, {"holdout_share": 0.1}))
    assert first.tests["test"]["text"] == again.tests["test"]["text"]
    assert list(again.tests) == ["test", "holdout"]
    assert not {*again.tests["holdout"]["text"]} & {*first.tests["test"]["text"], *again.train["text"]}


def test_a_file_that_is_too_short_to_split_is_refused(folder):
    with pytest.raises(InputError, match="4 different texts to train and test on; give at least 20"):
        load(folder(), test_share=0.2)
