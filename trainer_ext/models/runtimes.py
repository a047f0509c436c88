"""Runtimes: load an exported model file as a function from a batch to logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..utils.imports import require

Batch = dict[str, np.ndarray]
# The files beside an exported one by which other tools open it, as in the folder of a stock model.
STOCK_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Runtime:
    """An exported model that is ready to run.

    Attributes:
        name: name of the runtime, for reports.
        inputs: names of the inputs; a batch may have more.
        run: function from a batch of int64 arrays `[rows, length]` to the logits.
    """

    name: str
    inputs: tuple[str, ...]
    run: Callable[[Batch], np.ndarray]


def open_onnx(file: Path, *, threads: int | None = None) -> Runtime:
    """Load an ONNX file with ONNX Runtime on the CPU.

    Args:
        file: the `.onnx` file.
        threads: CPU threads; None for the default of the runtime.

    Raises:
        InputError: If ONNX Runtime is not installed.
    """
    ort = require("onnxruntime", extra="export")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = tuple(part.name for part in session.get_inputs())
    return Runtime("onnxruntime", names, lambda batch: session.run(["logits"], {n: batch[n] for n in names})[0])


def open_openvino(file: Path, *, threads: int | None = None) -> Runtime:
    """Load an OpenVINO model on the CPU.

    A floating-point model runs in fp32. The parts of an int8 model that are not quantised run in the fastest precision of
    the CPU, such as bf16: its logits are approximate in any case, and checked as such.

    Args:
        file: the `.xml` file, with its weights in the `.bin` file of the same name.
        threads: CPU threads; None for the default of the runtime.

    Raises:
        InputError: If OpenVINO is not installed.
    """
    ov = require("openvino", extra="export")
    core, options = ov.Core(), {"PERFORMANCE_HINT": "LATENCY"}
    model = core.read_model(file)
    if not any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops()):
        # Without the hint, CPUs with bf16 units compute in bf16, which is not exact enough.
        options["INFERENCE_PRECISION_HINT"] = "f32"
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    compiled = core.compile_model(model, "CPU", options)
    names = tuple(part.get_any_name() for part in compiled.inputs)
    return Runtime("openvino", names, lambda batch: compiled({n: batch[n] for n in names})[0])


RUNTIMES = {".onnx": open_onnx, ".xml": open_openvino}


def open_runtime(file: str | Path, *, threads: int | None = None) -> Runtime:
    """Load an exported model with the runtime for the suffix of its file name.

    Args:
        file: an `.onnx` or `.xml` file.
        threads: CPU threads; None for the default of the runtime.

    Raises:
        InputError: If no runtime reads such a file, or the runtime is not installed.
    """
    file = Path(file)
    if file.suffix not in RUNTIMES:
        raise InputError(f"{file} is not an exported model; its name must end in one of {', '.join(RUNTIMES)}.")
    return RUNTIMES[file.suffix](file, threads=threads)
