"""Results of sweeps for tests: random but plausible numbers, consistent like those of a real sweep."""

from __future__ import annotations

import random

from trainer_ext.sweep.results import BASELINE, SweepResult, SweepRow
from trainer_ext.tasks.intervals import wilson_interval

SHAPES = ("1 x 32", "32 x 64")
GONE = {"0 %": 0.0, "25 % removed": 0.25, "50 % removed": 0.5, "75 % removed": 0.75}
TEACHERS = {"none": 0.0, "KD": 0.008, "KD + hidden": 0.011, "KD, large teacher": 0.013}
RUNTIMES = {"torch": ("fp32", 1.0, 1.0), "onnxruntime": ("int8", 2.9, 0.26), "openvino": ("int8", 4.1, 0.27)}
N = 2332


def row(name: str = "25 % removed, KD", value: float | None = 0.72, **fields) -> SweepRow:
    """Return a row with a value, its interval and the given fields."""
    low, high = (None, None) if value is None or not 0 <= value <= 1 else wilson_interval(round(value * N), N)
    given = {"split": "clean", "rows": N, "metric": "accuracy", "low": low, "high": high}
    return SweepRow(name, value=value, **{**given, **fields})


def result(*rows: SweepRow, **fields) -> SweepResult:
    """Return a sweep with these rows."""
    given = {
        "created": "2026-01-02T03:04:05+00:00",
        "command": "trainer-ext sweep paper_grid.yaml --scale small --data_dir mahanews",
        "recipe": "paper_grid.yaml",
        "scale": "small",
        "machine": "A processor (Zen 4), 2 threads, load 0.4; torch 2.13.0, onnxruntime 1.30.0, openvino 2026.4.0",
    }
    return SweepResult(**{**given, "rows": list(rows), **fields})


def example(runs: int = 16, runtimes: int = 3, seed: int = 3) -> SweepResult:
    """Return a sweep with the baseline and a grid of settings, each in several runtimes."""
    draw = random.Random(seed)
    names = [(gone, teacher) for teacher in TEACHERS for gone in GONE]
    while len(names) < runs:
        names.append((f"{draw.randint(10, 90)} % removed", draw.choice(list(TEACHERS))))
    rows = []
    for gone, teacher in names[:runs]:
        share = GONE.get(gone, int(gone.split()[0]) / 100)
        known = round(N * (0.712 + TEACHERS[teacher] - 0.05 * share**2 + draw.gauss(0, 0.004)))
        is_baseline = not rows
        name = BASELINE if is_baseline else f"{gone}, {teacher}"
        settings = {} if is_baseline else {"sparsity": gone, "teacher": teacher}
        for runtime, (precision, speed, size) in list(RUNTIMES.items())[:runtimes]:
            value = (known - (runtime != "torch") * draw.randint(0, 9)) / N
            first = rows[0] if rows else None
            difference = first and value - first.value
            encoder, other = 8.2e6 * (1 - share), 3.6e6
            fast = speed / (1 - 0.93 * share) * draw.uniform(0.97, 1.03) if rows else 1.0
            found = row(
                name,
                value,
                runtime=runtime,
                precision=precision,
                settings=settings,
                seed=17,
                difference=difference,
                difference_low=first and difference - 0.011,
                difference_high=first and difference + 0.011,
                sparsity=share if first else None,
                parameters=round((encoder + other) / 4),
                bytes=round((encoder + other) * size),
                speedup={SHAPES[0]: 0.3 + 0.7 * fast if rows else 1.0, SHAPES[1]: fast},
                ideal_speedup=dict.fromkeys(SHAPES, 1 / (1 - share)),
                median_ms={SHAPES[0]: 4.1 / fast, SHAPES[1]: 96.0 / fast},
                memory_mib=310 - 40 * share - 60 * (runtime != "torch"),
                train_seconds=212.0 + 30 * draw.random() if runtime == "torch" else None,
                train_kwh=0.0031 + 0.0004 * draw.random() if runtime == "torch" else None,
                train_g=2.2 + 0.3 * draw.random() if runtime == "torch" else None,
                kwh_per_1000=6.1e-5 / fast,
                g_per_1000=0.0435 / fast,
                folder="" if is_baseline else name.replace(" ", "_"),
            )
            rows.append(found)
    best = {"title": rows[-1].title, "why": "the fastest whose paired interval stays above -1 point"}
    return result(
        *rows,
        failed={"90 % removed, none": "Training stopped: the loss was NaN at step 40."},
        notes=["Energy is estimated from the load of the processor.", "Two runs were trained side by side."],
        best=best,
    )
