"""Metric names: how tables call the numbers of a report, and which of them are fractions, shown in per cent."""

from __future__ import annotations

TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "subset_accuracy": "all labels right",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "rmse": "RMSE",
    "mae": "MAE",
    "entity_f1": "entity F1",
    "token_accuracy": "token accuracy",
    "f1": "F1",
    "exact_match": "exact match",
}
NUMBERS = frozenset({"pearson", "spearman", "rmse", "mae"})


def is_fraction(name: str) -> bool:
    """Whether a metric is a share of something; one that is not known here is taken for a plain number."""
    return name in TITLES and name not in NUMBERS
