"""Baseline: a model taken as it is must be one for the task; one that is fine-tuned gets the task's head."""

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification, RobertaTokenizerFast

from tests.helpers.commands import recipe_fields, write_csv, write_recipe
from trainer_ext.data.encoding import WORD_STARTS
from trainer_ext.distillation.teachers import load_teacher
from trainer_ext.errors import InputError
from trainer_ext.pipeline.baseline import open_baseline
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.tasks.dataset import DataArguments, tokenize

TAGS = {"task": "token-classification"}


@pytest.fixture
def opened(tmp_path, tiny_model):
    """`opened(model, **fields)`: what `open_baseline` makes of a saved model and files of the task."""

    def make(model, tokenizer=None, labels=None, test=None, **fields):
        tokenizer = tokenizer or train_tokenizer(["ab ba"], vocab_size=40, max_length=16)
        for part in (model, tokenizer):
            part.save_pretrained(tmp_path / "model")
        if fields.get("task"):
            for name, words in (("train", "ab B-X\nba O\n"), ("test", "ba O\nab B-X\n")):
                (tmp_path / f"{name}.csv").write_text(words, encoding="utf-8")
        else:
            first, second = labels or ("1", "0")
            write_csv(tmp_path / "train.csv", [("ab", first), ("ba", second)])
            write_csv(tmp_path / "test.csv", [("ab ba", test or first)])
        named = {"model_name_or_path": str(tmp_path / "model"), **fields}
        return open_baseline(
            read_recipe(write_recipe(tmp_path / "r.yaml", recipe_fields(tmp_path, tmp_path, **named)))
        )

    return make


def tagger(tiny_model, names, model_type="bert", **changes):
    config = tiny_model(model_type, num_labels=len(names), **changes).config
    config.id2label, config.label2id = dict(enumerate(names)), {name: index for index, name in enumerate(names)}
    return AutoModelForTokenClassification.from_config(config)


def test_a_tagger_taken_as_it_is_keeps_its_order_of_tags(opened, tiny_model):
    names = ["B-X", "I-X", "O"]
    model, _, data, epochs = opened(tagger(tiny_model, names), **TAGS)
    assert (data.labels, epochs) == (names, 0)
    assert list(data.train["label"]) == [[0, 2]]
    with pytest.raises(InputError, match="labels that the model lacks: 'B-X'"):
        opened(tagger(tiny_model, ["B-Y", "I-Y", "O"]), **TAGS)


def test_a_model_without_the_head_must_be_fine_tuned(opened, tiny_model):
    with pytest.raises(InputError, match="not saved with a head for token classification.*--baseline_epochs"):
        opened(tiny_model(), **TAGS)
    model, _, data, _ = opened(tiny_model(), baseline_epochs=1, **TAGS)
    assert type(model).__name__ == "BertForTokenClassification"
    assert model.config.id2label == dict(enumerate(data.labels)) == {0: "O", 1: "B-X", 2: "I-X"}


@pytest.mark.parametrize(
    ("config", "fields", "words"),
    [
        (
            {"problem_type": "multi_label_classification"},
            {},
            "is for multi_label_classification, not for single-label",
        ),
        ({}, {"problem_type": "regression"}, "gives 3 numbers where one label is"),
        ({"num_labels": 2}, {"problem_type": "multi_label_classification", "labels": ("a", "b")}, "--class_names"),
    ],
)
def test_a_model_for_another_problem_is_refused(config, fields, words, opened, tiny_model):
    with pytest.raises(InputError, match=words):
        opened(tiny_model(**config), **fields)


def test_the_problem_type_goes_into_the_configuration(opened, tiny_model):
    """Heads and distillation losses are chosen by it."""
    model, _, _, _ = opened(tiny_model(num_labels=1), problem_type="regression")
    assert model.config.problem_type == "regression"
    several = {"problem_type": "multi_label_classification", "labels": ("b", "a")}
    model, _, data, _ = opened(tiny_model(num_labels=2), baseline_epochs=1, **several)
    assert (model.config.problem_type, data.labels) == ("multi_label_classification", ["a", "b"])


def classifier(tiny_model, names):
    model = tiny_model(num_labels=len(names))
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {name: n for n, name in enumerate(names)}
    return model


# Names of the model, labels of the data, --class_names, and the names of the run; None if it is refused.
CLASSES = {
    "ids": (("Tech", "Crime"), ("1", "0"), None, ["Tech", "Crime"]),
    "ids as numbers of pandas": (("Tech", "Crime"), ("1.0", "0.0"), None, ["Tech", "Crime"]),
    "ids and class_names that say so": (("Tech", "Crime"), ("1", "0"), ["0", "1"], ["Tech", "Crime"]),
    "ids and other class_names": (("Tech", "Crime"), ("1", "0"), ["तंत्र", "गुन्हा"], ["तंत्र", "गुन्हा"]),
    "other names and class_names": (("Tech", "Crime"), ("गुन्हा", "तंत्र"), ["तंत्र", "गुन्हा"], ["तंत्र", "गुन्हा"]),
    "names in another writing": (("Tech", "Crime"), ("crime ", "TECH"), None, ["Tech", "Crime"]),
    "class_names in another writing": (("Tech", "Crime"), ("Crime", "Tech"), ["tech", "crime"], ["Tech", "Crime"]),
    "from one, with class_names": (("Tech", "Crime"), ("2", "1"), ["1", "2"], ["1", "2"]),
    "no names, ids": (("LABEL_0", "LABEL_1"), ("1", "0"), None, ["LABEL_0", "LABEL_1"]),
    "no names, the usual ones": (("LABEL_0", "LABEL_1"), ("LABEL_1", "LABEL_0"), None, ["LABEL_0", "LABEL_1"]),
    "no names, class_names": (("LABEL_0", "LABEL_1"), ("Crime", "Tech"), ["Tech", "Crime"], ["Tech", "Crime"]),
    "no names, ids, class_names": (("LABEL_0", "LABEL_1"), ("1", "0"), ["Tech", "Crime"], ["Tech", "Crime"]),
    "names that look alike": (("a", "A"), ("A", "a"), None, ["a", "A"]),
    "names of several classes": (("a|b", "a"), ("a", "a|b"), None, ["a|b", "a"]),
    "from one": (("Tech", "Crime"), ("2", "1"), None, "numbers from 1 to 2.*go from 0 to 1: subtract 1"),
    "class_names in another order": (
        ("Tech", "Crime"),
        ("1", "0"),
        ["Crime", "Tech"],
        "differ at id 0 .'Crime' and 'Tech'",
    ),
    "class_names of other data": (("Tech", "Crime"), ("Crime", "Tech"), ["x", "y"], "leave --class_names out"),
    "ids said, names given": (("Tech", "Crime"), ("Crime", "Tech"), ["0", "1"], "leave --class_names out"),
    "too few class_names": (
        ("Tech", "Crime"),
        ("1", "0"),
        ["Tech"],
        "has 1 names and the model 2.*at id 1 .none and 'Crime'",
    ),
    "a name twice": (("LABEL_0", "LABEL_1"), ("x", "y"), ["x", "x"], "a name twice, got 'x', 'x'"),
    "no names and none said": (("LABEL_0", "LABEL_1"), ("Crime", "Tech"), None, "give their names in that order"),
    "no names, from one": (("LABEL_0", "LABEL_1"), ("2", "1"), None, "give their names in that order"),
}


@pytest.mark.parametrize(("own", "labels", "class_names", "names"), CLASSES.values(), ids=CLASSES)
def test_the_classes_of_the_data_are_those_of_the_model(opened, tiny_model, own, labels, class_names, names):
    if isinstance(names, str):
        with pytest.raises(InputError, match=names):
            opened(classifier(tiny_model, own), labels=labels, class_names=class_names)
        return
    model, _, data, _ = opened(classifier(tiny_model, own), labels=labels, class_names=class_names)
    assert data.labels == names == [model.config.id2label[index] for index in range(2)]
    assert model.config.label2id == {name: index for index, name in enumerate(names)}
    # The labels of the train rows are those of the ids 1 and 0, but for models that name them the other way round.
    assert list(data.train["label"]) == [1, 0]


def test_a_test_file_of_ids_beside_a_train_file_of_names(opened, tiny_model):
    _, _, data, _ = opened(classifier(tiny_model, ("Tech", "Crime")), labels=("Crime", "Tech"), test="0")
    assert list(data.tests["test"]["label"]) == [0]
    with pytest.raises(InputError, match="test.csv has labels that the train file lacks: 'Art'"):
        opened(classifier(tiny_model, ("Tech", "Crime", "Art")), labels=("Crime", "Tech"), test="art")
    with pytest.raises(InputError, match="test.csv has labels that the train file lacks: 'x'"):
        opened(classifier(tiny_model, ("Tech", "Crime")), labels=("Crime", "Tech"), test="x")


def test_how_the_data_were_understood_is_said_once(opened, tiny_model, caplog):
    opened(classifier(tiny_model, ("Tech", "Crime")), labels=("1", "0"))
    assert [line.message.partition(": ")[2] for line in caplog.records] == [
        "class names are read as they are known: '0' as 'Tech', '1' as 'Crime'."
    ]
    caplog.clear()
    opened(classifier(tiny_model, ("Tech", "Crime")), labels=("1", "0"), class_names=["x", "y"])
    assert ["The classes are called 'x', 'y' by --class_names, not" in line.message for line in caplog.records] == [
        0,
        1,
    ]


@pytest.mark.parametrize("fields", [{"baseline_epochs": 1}, {"model_name_or_path": "scratch"}])
def test_class_names_order_the_classes_of_a_new_head(opened, tiny_model, fields):
    for labels in (("Crime", "Tech"), ("1", "0")):
        model, _, data, _ = opened(tiny_model(), labels=labels, class_names=["Tech", "Crime", "Art"], **fields)
        assert data.labels == list(model.config.id2label.values()) == ["Tech", "Crime", "Art"]
        assert list(data.train["label"]) == [1, 0]
    with pytest.raises(InputError, match="labels that .* lacks: 'x', 'y'"):
        opened(tiny_model(), labels=("x", "y"), class_names=["Tech", "Crime"], **fields)
    with pytest.raises(InputError, match="look like one class and would be two"):
        opened(tiny_model(), labels=("tech", "Tech"), **fields)


def saved(model, names, **config):
    """A model as a training leaves it: with class names, and a head whose weights are not those of a start."""
    names = list(names)
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {name: n for n, name in enumerate(names)}
    model.config.update(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("bert."):
                parameter.fill_(7.0)
    return model


def has_new_head(model) -> bool:
    """Whether no weight of `saved` is in the head; else all of them must be there."""
    stored = [bool((p == 7.0).all()) for name, p in model.named_parameters() if not name.startswith("bert.")]
    assert all(stored) or not any(stored)
    return not any(stored)


SEVERAL = {"problem_type": "multi_label_classification"}
# A model that is fine-tuned on: its classes, the labels of two train rows, fields; the classes of the run, whether its head is
# new, and words of a note (None for none).
HEADS = {
    "the order of the model": (("Tech", "Crime"), ("Crime", "Tech"), {}, ["Tech", "Crime"], False, None),
    "another writing": (("Tech", "Crime"), ("crime ", "TECH"), {}, ["Tech", "Crime"], False, "read as they are known"),
    "ids of all": (("Tech", "Crime"), ("1", "0"), {}, ["Tech", "Crime"], False, "'0' as 'Tech'"),
    "a class is absent": (
        ("Tech", "Art", "Crime"),
        ("Crime", "Tech"),
        {},
        ["Tech", "Art", "Crime"],
        False,
        "is kept with all its classes; the data have none of Art.",
    ),
    "as many others": (
        ("Tech", "Crime"),
        ("politics", "film"),
        {},
        ["film", "politics"],
        True,
        "model (Tech, Crime) is replaced by a new one for film, politics.",
    ),
    "some others": (("Tech", "Crime"), ("Tech", "film"), {}, ["Tech", "film"], True, "replaced by a new one"),
    "fewer others": (
        ("a", "b", "c"),
        ("x", "y"),
        {},
        ["x", "y"],
        True,
        "(a, b, c) is replaced by a new one for x, y.",
    ),
    "ids of some": (("a", "b", "c"), ("1", "0"), {}, ["0", "1"], True, "(a, b, c) is replaced by a new one for 0, 1."),
    "ids from one": (("a", "b"), ("1", "2"), {}, ["1", "2"], True, "(a, b) is replaced by a new one for 1, 2."),
    "no names": (("LABEL_0", "LABEL_1"), ("b", "a"), {}, ["a", "b"], True, "(LABEL_0, LABEL_1) is replaced"),
    "no names, named": (("LABEL_0", "LABEL_1"), ("b", "a"), {"class_names": ["b", "a"]}, ["b", "a"], False, None),
    "another order is asked": (
        ("a", "b"),
        ("b", "a"),
        {"class_names": ["b", "a"]},
        ["b", "a"],
        True,
        "new one for b, a.",
    ),
    "fewer are asked": (
        ("a", "b", "c"),
        ("b", "a"),
        {"class_names": ["a", "b"]},
        ["a", "b"],
        True,
        "new one for a, b.",
    ),
    "several, in order": (("b", "a"), ("a", "b"), SEVERAL, ["b", "a"], False, None),
    "several, others": (
        ("b", "a"),
        ("x", "y"),
        SEVERAL,
        ["x", "y"],
        True,
        "(b, a) is replaced by a new one for x, y.",
    ),
}


@pytest.mark.parametrize(("own", "labels", "fields", "names", "new", "note"), HEADS.values(), ids=HEADS)
def test_a_model_that_is_trained_on_keeps_its_head_if_the_classes_are_its_own(
    opened, tiny_model, caplog, own, labels, fields, names, new, note
):
    """Its labels have its order: sorted, they would stand for other weights of the head."""
    kind = {"problem_type": fields["problem_type"]} if "problem_type" in fields else {}
    model, _, data, _ = opened(
        saved(tiny_model(num_labels=len(own)), own, **kind), labels=labels, baseline_epochs=1, **fields
    )
    assert (data.labels, has_new_head(model)) == (names, new)
    assert model.config.id2label == dict(enumerate(names))
    said = [line.message for line in caplog.records if "head of" in line.message or "read as" in line.message]
    assert (note in said[0] and len(said) == 1) if note else not said
    ids = [row.index(1.0) if kind else row for row in data.train["label"]]
    texts = dict(zip(data.train["text"], ids, strict=True))
    if note is None or new:
        assert [names[texts[text]] for text in ("ab", "ba")] == list(labels)


def test_a_new_head_has_the_weights_of_the_seed_beside_the_stored_encoder(opened, tiny_model):
    model = saved(tiny_model(num_labels=2), ("a", "b"))
    first, again, other = (
        opened(model, labels=("x", "y"), baseline_epochs=1, seed=seed)[0].state_dict() for seed in (1, 1, 2)
    )
    for name, value in model.state_dict().items():
        assert torch.equal(first[name], again[name])
        assert torch.equal(first[name], other[name]) is (name.startswith("bert.") or name == "classifier.bias")
        assert torch.equal(first[name], value) is name.startswith("bert.")
    assert not first["classifier.bias"].any()
    assert 0 < first["classifier.weight"].std() < 0.1


def test_a_head_for_another_task_is_not_taken_for_one_of_the_same_shape(opened, tiny_model, caplog):
    """A tagger calls its weights as a classifier does."""
    model, _, data, _ = opened(saved(tagger(tiny_model, ["x", "y"]), ["x", "y"]), labels=("x", "y"), baseline_epochs=1)
    assert (data.labels, has_new_head(model)) == (["x", "y"], True)
    assert "(x, y) is replaced by a new one for x, y." in caplog.text
    one = saved(tiny_model(num_labels=1), ["score"])
    assert has_new_head(opened(one, labels=("x", "y"), baseline_epochs=1)[0])
    assert "(one number) is replaced by a new one for x, y." in caplog.text
    numbers = {"problem_type": "regression", "baseline_epochs": 1}
    assert not has_new_head(opened(one, **numbers)[0])
    model, _, data, _ = opened(saved(tiny_model(), "abc"), **numbers)
    assert (data.labels, has_new_head(model), model.config.num_labels) == (["score"], True, 1)
    assert "(a, b, c) is replaced by a new one for text regression." in caplog.text


def test_a_tagger_that_is_trained_on_keeps_its_head_for_its_own_tags(opened, tiny_model, caplog):
    names = ["B-X", "I-X", "O"]
    model, _, data, _ = opened(saved(tagger(tiny_model, names), names), baseline_epochs=1, **TAGS)
    assert (data.labels, list(data.train["label"]), has_new_head(model)) == (names, [[0, 2]], False)
    for own in (["B-Y", "I-Y", "O"], ["O", "I-X"]):
        model, _, data, _ = opened(saved(tagger(tiny_model, own), own), baseline_epochs=1, **TAGS)
        assert (data.labels, has_new_head(model)) == (["O", "B-X", "I-X"], True)
    assert "(O, I-X) is replaced by a new one for O, B-X, I-X." in caplog.text


def test_class_names_of_numbers_are_refused(opened, tiny_model):
    with pytest.raises(InputError, match="class_names=.*text regression has no classes; leave it out"):
        opened(tiny_model(num_labels=1), problem_type="regression", class_names=["x", "y"])


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_model_that_was_saved_in_half_precision_is_trained_in_fp32(opened, tiny_model, epochs):
    model = opened(tiny_model(num_labels=2).half(), baseline_epochs=epochs, class_names=["0", "1"])[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config.dtype == torch.float32  # and is saved so


def test_a_new_head_of_a_model_in_half_precision_is_in_fp32(opened, tiny_model):
    model = opened(saved(tiny_model(num_labels=2), "ab").half(), baseline_epochs=1)[0]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_byte_level_tokenizer_reads_words_one_by_one(opened, tiny_model):
    """It tells the start of a word by the space before it, which words of a file do not have."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet, "Ġa", "Ġab"])}
    merges = [("Ġ", "a"), ("Ġa", "b")]
    tokenizer = RobertaTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=16)
    model = tagger(tiny_model, ["O", "B-X", "I-X"], "roberta", vocab_size=len(vocabulary))
    _, found, data, _ = opened(model, tokenizer, **TAGS)
    encoded = tokenize(data, found, DataArguments(max_length=16, **TAGS))
    assert encoded.tests["test"][WORD_STARTS][0] == [1, 4]  # ba, ab after <s>: Ġ b a Ġab


def test_a_teacher_with_another_head_is_refused(tiny_model, tmp_path):
    """Opened with the student's head, it would answer at random."""
    student = AutoModelForQuestionAnswering.from_config(tiny_model(num_labels=2).config)
    tiny_model(num_labels=2).save_pretrained(tmp_path / "topics")
    with pytest.raises(InputError, match=r"distill_teacher .*topics was saved as \['BertForSequenceClassification'\]"):
        load_teacher(str(tmp_path / "topics"), student)
    student.save_pretrained(tmp_path / "answers")
    assert type(load_teacher(str(tmp_path / "answers"), student)) is type(student)
