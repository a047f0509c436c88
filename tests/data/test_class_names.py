"""Class names: what is one class in another writing, what only looks so, what is an id, and what is several classes."""

import unicodedata

import pytest

from trainer_ext.data.class_names import separator_in
from trainer_ext.errors import InputError
from trainer_ext.tasks.dataset import DataArguments, load_data

NAMES = ["Tech", "Crime", "Café bar"]
MULTI = {"problem_type": "multi_label_classification"}
TAGS = {"task": "token-classification"}
NFD = unicodedata.normalize("NFD", "Café bar")


def table(*labels, start="train"):
    return "".join(["text,label\n", *(f'{start} {n},"{label}"\n' for n, label in enumerate(labels))])


@pytest.fixture
def load(tmp_path):
    """`load(train, test, labels=..., **fields)`: what `load_data` makes of two texts."""

    def read(train, test, labels=None, **fields):
        (tmp_path / "train.csv").write_text(train, encoding="utf-8")
        (tmp_path / "test.csv").write_text(test, encoding="utf-8")
        return load_data(DataArguments(data_dir=str(tmp_path), **fields), labels=labels)

    return read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["0", "1", "2"], "'0' as 'Tech', '1' as 'Crime', '2' as 'Café bar'"),
        (["0.0", "1.0", "2.0"], "'0.0' as 'Tech'"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], "'LABEL_2' as 'Café bar'"),
        (["tech", "CRIME", "Café Bar"], "'tech' as 'Tech'"),
        (["Tech", "Crime", NFD], "'Cafe\\u0301 bar' as 'Café bar'"),
        (["Tech", "Crime", "Café\u00a0bar"], "'Caf\\xe9\\xa0bar' as 'Café bar'"),
        (["Tech", "Cri\u200bme", "Café bar"], "'Cri\\u200bme' as 'Crime'"),
        (NAMES, None),
    ],
)
def test_the_names_of_a_model_are_known_in_other_writing(load, written, said):
    data = load(table(*written), table(written[2], written[1], start="test"), labels=NAMES)
    assert data.labels == NAMES
    assert list(data.train["label"]) == [0, 1, 2]
    assert list(data.tests["test"]["label"]) == [2, 1]
    assert [said in line for line in data.notes] == ([True] if said else [])


def test_the_test_file_has_ids_and_the_train_file_names(load):
    data = load(table(*NAMES), table("2", "0", start="test"), labels=NAMES)
    assert data.tests["test"]["label"][:] == [2, 0]
    with pytest.raises(InputError, match=r"test.csv has labels that the train file lacks: '0', '2'"):
        load(table(*NAMES), table("2", "0", start="test"))  # without a model nobody knows which is which


@pytest.mark.parametrize("written", [["1", "2", "3"], ["1", "2"], ["0", "3"]])
def test_ids_that_may_start_at_one_are_refused(load, written):
    with pytest.raises(InputError, match="numbers from . to ., and the ids of 'Tech', .* go from 0 to 2: subtract 1"):
        load(table(*written), table(written[0], start="test"), labels=NAMES)


def test_names_that_are_numbers_are_no_ids(load):
    data = load(table("3", "1", "2"), table("1", start="test"), labels=["2", "3", "1"])
    assert list(data.train["label"]) == [1, 2, 0]
    with pytest.raises(InputError, match="labels that the model lacks: '0'"):
        load(table("0", "1"), table("1", start="test"), labels=["2", "3", "1"])


def test_the_tags_and_the_several_classes_of_a_model_are_known_too(load):
    data = load("Pune B-loc\nis O\n", "Goa B-Loc\n", labels=["O", "B-LOC", "I-LOC"], **TAGS)
    assert (list(data.train["label"]), list(data.tests["test"]["label"])) == ([[1, 0]], [[1]])
    data = load(table("tech|CRIME", "Tech"), table("crime", start="test"), labels=NAMES, **MULTI)
    assert list(data.train["label"]) == [[1, 1, 0], [1, 0, 0]]
    data = load(table("0|1", "2"), table("0", start="test"), labels=NAMES, **MULTI)
    assert list(data.train["label"]) == [[1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ("Café bar", NFD, "Café bar"),
        ("a b", "a\u00a0b", "a b"),
        ("a b", "a  b", "a b"),
        ("ab", "a\u200bb", "ab"),
        ("ab", "a\u00adb", "ab"),
        ("3", "3.0", "3"),
    ],
)
def test_one_text_is_one_class(load, first, second, label):
    data = load(table(first, second, "x"), table(second, start="test"))
    assert sorted(data.labels) == sorted([label, "x"])
    assert list(data.train["label"])[:2] == [data.labels.index(label)] * 2
    assert [f"as {label!r}" in line for line in data.notes] == [True]


def test_ids_that_pandas_wrote_as_floats_are_sorted_as_numbers(load):
    names = [f"{number}.0" for number in range(11)]
    assert load(table(*names), table("3", start="test")).labels == [str(number) for number in range(11)]


ALIKE = [
    ("Sports", "sports"),
    ("World Cup", "WorldCup"),
    ("m²", "m2"),
    ("क्\u200dष", "क्ष"),
    ("❤\ufe0f", "❤"),
    ("ﬁt", "fit"),
]


@pytest.mark.parametrize(("first", "second"), ALIKE)
@pytest.mark.parametrize("fields", [{}, MULTI])
def test_names_that_look_the_same_are_refused(load, first, second, fields):
    for train, test in (((first, second, "x"), "x"), ((first, "x"), second)):
        with pytest.raises(InputError) as caught:
            load(table(*train), table(test, start="test"), **fields)
        message = str(caught.value)
        assert "look like one class and would be two; write it in one way" in message
        assert "in train.csv" in message
        for name in (first, second):
            assert repr(name) in message or ascii(name) in message


def test_tags_that_look_the_same_are_refused(load):
    for train, test in (("a B-LOC\nb I-Loc\n", "c B-LOC\n"), ("a B-LOC\n", "c B-Loc\n")):
        with pytest.raises(InputError, match=r"'L[Oo][Cc]' in train.csv and 'L.*' in t.* look like one class"):
            load(train, test, **TAGS)


@pytest.mark.parametrize(
    "names",
    [
        ("m", "M2"),
        ("क", "ख"),
        ("ENTY:desc", "HUM:desc"),
        ("\U0001f3f4\U000e0067\U000e0062", "\U0001f3f4"),  # flags
        ("Maße", "Masse"),
        ("1", "10"),
    ],
)
def test_names_that_differ_are_kept(load, names):
    data = load(table(*names), table(names[0], start="test"))
    assert (sorted(data.labels), data.notes) == (sorted(names), ())


def test_a_model_that_tells_cases_apart_may_keep_them(load):
    data = load(table("a", "A"), table("a", start="test"), labels=["A", "a"])
    assert list(data.train["label"]) == [1, 0]


SEVERAL = [
    ("|", ("a|b", "a", "b|c", "c")),
    (";", ("a; b", "a", "b")),
    (",", ("news, sport", "news", "sport", "art")),
    (",", ("27", "3", "3,10", "10,27", "10")),
    (",", ("a,b", "b,c", "a,c")),
    (" ", ("1 5", "5 8", "1", "8")),
]
ONE = [
    ("Travel, leisure", "Food, drink", "Arts"),
    ("Travel, leisure", "Leisure", "Food, leisure"),
    ("Payday loan, title loan, or personal loan", "Payday loan", "Mortgage"),
    ("N/A", "N", "A"),
    ("1", "1,5", "2", "2,5", "3", "5"),
    ("Clothes|Men", "Clothes|Women", "Shoes|Men", "Shoes|Women"),
    ("red sky", "red", "sky"),
    ("a|", "a", "b"),
]


@pytest.mark.parametrize(("mark", "names"), SEVERAL)
def test_several_classes_in_a_cell_are_no_class(load, mark, names):
    assert separator_in(names) == mark
    with pytest.raises(InputError) as caught:
        load(table(*names), table(names[0], start="test"))
    message = str(caught.value)
    way_out = "--problem_type multi_label_classification --label_separator "
    assert "holds several classes" in message
    assert way_out in message
    words = message.partition(way_out)[2].split(", or")[0].strip("'")
    data = load(table(*names), table(names[0], start="test"), label_separator=words, **MULTI)
    assert len(data.labels) < len(names) or len(names) == 3
    assert not any(mark in label for label in data.labels)
    other = "/" if mark == "|" else "|"
    with pytest.raises(InputError, match="holds several classes.*give --label_separator"):
        load(table(*names), table(names[0], start="test"), label_separator=other, **MULTI)


@pytest.mark.parametrize("names", ONE)
def test_a_name_with_a_comma_is_one_class(load, names):
    assert separator_in(names) is None
    assert sorted(load(table(*names), table(names[0], start="test")).labels) == sorted(names)


def test_rows_of_several_classes_that_all_have_one_are_said(load):
    data = load(table("a/b", "c"), table("c", start="test"), **MULTI)
    assert ["has more than one class; if they are not separated by '|', give" in line for line in data.notes] == [True]


@pytest.mark.parametrize("cell", ["['a', 'b']", "['a']", '[""a"", ""b""]', "[1, 2]"])
def test_lists_as_python_writes_them(load, cell):
    with pytest.raises(InputError, match="line 2.*a list of classes; give --problem_type multi_label_classification"):
        load(table(cell, "c"), table("c", start="test"))
    names = ["1", "2"] if "1" in cell else ["a", "b"] if "b" in cell else ["a"]
    data = load(table(cell, "['c']", "[]"), table("['c']", start="test"), **MULTI)
    assert data.labels == [*names, "c"]
    assert list(data.train["label"])[2] == [0.0] * len(data.labels)


def test_a_list_of_numpy_is_refused(load):
    with pytest.raises(InputError, match=r"line 2: the label \('label'\) is .*a list without commas"):
        load(table("['a' 'b']", "c"), table("c", start="test"), **MULTI)


def test_brackets_in_a_name_are_no_list(load):
    assert load(table("[other]", "[1", "a"), table("a", start="test")).labels == ["[1", "[other]", "a"]
    assert load(table("[other]", "b|a"), table("a", start="test"), **MULTI).labels == ["[other]", "a", "b"]
