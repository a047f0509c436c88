"""List the models and exported files to benchmark, and load each as a function of a batch.

Nothing here imports torch before a PyTorch model is loaded, so that the memory of the other runtimes can be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..models.runtimes import RUNTIMES, Batch, open_runtime
from ..report.run_directory import RunDirectory
from ..utils.imports import require

if TYPE_CHECKING:
    from torch import nn

TORCH = "torch"
# Precisions of PyTorch models by device. On a CPU, fp16 is slower than fp32.
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "fp16", "bf16")}
MODULES = {".onnx": "onnxruntime", ".xml": "openvino"}  # by suffix of the file
HINT = "give a finished run, the folder of a classifier, a Hub id, or an .onnx or OpenVINO .xml file"


@dataclass(frozen=True)
class BenchmarkEntry:
    """A model in one runtime and precision, not loaded yet.

    Attributes:
        name: name in the tables.
        path: folder or Hub id of a PyTorch model, or an exported file.
        runtime: module that runs it: `torch`, `onnxruntime` or `openvino`.
        precision: of its weights: `fp32`, `bf16`, `fp16` or `int8`.
        source: the PyTorch model that an exported file was made from, if known; otherwise `path`.
    """

    name: str
    path: str
    runtime: str
    precision: str
    source: str

    @property
    def runtime_title(self) -> str:
        """Runtime and precision."""
        return f"{self.runtime} {self.precision}"


@dataclass(frozen=True)
class BenchmarkTarget:
    """A loaded entry.

    Attributes:
        entry: what was loaded.
        run: function from a batch of int64 arrays to the output of the model.
        model: the PyTorch model; None for an exported file.
    """

    entry: BenchmarkEntry
    run: Callable[[Batch], Any]
    model: nn.Module | None = None


def list_entries(
    paths: Sequence[str], *, precisions: Sequence[str] = ("fp32",), device: str = "cpu"
) -> list[BenchmarkEntry]:
    """Return what is benchmarked; the first entry is in fp32, and the others are compared with it.

    Args:
        paths: runs (their baseline, compressed model and its exports), models by folder (with their exports) or Hub id,
            and exported files.
        precisions: of PyTorch models; the first model is always run in fp32 as well.
        device: `cpu` or `cuda`. Exported files run on the CPU only; on CUDA those of a folder are left out.

    Raises:
        InputError: A path is not a model, or the device does not support a precision.
    """
    for precision in precisions:
        if precision not in PRECISIONS[device]:
            raise InputError(f"--precision {precision}: on {device} there is {', '.join(PRECISIONS[device])}.")
    labels = [Path(path).expanduser().resolve().name for path in paths]
    if len({*labels}) < len({*paths}):
        labels = list(paths)
    found = []
    for path, label in zip(paths, labels, strict=True):
        if Path(path).suffix in RUNTIMES:
            if device != "cpu":
                raise InputError(f"{path}: exported files run on the CPU only; leave out --device {device}.")
            found.append(_exported_entry(path, Path(path).expanduser()))
            continue
        run = RunDirectory(Path(path).expanduser())
        if run.holds_run and not (run.baseline.is_dir() and run.compressed.is_dir()):
            raise InputError(f"{path} holds an unfinished run; finish it with trainer-ext compress ... --resume.")
        models = {label: str(run.root)} if run.root.is_dir() else {path: path}
        if run.holds_run:
            prefix = f"{label}/" if len(paths) > 1 else ""
            models = {f"{prefix}baseline": str(run.baseline), f"{prefix}compressed": str(run.compressed)}
        for name, folder in models.items():
            found += [BenchmarkEntry(name, folder, TORCH, precision, folder) for precision in precisions]
            if device == "cpu":
                files = [*sorted(Path(folder).glob("onnx/*.onnx")), *sorted(Path(folder).glob("openvino/*.xml"))]
                found += [_exported_entry(name, file) for file in files]
    if found[0].runtime == TORCH and found[0].precision != "fp32":
        found.insert(0, BenchmarkEntry(found[0].name, found[0].path, TORCH, "fp32", found[0].source))
    return list(dict.fromkeys(found))


def _exported_entry(name: str, file: Path) -> BenchmarkEntry:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; {HINT}.")
    inside = file.parent.resolve()
    folder = file.parent.parent if file.parent.name == inside.name else inside.parent  # as it is named, if it is
    source = folder if inside.name in ("onnx", "openvino") and (folder / "config.json").is_file() else file
    return BenchmarkEntry(name, str(file), MODULES[file.suffix], _precision_of(file), str(source))


def _precision_of(file: Path) -> str:
    """Return int8 if any matrix is stored in eight bits, else fp32."""
    if file.suffix == ".xml":
        text = file.read_text(encoding="utf-8", errors="replace")
        return "int8" if 'element_type="i8"' in text or 'element_type="u8"' in text else "fp32"
    onnx = require("onnx", extra="export")
    try:
        tensors = onnx.load(file, load_external_data=False).graph.initializer
    except Exception as error:  # protobuf's error class is not public
        raise InputError(f"{file} is not an ONNX model ({error}); {HINT}.") from error
    small = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return "int8" if any(tensor.data_type in small and len(tensor.dims) > 1 for tensor in tensors) else "fp32"


def weight_files(entry: BenchmarkEntry) -> list[Path]:
    """Return the files of an exported model: the file itself and its separate weights."""
    file = Path(entry.path).expanduser()
    weights = f"{file.stem}.bin" if entry.runtime == "openvino" else f"{file.name}?*"  # ONNX external data
    return [file, *sorted(file.parent.glob(weights))]


def open_entry(entry: BenchmarkEntry, *, threads: int, device: str = "cpu") -> BenchmarkTarget:
    """Load a model.

    Args:
        entry: from `list_entries`.
        threads: CPU threads of an exported file; PyTorch has one setting for the whole process.
        device: device of a PyTorch model; moving a batch there is part of the time of a call.

    Raises:
        InputError: The model cannot be loaded.
    """
    if entry.runtime != TORCH:
        try:
            return BenchmarkTarget(entry, open_runtime(Path(entry.path).expanduser(), threads=threads).run)
        except InputError:
            raise
        except Exception as error:  # the runtimes have no common error class
            raise InputError(f"{entry.path} cannot be opened by {entry.runtime}: {error}; {HINT}.") from error
    import torch

    from ..models.loading import load_model

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[entry.precision]
    model = load_model(entry.path, option="The model", way_out=HINT).eval().to(device=device, dtype=dtype)

    def run(batch: Batch) -> Any:
        names = ("input_ids", "attention_mask")
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(batch[name]).to(device) for name in names})

    return BenchmarkTarget(entry, run, model)


def random_batch(vocabulary: int, batch_size: int, sequence_length: int) -> Batch:
    """Return random token ids below `vocabulary`, all attended to, int64 `[batch, length]`."""
    ids = np.random.default_rng(0).integers(vocabulary, size=(batch_size, sequence_length), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
