"""Write ONNX files: a model in fp32, and an fp32 file quantized to int8 with its embedding tables."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..utils.imports import require
from .traceable import Traceable, belongs

OPSET = 17  # the first with LayerNormalization as one operator
LARGEST = 2**31  # bytes of one ONNX file
SMALLEST_TABLE = 1024  # numbers; quantizing smaller tables, such as a bias per head, saves nothing
_INT8 = "_int8"  # end of the name of an int8 table


def write_onnx(model: Traceable, file: Path) -> None:
    """Write a model for any number of rows and any length; the output is called `logits`.

    This uses the older exporter of torch, which traces. The newer one (`dynamo=True`) gives the same logits but takes a
    hundred times as long, and the quantizer of ONNX Runtime fails on its graph until the recorded shapes are removed.

    Args:
        model: the model.
        file: the `.onnx` file to write.

    Raises:
        InputError: `onnx` is not installed, or the model is too large for one ONNX file.
    """
    require("onnx", extra="export")
    size = sum(weight.numel() * weight.element_size() for weight in model.state_dict().values())
    if size >= LARGEST:
        raise InputError(f"The weights take {size / 2**30:.1f} GiB, an ONNX file holds 2 GiB; export to OpenVINO.")
    with warnings.catch_warnings():
        # Warnings about the deprecated exporter and constants in the trace; the result is checked at other shapes.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            model.example,
            file,
            input_names=list(model.names),
            output_names=["logits"],
            dynamic_axes={name: {0: "rows", 1: "length"} for name in model.names},
            opset_version=OPSET,
            dynamo=False,
        )


def quantise_onnx(source: Path, target: Path, keep: Sequence[str] = ()) -> None:
    """Quantize a file: weights to int8 per output channel, activations to uint8 at run time, embedding tables per row.

    Weights use 7 bits: processors without VNNI add pairs of products in 16 bits, which would overflow with 8.

    Args:
        source: a file from `write_onnx`.
        target: the file to write.
        keep: names of modules of the model whose matrices and tables stay in fp32.

    Raises:
        InputError: `onnx` or `onnxruntime` is not installed.
    """
    onnx = require("onnx", extra="export")
    quantization = require("onnxruntime.quantization", extra="export")
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        simple, part = Path(scratch) / "simple.onnx", Path(scratch) / "part.onnx"
        # Simplify first: the quantizer does not see shared weights behind an Identity. Symbolic shapes are not needed, and
        # cannot be inferred if a table of positions is sliced by the length.
        quantization.quant_pre_process(source, simple, skip_symbolic_shape=True)
        quantization.quantize_dynamic(
            simple,
            part,
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=_kept_nodes(onnx, simple, keep),
            per_channel=True,
            reduce_range=True,
            weight_type=quantization.QuantType.QInt8,
        )
        model = onnx.load(part)
    _quantise_tables(onnx, model.graph, keep)
    onnx.save(model, target)


def int8_nodes(file: Path) -> list[str]:
    """Return the names of the int8 products and tables of a file from `quantise_onnx`."""
    graph = require("onnx", extra="export").load(file).graph
    products = [node.name for node in graph.node if node.op_type == "MatMulInteger"]
    return products + [tensor.name.removesuffix(_INT8) for tensor in graph.initializer if tensor.name.endswith(_INT8)]


def _kept_nodes(onnx, file: Path, keep: Sequence[str]) -> list[str]:
    nodes = onnx.load(file).graph.node if keep else ()
    return [node.name for node in nodes if node.op_type == "MatMul" and belongs(node.name, keep)]


def _quantise_tables(onnx, graph, keep: Sequence[str]) -> None:
    """Replace each lookup in an fp32 table by one in an int8 table, multiplied by the scale of the row."""
    tables = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2 and not belongs(tensor.name, keep)
    }
    readers = {name: [node for node in graph.node if name in node.input] for name in tables}
    quantised: set[str] = set()
    nodes = []
    for node in graph.node:
        name = node.input[0] if node.op_type == "Gather" else ""
        table = tables.get(name)
        if table is None or table.size < SMALLEST_TABLE or any(n.op_type != "Gather" for n in readers[name]):
            nodes.append(node)
            continue
        if name not in quantised:
            rows, scales = quantise_rows(table)
            graph.initializer.append(onnx.numpy_helper.from_array(rows, f"{name}{_INT8}"))
            graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{name}_scale"))
            quantised.add(name)
        ids, found = node.input[1], node.output[0]
        make = onnx.helper.make_node
        nodes += [
            make("Gather", [f"{name}{_INT8}", ids], [f"{found}{_INT8}"], axis=0),
            make("Cast", [f"{found}{_INT8}"], [f"{found}_float"], to=onnx.TensorProto.FLOAT),
            make("Gather", [f"{name}_scale", ids], [f"{found}_scale"], axis=0),
            make("Mul", [f"{found}_float", f"{found}_scale"], [found]),
        ]
    kept = [tensor for tensor in graph.initializer if tensor.name not in quantised]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def quantise_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest int8 numbers and their scales: `table ~ rows * scales`, with an error of at most half a scale.

    Args:
        table: fp32 `[rows, width]`.

    Returns:
        `(rows, scales)`: int8 `[rows, width]` in [-127, 127] and fp32 `[rows, 1]`; a row of zeros has scale 1.
    """
    largest = np.abs(table).max(1, keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(table / scales).astype(np.int8), scales
