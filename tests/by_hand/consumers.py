"""Open the exports of finished runs with the tools of other makers, as they are, and compare the labels with ours.

    make consumers RUN=runs/quickstart [TEXTS=FILE]

The texts are those of the test set of the run, or of a file, and a long one. Transformers.js opens `onnx/`, and the folder
of the model with the configuration in `onnx/`; optimum-onnx opens `onnx/`, in an environment of its own, because it does
not know transformers 5; ONNX Runtime alone runs `onnx/classify.py`. Exit status 1 where a label differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from trainer_ext.export.source import model_folder, open_source
from trainer_ext.models.runtimes import open_runtime

HERE = Path(__file__).parent
DTYPES = {"fp32": "model.onnx", "int8": "model_int8.onnx"}
TRANSFORMERS_JS = "node_modules/@huggingface/transformers/dist/transformers.node.mjs"
LONG = 2000  # words


def texts_of(run: Path, file: Path | None, count: int) -> list[str]:
    """Return so many texts, one of them far too long for the model."""
    if file is not None:
        found = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        data = open_source(run).data
        if data is None:
            raise SystemExit(f"{run} does not name its test set; give a file with one text per line: --texts FILE")
        first = next(iter(data.tests.values()))
        found = [row["text"] for row in first.select(range(min(len(first), 10 * count)))]
    words = [word for text in found for word in text.split()]
    long = (words * (LONG // len(words) + 1))[:LONG]
    return [*found[: count - 1], " ".join(long)]


def ours(folder: Path, file: str, texts: list[str]) -> list[dict]:
    """Label texts as `classify.py` does, one at a time."""
    run, tokenizer = open_runtime(folder / file).run, Tokenizer.from_file(str(folder / "tokenizer.json"))
    names, found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"], []
    for text in texts:
        encoded = tokenizer.encode(text)
        columns = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        logits = run({name: np.array([column], dtype=np.int64) for name, column in columns.items()})[0]
        odds = np.exp(logits - logits.max())
        found.append({"label": names[str(logits.argmax())], "score": float(odds.max() / odds.sum())})
    return found


def printed(command: list, jobs: list[dict]) -> dict[str, list[dict]]:
    """Run a command on a file of jobs; return what it prints."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "jobs.json"
        file.write_text(json.dumps(jobs), encoding="utf-8")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run([*map(str, command), file], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Compare, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="exported before, as onnx and onnx-int8")
    parser.add_argument("--texts", type=Path, help="one text per line; the test set of the run by default")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--node", type=Path, required=True, help="folder with node_modules of Transformers.js")
    parser.add_argument("--optimum", type=Path, required=True, help="Python of an environment with optimum-onnx")
    options = parser.parse_args()
    table = Table("run", "tool", "file", "same labels", "largest difference of a score")
    differ = 0
    for run in options.runs:
        model = model_folder(run).resolve()
        folder, texts = model / "onnx", texts_of(run, options.texts, options.count)
        expected = {dtype: ours(folder, file, texts) for dtype, file in DTYPES.items()}
        own_config = {"config": str(folder / "config.json")}  # that of a compact model names no stock architecture
        javascript = [
            {"name": f"Transformers.js, {where}/{dtype}", "folder": str(opened), "options": {"dtype": dtype, **more}}
            for dtype in DTYPES
            for where, opened, more in (("onnx", folder, {"subfolder": ""}), ("model", model, own_config))
        ]
        python = [
            {"name": f"optimum-onnx, onnx/{dtype}", "folder": str(folder), "file": file}
            for dtype, file in DTYPES.items()
        ]
        for command, jobs in (
            (["node", HERE / "consumers_node.mjs", (options.node / TRANSFORMERS_JS).resolve()], javascript),
            ([options.optimum, HERE / "consumers_optimum.py"], python),
        ):
            for name, rows in printed(command, [{**job, "texts": texts} for job in jobs]).items():
                tool, _, file = name.partition(", ")
                pairs = list(zip(expected[file.rpartition("/")[2]], rows, strict=True))
                same = sum(one["label"] == other["label"] for one, other in pairs)
                apart = max(abs(one["score"] - other["score"]) for one, other in pairs)
                table.add_row(str(run), tool, file, f"{same} of {len(pairs)}", f"{apart:.1e}")
                differ += same < len(pairs)
    Console(width=120).print(table)
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
