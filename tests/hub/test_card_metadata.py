"""Card metadata: correct, plain values, whatever names it contains."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from tests.helpers.cards import NASTY, bare_report, full_report
from trainer_ext import report
from trainer_ext.errors import InputError
from trainer_ext.hub.card import CardInput, render
from trainer_ext.hub.card_metadata import metadata


def front_matter(card):
    return yaml.safe_load(render(card).split("---\n")[1])


def everything(**changes):
    values = {"base_model": "l3cube-pune/marathi-bert-v2", "license": "apache-2.0", "language": ("mr", "no")}
    return CardInput(full_report(), "user/name", datasets=("user/data",), tags=("news", "pruned"), **values | changes)


def test_all_fields():
    found = front_matter(everything())
    assert found["license"] == "apache-2.0"
    assert found["language"] == ["mr", "no"]  # Norwegian, not false
    assert found["base_model"] == "l3cube-pune/marathi-bert-v2"
    assert found["base_model_relation"] == "finetune"  # though int8 files lie beside it
    assert found["library_name"] == "transformers"
    assert found["pipeline_tag"] == "text-classification"
    assert found["datasets"] == ["user/data"]
    tags = ["compression", "pruned", "block-movement-pruning", "layer-pruning", "knowledge-distillation"]
    assert found["tags"] == [*tags, "vocabulary-trimming", "onnx", "trainer-ext", "news"]
    assert found["co2_eq_emissions"] == {
        "emissions": pytest.approx(18.2),
        "source": "codecarbon, an estimate",
        "training_type": "fine-tuning",
        "geographical_location": "IND",
        "hardware_used": NASTY[5],
    }


def test_every_split_and_every_metric_is_in_the_index():
    (index,) = front_matter(everything())["model-index"]
    assert index["name"] == "name"
    assert [result["dataset"]["split"] for result in index["results"]] == [NASTY[0], NASTY[1]]
    first, second = (result["metrics"] for result in index["results"])
    assert [(row["type"], row["value"]) for row in first] == [("accuracy", 0.962), ("f1", 0.951), ("loss | x", 1.5)]
    assert [(row["type"], row["name"], row["value"]) for row in second] == [("accuracy", "accuracy", 0.91)]
    assert {result["dataset"]["type"] for result in index["results"]} == {"user/data"}
    (index,) = front_matter(replace(everything(), datasets=()))["model-index"]
    assert {result["dataset"]["type"] for result in index["results"]} == {"custom"}  # no id is made up
    assert index["results"][0]["dataset"]["name"] == NASTY[1]


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ({"data_dir": ".", "train_files": ["h.csv"], "test_share": 0.2}, "h"),
        ({"data_dir": "mahanews", "train_files": ["h.csv"], "test_share": 0.2}, "h"),
        ({"data_dir": "mahanews", "train_files": ["train.csv"]}, "mahanews"),
        ({"data_dir": "/srv/data/mahanews"}, "mahanews"),
        ({"data_dir": ".", "train_files": ["h.csv"]}, "h"),
        ({"data_dir": "..", "train_files": ["/srv/a/h.csv"]}, "h"),
        ({"data_dir": "."}, "test"),
        ({"data_dir": ".", "train_files": ["a.csv", "b.csv"]}, "test"),
        ({}, "test"),
    ],
)
def test_the_data_are_called_by_their_file_or_folder_and_never_by_a_path(recipe, name):
    numbers = full_report(quality=replace(full_report().quality, split="test"), other_quality=[], recipe=recipe)
    (result,) = front_matter(CardInput(numbers, "user/name"))["model-index"][0]["results"]
    assert result["dataset"]["name"] == name


def test_unknown_values_are_left_out():
    found = front_matter(CardInput(bare_report(), "user/name"))
    assert found == {"library_name": "transformers", "tags": ["compression", "trainer-ext"]}
    nothing_gone = full_report(
        sparsity=report.Sparsity(achieved=0.0, method="none"), recipe={}, vocabulary=None, exports=[]
    )
    assert metadata(CardInput(nothing_gone, "user/name"))["tags"] == ["compression", "trainer-ext"]
    no_country = replace(full_report().inference, country=None)
    assert "co2_eq_emissions" not in metadata(CardInput(full_report(inference=no_country), "user/name"))
    not_measured = full_report(training=report.Pair(report.TrainingCost(9.0), report.TrainingCost(9.0)))
    assert "co2_eq_emissions" not in metadata(CardInput(not_measured, "user/name"))


@pytest.mark.parametrize(
    ("method", "tag"),
    [
        ("movement", "block-movement-pruning"),
        ("soft_movement", "block-movement-pruning"),
        ("magnitude", "magnitude-pruning"),
    ],
)
def test_methods_have_tags(method, tag):
    numbers = full_report(sparsity=report.Sparsity(0.5, 0.5, method))
    assert tag in metadata(CardInput(numbers, "user/name"))["tags"]


@pytest.mark.parametrize(
    ("task", "problem_type", "metric", "kind"),
    [
        ("text-classification", "multi_label_classification", "micro_f1", "f1"),
        ("text-classification", "regression", "pearson", "pearsonr"),
        ("token-classification", None, "entity_f1", "f1"),
        ("question-answering", None, "exact_match", "exact_match"),
    ],
)
def test_pipeline_tag_and_metric_names_of_every_task(task, problem_type, metric, kind):
    scores = report.Scores(other={"later": 0.25, metric: 0.5})
    numbers = full_report(
        model=report.Model(task=task, problem_type=problem_type),
        quality=report.Quality("test", 9, scores, scores, metric=metric),
        other_quality=[],
    )
    found = front_matter(CardInput(numbers, "user/name"))
    assert found["pipeline_tag"] == task
    (result,) = found["model-index"][0]["results"]
    assert result["task"] == {"type": task}
    assert (result["metrics"][0]["type"], result["metrics"][0]["value"]) == (kind, 0.5)  # the main metric comes first


def test_numpy_numbers_are_written_as_plain_ones():
    scores = report.Scores(np.float32(0.5), np.float64(0.25), {"n": np.int64(3)})
    numbers = full_report(quality=report.Quality("test", np.int64(9), scores, scores), seed=np.int64(3))
    text = render(CardInput(numbers, "user/name"))
    assert "!!python" not in text
    found = yaml.safe_load(text.split("---\n")[1])
    values = [row["value"] for row in found["model-index"][0]["results"][0]["metrics"]]
    assert values == [0.5, 0.25, 3.0]
    assert {type(value) for value in values} == {float}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_nan_and_infinity_are_refused_with_the_field(value):
    scores = report.Scores(other={"bad": value})
    numbers = full_report(quality=report.Quality("test", 9, scores, scores))
    with pytest.raises(ValueError, match=r"quality\.baseline\.other\.bad"):
        render(CardInput(numbers, "user/name"))


@pytest.mark.parametrize("name", NASTY)
def test_names_survive_the_yaml(name):
    numbers = full_report(quality=replace(full_report().quality, split=name))
    found = front_matter(CardInput(numbers, "user/name", tags=(name,), license=name))
    assert found["model-index"][0]["results"][0]["dataset"]["split"] == name
    assert found["tags"][-1] == name
    assert found["license"] == name


def test_devanagari_is_readable_in_the_file():
    assert "language" in render(everything())
    assert "क्रीडा" in render(everything(license="क्रीडा")).split("---\n")[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"repo_id": "user/na me"},
        {"base_model": "/somewhere/model"},
        {"base_model": "../model"},
        {"datasets": ("a/b/c",)},
        {"space": 'user/"x'},
    ],
)
def test_an_invalid_hub_id_is_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))}.*user/name"):
        render(replace(everything(), **wrong))
