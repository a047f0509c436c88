"""Tables of what serving costs: accuracy of int8 in each family, and tokens saved by batches of similar length.

`make results` writes them into README.md from the files in results/.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recipes.tools.markdown import difference, per_cent, table

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


def parts(folder: Path = RESULTS) -> dict[str, str]:
    """Return the tables whose result files are there, by the name of their markers."""
    found = {}
    for name, write in (("int8_families", families), ("lengths", lengths)):
        file = folder / f"{name}.json"
        found[name] = write(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else "Not measured yet."
    return found


def families(record: dict[str, Any]) -> str:
    """Return a row for each family and format: accuracy in fp32 and int8, paired difference, repair, and size."""
    head = ["family", "format", "fp32", "int8", "difference", "same", "repaired", "size", "of fp32"]
    rows, most = [], 0
    for result in record["results"]:
        for found in result["exports"]:
            cells = [result["family"], found["format"]]
            if "refused" in found:
                rows.append([*cells, "", "", "refused", "", found["refused"], "", ""])
                continue
            most = max(most, found["rows"])
            rows.append(
                [
                    *cells,
                    f"{100 * found['fp32']:.1f}",
                    f"{100 * found['accuracy']:.1f}",
                    difference("accuracy", found["difference"], *(found["ci95"] or (None, None))),
                    per_cent(found["agreement"], 1),
                    repaired(found),
                    f"{found['bytes'] / 2**20:.2f} MiB",
                    per_cent(found["bytes"] / found["fp32_bytes"]),
                ]
            )
    judged = [found for result in record["results"] for found in result["exports"]]
    within = sum("refused" not in found and found["difference"] >= -0.01 - 1e-9 for found in judged)
    minutes = sum(result["seconds"] for result in record["results"]) / 60
    loads = [result["load"] for result in record["results"]]
    about = (
        f"{within} of {len(judged)} files within one point. n = {most} test rows; accuracy in per cent, paired 95 % interval; "
        f"`{record['command']}`; {record['processor']}, {record['cores']} cores, torch threads: {record['threads']}, load "
        f"{min(loads):.1f} to {max(loads):.1f}, {minutes:.0f} minutes; {record['created'][:10]}"
    )
    return f"{table(head, rows)}\n\n{about}"


def repaired(found: dict[str, Any]) -> str:
    """Return what a repair cost, if there was one."""
    cost = found["repair"]
    if not cost:
        return "no"
    loss = "" if cost["plain_loss"] is None else f", loss before {100 * cost['plain_loss']:.1f}"
    size = f"{100 * (found['bytes'] / cost['plain_bytes'] - 1):+.0f} % bytes"
    speed = f"{cost['speed']:.2f}x"
    if cost["busy"]:  # then the times of a call may be anything
        speed = f"CPU time {cost['cpu_speed']:.2f}x" if cost.get("cpu_speed") else "speed unknown (busy machine)"
    return f"{len(cost['kept_fp32'])} of {cost['matrices']} in fp32{loss}, {size}, {speed}"


def lengths(record: dict[str, Any]) -> str:
    """Return a row for each batch size: tokens computed and seconds, in the order of the file and by length."""
    head = ["batch", "tokens of the texts", "computed, in order", "by length", "saved", "s, in order", "by length", ""]
    rows = [
        [
            row["batch_size"],
            f"{record['tokens']:,}",
            f"{row['in_order']:,}",
            f"{row['by_length']:,}",
            per_cent(1 - row["by_length"] / row["in_order"], 1),
            _seconds(row["seconds"]["in_order"]),
            _seconds(row["seconds"]["by_length"]),
            f"{row['speedup'][0]:.2f}x [{row['speedup'][1]:.2f}, {row['speedup'][2]:.2f}]"
            + (" (busy machine)" if row["busy"] else ""),
        ]
        for row in record["rows"]
    ]
    spread = record["lengths"]
    about = (
        f"{record['texts']:,} texts of {record['file']}, {spread['median']:.0f} tokens (median; {spread['p95']:.0f} at the 95th "
        f"percentile, {spread['most']} at most); {record['runtime']}; median of {record['repeats']} passes in turn, and of the "
        f"ratios of the passes with their range; `{record['command']}`; {record['processor']}, threads: {record['threads']}, "
        f"load {record['load']:.1f} before the start; {record['created'][:10]}"
    )
    return f"{table(head, rows)}\n\n{about}"


def _seconds(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2]:.2f}"
