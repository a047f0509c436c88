"""Measure accuracy and speed of pruned models in OpenVINO int8, compared with int8 alone, over several seeds.

An arm is a name and the finished runs of one recipe that differ only in their seed. Baseline and compressed model of each
run are quantised by `trainer-ext export`, calibrated on training texts, evaluated on the first test set, and timed in
turns; earlier exports are reused. Speed-up is relative to the dense baseline in PyTorch, eager and fp32. Differences are
paired by seed, intervals are Student's over seeds.

The alternatives without pruning are int8 alone, and dropped layers with int8. Targets for all-MiniLM-L6-v2 on SST-2:
at most 0.5 points lost at 4x or more, 1.0 at 8x or more. Predicted from one seed of each arm: met by a quarter of all
weights gone, and by three layers dropped and a fifth of the rest; int8 alone stops short of 4x. Outcomes are in
recipes/benchmarks/README.md.

    python -m recipes.benchmarks.pruned_int8 "quarter gone=runs/a-17" "quarter gone=runs/a-23" "1 layer dropped=runs/b-17"
"""

import shlex
import sys
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer
from rich.console import Console

from recipes.tools.run_tables import interval
from trainer_ext import report
from trainer_ext.benchmark.runner import benchmark
from trainer_ext.benchmark.tables import machine
from trainer_ext.errors import InputError
from trainer_ext.export.formats import FORMATS, export
from trainer_ext.hub import sanitize
from trainer_ext.utils.files import write_json, write_text

FORMAT = "openvino-int8"
DENSE = "dense"


def measure(arm: str, folder: Path, shapes: list[tuple[int, int]], *, with_baseline: bool, **options) -> list[dict]:
    """Return the results of one run, one for each model and runtime.

    Args:
        arm: Name of the compressed model.
        folder: Folder of the run.
        shapes: Texts and tokens per call.
        with_baseline: Measure also the baseline in int8; else it is timed only in PyTorch.
        **options: Passed to `benchmark`.
    """
    parts = ("baseline", "compressed") if with_baseline else ("compressed",)
    there = {row.path for row in report.load(folder).exports}
    for part in parts:
        if f"{part}/{FORMATS[FORMAT].file}" not in there:
            export(folder / part, [FORMAT], max_drop=1.0, console=options["console"])
    numbers = report.load(folder)
    metric = numbers.quality.metric
    dense = numbers.quality.baseline.by_name[metric]
    torch_quality = {"baseline": numbers.quality.baseline, "compressed": numbers.quality.compressed}
    int8 = {row.path.partition("/")[0]: row for row in numbers.exports if row.format == FORMAT}
    times = benchmark([str(folder)], shapes=shapes, memory=False, **options)
    found = []
    for part in parts:
        kinds = {
            "torch fp32": (torch_quality[part], getattr(numbers.bytes, part), folder / part),
            FORMAT: (int8[part].quality, int8[part].bytes, folder / part / FORMATS[FORMAT].file),
        }
        for runtime, (scores, size, path) in kinds.items():
            rows = [row for row in times.rows if row.entry.path == str(path)]
            found.append(
                {
                    "arm": DENSE if part == "baseline" else arm,
                    "runtime": runtime,
                    "seed": numbers.seed,
                    "rows": numbers.quality.rows,
                    "split": numbers.quality.split,
                    "metric": metric,
                    "value": scores.by_name[metric],
                    "difference": scores.by_name[metric] - dense,
                    "bytes": size,
                    "speedup": {f"{row.batch_size} x {row.sequence_length}": row.speedup for row in rows},
                    "machine": machine(times),
                }
            )
    return found


def table(results: list[dict]) -> str:
    """Return a Markdown table with a row for each arm and runtime, means over seeds."""
    shapes = list(results[0]["speedup"])
    lines = [
        f"| model | runtime | seeds | {results[0]['metric']} | difference | MiB | " + " | ".join(shapes) + " |",
        "|" + "---|" * (6 + len(shapes)),
    ]

    def key(row: dict) -> tuple:
        return row["arm"] != DENSE, row["arm"], row["runtime"] == FORMAT

    for _, group in groupby(sorted(results, key=key), key=key):
        rows = list(group)
        speeds = [f"{mean(row['speedup'][shape] for row in rows):.2f}x" for shape in shapes]
        cells = [rows[0]["arm"], rows[0]["runtime"], ", ".join(str(row["seed"]) for row in rows)]
        reference = rows[0]["arm"] == DENSE and rows[0]["runtime"] != FORMAT
        cells.append(_interval([row["value"] for row in rows]))
        cells.append("–" if reference else _interval([row["difference"] for row in rows], "+"))
        cells += [f"{mean(row['bytes'] for row in rows) / 2**20:.1f}", *speeds]
        lines.append("| " + " | ".join(cells) + " |")
    first = results[0]
    return "\n".join([*lines, "", f"n = {first['rows']:,} ({first['split']}); {first['machine']}"]) + "\n"


def _interval(values: list[float], sign: str = "") -> str:
    middle, low, high = (100 * value for value in interval(values))
    if len(values) < 2:
        return f"{middle:{sign}.1f}"
    noise = ", noise" if sign and low <= 0 <= high else ""
    return f"{middle:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]{noise}"


def main(
    runs: Annotated[list[str], typer.Argument(help="ARM=RUN, for each run; the seeds of an arm have the same name.")],
    batch: Annotated[list[str], typer.Option(help="Texts x tokens; may be repeated.")] = ["1x32", "1x128", "8x64"],  # noqa: B006
    repeats: Annotated[int, typer.Option(help="Timed calls of each.")] = 30,
    threads: Annotated[int | None, typer.Option(help="Processor threads; default: torch's.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write OUTPUT.json and the Markdown table OUTPUT.md.")] = None,
) -> None:
    """Quantise, evaluate and time the models, and print the table."""
    if strange := [word for word in runs if not all(word.rpartition("=")[::2])]:
        raise InputError(f"{strange[0]!r} is not ARM=RUN.")
    shapes = [tuple(map(int, shape.split("x"))) for shape in batch]
    options = {"repeats": repeats, "threads": threads, "console": Console(stderr=True)}
    results, seeds = [], set()
    for word in runs:
        arm, _, folder = word.rpartition("=")
        seed = report.load(folder).seed
        results += measure(arm, Path(folder), shapes, with_baseline=seed not in seeds, **options)
        seeds.add(seed)
    print(table(results))
    if output:
        named = [f"{arm}={Path(folder).name}" for arm, _, folder in (word.rpartition("=") for word in runs)]
        command = shlex.join(
            ["python", "-m", "recipes.benchmarks.pruned_int8", *named, *sanitize.command(sys.argv[len(runs) + 1 :])]
        )
        write_json(output.with_suffix(".json"), {"command": command, "results": results})
        write_text(output.with_suffix(".md"), table(results))


if __name__ == "__main__":
    typer.run(main)
