"""Rivals of the benchmark of peers that are no transformers: a linear classifier of words, and averaged token vectors.

They are made from the training texts of the arms; the second learns from the baseline. What they need for a call is timed
from texts to classes, as is what an arm needs in OpenVINO int8, its tokenizer included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from recipes.benchmarks.peers_training import INT8, TORCH, Setting, costing
from recipes.tools.markdown import table
from trainer_ext.export.formats import FORMATS
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.sweep.rivals import milliseconds, rivals_of
from trainer_ext.tasks.intervals import bootstrap_interval
from trainer_ext.utils.files import write_json

FILE = "rivals.json"
CALLS = (1, 32)  # texts of a timed call


def make_rivals(setting: Setting, folder: Path) -> list[dict]:
    """Make and judge the rivals of a run unless that was done, and return their results.

    Args:
        setting: What the arms share.
        folder: Folder of the run.
    """
    file = folder / FILE
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    rows = setting.data.tests[next(iter(setting.encoded.tests))]
    found, seed = [], setting.recipe.training.seed
    for make in rivals_of(setting.dense, setting.data.train, setting.encoded.train, setting.tokenizer, seed=seed):
        rival, cost = costing(make, seed=seed)
        right = rival.predict(list(rows["text"])) == np.array(rows["label"])
        times = {str(count): milliseconds(rival.predict, list(rows["text"][:count])) for count in CALLS}
        correct = "".join("1" if one else "0" for one in right)
        found.append({"name": rival.name, "correct": correct, "bytes": rival.bytes, "ms": times, **cost})
    write_json(file, found)
    return found


def time_from_texts(setting: Setting, folder: Path) -> dict[str, float]:
    """Return the milliseconds of a call of an arm in int8, from texts to classes, by number of texts.

    Args:
        setting: What the arms share.
        folder: Folder of the model and its exports.
    """
    tokenizer, runtime = AutoTokenizer.from_pretrained(folder), open_runtime(FORMATS[INT8].files(folder)[-1])
    length = setting.recipe.data.max_length

    def answer(texts: Sequence[str]) -> np.ndarray:
        batch = tokenizer(list(texts), padding=True, truncation=True, max_length=length, return_tensors="np")
        return runtime.run({name: batch[name] for name in runtime.inputs}).argmax(-1)

    texts = list(setting.data.tests[next(iter(setting.encoded.tests))]["text"])
    return {str(count): milliseconds(answer, texts[:count]) for count in CALLS}


def rivals_table(record: dict, correct: Callable[[str, str], np.ndarray], names: Sequence[str]) -> str:
    """Return a table of the rivals beside the baseline and some arms in int8; empty if none was made.

    Args:
        record: The content of the result file.
        correct: From the name of an arm and a runtime to the right answers, `[rows]`.
        names: The arms, the baseline first.
    """
    if not record.get("rivals"):
        return ""
    dense = correct(names[0], TORCH)
    rows = []
    for name in names:
        if name in record["from_texts"]:
            size = next(one["bytes"][INT8] for one in record["results"] if one["arm"] == name)
            seconds = next(one.get("processor_seconds") for one in record["results"] if one["arm"] == name)
            rows.append([f"{name}, int8", correct(name, INT8), size, record["from_texts"][name], seconds])
    for one in record["rivals"]:
        right = np.array([letter == "1" for letter in one["correct"]], dtype=float)
        rows.append([one["name"], right, one["bytes"], one["ms"], one["processor_seconds"]])
    shown = []
    for name, right, size, times, seconds in rows:
        low, high = bootstrap_interval(np.mean, np.append(right - dense, [1.0, -1.0]))
        lost = f"{100 * (right - dense).mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        made = "–" if seconds is None else f"{seconds:.0f}"
        cells = [name, f"{100 * right.mean():.1f}", lost, f"{size / 2**20:.1f}"]
        shown.append([*cells, *(f"{times[str(count)]:.2f}" for count in CALLS), made])
    head = ["model", "accuracy", "minus the baseline", "MiB", *(f"ms, {count} texts" for count in CALLS)]
    return table([*head, "processor s to make"], shown)
