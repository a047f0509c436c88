"""Fresh memory: the most that a process holds while it loads a model and answers one batch, and does nothing else."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..utils.imports import require
from .targets import TORCH, Entry, open_entry


@dataclass(frozen=True)
class Memory:
    """Peaks of one process in bytes: after importing the runtime alone, at the end, and on the accelerator."""

    runtime: int
    peak: int
    accelerator: int | None = None


def fresh_memory(
    entry: Entry, *, shape: tuple[int, int], vocabulary: int, threads: int, device: str = "cpu"
) -> Memory:
    """Load a model in a new process, let it answer one batch of random tokens, and ask that process for its peaks.

    Args:
        entry: the model.
        shape: texts in the batch, and tokens per text.
        vocabulary: token ids are drawn below it.
        threads: processor threads of the runtime.
        device: `cpu` or `cuda`.

    Raises:
        InputError: the process failed.
    """
    order = {"entry": asdict(entry), "shape": shape, "vocabulary": vocabulary}
    command = [sys.executable, "-m", __name__, json.dumps({**order, "threads": threads, "device": device})]
    places = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise InputError(f"{entry.path} does not run in a fresh process: {reason}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def high_water() -> int:
    """The most bytes of memory that this process has held so far.

    On Linux it is not `ru_maxrss`: a new process inherits that from the one that started it.
    """
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return 1024 * int(fields["VmHWM"].split()[0])
    except (OSError, KeyError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _measure(order: dict) -> Memory:
    entry, device = Entry(**order["entry"]), order["device"]
    ids = np.random.default_rng(0).integers(order["vocabulary"], size=order["shape"], dtype=np.int64)
    batch = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    runtime = require(entry.runtime, extra="export")
    if entry.runtime == TORCH:
        importlib.import_module("transformers.modeling_utils")
    before = high_water()
    open_entry(entry, threads=order["threads"], device=device).run(batch)
    return Memory(before, high_water(), runtime.cuda.max_memory_allocated() if device == "cuda" else None)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_measure(json.loads(sys.argv[1])))) + "\n")
