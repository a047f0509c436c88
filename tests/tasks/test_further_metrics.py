"""Further metrics: tried on made-up labels before a training, averaged over several classes, refused in one line."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from trainer_ext.data.arguments import DataArguments
from trainer_ext.errors import InputError
from trainer_ext.tasks import metrics
from trainer_ext.tasks.evaluate import compute_metric, try_metrics
from trainer_ext.tasks.registry import task_of

CLASSES = DataArguments()
NUMBERS = DataArguments(problem_type="regression")
MODULE = """
import datasets
import evaluate
import numpy as np
from sklearn import metrics

class Metric(evaluate.Metric):
    def _info(self):
        both = {{"predictions": datasets.Value("{dtype}"), "references": datasets.Value("{dtype}")}}
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=datasets.Features(both))

    def _compute(self, {signature}):
        return {result}
"""
# As the evaluate library has them: signature, type of the values, result.
F1 = "predictions, references, labels=None, pos_label=1, average='binary'"
SCRIPTS = {
    "f1": (
        F1,
        "int32",
        "{'f1': metrics.f1_score(references, predictions, labels=labels, pos_label=pos_label, average=average)}",
    ),
    "mcc": ("predictions, references", "int32", "{'mcc': metrics.matthews_corrcoef(references, predictions)}"),
    "mse": ("predictions, references", "float32", "{'mse': metrics.mean_squared_error(references, predictions)}"),
    "roc_auc": ("references, prediction_scores", "int32", "{'roc_auc': 1.0}"),
    "two": ("predictions, references", "int32", "{'two': metrics.brier_score_loss(references, predictions)}"),
    "table": ("predictions, references", "int32", "{'table': np.eye(3), 'name': 'x'}"),
    "accuracy": ("predictions, references", "int32", "{'accuracy': 0.125}"),
    "first": ("predictions, references", "int32", "{'first': 1 / (1 - max(predictions))}"),
}


@pytest.fixture
def script(tmp_path):
    def write(name):
        signature, dtype, result = SCRIPTS[name]
        path = tmp_path / name / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(MODULE.format(signature=signature, dtype=dtype, result=result), encoding="utf-8")
        return str(path.parent)

    return write


def attempt(names, args=CLASSES, labels=tuple("abcdefghijkl")):
    try_metrics(names, task=task_of(args), labels=labels, args=args)


def test_f1_of_twelve_classes_is_the_macro_f1_of_the_report(script):
    attempt([script("f1")])
    rng = np.random.default_rng(0)
    references, answers = rng.integers(10, size=60), rng.integers(12, size=60)  # two classes do not occur
    found = compute_metric(script("f1"), answers, references, classes=12)
    assert found == {"f1": pytest.approx(metrics.macro_f1(answers, references))}


def test_f1_of_two_classes_is_that_of_the_second(script):
    attempt([script("f1")], labels=["no", "yes"])
    answers, references = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 1, 1])
    assert compute_metric(script("f1"), answers, references, classes=2) == {"f1": f1_score(references, answers)}


def test_a_metric_without_averages_is_as_it_is(script):
    attempt([script("mcc")])
    answers, references = np.array([1, 2, 0, 0, 1]), np.array([1, 0, 0, 2, 1])
    expected = pytest.approx(matthews_corrcoef(references, answers))
    assert compute_metric(script("mcc"), answers, references, classes=3) == {"mcc": expected}


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("mse", CLASSES, "compares numbers, and the answers are classes.*accuracy, macro_f1, f1"),
        ("f1", NUMBERS, "compares classes, not numbers.*pearsonr, spearmanr"),
        ("roc_auc", CLASSES, "cannot be computed.*choose from accuracy, macro_f1"),
        ("two", CLASSES, "'[^']*two' cannot be computed for single-label text classification"),
        ("table", CLASSES, "gives no single number"),
        ("accuracy", CLASSES, "another 'accuracy' than the report"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_what_can(name, args, words, script):
    with pytest.raises(InputError, match=words) as refused:
        attempt([script(name)], args)
    assert "\n" not in str(refused.value)


def test_numbers_take_metrics_of_numbers(script):
    attempt([script("mse")], NUMBERS, labels=())


def test_one_that_fails_for_the_predictions_alone_is_left_out(script, caplog):
    from trainer_ext.tasks.evaluate import _more

    attempt([script("first")], labels=["a", "b", "c"])
    assert _more([script("first")], np.array([0, 1]), np.array([0, 1]), 3) == {}
    assert "it is left out" in caplog.text
