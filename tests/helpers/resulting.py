"""Call the commands of the results page in tests, and make up sweeps for it."""

from dataclasses import replace

from typer.testing import CliRunner

from recipes.tools import results
from trainer_ext.sweep.results import BASELINE, SweepResult, SweepRow

SHAPES = ("1 x 64", "32 x 64")
QUARTER, KEPT = "25 % removed (75 % kept)", "75 % removed (25 % kept)"


def made_up_row(name, gone, lost, speed, **changes):
    """Return a row with made-up numbers: share removed, loss in points, speed-up at 32 texts."""
    settings = (
        {} if name == BASELINE else dict(zip(("sparsity", "teacher", "precision"), name.split(", "), strict=True))
    )
    row = SweepRow(
        name=name,
        settings=settings,
        seed=17,
        split="clean",
        rows=1234,
        metric="accuracy",
        value=0.7 + lost / 100,
        low=0.68 + lost / 100,
        high=0.72 + lost / 100,
        difference=lost / 100,
        difference_low=lost / 100 - 0.005,
        difference_high=lost / 100 + 0.005,
        sparsity=gone,
        parameters=1000,
        bytes=4_000_000,
        speedup=dict(zip(SHAPES, (speed * 0.75, speed), strict=True)),
        ideal_speedup=dict.fromkeys(SHAPES, 1 / (1 - gone)),
        median_ms=dict.fromkeys(SHAPES, 12.5),
        memory_mib=321.0,
        train_seconds=77.7,
        train_kwh=0.00123,
        train_g=0.877,
        kwh_per_1000=0.0000456,
        g_per_1000=0.0325,
    )
    return replace(row, **changes)


def made_up_sweep(*rows, **changes):
    """Return a sweep with a baseline, its int8 file, both readings with a teacher, and one in mixed precision."""
    quarter = made_up_row(f"{QUARTER}, KD, fp32", 0.25, -0.2, 1.28)
    rows = rows or (
        made_up_row(BASELINE, 0.0, 0.0, 1.0),
        made_up_row(BASELINE, 0.0, -0.1, 2.9, runtime="openvino", precision="int8"),
        made_up_row("0 %, none, fp32", 0.0, 0.4, 1.0),
        quarter,
        replace(quarter, runtime="onnxruntime", precision="int8", speedup={"1 x 64": 2.0, "32 x 64": 2.71}),
        made_up_row(f"{QUARTER}, KD, mixed", 0.25, -0.3, 1.27),
        made_up_row(f"{KEPT}, KD, fp32", 0.75, -4.0, 3.1),
        made_up_row(f"{QUARTER}, none, fp32", 0.25, -1.5, 1.29),
    )
    result = SweepResult(
        created="2031-02-03T00:00:00+00:00",
        command="trainer-ext sweep paper_grid.yaml --scale small",
        recipe="paper_grid.yaml",
        scale="small",
        machine="a made-up processor, 2 threads",
        rows=list(rows),
    )
    return replace(result, **changes)


def run(*words):
    """Call a command of recipes.tools.results in this process."""
    return CliRunner().invoke(results.app, [str(word) for word in words])
