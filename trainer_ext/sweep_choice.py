"""Sweep choice: which model of a sweep is the best one, and why, in words."""

from __future__ import annotations

from collections.abc import Sequence

from .sweep_rows import SweepRow


def difference_of(row: SweepRow) -> tuple[float, float, float] | None:
    """Difference and interval that a choice looks at: on the rows held out to choose by, else on the test set."""
    if row.holdout is not None:
        return row.holdout["difference"], row.holdout["low"], row.holdout["high"]
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return None
    return row.difference, row.difference_low, row.difference_high


def choose(rows: Sequence[SweepRow], shape: str | None = None) -> tuple[SweepRow, str] | None:
    """The fastest model that is not worse than the baseline beyond noise; where all are, the one that loses least.

    Args:
        rows: of a sweep.
        shape: which speed-up counts; the last one that was measured by default.

    Returns:
        The row and the reason; None where nothing was compressed.
    """
    known = [row for row in rows if not row.is_baseline and row.folder and difference_of(row) is not None]
    shapes = [one for row in rows for one in row.speedup]
    shape = shape or (shapes[-1] if shapes else None)
    known = [row for row in known if shape in row.speedup]
    if not known:
        return None
    held = any(row.holdout for row in known)
    where = (
        "on the rows held out to choose by" if held else "on the test set, which makes its number a little optimistic"
    )
    good = [row for row in known if difference_of(row)[2] >= 0]
    if not good:
        row = max(known, key=lambda row: difference_of(row)[0])
        return row, f"every model is worse than the baseline beyond noise; this one loses least; chosen {where}"
    row = max(good, key=lambda row: row.speedup[shape])
    return row, f"the fastest at {shape} that is not worse than the baseline beyond noise; chosen {where}"
