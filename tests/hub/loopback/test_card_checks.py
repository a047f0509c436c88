"""The checks of a card: valid metadata passes, and each error is named."""

import pytest
from huggingface_hub import EvalResult, ModelCardData

from tests.hub.loopback.card_checks import check_card, metadata, split

RESULT = "model-index: [{name: m, results: [{task: {type: t}, dataset: {type: d, name: d}, metrics: [%s]}]}]"
SPACE = "title: T\nsdk: gradio\nsdk_version: 6.31.0\npython_version: '3.12'\ncolorFrom: red\nmodels: [user/a]\npinned: false"


def errors(head: str, repo_type: str = "model") -> list[str]:
    found, warnings = check_card(f"---\n{head}\n---\n# Text\n", repo_type)
    assert warnings == []
    return found


def test_a_card_of_the_real_library_passes():
    result = EvalResult("text-classification", "marathi", "मराठी 'news'", "f1", 0.5, dataset_config="short")
    data = ModelCardData(
        language=["mr", "en"],
        license="apache-2.0",
        library_name="transformers",
        base_model="user/base",
        base_model_relation="finetune",
        tags=["pruned", "null"],
        datasets=["user/data"],
        metrics=["f1"],
        pipeline_tag="text-classification",
        model_name="मराठी: a 'name'",
        eval_results=[result],
        co2_eq_emissions={"emissions": 1.5, "source": "codecarbon", "training_type": "fine-tuning"},
    )
    assert errors(data.to_yaml()) == []
    assert errors(SPACE, "space") == []
    assert metadata(f"---\n{data.to_yaml()}\n---\n")["model-index"][0]["name"] == "मराठी: a 'name'"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("tags: [a", "YAML Metadata Error"),
        ("tags: a\ntags: b", "duplicated mapping key tags"),
        ("value: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("{a: b}: c", "YAML Metadata Error"),
        ("- a", "must be an object"),
        ("license: 3", '"license" must be a string'),
        ("license: Apache 2.0", '"license" must be an identifier'),
        ("tags: pruned", '"tags" must be an array'),
        ("tags: [a, 3]", '"tags[1]" must be a string'),
        ("language: no", '"language" must be a string'),  # YAML's false, not Norwegian
        ("language: [mr, English language]", '"language[1]" must be a code'),
        ("datasets: [a b]", '"datasets[0]" must be the id'),
        ("base_model: /somewhere/model", '"base_model" must be the id'),
        ("base_model_relation: pruned", "must be one of [adapter, merge, quantized, finetune]"),
        ("pipeline_tag: Text Classification", '"pipeline_tag" must be a task'),
        ("co2_eq_emissions: {source: x}", '"co2_eq_emissions.emissions" is required'),
        ("co2_eq_emissions: {emissions: lots}", '"co2_eq_emissions.emissions" must be a finite number'),
        ("co2_eq_emissions: -.inf", '"co2_eq_emissions" must be a finite number'),
        ("model-index: {}", '"model-index" must be an array'),
        ("model-index: [{results: []}]", '"model-index[0].name" is required'),
        (RESULT % "{type: f1, value: .nan}", '.metrics[0].value" must be a finite number'),
        (RESULT % "{type: f1, value: '0.5'}", '.metrics[0].value" must be a finite number'),
        (RESULT % "{type: f1}", '.metrics[0].value" is required'),
    ],
)
def test_errors_are_named(head, said):
    (error,) = errors(head)
    assert said in error


def test_numbers_in_a_result_pass():
    assert errors(RESULT % "{type: f1, value: 0.5}") == errors(RESULT % "{type: f1, value: 1}") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("'3.12'", "3.12", '"python_version" must be a string'),
        ("6.31.0", "6.0", '"sdk_version" must be a string'),
        ("red", "black", '"colorFrom" must be one of'),
        ("gradio", "flask", '"sdk" must be one of'),
        ("pinned: false", "pinned: 'no'", '"pinned" must be true or false'),
        ("title: T", f"title: T\nshort_description: {'x' * 61}", "60 characters at most"),
    ],
)
def test_a_space(old, new, said):
    (error,) = errors(SPACE.replace(old, new), "space")
    assert said in error


def test_no_metadata_is_a_warning():
    for readme in ("# Text", "---\n---\n# Text", "", "--- \n\n---\n"):
        assert check_card(readme, "model") == ([], ["empty or missing yaml metadata in repo card"])


def test_where_metadata_ends():
    assert split("---\na: b\n---\ntext\n---\n") == ("a: b", "text\n---\n")
    assert split("---\r\na: b\r\n---\r\ntext") == ("a: b", "text")
    assert split("---\na: b---\nc: '---'\n---\n") == ("a: b---\nc: '---'", "")
    assert split("text\n---\na: b\n---\n") == ("", "text\n---\na: b\n---\n")
