"""Write OpenVINO files: a model in fp32, and one quantized to int8 with calibration texts."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..utils.imports import no_calls_home, require
from .traceable import Traceable

PRODUCTS = ("MatMul", "ScaledDotProductAttention", "Gather")  # what nncf makes int8: products and lookups
# Operations that only move numbers: nncf puts the rounding of a product before them.
MOVES = frozenset(
    {
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Tile", "Broadcast", "Concat"),
        *("Split", "VariadicSplit", "Slice", "StridedSlice", "Gather"),
    }
)


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
    source: Path, target: Path, texts: Sequence[dict[str, np.ndarray]], keep: Collection[str] = ()
) -> None:
    """Quantize a file: weights, activations and embeddings to int8 with fixed scales.

    Args:
        source: a file from `write_openvino`.
        target: the file to write.
        texts: typical batches, `[rows, length]` per input, to find the range of activations. Some must have padding,
            otherwise the int8 model attends to padding.
        keep: names of modules of the model whose matrices, tables and products of activations stay in fp32.

    Raises:
        InputError: `openvino` or `nncf` is not installed.
    """
    with quietly():
        ov = require("openvino", extra="export")
        ov.save_model(_quantised(ov, source, texts, keep, compress=True), target, compress_to_fp16=False)


def _quantised(ov, source: Path, texts: Sequence[dict[str, np.ndarray]], keep: Collection[str], *, compress: bool):
    """Return the quantized model; its weights are int8 only if `compress`, else they are rounded when it runs."""
    nncf = require("nncf", extra="export")
    # nncf.set_log_level would also change the levels of handlers, which may belong to the caller.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = ov.Core().read_model(source)
    names = [port.get_any_name() for port in model.inputs]
    kept = [op.get_friendly_name() for op in _products(model) if _module_of(op) in keep]
    return nncf.quantize(
        model,
        nncf.Dataset([{name: text[name] for name in names} for text in texts]),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(texts),
        ignored_scope=nncf.IgnoredScope(names=kept),
        advanced_parameters=nncf.AdvancedQuantizationParameters(backend_params={"compress_weights": compress}),
    )


def damages(
    source: Path, texts: Sequence[dict[str, np.ndarray]], batches: Sequence[dict[str, np.ndarray]]
) -> dict[str, Callable[[], float]]:
    """Return, for each module with an int8 product, a function: how far the logits move when it alone is rounded.

    The roundings are those of the quantizer itself, with its scales. Among the modules are those of the attention, for the
    products of two activations. nncf.quantize_with_accuracy_control does not serve: it ranks by what one product less in
    int8 mends, which is nothing while a second does the same damage, and it loses the answers of a smoothed model.

    Args:
        source: a file from `write_openvino`.
        texts: typical batches, as for `quantise_openvino`.
        batches: batches to compare the logits on.

    Raises:
        InputError: `openvino` or `nncf` is not installed.
    """
    with quietly():
        ov = require("openvino", extra="export")
        model = _quantised(ov, source, texts, (), compress=False)
    names = [port.get_any_name() for port in model.inputs]

    def logits(roundings: Collection[str]) -> np.ndarray:
        with quietly():
            compiled = ov.compile_model(_only(model, roundings), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            return np.concatenate([compiled({name: batch[name] for name in names})[0].ravel() for batch in batches])

    exact = logits(())

    def damage(roundings: Collection[str]) -> float:
        return float(np.square(logits(roundings) - exact).mean())

    return {name: partial(damage, roundings) for name, roundings in roundings_of(model).items()}


def roundings_of(model) -> dict[str, set[str]]:
    """Return the names of the roundings (`FakeQuantize`) that the products of each module of a quantized model read."""
    found: dict[str, set[str]] = {}
    for product in _products(model):
        roundings = set(_roundings_before(product))
        if roundings:
            found.setdefault(_module_of(product), set()).update(roundings)
    return found


def _roundings_before(node) -> Iterator[str]:
    for index in range(node.get_input_size()):
        before = node.input_value(index).get_node()
        if before.get_type_name() == "FakeQuantize":
            yield before.get_friendly_name()
        elif before.get_type_name() in MOVES:
            yield from _roundings_before(before)


def _only(model, roundings: Collection[str]):
    """Return a copy of a quantized model with these roundings alone."""
    copy = model.clone()
    for node in copy.get_ops():
        if node.get_type_name() == "FakeQuantize" and node.get_friendly_name() not in roundings:
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(node.input_value(0))
    return copy


def _products(model) -> list:
    return [op for op in model.get_ops() if op.get_type_name() in PRODUCTS]


def _module_of(node) -> str:
    """Return the module that an operation is part of: `bert.pooler.dense` for `__module.model.bert.pooler.dense/aten::linear/MatMul`."""
    module, _, _ = node.get_friendly_name().partition("/")
    return module.removeprefix("__module.").removeprefix("model.")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Suppress the output, warnings and telemetry of the two libraries."""
    with no_calls_home(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
