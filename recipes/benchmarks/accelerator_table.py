"""Tables of the benchmark of accelerators.

python -m recipes.benchmarks.accelerator_table    # rewrite the table in README.md from results/accelerator.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recipes.tools.markdown import replace_part, table
from trainer_ext.utils.files import write_text

README = Path(__file__).with_name("README.md")
NAME = "accelerator"
FILE = README.with_name("results") / f"{NAME}.json"


def summary(record: dict[str, Any]) -> str:
    """Return three tables: training by precision, latency of dense and pruned models, latency of parts of a layer."""
    parts = [training(record["training"]), latency(record["latency"]), blocks(record["blocks"]), record["machine"]]
    return "\n\n".join(parts) + "\n"


def training(results: list[dict[str, Any]]) -> str:
    """Return time, memory and accuracy of each precision, compared with fp32 of the same trainer."""
    headings = ["trainer", "precision", "s per step", "speed-up", "peak MiB", "of fp32", "last loss", "accuracy %"]
    full = {row["trainer"]: row for row in results if row["precision"] == "fp32"}
    rows = [headings]
    for row in results:
        first, memory = full[row["trainer"]], row["peak_bytes"]
        rows.append(
            [
                row["trainer"],
                row["precision"],
                f"{row['seconds_per_step']:.4f}",
                f"{first['seconds_per_step'] / row['seconds_per_step']:.2f}x",
                f"{memory / 2**20:,.0f}" if memory else "not counted",
                f"{memory / first['peak_bytes']:.2f}" if memory else "–",
                f"{row['loss']:.3f}",
                f"{100 * row['accuracy']:.1f}",
            ]
        )
    about = f"{results[0]['steps']} steps; accuracy on {results[0]['rows']} new texts"
    return f"{table(rows[0], rows[1:])}\n\n{about}"


def latency(results: list[dict[str, Any]]) -> str:
    """Return the latency; in brackets the speed-up over the dense model in fp32, and in the same precision."""
    shapes = list(dict.fromkeys((row["batch_size"], row["sequence_length"]) for row in results))
    times = {
        (row["model"], row["precision"], row["batch_size"], row["sequence_length"]): row["median_ms"]
        for row in results
    }
    names = list(dict.fromkeys(row["model"] for row in results))
    rows = [["model", "precision", *(f"{batch} x {length} tokens" for batch, length in shapes)]]
    for name, precision in dict.fromkeys((row["model"], row["precision"]) for row in results):
        cells = []
        for shape in shapes:
            took = times[name, precision, *shape]
            whole, same = times[names[0], "fp32", *shape], times[names[0], precision, *shape]
            cells.append(f"{took:.2f} ms ({whole / took:.2f}x, {same / took:.2f}x)")
        rows.append([name, precision, *cells])
    return f"{table(rows[0], rows[1:])}\n\nin brackets: against dense in fp32, and against dense in the same precision"


def blocks(found: dict[str, dict[str, float]]) -> str:
    """Return the latency with a part of the heads, or of the neurons, left in every layer."""
    shares = [name.removeprefix("heads ") for name in next(iter(found.values())) if name.startswith("heads ")]
    rows = [["precision", "left of every layer", *shares]]
    for precision, times in found.items():
        for part in ("heads", "neurons"):
            rows.append([precision, part, *(f"{times[f'{part} {share}']:.2f} ms" for share in shares)])
    return table(rows[0], rows[1:])


def main() -> None:
    """Rewrite the table in README.md."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    write_text(README, replace_part(README.read_text(encoding="utf-8"), NAME, summary(record)))


if __name__ == "__main__":
    main()
