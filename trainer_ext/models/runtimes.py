"""Runtimes: an exported model file as a function from a batch to logits, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..utils.imports import require

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Runtime:
    """A model ready to answer.

    Attributes:
        name: of what runs it, as reports call it.
        inputs: names of its inputs; a batch may hold more.
        run: logits of a batch of int64 arrays `[rows, length]`.
    """

    name: str
    inputs: tuple[str, ...]
    run: Callable[[Batch], np.ndarray]


def open_onnx(file: Path, *, threads: int | None = None) -> Runtime:
    """Open an ONNX file with ONNX Runtime on the CPU.

    Args:
        file: the file.
        threads: processor threads; None leaves the choice to the runtime.
    """
    ort = require("onnxruntime", extra="export")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = tuple(part.name for part in session.get_inputs())
    return Runtime("onnxruntime", names, lambda batch: session.run(["logits"], {n: batch[n] for n in names})[0])


def open_openvino(file: Path, *, threads: int | None = None) -> Runtime:
    """Open an OpenVINO model on the CPU.

    A model of floating-point numbers is computed in fp32. What an int8 model does not quantise is computed in what the
    processor does best, bf16 where it has the units: its answers are approximate in any case, and judged as such.

    Args:
        file: the `.xml` file; its weights lie in the `.bin` beside it.
        threads: processor threads; None leaves the choice to the runtime.
    """
    ov = require("openvino", extra="export")
    core, options = ov.Core(), {"PERFORMANCE_HINT": "LATENCY"}
    model = core.read_model(file)
    if not any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops()):
        # Without the hint, processors with bf16 units compute in bf16, and no equality holds.
        options["INFERENCE_PRECISION_HINT"] = "f32"
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = core.compile_model(model, "CPU", options)
    names = tuple(part.get_any_name() for part in compiled.inputs)
    return Runtime("openvino", names, lambda batch: compiled({n: batch[n] for n in names})[0])


RUNTIMES = {".onnx": open_onnx, ".xml": open_openvino}


def open_runtime(file: str | Path, *, threads: int | None = None) -> Runtime:
    """Open an exported model by the ending of its file.

    Raises:
        InputError: an ending that no runtime here reads, or its runtime is not installed.
    """
    file = Path(file)
    if file.suffix not in RUNTIMES:
        raise InputError(f"{file} is no exported model; its name must end in one of {', '.join(RUNTIMES)}.")
    return RUNTIMES[file.suffix](file, threads=threads)
