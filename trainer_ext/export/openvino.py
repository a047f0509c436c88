"""Write OpenVINO files: a model in fp32, and one quantized to int8 with calibration texts."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..utils.imports import no_calls_home, require
from .traceable import Traceable, belongs


def write_openvino(model: Traceable, file: Path) -> None:
    """Write a model for any number of rows and any length, as an `.xml` and a `.bin` file.

    Weights stay in fp32; OpenVINO would round them to fp16 by default.

    Args:
        model: the model.
        file: the `.xml` file to write.

    Raises:
        InputError: `openvino` is not installed.
    """
    with quietly():
        ov = require("openvino", extra="export")
        converted = ov.convert_model(model, example_input=model.example)
        for port, name in zip(converted.inputs, model.names, strict=True):
            port.get_tensor().set_names({name})
        converted.outputs[0].get_tensor().set_names({"logits"})
        ov.save_model(converted, file, compress_to_fp16=False)


def quantise_openvino(
    source: Path, target: Path, texts: Sequence[dict[str, np.ndarray]], keep: Sequence[str] = ()
) -> None:
    """Quantize a file: weights, activations and embeddings to int8 with fixed scales.

    Args:
        source: a file from `write_openvino`.
        target: the file to write.
        texts: typical batches, `[rows, length]` per input, to find the range of activations. Some must have padding,
            otherwise the int8 model attends to padding.
        keep: names of modules of the model whose matrices and tables stay in fp32.

    Raises:
        InputError: `openvino` or `nncf` is not installed.
    """
    with quietly():
        ov, nncf = require("openvino", extra="export"), require("nncf", extra="export")
        # nncf.set_log_level would also change the levels of handlers, which may belong to the caller.
        logging.getLogger("nncf").setLevel(logging.ERROR)
        model = ov.Core().read_model(source)
        names = [port.get_any_name() for port in model.inputs]
        quantised = nncf.quantize(
            model,
            nncf.Dataset([{name: text[name] for name in names} for text in texts]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(texts),
            ignored_scope=nncf.IgnoredScope(names=[name for name in _products(model) if belongs(name, keep)]),
        )
        ov.save_model(quantised, target, compress_to_fp16=False)


def int8_nodes(file: Path) -> list[str]:
    """Return the names of the products and lookups of a file from `quantise_openvino`."""
    with quietly():
        return _products(require("openvino", extra="export").Core().read_model(file))


def _products(model) -> list[str]:
    return [op.get_friendly_name() for op in model.get_ops() if op.get_type_name() in ("MatMul", "Gather")]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress the output, warnings and telemetry of the two libraries."""
    with no_calls_home(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
