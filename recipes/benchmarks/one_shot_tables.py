"""Tables of `prune_method="obs"` without a training and with a short one: accuracy lost by size, and speed.

`make results` writes them into README.md from the files in results/; `one_shot` prints the first of its own run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipes.tools.markdown import NOT_RUN, UNKNOWN, per_cent, table
from recipes.tools.sweep_tables import published
from trainer_ext.tasks.intervals import bootstrap_interval

RESULTS = Path(__file__).parent / "results"
TASKS = ("trec6", "sst2", "sst2_mpnet")
TIMED = {"trec6": "TREC-6", "sst2": "SST-2"}
DENSE, INT8 = "torch fp32", "openvino-int8"
RUNTIMES = {"torch": "torch fp32", "openvino": "OpenVINO int8"}  # as the files of `trainer-ext benchmark` name them


def parts(folder: Path = RESULTS) -> dict[str, str]:
    """Return the tables whose result files are there, by the name of their markers."""
    found = {}
    for task in TASKS:
        file = folder / f"one_shot_{task}.json"
        found[f"one_shot_{task}"] = accuracies(_read(file)["results"]) if file.is_file() else NOT_RUN
    files = {name: folder / f"one_shot_{task}_latency.json" for task, name in TIMED.items()}
    found["one_shot_published"] = beside_published(folder)
    found["one_shot_speed"] = speeds({name: _read(file) for name, file in files.items() if file.is_file()})
    return found


def accuracies(results: Sequence[Mapping[str, Any]]) -> str:
    """Return a row for each share and length: accuracy, and points lost with their interval, in both runtimes.

    Args:
        results: A record for each model, the baselines (with a `sparsity` of 0) among them.
    """
    dense, models = _grouped(results)
    rows = []
    for (gone, epochs), found in models.items():
        cells = [per_cent(gone), f"{epochs:g}", len(found)]
        for runtime in (DENSE, INT8):
            accuracy = np.mean([right(one, runtime).mean() for one in found])
            cells.append(f"{100 * accuracy:.1f}, {_points(change(found, dense, runtime))}")
        cost = np.median([one["processor_seconds"] for one in found])
        rows.append([*cells, f"{cost:.0f} s", f"{found[0]['bytes'][INT8] / 1e6:.1f} MB"])
    head = ["encoder gone", "epochs", "seeds", "torch fp32", "OpenVINO int8", "processor time", "int8 file"]
    first = next(iter(dense.values()))
    bases = ", ".join(f"{100 * right(one, DENSE).mean():.1f}" for one in dense.values())
    about = (
        f"{'Baseline' if len(dense) == 1 else 'Baselines'}: {bases} ({first['bytes'][INT8] / 1e6:.1f} MB in int8); "
        f"n = {first['rows']:,} ({first['split']})."
    )
    return f"{table(head, rows)}\n\n{about}"


def change(
    runs: Sequence[Mapping[str, Any]], dense: Mapping[int, Mapping[str, Any]], runtime: str
) -> tuple[float, float, float]:
    """Return the mean change from the baselines in PyTorch, as a fraction, and the ends of its 95 % interval.

    Rows of the test set are drawn anew for the interval, each with its answers in all seeds, so it is paired.

    Args:
        runs: A record for each seed of one model.
        dense: The baselines by seed.
        runtime: The runtime of the small models.
    """
    changes = np.mean([right(one, runtime) - right(dense[one["seed"]], DENSE) for one in runs], axis=0)
    # One row more and one less: the interval has a width even if no answer changed.
    low, high = bootstrap_interval(np.mean, np.append(changes, [1.0, -1.0]))
    return float(changes.mean()), low, high


def beside_published(folder: Path) -> str:
    """Return a row for each model of the size of BERT-base on SST-2, ours and those that others have published."""
    files = [folder / f"one_shot_sst2_mpnet{end}.json" for end in ("", "_latency")]
    if not all(file.is_file() for file in files):
        return NOT_RUN
    results, timed = (_read(file) for file in files)
    dense, models = _grouped(results["results"])
    before = 100 * np.mean([right(one, DENSE).mean() for one in dense.values()])
    rows = []
    for (gone, epochs), runs in models.items():
        name = f"{gone:g}-{epochs:g}"
        for runtime, column in (("torch", DENSE), ("openvino", INT8)):
            found = [
                row for row in timed["rows"] if (row["entry"]["source"], row["entry"]["runtime"]) == (name, runtime)
            ]
            lost = _points(change(runs, dense, column))
            what = ["ours, " + RUNTIMES[runtime], per_cent(gone), f"{epochs:g}", f"{before:.1f}", lost]
            if found:
                rows.append([*what, ", ".join(f"{row['speedup']:.1f}x at {_shape(row)}" for row in found)])
    for paper in published()["sst2_base"]:
        for row in paper["rows"]:
            what = [f"{paper['what']} ({paper['source']})", per_cent(row["gone"]), paper["epochs"], paper["dense"]]
            rows.append([*what, f"{row['accuracy'] - paper['dense']:+.1f}", f"{row['speedup']}x"])
    return table(["model", "gone", "epochs", "dense", "change", "speed-up"], rows)


def _grouped(results: Sequence[Mapping[str, Any]]) -> tuple[dict[int, Any], dict[tuple[float, float], list[Any]]]:
    """Return the baselines by seed, and the other records by share and epochs, in ascending order."""
    models: dict[tuple[float, float], list[Any]] = {}
    for one in sorted(results, key=lambda one: (one["sparsity"], one["epochs"])):
        if one["sparsity"]:
            models.setdefault((one["sparsity"], one["epochs"]), []).append(one)
    return {one["seed"]: one for one in results if not one["sparsity"]}, models


def _points(found: tuple[float, float, float]) -> str:
    mean, low, high = (f"{100 * value:+.1f}" for value in found)
    return f"{mean} [{low}, {high}]"


def _shape(row: Mapping[str, Any]) -> str:
    return f"{row['batch_size']} × {row['sequence_length']}"


def right(result: Mapping[str, Any], runtime: str) -> np.ndarray:
    """Return 1 for each test row that was answered rightly, and 0 for the others."""
    return np.array([letter == "1" for letter in result["correct"][runtime]], dtype=float)


def speeds(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a row for each model and runtime: speed-ups relative to the dense model, at each shape of each task.

    Args:
        records: Results of `trainer-ext benchmark` by the name of the task; models are named SHARE-EPOCHS.
    """
    if not records:
        return NOT_RUN
    found: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for task, record in records.items():
        for row in record["rows"]:
            entry, shape = row["entry"], _shape(row)
            cell = f"{row['speedup']:.1f}x" + (" (busy machine)" if row["busy"] else "")
            found.setdefault((entry["source"], entry["runtime"]), {})[task, shape] = cell
    columns = list(dict.fromkeys(column for cells in found.values() for column in cells))
    # Dense first, then by what is gone and the epochs. The first row is what the others are relative to.
    order = sorted(found, key=lambda key: (share_and_epochs(key[0]), key[1] != "torch"))
    rows = [
        [_name(source), RUNTIMES[runtime], *(found[source, runtime].get(column, UNKNOWN) for column in columns)]
        for source, runtime in order
        if (source, runtime) != ("baseline", "torch")
    ]
    return table(["model", "runtime", *(f"{task}, {shape}" for task, shape in columns)], rows)


def _name(source: str) -> str:
    if source == "baseline":
        return "dense"
    gone, epochs = share_and_epochs(source)
    return f"{per_cent(gone)} gone" + (f", {epochs:g} epochs" if epochs else "")


def share_and_epochs(source: str) -> tuple[float, float]:
    """Return the share of the encoder that is gone, and the epochs of training after it.

    Args:
        source: the folder of a timed model, such as `0.75-2`, or `baseline`.
    """
    gone, epochs = (0, 0) if source == "baseline" else source.split("-")
    return float(gone), float(epochs)


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
