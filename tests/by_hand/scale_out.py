"""Scale-out in full: every method, with and without a teacher, in 1, 2 and 4 processes, and resumed in another number.

    make distributed

Each combination is trained on the same rows per step; the table says how far its weights and scores are from those of one
process. Exit status 1 where one is farther than rounding explains, or where another structure was found.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.helpers.launching import BATCH, difference, is_main, run, split, train

ALLOWED = 1e-5  # of weights near 1, after 12 steps at a large learning rate
METHODS = ("movement", "soft_movement", "magnitude")
UNITS = ("block", "head")
TEACHERS = ("none", "live", "cached")
SAVED_AT = (4, 8)  # in the ramp, and after it
# In turn: so many processes, whether they train from the beginning, and whose checkpoints they go on from.
STARTS = ((1, True, ()), (2, True, (1,)), (4, True, (1, 2)), (2, False, (4,)), (1, False, (2, 4)))


def name(method: str, units: str, teacher: str) -> str:
    return f"{method}, {units}, teacher {teacher}"


COMBINATIONS = {name(*parts): parts for parts in itertools.product(METHODS, UNITS, TEACHERS)}


def fields(combination: str, folder: Path) -> dict:
    """The arguments of a combination, but for how a batch is split."""
    method, units, teacher = COMBINATIONS[combination]
    taught = {} if teacher == "none" else {"distill_alpha": 0.5}
    if teacher == "cached":
        taught["distill_cache_dir"] = str(folder / "cache")
    saved = {"save_strategy": "steps", "save_steps": SAVED_AT[0]}
    return {"prune_method": method, "prune_attention": units, **taught, **saved}


def train_all(folder: Path, processes: int, whole: bool, others: list[int]) -> dict:
    """What one start does: every combination from its beginning, whole and in parts, and from others' checkpoints."""
    found = {}
    for combination in COMBINATIONS:
        for accumulated in (1, 2) if whole else ():
            here = folder / f"{processes} x {accumulated}" / combination
            values = fields(combination, here) | split(processes, accumulated)
            found[combination, processes, accumulated, 0, 0] = train(here, **values)
        for other, step in itertools.product(others, SAVED_AT):
            here = folder / f"{other} to {processes}" / combination
            values = fields(combination, here) | split(processes) | {"save_strategy": "no"}
            checkpoint = folder / f"{other} x 1" / combination / f"checkpoint-{step}"
            found[combination, processes, 1, other, step] = train(here, resume=checkpoint, **values)
    return found


def table(found: dict) -> float:
    """Print how far each run is from one process.

    Returns:
        The largest difference.
    """
    most = 0.0
    for (combination, processes, accumulated, other, step), result in found.items():
        assert result["processes"] == processes
        if (processes, accumulated, other) == (1, 1, 0):
            continue
        far = difference(found[combination, 1, 1, 0, 0], result)
        resumed = f", from step {step} of {other}" if other else ""
        print(f"{combination}: {processes} x {accumulated} x {BATCH // processes // accumulated}{resumed}: {far:.1e}")
        most = max(most, far)
    return most


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folder, found, begin = Path(place), {}, time.monotonic()
        for processes, whole, others in STARTS:
            run(__file__, place, str(processes), str(int(whole)), *map(str, others), processes=processes, seconds=1800)
            found |= torch.load(folder / "found.pt", weights_only=True)
        most = table(found)
        first = next(iter(COMBINATIONS))
        half = train(folder / "half", **fields(first, folder / "half") | split(2))
        control = difference(found[first, 1, 1, 0, 0], half)
        print(f"half of the rows per step, as a control: {control:.1e}")
    good = most <= ALLOWED < control
    print(
        f"{len(found)} runs in {time.monotonic() - begin:.0f} s; the largest difference is {most:.1e}: "
        f"{'as good as equal' if good else 'NOT EQUAL'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    place, count, is_whole, *whose = sys.argv[1:]
    results = train_all(Path(place), int(count), is_whole == "1", [int(word) for word in whose])
    if is_main():
        torch.save(results, Path(place) / "found.pt")
