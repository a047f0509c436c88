"""Metrics agree with scikit-learn, scipy and counting by hand; bad labels are refused."""

import logging

import evaluate
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from trainer_ext.tasks import intervals, metrics


@pytest.fixture
def labels():
    """References and predictions [400] over 12 classes; class 11 is predicted but never a reference."""
    rng = np.random.default_rng(1)
    references = rng.integers(11, size=400)
    return np.where(rng.random(400) < 0.8, references, rng.integers(12, size=400)), references


def test_quality_agrees_with_sklearn(labels):
    predictions, references = labels
    result = metrics.ClassificationQuality().compute(predictions=predictions, references=references)
    present = np.unique(references)
    assert 11 in predictions
    assert result["accuracy"] == pytest.approx(accuracy_score(references, predictions))
    expected = f1_score(references, predictions, labels=present, average="macro", zero_division=0)
    assert result["macro_f1"] == pytest.approx(expected)
    assert result["macro_f1"] != pytest.approx(f1_score(references, predictions, average="macro", zero_division=0))
    support = precision_recall_fscore_support(references, predictions, zero_division=0)[3]
    assert [row["support"] for row in result["per_class"]] == support.tolist()
    assert sum(row["support"] for row in result["per_class"]) == 400


def test_quality_by_hand():
    result = metrics.classification_quality([0, 0, 1, 2], [0, 1, 1, 1], num_classes=4)
    assert result["accuracy"] == 0.5
    assert result["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert [row["label"] for row in result["per_class"]] == [0, 1, 2, 3]
    assert result["per_class"][1] == {"label": 1, "support": 3, "precision": 1.0, "recall": 1 / 3, "f1": 0.5}
    assert result["per_class"][3] == {"label": 3, "support": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_agreement_by_hand():
    values = {"predictions1": [0, 0, 1, 1, 2], "predictions2": [0, 1, 1, 0, 1], "references": [0, 0, 1, 0, 0]}
    expected = {"agreement": 0.4, "lost": 1, "won": 1, "both_wrong": 1, "mcnemar_p": 1.0}
    comparison = metrics.Agreement()
    assert comparison.compute(**values) == expected
    for rows in (slice(0, 2), slice(2, 5)):
        comparison.add_batch(**{name: column[rows] for name, column in values.items()})
    assert comparison.compute() == expected


def test_mcnemar_is_the_exact_binomial():
    references = np.zeros(50, dtype=int)
    baseline, compressed = references.copy(), references.copy()
    compressed[:9] = 1
    baseline[40:42] = 1
    result = metrics.agreement(baseline, compressed, references)
    assert (result["lost"], result["won"]) == (9, 2)
    assert result["mcnemar_p"] == pytest.approx(2 * sum(stats.binom.pmf(k, 11, 0.5) for k in range(3)))
    assert metrics.agreement(baseline, baseline, references)["mcnemar_p"] == 1.0


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([0.7, 1.0], "float64, not integer"),
        (["a", "b"], "not integer"),
        ([-1, 0], r"labels in \[-1, 0\]"),
        ([0, 1, 1], "one shape"),
        ([[0, 1], [1, 0]], "argmax"),
        ([], "one shape"),
    ],
)
def test_bad_labels_are_refused(predictions, message):
    with pytest.raises(ValueError, match=message):
        metrics.classification_quality(predictions, [0, 0])
    with pytest.raises(ValueError, match=message):
        metrics.ClassificationQuality().compute(predictions=predictions, references=[0, 0])


def test_label_beyond_num_classes_is_refused():
    assert metrics.ClassificationQuality().compute(predictions=[2], references=[0], num_classes=3)["accuracy"] == 0
    with pytest.raises(ValueError, match=r"allowed is \[0, 2\)"):
        metrics.ClassificationQuality().compute(predictions=[2], references=[0], num_classes=2)


def test_wilson_interval_by_its_formula():
    correct, n, z = 96, 100, stats.norm.ppf(0.975)
    centre = (correct / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(0.96 * 0.04 / n + z**2 / (4 * n**2))
    assert intervals.wilson_interval(correct, n) == pytest.approx((centre - half, centre + half))
    assert intervals.wilson_interval(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="correct=11 of n=10"):
        intervals.wilson_interval(11, 10)


def test_paired_interval_is_symmetric_and_shrinks():
    low, high = intervals.paired_difference_interval(5, 2, rows=500)
    assert low < -3 / 500 < high
    assert intervals.paired_difference_interval(2, 5, rows=500) == pytest.approx((-high, -low))
    wide = intervals.paired_difference_interval(0, 0, rows=100)
    narrow = intervals.paired_difference_interval(0, 0, rows=1000)
    assert wide[0] < narrow[0] < 0 < narrow[1] < wide[1]
    with pytest.raises(ValueError, match="lost=3 and won=3"):
        intervals.paired_difference_interval(3, 3, rows=5)


def test_paired_interval_covers_the_truth():
    counts = np.random.default_rng(0).multinomial(500, [0.03, 0.01, 0.96], size=2000)
    found = [intervals.paired_difference_interval(lost, won, rows=500) for lost, won, _ in counts]
    assert 0.93 < np.mean([low <= -0.02 <= high for low, high in found]) < 0.975


def test_bootstrap_is_seeded_and_pairs_the_rows(labels):
    first = intervals.bootstrap_interval(metrics.macro_f1, *labels, resamples=200)
    assert first == intervals.bootstrap_interval(metrics.macro_f1, *labels, resamples=200)
    assert first != intervals.bootstrap_interval(metrics.macro_f1, *labels, resamples=200, seed=1)
    assert first[0] < metrics.macro_f1(*labels) < first[1]
    assert intervals.bootstrap_interval(metrics.accuracy, labels[1], labels[1], resamples=50) == (1.0, 1.0)
    with pytest.raises(ValueError, match="arrays of one length"):
        intervals.bootstrap_interval(metrics.accuracy, [0, 1], [0, 1, 1])


def test_bootstrap_of_accuracy_is_near_wilson(labels):
    predictions, references = labels
    wilson = intervals.wilson_interval(int(np.sum(predictions == references)), 400)
    assert intervals.bootstrap_interval(metrics.accuracy, *labels) == pytest.approx(wilson, abs=0.01)


def test_load_metric_falls_back_with_one_warning(monkeypatch, caplog):
    monkeypatch.setattr(evaluate, "load", _unreachable)
    metrics._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        loaded = [metrics.load_metric("accuracy") for _ in range(2)]
    assert [metric.compute(predictions=[0, 1], references=[0, 0]) for metric in loaded] == [{"accuracy": 0.5}] * 2
    assert len(caplog.records) == 1
    both = evaluate.combine([loaded[0], metrics.load_metric("macro_f1")])
    assert both.compute(predictions=[0, 1], references=[0, 1]) == {"accuracy": 1.0, "macro_f1": 1.0}


def test_load_metric_names_the_way_out(monkeypatch):
    monkeypatch.setattr(evaluate, "load", _unreachable)
    with pytest.raises(ValueError, match="'rouge' could not be loaded.*accuracy, macro_f1"):
        metrics.load_metric("rouge")
    with pytest.raises(ValueError, match="config_name='recall' is unknown"):
        metrics.ClassificationQuality("recall")


def test_load_metric_hands_other_names_to_evaluate(monkeypatch):
    monkeypatch.setattr(evaluate, "load", lambda name: f"loaded {name}")
    assert metrics.load_metric("rouge") == "loaded rouge"


def _unreachable(name):
    raise ConnectionError(f"no way to {name}")
