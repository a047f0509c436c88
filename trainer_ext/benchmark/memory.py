"""Measure the peak memory of a new process that loads one model and runs it on one batch."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..utils.imports import require
from .targets import TORCH, BenchmarkEntry, open_entry, random_batch


@dataclass(frozen=True)
class Memory:
    """Peak memory of one process in bytes.

    Attributes:
        runtime: after importing the runtime, without a model.
        peak: after one batch.
        accelerator: peak on the accelerator; None on the CPU.
    """

    runtime: int
    peak: int
    accelerator: int | None = None


def fresh_memory(
    entry: BenchmarkEntry, *, shape: tuple[int, int], vocabulary: int, threads: int, device: str = "cpu"
) -> Memory:
    """Return the peak memory of a new process that loads a model and runs it on one batch of random tokens.

    Args:
        entry: the model.
        shape: texts in the batch, and tokens per text.
        vocabulary: token ids are drawn below it.
        threads: CPU threads of the runtime.
        device: `cpu` or `cuda`.

    Raises:
        InputError: The process failed.
    """
    arguments = {"shape": shape, "vocabulary": vocabulary, "threads": threads, "device": device}
    command = [sys.executable, "-m", __name__, json.dumps({"entry": asdict(entry), **arguments})]
    python_path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": python_path, "OMP_NUM_THREADS": str(threads)}
    decoded: dict[str, Any] = {"encoding": "utf-8", "errors": "replace"}  # whatever the locale is
    done = subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, **decoded)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise InputError(f"{entry.path} does not run in a new process: {reason}")
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def peak_memory() -> int:
    """Return the peak memory of this process so far, in bytes.

    On Linux this is not `ru_maxrss`, which a new process inherits from the one that started it.
    """
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return 1024 * int(fields["VmHWM"].split()[0])
    except (OSError, KeyError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _measure(entry: dict[str, str], shape: tuple[int, int], vocabulary: int, threads: int, device: str) -> Memory:
    target = BenchmarkEntry(**entry)
    batch = random_batch(vocabulary, *shape)
    runtime: Any = require(target.runtime, extra="export")
    if target.runtime == TORCH:
        importlib.import_module("transformers.modeling_utils")
    before = peak_memory()
    open_entry(target, threads=threads, device=device).run(batch)
    return Memory(before, peak_memory(), runtime.cuda.max_memory_allocated() if device == "cuda" else None)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_measure(**json.loads(sys.argv[1])))) + "\n")
