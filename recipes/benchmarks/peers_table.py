"""Tables of the benchmark of peers: the points of each method, their comparison, and the table in README.md.

A view is a runtime and a size of a call. Every method may also use the unchanged baseline, so it ends each frontier. In
int8 the baseline is a peer of its own, `int8 alone`, and our frontier must do without it.

    python -m recipes.benchmarks.peers_table    # rewrite the table in README.md from results/peers.json
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from recipes.benchmarks.frontier import FASTER, Comparison, Point, compare, overall
from recipes.benchmarks.peers_arms import BASELINE, INT8_ALONE, OURS
from recipes.benchmarks.peers_rivals import rivals_table
from recipes.benchmarks.peers_training import INT8, TORCH
from recipes.tools.markdown import replace_part, table
from trainer_ext.tasks.intervals import bootstrap_interval
from trainer_ext.utils.files import write_text

README = Path(__file__).with_name("README.md")
FILE = README.with_name("results") / "peers.json"
NAME = "peers"
View = tuple[str, int, int]


def views(record: dict[str, Any]) -> list[View]:
    """Return all views, (runtime, texts, tokens), in the order of the file."""
    return list(dict.fromkeys((row["runtime"], row["batch_size"], row["sequence_length"]) for row in record["times"]))


def title(view: View) -> str:
    """Return the title of a view."""
    return f"{view[0]}, {view[1]} x {view[2]}"


def by_arm(record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the results of each arm, one for each seed; the baseline first, then in the order of the file."""
    names = list(dict.fromkeys([BASELINE, *(result["arm"] for result in record["results"])]))
    return {name: [result for result in record["results"] if result["arm"] == name] for name in names}


def correct(results: list[dict[str, Any]], runtime: str) -> np.ndarray:
    """Return the share of seeds whose model is right, for each test row, [rows]."""
    return np.mean([[int(digit) for digit in result["correct"][runtime]] for result in results], axis=0)


def milliseconds(record: dict[str, Any], arm: str, view: View) -> float:
    """Return the median time of a call, averaged over the seeds of an arm."""
    return mean(
        row["median_ms"]
        for row in record["times"]
        if (row["arm"], row["runtime"], row["batch_size"], row["sequence_length"]) == (arm, *view)
    )


def estimate(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over test rows and its interval."""
    return float(values.mean()), *bootstrap_interval(np.mean, values)


def points(record: dict[str, Any], view: View) -> dict[str, list[Point]]:
    """Return the points of each method, without the baseline."""
    found: dict[str, list[Point]] = {}
    for arm, results in by_arm(record).items():
        if arm != BASELINE:
            point = Point(arm, milliseconds(record, arm, view), correct(results, view[0]))
            found.setdefault(results[0]["method"], []).append(point)
    return found


def baseline_point(record: dict[str, Any], view: View) -> Point:
    """Return the point of the unchanged baseline in the runtime of a view."""
    return Point(BASELINE, milliseconds(record, BASELINE, view), correct(by_arm(record)[BASELINE], view[0]))


def comparisons(record: dict[str, Any]) -> dict[View, dict[str, list[Comparison]]]:
    """Compare our models with every peer.

    Returns:
        For each view and peer, the comparisons at the points of both frontiers.
    """
    found: dict[View, dict[str, list[Comparison]]] = {}
    for view in views(record):
        known, dense = points(record, view), baseline_point(record, view)
        ours = known.pop(OURS, [])
        found[view] = {name: compare(ours, own, [dense]) for name, own in known.items()}
        if view[0] == INT8:
            found[view][INT8_ALONE] = compare(ours, [dense])
    return found


def seeds(results: list[dict[str, Any]]) -> str:
    """Return the seeds of an arm."""
    return ", ".join(str(seed) for seed, _ in groupby(sorted(result["seed"] for result in results)))


def summary(record: dict[str, Any]) -> str:
    """Return the table of models, and for each peer whether ours are on or above its frontier."""
    arms = by_arm(record)
    own = [name for name, results in arms.items() if name == BASELINE or results[0]["method"] == OURS]
    rivals = rivals_table(record, lambda arm, runtime: correct(arms[arm], runtime), own)
    parts = [models(record), verdicts(comparisons(record)), rivals, about(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def details(record: dict[str, Any]) -> str:
    """Return, for each view and peer, our accuracy minus the peer's at the latency of every point on a frontier."""
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
        parts.append(f"**{title(view)}**\n\n{table(rows[0], rows[1:])}")
    return "\n\n".join(parts) + "\n"


def models(record: dict[str, Any]) -> str:
    """Return a table with a row for each arm."""
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
    return table(rows[0], rows[1:])


def verdicts(compared: dict[View, dict[str, list[Comparison]]]) -> str:
    """Return a table of verdicts by peer and view, with our lowest difference at equal latency."""
    peers = list(dict.fromkeys(name for found in compared.values() for name in found))
    rows = [["peer: ours is", *map(title, compared)]]
    for peer in peers:
        cells = [_verdict(found[peer]) if peer in found else "–" for found in compared.values()]
        rows.append([peer, *cells])
    return table(rows[0], rows[1:])


def about(record: dict[str, Any]) -> str:
    """Return the number of rows and of epochs, and the machine."""
    result, epochs = record["results"][0], f"{record['epochs']:g} epochs; " if "epochs" in record else ""
    rows = f"n = {result['rows']:,} ({result['split']}), {result['train_rows']:,} train texts"
    return f"{rows}; {epochs}{record['machine']}"


def page(text: str, record: dict[str, Any]) -> str:
    """Return the page with the tables of a result file.

    Raises:
        ValueError: The markers are missing.
    """
    return replace_part(text, NAME, summary(record))


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
    """Rewrite the table in README.md."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    write_text(README, page(README.read_text(encoding="utf-8"), record))


if __name__ == "__main__":
    main()
