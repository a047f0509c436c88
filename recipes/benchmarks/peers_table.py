"""Tables of the benchmark of peers: Markdown from the result file, and the part of README.md between its markers.

python -m recipes.benchmarks.peers_table            # write README.md anew from results/peers.json
"""

from __future__ import annotations

import json
from statistics import mean
from typing import Any

import numpy as np

from recipes.benchmarks.frontier import FASTER, Comparison, overall
from recipes.benchmarks.marked import README, RESULTS, replaced, table
from recipes.benchmarks.peers_arms import BASELINE
from recipes.benchmarks.peers_points import (
    View,
    by_arm,
    comparisons,
    correct,
    estimate,
    milliseconds,
    seeds,
    title,
    views,
)
from recipes.benchmarks.peers_training import INT8, TORCH
from trainer_ext.utils.files import write_text

FILE = RESULTS / "peers.json"
NAME = "peers"


def summary(record: dict[str, Any]) -> str:
    """Every model with what it is worth and costs, and one row per peer: is ours on or above its frontier?"""
    compared = comparisons(record)
    return "\n\n".join([models(record), verdicts(compared), about(record)]) + "\n"


def details(record: dict[str, Any]) -> str:
    """For each view ours minus each peer, in points of accuracy, at the latency of every point on a frontier."""
    parts = []
    for view, peers in comparisons(record).items():
        rows = [["peer", "at", "ms", "ours minus the peer", "ours is"]]
        for peer, found in peers.items():
            rows += [
                [
                    peer,
                    f"{'our' if one.ours else 'its'} {one.point}",
                    f"{one.latency:.2f}",
                    _difference(one),
                    _word(one),
                ]
                for one in found
            ]
        parts.append(f"**{title(view)}**\n\n{table(rows)}")
    return "\n\n".join(parts) + "\n"


def models(record: dict[str, Any]) -> str:
    """A row per arm."""
    shown, arms = views(record), by_arm(record)
    headings = ["model", "method", "seeds", "accuracy", "difference", "int8", "difference"]
    headings += [
        "encoder",
        "MiB fp32 / int8",
        "training, processor s",
        "Wh",
        *(f"ms, {title(view)}" for view in shown),
    ]
    dense = arms[BASELINE]
    rows = [headings]
    for arm, results in arms.items():
        cells = [arm, results[0]["method"], seeds(results)]
        for runtime in (TORCH, INT8):
            right = correct(results, runtime)
            reference = arm == BASELINE and runtime == TORCH
            cells += [
                _text(estimate(right)),
                "–" if reference else _text(estimate(right - correct(dense, TORCH)), "+"),
            ]
        cells += [
            f"{mean(result['encoder_parameters'] for result in results) / 1e6:.2f} M",
            " / ".join(f"{mean(result['bytes'][name] for result in results) / 2**20:.1f}" for name in (TORCH, INT8)),
            _mean(results, "processor_seconds", "{:.0f}"),
            _mean(results, "energy_kwh", "{:.2f}", 1000),
            *(f"{milliseconds(record, arm, view):.2f}" for view in shown),
        ]
        rows.append(cells)
    return table(rows)


def verdicts(compared: dict[View, dict[str, list[Comparison]]]) -> str:
    """A row per peer, a column per view: the word for ours, and its lowest difference at equal latency."""
    peers = list(dict.fromkeys(name for found in compared.values() for name in found))
    rows = [["peer: ours is", *map(title, compared)]]
    for peer in peers:
        cells = [_verdict(found[peer]) if peer in found else "–" for found in compared.values()]
        rows.append([peer, *cells])
    return table(rows)


def about(record: dict[str, Any]) -> str:
    """What was measured on what."""
    result = record["results"][0]
    return f"n = {result['rows']:,} ({result['split']}), {result['train_rows']:,} train texts; {record['machine']}"


def page(text: str, record: dict[str, Any]) -> str:
    """README.md with the tables that the result file gives.

    Raises:
        ValueError: the markers are missing.
    """
    return replaced(text, NAME, summary(record))


def _verdict(found: list[Comparison]) -> str:
    known = [one for one in found if one.value is not None]
    word = overall(found)
    if word == FASTER:
        word = "the peer reaches further"
    if not known:
        return word
    worst = min(known, key=lambda one: one.value)
    return f"{word}; {_difference(worst)} at {worst.latency:.1f} ms"


def _difference(one: Comparison) -> str:
    return "–" if one.value is None else _text((one.value, *one.ci95), "+", noise=False)


def _word(one: Comparison) -> str:
    if one.verdict != FASTER:
        return one.verdict
    return "faster than the peer" if one.ours else "slower than the peer"


def _text(numbers: tuple[float, float, float], sign: str = "", *, noise: bool = True) -> str:
    middle, low, high = numbers
    label = ", noise" if sign and noise and low <= 0 <= high else ""
    middle, low, high = (f"{100 * number:{sign and '+z'}.1f}" for number in (middle, low, high))
    return f"{middle} [{low}, {high}]{label}"


def _mean(results: list[dict[str, Any]], name: str, form: str, factor: float = 1.0) -> str:
    values = [result[name] for result in results if result.get(name) is not None]
    return form.format(factor * float(np.mean(values))) if values else "–"


def main() -> None:
    """Write README.md anew."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    write_text(README, page(README.read_text(encoding="utf-8"), record))


if __name__ == "__main__":
    main()
