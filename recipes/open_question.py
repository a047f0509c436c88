"""The open question: what 25 % pruning gives and what it does not, in both readings, at every batch size and runtime.

"25 %" may be what is removed or what is kept. Both are looked up in the kept sweeps by how much of the encoder is gone,
beside what the operations alone promise, 1 / (1 - s), and what others have published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipes.markdown import UNKNOWN, difference, per_cent, table, times
from recipes.results_scales import scale_of
from recipes.results_sweeps import published
from trainer_ext.sweep_rows import SweepResult, SweepRow

NEAR = 0.01  # of the asked share of the encoder


@dataclass(frozen=True)
class Reading:
    """One way to read the paper's label: how it is said, and how much of the encoder is gone then."""

    words: str
    gone: float

    @property
    def ideal(self) -> float:
        """What the operations alone promise if nothing else took time."""
        return 1 / (1 - self.gone)


def readings(label: int) -> tuple[Reading, Reading]:
    """Both readings of so many per cent."""
    return Reading(f"{label} % removed", label / 100), Reading(f"{label} % kept", 1 - label / 100)


def section(sweeps: Mapping[str, SweepResult]) -> str:
    """Tables of what was measured and of what is published, and what follows from them.

    Args:
        sweeps: by name.
    """
    known = published()
    found = {name: one for name, one in sweeps.items() if _asked(one.rows, known["paper"])}
    said = "\n".join(f"- {line}" for name, one in found.items() for line in _sentences(name, one, known["paper"]))
    if not found:
        said = "- Ours is not run: there is no sweep with a teacher and either reading."
    parts = [said, *([_measured(found, known["paper"])] if found else []), _published(known)]
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
    """What the numbers of one sweep say, in words that depend on them."""
    lines = []
    for reading in readings(paper["label"]):
        rows = [row for row in _of(one.rows, reading, paper) if row.speedup]
        plain = [row for row in rows if row.runtime == "torch"]
        for row in plain:
            lost = difference(row.metric, row.difference, row.difference_low, row.difference_high)
            fast = "; ".join(f"{times(value)} at {shape}" for shape, value in row.speedup.items())
            best = max(row.speedup.values())
            verb = "reaches" if best >= paper["speedup"] else "does not reach"
            lines.append(
                f"**{name}** ({scale_of(one)}), {reading.words} + {paper['teacher']}: {lost} points on "
                f"{row.rows:,} {row.split} rows. PyTorch in {row.precision} answers {fast}, where {times(reading.ideal)} "
                f"is ideal: pruning alone {verb} {paper['speedup']}x{_at_which_loss(row)}."
            )
        other = [row for row in rows if row.runtime != "torch"]
        if other:
            words = "; ".join(
                f"{row.runtime} {row.precision} {_range(times(min(row.speedup.values())), times(max(row.speedup.values())))}"
                f"{_at_which_loss(row)}"
                for row in other
            )
            lines.append(f"**{name}**, the same model as a file: {words}.")
    met = [row.title for row in one.rows if _keeps(row) and max(row.speedup.values(), default=0) >= paper["speedup"]]
    lines.append(
        f"**{name}**: {paper['speedup']}x at some batch size without a loss beyond noise: "
        f"{'; '.join(met) if met else 'no model of this sweep'}."
    )
    return lines


def _at_which_loss(row: SweepRow) -> str:
    return " at baseline accuracy (noise counted)" if _keeps(row) else " at a loss beyond noise"


def _keeps(row: SweepRow) -> bool:
    """Whether nothing was lost beyond noise."""
    return not row.is_baseline and row.difference_high is not None and row.difference_high >= 0


def _asked(rows: Sequence[SweepRow], paper: Mapping[str, Any]) -> list[SweepRow]:
    return [row for reading in readings(paper["label"]) for row in _of(rows, reading, paper)]


def _of(rows: Sequence[SweepRow], reading: Reading, paper: Mapping[str, Any]) -> list[SweepRow]:
    """The rows of a reading, with the paper's teacher and no mixed precision; for nothing removed the int8 baselines."""
    if not reading.gone:
        return [row for row in rows if row.name == "baseline" and not row.is_baseline and row.value is not None]
    return [
        row
        for row in rows
        if row.value is not None
        and row.sparsity is not None
        and abs(row.sparsity - reading.gone) < NEAR
        and paper["teacher"] in row.settings.values()
        and "mixed" not in row.settings.values()
    ]
