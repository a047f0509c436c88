"""OpenVINO files: a traceable model written in fp32, and one quantised to int8 by what real texts show."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..utils.imports import no_calls_home, require
from .traceable import Traceable


def write_openvino(model: Traceable, file: Path) -> None:
    """Write a model with any number of rows and any length as `.xml` and, beside it, `.bin`.

    Weights stay fp32: halved to fp16, as OpenVINO does by default, they are no longer those that were checked.

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


def quantise_openvino(source: Path, target: Path, texts: Sequence[dict[str, np.ndarray]]) -> None:
    """Weights and activations as int8 with fixed scales, embeddings included.

    Args:
        source: what `write_openvino` wrote.
        target: the file to write.
        texts: batches such as the model will read, `[rows, length]` per input: they show how large activations get.
            There must be padding among them, or the int8 model attends to padding.

    Raises:
        InputError: `openvino` or `nncf` is not installed.
    """
    with quietly():
        ov, nncf = require("openvino", extra="export"), require("nncf", extra="export")
        # Its own function would set the levels of handlers too, which may be the caller's.
        logging.getLogger("nncf").setLevel(logging.ERROR)
        model = ov.Core().read_model(source)
        names = [port.get_any_name() for port in model.inputs]
        quantised = nncf.quantize(
            model,
            nncf.Dataset([{name: text[name] for name in names} for text in texts]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(texts),
        )
        ov.save_model(quantised, target, compress_to_fp16=False)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the words and the bars of the two libraries, and without their calls home."""
    with no_calls_home(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
