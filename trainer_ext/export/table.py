"""Show exported files as a table: their size, compared with the weights of the model, and the result of the check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..benchmark.size import weight_bytes
from ..report.schema import Export
from ..report.tables import findings
from .source import model_folder

HEADINGS = ("format, file", "MiB", "of weights", "check", "same")


def export_table(path: str | Path, rows: Sequence[Export]) -> Table:
    """Return one row per exported file.

    Args:
        path: the run or the folder of the model.
        rows: the result of `export`.
    """
    weights = weight_bytes(model_folder(path))
    caption = f"weights: {weights / 2**20:.1f} MiB as safetensors; [low, high]: 95 % interval; same: equal predictions"
    result = Table(title=Text(f"{path}: exports"), title_justify="left", caption=Text(caption), caption_justify="left")
    for heading in HEADINGS:
        result.add_column(
            heading, justify="left" if heading in ("format, file", "check") else "right", overflow="fold"
        )
    for row in rows:
        agreement = "" if row.agreement is None else f"{100 * row.agreement:.1f} %"
        file = "/".join(Path(row.path).parts[-2:])
        size = row.bytes or 0
        cells = (f"{row.format}\n{file}", f"{size / 2**20:.1f}", f"{100 * size / weights:.0f} %")
        result.add_row(*(Text(cell) for cell in (*cells, findings(row), agreement)))
    return result
