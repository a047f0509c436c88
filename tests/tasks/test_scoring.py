"""Scores of every task agree with scikit-learn, scipy and counting by hand; differences are paired."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from trainer_ext.data.arguments import DataArguments
from trainer_ext.tasks import metrics
from trainer_ext.tasks.evaluate import compare_quality
from trainer_ext.tasks.metrics import entities, entity_counts
from trainer_ext.tasks.registry import TASKS, task_of

ARGS = DataArguments()


def values(statistics):
    return {name: statistic(material) for name, (statistic, material) in statistics.items()}


def test_several_classes_as_sklearn():
    rng = np.random.default_rng(0)
    references, answers = rng.random((80, 5)) < 0.3, rng.random((80, 5)) < 0.4
    found = values(metrics.multi_label_statistics(answers, references, ARGS))
    for average in ("micro", "macro"):
        assert found[f"{average}_f1"] == pytest.approx(sklearn_metrics.f1_score(references, answers, average=average))
    assert found["subset_accuracy"] == sklearn_metrics.accuracy_score(references, answers)
    rows = metrics.per_class_multi_label(answers, references, list("abcde"))
    expected = zip(*sklearn_metrics.precision_recall_fscore_support(references, answers), strict=True)
    for row, numbers in zip(rows.values(), expected, strict=True):
        assert (row["precision"], row["recall"], row["f1"], row["support"]) == pytest.approx(numbers)


def test_no_class_at_all_scores_nothing_and_warns_of_nothing():
    nothing = np.zeros((3, 2), dtype=bool)
    assert values(metrics.multi_label_statistics(nothing, nothing, ARGS)) == {
        "micro_f1": 0,
        "macro_f1": 0,
        "subset_accuracy": 1,
    }


def test_numbers_as_scipy_and_sklearn():
    rng = np.random.default_rng(0)
    references = rng.integers(6, size=50).astype(float)
    answers = references + rng.normal(size=50)
    found = values(metrics.regression_statistics(answers, references, ARGS))
    assert found["pearson"] == pytest.approx(stats.pearsonr(answers, references).statistic)
    assert found["spearman"] == pytest.approx(stats.spearmanr(answers, references).statistic)
    assert found["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(references, answers))
    assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(references, answers))
    assert metrics.correlation(np.ones(50), references) == 0, "a constant answer tells nothing"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", set()),
        ("B-A I-A O B-B", {("A", 0, 2), ("B", 3, 4)}),
        ("B-A B-A", {("A", 0, 1), ("A", 1, 2)}),
        ("B-A I-B I-B", {("A", 0, 1), ("B", 1, 3)}),  # as conlleval: what continues nothing begins
        ("I-A O I-A", {("A", 0, 1), ("A", 2, 3)}),
        ("O B-A-B I-A-B", {("A-B", 1, 3)}),
    ],
)
def test_entities(tags, expected):
    assert entities(tags.split()) == expected


def test_entity_scores_by_hand():
    """Two of three given entities are right, of four true ones: F1 = 2 * 2 / (3 + 4)."""
    references = [["B-A", "I-A", "O"], ["B-B", "B-A", "O"], ["B-B"]]
    answers = [["B-A", "I-A", "O"], ["B-B", "O", "B-B"], ["O"]]
    found = values(metrics.tagging_statistics(answers, references, ARGS))
    assert found == {"entity_f1": pytest.approx(4 / 7), "token_accuracy": pytest.approx(4 / 7)}
    rows = metrics.per_entity_type(answers, references, ["O", "B-A", "I-A", "B-B", "I-B", "B-C", "I-C"])
    assert [(name, row["support"]) for name, row in rows.items()] == [("A", 2), ("B", 2), ("C", 0)]
    assert (rows["A"]["precision"], rows["A"]["recall"]) == (1.0, 0.5)
    assert entity_counts(answers, references, ["A", "B"]).sum((0, 1)).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("answer", "truths", "language", "exact", "f1"),
    [
        ("The Krishna.", ["krishna"], "en", 1, 1),
        ("The Krishna.", ["krishna"], "mr", 0, 2 / 3),
        ("a b b", ["b c"], None, 0, 0.4),
        ("none", ["other", "none of it"], "en", 0, 0.5),
        ("", ["x"], "en", 0, 0),
        ("कृष्णा।", ["कृष्णा"], "mr", 1, 1),  # the danda is punctuation, the virama is not
        ("कृष्णा", ["कष्णा"], "mr", 0, 0),
        ("£308", ["308"], "en", 0, 0),
        ("$308", ["308"], "en", 1, 1),
    ],
)
def test_squad_scores(answer, truths, language, exact, f1):
    assert metrics.exact_match([answer], [truths], language=language)[0] == exact
    assert metrics.answer_f1([answer], [truths], language=language)[0] == pytest.approx(f1)


EXAMPLES = {
    "single_label_classification": ([0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 1, 1]),
    "multi_label_classification": ([[1, 0], [0, 1], [1, 1]], [[1, 0], [1, 0], [1, 1]], [[1, 0], [0, 1], [0, 1]]),
    "regression": ([0.0, 1.0, 2.0], [0.1, 0.9, 2.5], [0.0, 2.0, 1.0]),
    "token-classification": ([["B-A", "O"], ["O"]], [["B-A", "O"], ["B-A"]], [["O", "O"], ["O"]]),
    "question-answering": ([["x y"], ["z"]], ["x", "z"], ["x y", "w"]),
}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.title)
def test_a_difference_is_that_of_the_main_metric_and_none_between_equals(task):
    references, first, second = EXAMPLES[task.problem_type or task.name]
    if task.problem_type:
        references, first, second = (
            np.array(x) > 0 if task.problem_type.startswith("multi") else np.array(x)
            for x in (references, first, second)
        )
    names = ["O", "B-A", "I-A"] if task.problem_type is None else ["no", "yes"]
    found = compare_quality("test", first, second, references, task=task, args=ARGS, labels=names)
    scores = [part.by_name[found.metric] for part in (found.baseline, found.compressed)]
    assert found.difference.main == pytest.approx(scores[1] - scores[0])
    assert found.difference.ci95[0] <= found.difference.main <= found.difference.ci95[1]
    same = compare_quality("test", first, first, references, task=task, args=ARGS, labels=names)
    assert same.difference.main == 0
    assert same.agreement in (None, 1.0)
    assert same.difference.ci95[0] <= 0 <= same.difference.ci95[1]


def test_the_default_task_is_one_class_per_text():
    assert task_of(DataArguments()).problem_type == "single_label_classification"
    assert task_of(DataArguments(task="question-answering")).name == "question-answering"
