"""Files of every task: what is read from them, and what is refused, in one line that names it."""

import json

import pytest

from tests.helpers.commands import recipe_fields, write_csv, write_recipe
from trainer_ext.errors import InputError
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.tasks.dataset import DataArguments, load_data
from trainer_ext.tasks.registry import TASKS

IOB = "-DOCSTART- O\n\nAsha B-PER\nRao I-PER\nsings O\n\n\nPune\tB-LOC\nsleeps\tO\n"
CONTEXT = "The river Bhima meets the Krishna."


def squad(*, context=CONTEXT, question="What does it meet?", answers=((22, "the Krishna"),)):
    found = [{"text": text, "answer_start": start} for start, text in answers]
    asked = [{"id": "1", "question": question, "answers": found}]
    return json.dumps({"version": "1.1", "data": [{"title": "", "paragraphs": [{"context": context, "qas": asked}]}]})


MULTI = {"problem_type": "multi_label_classification"}
NUMBER = {"problem_type": "regression"}
PAIR = {"text_pair_column": "other"}
TAGS = {"task": "token-classification"}
ANSWERS = {"task": "question-answering"}
OTHER = "text,other,label\na,b,yes\nc,d,no\n"


@pytest.fixture
def load(tmp_path):
    """`load(train, test, **fields)`: what `load_data` makes of two texts."""

    def read(train, test, **fields):
        (tmp_path / "train.csv").write_text(train, encoding="utf-8")
        (tmp_path / "test.csv").write_text(test, encoding="utf-8")
        return load_data(DataArguments(data_dir=str(tmp_path), **fields))

    return read


def test_several_classes_in_a_cell(load):
    data = load("text,label\none,b | a\ntwo,\nthree,a\nfour,nan\n", "text,label\nnew,a|b\n", **MULTI)
    assert data.labels == ["a", "b"]
    assert list(data.train["label"]) == [[1, 1], [0, 0], [1, 0], [0, 0]]


def test_the_separator_can_be_chosen(load):
    data = load("text,label\none,b;a\n", "text,label\nnew,a\n", label_separator=";", **MULTI)
    assert data.labels == ["a", "b"]


COLUMNS = {**MULTI, "label_columns": ["toxic", "obscene", "insult"]}
TOXIC = "id,text,toxic,obscene,insult\n1,one,1,0.0,1\n2,two,0,1.0,false\n3,three,0,0,0\n"


def test_a_column_per_class(load):
    data = load(TOXIC, "obscene,insult,text,toxic\nTrue,0,new,0\n", **COLUMNS)
    assert data.labels == ["toxic", "obscene", "insult"]
    assert list(data.train["label"]) == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert list(data.tests["test"]["label"]) == [[0, 1, 0]]


def test_a_column_per_class_in_the_order_of_a_model(tmp_path):
    rows = [{"text": "one", "toxic": 1, "obscene": False, "insult": True}, {"text": "two", "toxic": 0, "obscene": 1.0}]
    (tmp_path / "test.json").write_text(json.dumps([{**rows[0], "text": "new"}]), encoding="utf-8")
    files = {"data_dir": str(tmp_path), "train_files": ["train.jsonl"], "test_file": "test.json"}
    args = DataArguments(**files, **COLUMNS)
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: a label is '' in column 'insult'; write 1 if"):
        load_data(args)
    rows[1]["insult"] = 0
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = load_data(args, labels=["Insult", "toxic", "obscene"])
    assert data.labels == ["Insult", "toxic", "obscene"]
    assert list(data.train["label"]) == [[1, 1, 0], [0, 0, 1]]


def test_what_is_no_flag_is_refused_with_its_line_and_column(load):
    for cell in ("-1", "", "2", "yes"):
        with pytest.raises(InputError, match=f"line 4: a label is '{cell}' in column 'obscene'; write 1 if"):
            load(TOXIC.replace("3,three,0,0", f"3,three,0,{cell}"), TOXIC, **COLUMNS)


def test_the_way_to_several_columns_is_shown_where_one_was_given(load, tmp_path):
    advice = "--problem_type multi_label_classification --label_columns toxic obscene insult"
    with pytest.raises(InputError, match=f"no column 'label'.*{advice}"):
        load(TOXIC, TOXIC)
    with pytest.raises(InputError, match="'toxic' holds just 0 and 1.*--label_columns toxic"):
        load(TOXIC, TOXIC, label_column="toxic", **MULTI)
    path = write_recipe(tmp_path / "r.yaml", recipe_fields(tmp_path, tmp_path / "run"))
    with pytest.raises(InputError, match=advice):
        read_recipe(path, ["--label_column", "toxic", "obscene", "insult"])
    assert read_recipe(path, advice.split()).data.label_columns == COLUMNS["label_columns"]
    path = write_recipe(tmp_path / "r.yaml", recipe_fields(tmp_path, tmp_path / "run", **COLUMNS))
    assert read_recipe(path).data.label_columns == COLUMNS["label_columns"]
    with pytest.raises(InputError, match="--label_columns and --label_column 'topic' are both given"):
        load(TOXIC, TOXIC, label_column="topic", **COLUMNS)
    with pytest.raises(InputError, match="no column 'rude'"):
        load(TOXIC, TOXIC, **{**COLUMNS, "label_columns": ["toxic", "rude"]})
    with pytest.raises(InputError, match="--text_column and --label_columns are both 'text'"):
        load(TOXIC, TOXIC, **{**COLUMNS, "label_columns": ["toxic", "text"]})


def test_numbers(load):
    data = load("text,label\none,1.5\ntwo,-2\n", "text,label\nnew,1e1\n", **NUMBER)
    assert data.labels == ["score"]
    assert (list(data.train["label"]), list(data.tests["test"]["label"])) == ([1.5, -2.0], [10.0])


def test_a_pair_is_known_by_both_texts(load):
    data = load(OTHER + "A,B,yes\na,d,no\n", "text,other,label\na,b,yes\nb,a,yes\nx,,no\n", **PAIR)
    assert list(data.train["text_pair"]) == ["b", "d", "d"]
    assert data.dropped == {"train: duplicate": 1, "test: seen in train": 1, "test: empty": 1}


def test_sentences_of_words_and_tags(load):
    data = load(IOB, "Rao\tB-PER\nruns\tO\n\nAsha  B-PER\nRao I-PER\nsings O", **TAGS)
    assert data.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert list(data.train["text"]) == ["Asha Rao sings", "Pune sleeps"]
    assert list(data.train["label"]) == [[3, 4, 0], [1, 0]]
    assert data.dropped == {"test: seen in train": 1}


def test_questions_with_contexts_and_answers(load):
    both = ((22, "the Krishna"), (26, "Krishna"))
    data = load(squad(answers=both), squad(question="Which river?", answers=[(10, "Bhima")]), **ANSWERS)
    assert data.labels == []
    assert data.train[0] == {
        "text": "What does it meet?",
        "text_pair": CONTEXT,
        "label": [{"start": 22, "text": "the Krishna"}, {"start": 26, "text": "Krishna"}],
    }


def test_fewer_rows_are_spread_over_the_file(load):
    rows = "".join(f"text {number},{number}\n" for number in range(10))
    data = load("text,label\n" + rows, "text,label\nnew,1\n", max_train_rows=3, **NUMBER)
    assert list(data.train["label"]) == [0, 3, 6]


def test_numbers_are_held_out_at_equal_distances(load):
    rows = "".join(f"text {number},{number}\n" for number in range(10))
    data = load("text,label\n" + rows, "text,label\nnew,1\n", holdout_share=0.2, **NUMBER)
    assert list(data.tests["holdout"]["label"]) == [2, 7]
    assert list(data.train["label"]) == [0, 1, 3, 4, 5, 6, 8, 9]


REFUSED = {
    "no class anywhere": (MULTI, "text,label\none,\ntwo,\n", "names no class"),
    "unknown class": (MULTI, "text,label\none,x|y\n", "labels that the train file lacks: 'a', 'b'"),
    "no number": (NUMBER, "text,label\none,many\n", "line 2: the label ('label') is 'many', which is not a number"),
    "no finite number": (NUMBER, "text,label\none,nan\n", "line 2: the label ('label') is 'nan'"),
    "no second text": (PAIR, "text,label\none,a\n", "no column 'other'"),
    "the same text twice": (
        {"text_pair_column": "text"},
        OTHER,
        "--text_column and --text_pair_column are both 'text'",
    ),
    "the label as text": ({"text_pair_column": "label"}, OTHER, "--text_pair_column and --label_column are both"),
    "one column": (TAGS, "Asha\n", "line 1: 1 columns"),
    "another width": (TAGS, "Asha X B-PER\nRao I-PER\n", "line 2: 2 columns where the first word has 3"),
    "a header": (TAGS, "word tag\nAsha B-PER\n", "line 1: the last column is 'tag', which is not a tag"),
    "tags without a dash": (TAGS, "Asha BPER\n", "'BPER', which is not a tag"),
    "a type without a name": (TAGS, "Asha B-\n", "'B-', which is not a tag"),
    "no sentence": (TAGS, "\n\n", "holds no sentence"),
    "no entity": (TAGS, "Asha O\n", "holds no entity"),
    "unknown type": (TAGS, "Asha B-ORG\n", "lacks: 'B-LOC', 'B-PER', 'I-PER'"),
    "no JSON": (ANSWERS, "{", "is not in the layout of SQuAD 1.1"),
    "another layout": (ANSWERS, '{"rows": []}', "KeyError 'data'"),
    "a list": (ANSWERS, "[]", "is not in the layout of SQuAD 1.1"),
    "no question": (ANSWERS, '{"data": []}', "holds no question"),
    "no answer": (ANSWERS, squad(answers=[]), "'What does it meet?' has no answer"),
    "answer elsewhere": (ANSWERS, squad(answers=[(3, "Bhima")]), "'Bhima' is not at character 3"),
    "answer before": (ANSWERS, squad(answers=[(-8, "Krishna")]), "is not at character -8"),
    "empty answer": (ANSWERS, squad(answers=[(0, "")]), "is not at character 0"),
}
GOOD_TEST = {
    "multi_label_classification": "text,label\nnew,a|b\n",
    "regression": "text,label\nnew,1\n",
    "token-classification": IOB,
    "question-answering": squad(question="Which river?", answers=[(10, "Bhima")]),
    None: OTHER,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_is_refused_in_one_line(load, case):
    fields, train, fragment = REFUSED[case]
    test = GOOD_TEST[fields.get("problem_type") or fields.get("task")]
    with pytest.raises(InputError) as refused:
        load(train, test, **fields)
    assert "\n" not in str(refused.value)
    assert fragment in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task": "translation"}, ("--task", "'translation'", "question-answering")),
        ({"problem_type": "ranking"}, ("--problem_type", "'ranking'", "regression")),
        ({**TAGS, **NUMBER}, ("--problem_type", "leave it out", "token-classification")),
        ({**TAGS, **PAIR}, ("--text_pair_column", "left out for token-classification", "'other'")),
        ({**ANSWERS, **PAIR}, ("--text_pair_column", "left out for question-answering")),
        ({"label_separator": ""}, ("--label_separator", "one character or more")),
        ({**PAIR, "max_length": 4, "latency_sequence_length": 4}, ("--max_length", "5 or more", "4")),
        ({**ANSWERS, "doc_stride": 9}, ("--doc_stride", "[1, 8]", "9")),
        ({**ANSWERS, "doc_stride": 0}, ("--doc_stride", "[1, 8]", "0")),
        ({"max_answer_length": 0}, ("--max_answer_length", "1 or more", "0")),
        ({"max_train_rows": 0}, ("--max_train_rows", "1 or more", "0")),
        ({"label_columns": ["a", "b"]}, ("--label_columns", "with --problem_type multi_label_classification only")),
        ({**MULTI, "label_columns": ["a", "a"]}, ("--label_columns", "different columns", "'a', 'a'")),
    ],
)
def test_a_field_that_cannot_be_is_refused_before_a_file_is_read(fields, words, tmp_path):
    path = write_recipe(tmp_path / "r.yaml", recipe_fields(tmp_path / "absent", tmp_path / "run", **fields))
    with pytest.raises(InputError) as refused:
        read_recipe(path)
    assert "\n" not in str(refused.value)
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**MULTI, "label_smoothing_factor": 0.1}, ("label_smoothing_factor=0.1", "multi-label")),
        ({**TAGS, "metrics": ["accuracy"]}, ("metrics=['accuracy']", "token classification")),
    ],
)
def test_a_field_that_the_task_has_no_use_for_is_refused(fields, words, tmp_path):
    from trainer_ext.pipeline.compress import compress

    write_csv(tmp_path / "train.csv", [])
    path = write_recipe(tmp_path / "r.yaml", recipe_fields(tmp_path, tmp_path / "run", **fields))
    with pytest.raises(InputError) as refused:
        compress(read_recipe(path))
    assert [word for word in words if word not in str(refused.value)] == []
    assert not (tmp_path / "run").exists()


def test_every_task_says_how_it_is_called():
    assert len({(task.name, task.problem_type) for task in TASKS}) == len({task.title for task in TASKS}) == len(TASKS)
    assert {task.name for task in TASKS} == {"text-classification", "token-classification", "question-answering"}
