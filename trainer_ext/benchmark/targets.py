"""Participants: what takes part in a benchmark, each a function of a batch of int64 arrays, whatever runs it.

Nothing here imports torch before a PyTorch model is opened, so that the memory of the other runtimes can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.loading import load_model
from ..models.runtimes import RUNTIMES, Batch, open_runtime
from ..report.run_directory import RunDirectory
from ..utils.imports import require

TORCH = "torch"
# What a PyTorch model may compute in, by the device: on a processor fp16 is slower than fp32.
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "fp16", "bf16")}
MODULES = {".onnx": "onnxruntime", ".xml": "openvino"}  # by the ending of a file
WAY_OUT = "name a finished run, the folder of a classifier, a Hub id, or an .onnx or OpenVINO .xml file"


@dataclass(frozen=True)
class Entry:
    """A model that is asked to take part.

    Attributes:
        name: how tables call it.
        path: the folder or Hub id of a PyTorch model, or an exported file.
        runtime: the module that runs it: `torch`, `onnxruntime` or `openvino`.
        precision: of its weights: `fp32`, `bf16`, `fp16` or `int8`.
        source: the PyTorch model that an exported file was made from, where it is known; else `path`.
    """

    name: str
    path: str
    runtime: str
    precision: str
    source: str


@dataclass(frozen=True)
class Participant:
    """An entry that is ready to answer; `model` is its PyTorch model, if that is what runs."""

    entry: Entry
    run: Callable[[Batch], Any]
    model: Any = None


def list_entries(paths: Sequence[str], *, precisions: Sequence[str] = ("fp32",), device: str = "cpu") -> list[Entry]:
    """Who takes part; the first in fp32 is the one that the others are compared with.

    Args:
        paths: runs (each stands for its baseline, its compressed model and the exports of that), models by folder
            (with their exports) or Hub id, and exported files.
        precisions: what PyTorch models compute in; the first of all models takes part in fp32 as well.
        device: `cpu` or `cuda`; exported files run on the CPU alone, so elsewhere a folder's are left out.

    Raises:
        InputError: no model there, or a precision that the device has not.
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
                raise InputError(f"{path}: exported files run on the processor alone; leave out --device {device}.")
            found.append(_exported(path, Path(path).expanduser()))
            continue
        run = RunDirectory(Path(path).expanduser())
        if run.holds_run and not (run.baseline.is_dir() and run.compressed.is_dir()):
            raise InputError(f"{path} holds an unfinished run; finish it with trainer-ext compress ... --resume.")
        models = {label: str(run.root)} if run.root.is_dir() else {path: path}
        if run.holds_run:
            prefix = f"{label}/" if len(paths) > 1 else ""
            models = {f"{prefix}baseline": str(run.baseline), f"{prefix}compressed": str(run.compressed)}
        for name, folder in models.items():
            found += [Entry(name, folder, TORCH, precision, folder) for precision in precisions]
            if device == "cpu":
                found += [_exported(name, file) for file in exports_of(Path(folder))]
    if found[0].runtime == TORCH and found[0].precision != "fp32":
        found.insert(0, Entry(found[0].name, found[0].path, TORCH, "fp32", found[0].source))
    return list(dict.fromkeys(found))


def exports_of(folder: Path) -> list[Path]:
    """The exported files that lie in the folder of a model."""
    return [*sorted(folder.glob("onnx/*.onnx")), *sorted(folder.glob("openvino/*.xml"))]


def open_entry(entry: Entry, *, threads: int, device: str = "cpu") -> Participant:
    """Load a model and make it ready.

    Args:
        entry: from `list_entries`.
        threads: processor threads of an exported file; those of PyTorch are of the whole process.
        device: where a PyTorch model runs; the time of a call includes moving the batch there.

    Raises:
        InputError: it cannot be opened.
    """
    if entry.runtime != TORCH:
        try:
            return Participant(entry, open_runtime(Path(entry.path).expanduser(), threads=threads).run)
        except InputError:
            raise
        except Exception as error:  # each runtime has its own, without a common base
            raise InputError(f"{entry.path} cannot be opened by {entry.runtime}: {error}; {WAY_OUT}.") from error
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[entry.precision]
    model = load_model(entry.path, option="The model", way_out=WAY_OUT).eval().to(device=device, dtype=dtype)

    def run(batch: Batch) -> torch.Tensor:
        names = ("input_ids", "attention_mask")
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(batch[name]).to(device) for name in names})

    return Participant(entry, run, model)


def weight_files(entry: Entry) -> list[Path]:
    """The files that hold the weights of an exported file, itself among them."""
    file = Path(entry.path).expanduser()
    weights = f"{file.stem}.bin" if entry.runtime == "openvino" else f"{file.name}?*"  # ONNX keeps what is large apart
    return [file, *sorted(file.parent.glob(weights))]


def _exported(name: str, file: Path) -> Entry:
    if not file.is_file():
        raise InputError(f"{file}: there is no such file; {WAY_OUT}.")
    folder = file.parent.parent
    source = folder if file.parent.name in ("onnx", "openvino") and (folder / "config.json").is_file() else file
    return Entry(name, str(file), MODULES[file.suffix], _precision(file), str(source))


def _precision(file: Path) -> str:
    """int8 where a matrix is stored in eight bits, whatever else is."""
    if file.suffix == ".xml":
        text = file.read_text(encoding="utf-8", errors="replace")
        return "int8" if 'element_type="i8"' in text or 'element_type="u8"' in text else "fp32"
    onnx = require("onnx", extra="export")
    try:
        tensors = onnx.load(file, load_external_data=False).graph.initializer
    except Exception as error:  # protobuf's own, which has no public name here
        raise InputError(f"{file} is no ONNX model ({error}); {WAY_OUT}.") from error
    small = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return "int8" if any(tensor.data_type in small and len(tensor.dims) > 1 for tensor in tensors) else "fp32"
