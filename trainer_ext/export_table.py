"""Export table: what was written, how large it is beside the weights it came from, and what the check found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from .export_source import model_folder
from .measure import weight_bytes
from .report import Export
from .tables import metric_title, number

HEADINGS = ("format, file", "MiB", "of weights", "check", "same")


def table(path: str | Path, rows: Sequence[Export]) -> Table:
    """One row per exported file.

    Args:
        path: the run or the folder of the model.
        rows: what `export` returned.
    """
    weights = weight_bytes(model_folder(path))
    caption = (
        f"weights: {weights / 2**20:.1f} MiB as safetensors; [low, high]: 95 % interval; same: share of equal answers"
    )
    result = Table(title=Text(f"{path}: exports"), title_justify="left", caption=Text(caption), caption_justify="left")
    for heading in HEADINGS:
        result.add_column(
            heading, justify="left" if heading in ("format, file", "check") else "right", overflow="fold"
        )
    for row in rows:
        agreement = "" if row.agreement is None else f"{100 * row.agreement:.1f} %"
        file = "/".join(Path(row.path).parts[-2:])
        cells = (f"{row.format}\n{file}", f"{row.bytes / 2**20:.1f}", f"{100 * row.bytes / weights:.0f} %")
        result.add_row(*(Text(cell) for cell in (*cells, findings(row), agreement)))
    return result


def findings(row: Export) -> str:
    """What the check of an exported file found, in two or three lines."""
    if row.max_abs_difference is not None:
        return f"logits differ by {row.max_abs_difference:.1e}\n{_texts(row)}"
    if row.quality is None or row.difference is None:
        return f"answers compared, no labels to judge them by\n{_texts(row)}"
    name = "accuracy" if row.difference.accuracy is not None else next(iter(row.quality.other))
    low, high = row.difference.ci95 or (None, None)
    interval = "" if low is None else f" [{number(name, low, '+z')}, {number(name, high, '+z')}]"
    return (
        f"{metric_title(name)} {number(name, row.quality.by_name[name])}\n"
        f"change {number(name, row.difference.main, '+z')}{interval}\n{_texts(row)}"
    )


def _texts(row: Export) -> str:
    return f"{row.rows or 0:,} texts" + (f" of {row.split}" if row.split else "")
