"""The section of recipes/README.md on 25 % pruning: what it gives, for every batch size and runtime.

The paper does not say whether 25 % is removed or kept. Both are looked up in the kept sweeps by the share of the encoder
that was removed, next to the ideal speed-up 1 / (1 - s) and to published numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipes.tools.markdown import UNKNOWN, difference, per_cent, table, times
from recipes.tools.sweep_tables import is_second_order, published
from trainer_ext.report.formatting import TITLES
from trainer_ext.sweep.results import SweepResult, SweepRow

NEAR = 0.01  # largest distance from the requested share of the encoder


@dataclass(frozen=True)
class Reading:
    """One meaning of the label of the paper, in words and as the share of the encoder that is removed."""

    words: str
    gone: float

    @property
    def ideal(self) -> float:
        """Speed-up if only the operations of the encoder took time."""
        return 1 / (1 - self.gone)


def readings(label: int) -> tuple[Reading, Reading]:
    """Return both meanings of a label in per cent."""
    return Reading(f"{label} % removed", label / 100), Reading(f"{label} % kept", 1 - label / 100)


def section(sweeps: Mapping[str, SweepResult]) -> str:
    """Return the section: sentences about our sweeps, our measurements, and published numbers.

    Args:
        sweeps: The sweeps by name.
    """
    known = published()
    found = {name: one for name, one in sweeps.items() if _asked(one.rows, known["paper"])}
    sentences = "\n".join(f"- {line}" for name, one in found.items() for line in _sentences(name, one, known["paper"]))
    if not found:
        sentences = "- Ours is not run: there is no sweep with a teacher and either reading."
    parts = [sentences, *([_measured(found, known["paper"])] if found else []), _published(known)]
    return "\n\n".join(parts)


def _measured(sweeps: Mapping[str, SweepResult], paper: Mapping[str, Any]) -> str:
    shapes = list(dict.fromkeys(shape for one in sweeps.values() for row in one.rows for shape in row.speedup))
    rows = []
    for name, one in sweeps.items():
        for reading in (*readings(paper["label"]), Reading("nothing removed", 0.0)):
            for row in _of(one.rows, reading, paper):
                lost = difference(row.metric, row.difference, row.difference_low, row.difference_high)
                ideal = times(reading.ideal) if row.runtime == "torch" else UNKNOWN
                speeds = [times(row.speedup.get(shape)) for shape in shapes]
                rows.append([name, reading.words, f"{row.runtime} {row.precision}", lost, *speeds, ideal])
    return table(("sweep", "reading", "runtime", "difference", *shapes, "ideal, 1 / (1 - s)"), rows)


def _published(known: Mapping[str, Any]) -> str:
    paper, theirs = known["paper"], known["nn_pruning"]
    rows = [[f"the paper, {paper['label']} % and {paper['teacher']}", "not said", f"{paper['speedup']}x", UNKNOWN]]
    rows[0].append(paper["source"])
    for row in theirs["rows"]:
        low, high = row["gone"]
        rows.append(
            [
                f"nn_pruning, {row['what']}",
                _range(per_cent(low), per_cent(high)),
                _range(*map(times, row["speedup"])),
                _range(*(times(1 / (1 - share)) for share in (low, high))),
                theirs["source"],
            ]
        )
    return table(("published", "gone", "speed-up", "ideal, 1 / (1 - s)", "source"), rows)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _sentences(name: str, one: SweepResult, paper: Mapping[str, Any]) -> list[str]:
    """Return the results of one sweep in at most three sentences."""
    lines = [
        f"**{name}**, nothing removed and nobody asked, but trained on as long as the others (control): {_lost(row)}."
        for row in one.rows
        if _is_control(row)
    ]
    pruned = [row for reading in readings(paper["label"]) for row in _of(one.rows, reading, paper) if row.speedup]
    alone = [row for row in pruned if row.runtime == "torch"]
    if alone:
        most = max(alone, key=_fastest)
        verb = "reaches" if _fastest(most) >= paper["speedup"] else "does not reach"
        lines.append(
            f"**{name}**, pruning without int8 {verb} {paper['speedup']}x: at most {times(_fastest(most))} ({most.title}; {_lost(most)})."
        )
    fast = (row for row in one.rows if _keeps(row) and _fastest(row) >= paper["speedup"])
    met = sorted(fast, key=_fastest, reverse=True)
    models = sum(row.value is not None and not row.is_baseline for row in one.rows)
    what = "no model of this sweep" if not met else f"{len(met)} of {models} models and files"
    best = f", the fastest {times(_fastest(met[0]))} ({met[0].title})" if met else ""
    lines.append(f"**{name}**, {paper['speedup']}x at some batch size without a loss beyond noise: {what}{best}.")
    return lines


def _fastest(row: SweepRow) -> float:
    return max(row.speedup.values(), default=0.0)


def _lost(row: SweepRow) -> str:
    """Return the loss of a model, and whether it is more than noise."""
    lost = difference(row.metric, row.difference, row.difference_low, row.difference_high)
    verdict = "no loss beyond noise" if _keeps(row) else "a loss beyond noise"
    return f"{TITLES.get(row.metric, row.metric)} {lost}, on {row.rows:,} {row.split} rows: {verdict}"


def _is_control(row: SweepRow) -> bool:
    """Return whether a model was trained like the others, but without pruning, teacher and mixed precision."""
    plain = row.runtime == "torch" and not row.is_baseline and row.value is not None and not row.sparsity
    return plain and not {"KD", "mixed"} & {*row.settings.values()}


def _keeps(row: SweepRow) -> bool:
    """Return whether a model lost nothing beyond noise."""
    return not row.is_baseline and row.difference_high is not None and row.difference_high >= 0


def _asked(rows: Sequence[SweepRow], paper: Mapping[str, Any]) -> list[SweepRow]:
    return [row for reading in readings(paper["label"]) for row in _of(rows, reading, paper)]


def _of(rows: Sequence[SweepRow], reading: Reading, paper: Mapping[str, Any]) -> list[SweepRow]:
    """Return the rows of a reading as the paper pruned, with its teacher; for nothing removed, the int8 baselines.

    Those that were trained in fp32, or if there are none, those in mixed precision.
    """
    if not reading.gone:
        return [row for row in rows if row.name == "baseline" and not row.is_baseline and row.value is not None]
    found = [
        row
        for row in rows
        if row.value is not None
        and row.sparsity is not None
        and abs(row.sparsity - reading.gone) < NEAR
        and paper["teacher"] in row.settings.values()
        and not is_second_order(row)
    ]
    return [row for row in found if "mixed" not in row.settings.values()] or found
