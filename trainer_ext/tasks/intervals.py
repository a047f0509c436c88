"""Confidence intervals of a proportion, of a paired difference, and of any statistic by bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def wilson_interval(correct: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Args:
        correct: rows that are right.
        n: all rows, at least 1.
        confidence: in (0, 1).

    Raises:
        ValueError: A number is out of range.
    """
    _check_confidence(confidence)
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"correct={correct} of n={n} is not a proportion; need n >= 1 and 0 <= correct <= n.")
    interval = stats.binomtest(int(correct), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def paired_difference_interval(lost: int, won: int, *, rows: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the accuracy of the compressed model minus that of the baseline, on the same rows.

    This is the adjusted Wald interval of Bonett and Price (2012, J. Educ. Behav. Stat. 37(4)). It adds one to both
    counts, so the interval has a width even if no prediction changed.

    Args:
        lost: rows where only the baseline is right.
        won: rows where only the compressed model is right.
        rows: all rows.
        confidence: in (0, 1).
    """
    _check_confidence(confidence)
    if rows < 1 or lost < 0 or won < 0 or lost + won > rows:
        raise ValueError(f"lost={lost} and won={won} of rows={rows}; need lost, won >= 0 and lost + won <= rows >= 1.")
    p_lost, p_won = (lost + 1) / (rows + 2), (won + 1) / (rows + 2)
    centre = p_won - p_lost
    half = stats.norm.ppf(0.5 + confidence / 2) * math.sqrt((p_won + p_lost - centre**2) / (rows + 2))
    return float(max(-1.0, centre - half)), float(min(1.0, centre + half))


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of ``statistic(*arrays)``; the same rows are drawn from all arrays.

    Args:
        statistic: a function of the resampled arrays that returns a number, such as `macro_f1`.
        *arrays: [rows, ...] each.
        resamples: number of draws, at least 1.
        seed: of the draws.
        confidence: in (0, 1).
    """
    _check_confidence(confidence)
    columns = [np.asarray(array) for array in arrays]
    lengths = sorted({len(column) for column in columns})
    if len(lengths) != 1 or lengths[0] < 2 or resamples < 1:
        raise ValueError(f"Need resamples >= 1 (got {resamples}) and arrays of one length >= 2 (got {lengths}).")
    interval = stats.bootstrap(
        [np.arange(lengths[0])],  # row numbers are drawn, because a row may have several numbers
        lambda rows: statistic(*(column[rows] for column in columns)),
        n_resamples=resamples,
        vectorized=False,
        confidence_level=confidence,
        method="percentile",
        rng=seed,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r} is outside (0, 1); 0.95 is usual.")
