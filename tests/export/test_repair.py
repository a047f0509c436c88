"""Repair of int8: the matrices that lose the answers stay in fp32, and no others; what cannot be mended is refused."""

import io
import json
from dataclasses import asdict, replace

import pytest
import torch
from rich.console import Console

from tests.helpers.outliers import (
    ATTENTION,
    PRODUCTS,
    outlier_in_attention,
    outlier_in_product,
    outliers_everywhere,
    texts,
)
from tests.helpers.tiny_models import build
from trainer_ext import report
from trainer_ext.errors import ExportRefused
from trainer_ext.export import repair
from trainer_ext.export.formats import FORMATS, export, export_table
from trainer_ext.export.onnx import int8_nodes
from trainer_ext.export.openvino import roundings_of
from trainer_ext.export.source import open_source
from trainer_ext.export.traceable import belongs
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.report.tables import BUSY_NOTE, findings
from trainer_ext.utils.imports import require


@pytest.fixture
def folder(tmp_path):
    """`folder(model_type, change, **sizes)`: a saved model that was changed, with its tokenizer and a file of texts."""

    def make(model_type, change, **sizes):
        tokenizer = train_tokenizer(texts(), vocab_size=128, max_length=24)
        model = build(model_type, pad_token_id=tokenizer.pad_token_id, num_labels=2, **sizes)
        batch = tokenizer(texts(), padding=True, return_tensors="pt")
        batch = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            model.classifier.bias -= model(**batch).logits.mean(0)  # else most texts are of one class
            before = model(**batch).logits
            changed = change(model)
            torch.testing.assert_close(model(**batch).logits, before, rtol=0, atol=1e-4)
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        (tmp_path / "texts.txt").write_text("\n".join(texts()), encoding="utf-8")
        return tmp_path / "model", changed

    return make


def run(folder, name, **options):
    """Export a model and return the row of the report with what was printed."""
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    (row,) = export(folder, [name], calibration=folder.parent / "texts.txt", console=console, **options)
    return row, screen.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["bert", "deberta-v2", "modernbert"])
@pytest.mark.parametrize("layers", [(), (0, 1)], ids=["sound", "outliers"])
def test_only_the_matrices_with_outliers_stay_in_fp32(folder, model_type, layers):
    model, expected = folder(model_type, lambda model: [outlier_in_attention(model, layer) for layer in layers])
    row, printed = run(model, "onnx-int8")
    assert row.agreement >= 0.9
    if not layers:
        assert row.repair is None
        assert "ranked" not in printed
        return
    assert row.repair.plain_loss > 0.1
    assert set(row.repair.kept_fp32) <= set(expected)
    assert "matrices ranked" in printed
    nodes = int8_nodes(model / row.path)
    assert not any(belongs(node, row.repair.kept_fp32) for node in nodes)
    assert len(repair.matrices(open_source(model).model, nodes)) == row.repair.matrices - len(row.repair.kept_fp32)
    assert row.bytes > row.repair.plain_bytes
    assert row.repair.speed > 0
    assert {entry.name for entry in model.iterdir() if entry.is_dir()} == {"onnx"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_type", "change"),
    [
        ("bert", outlier_in_product),
        ("deberta-v2", outlier_in_product),
        ("modernbert", outlier_in_product),
        ("bert", outlier_in_attention),
    ],
)
def test_in_openvino_products_of_activations_may_stay_in_fp32_too(folder, model_type, change):
    model, changed = folder(model_type, lambda model: [change(model, layer) for layer in (0, 1)])
    if change is outlier_in_attention:  # nncf limits the ranges of rows, so those beside a large one suffer
        changed = [{name.format(layer) for name in ATTENTION[model_type]} for layer in (0, 1)]
    row, _ = run(model, "openvino-int8")
    assert row.agreement >= 0.9
    assert row.repair.plain_loss > 0.1
    assert set(row.repair.kept_fp32) <= set.union(*changed)
    if change is outlier_in_product:
        assert set(row.repair.kept_fp32) & {PRODUCTS[model_type][0].format(layer) for layer in (0, 1)}
    assert (row.repair.busy, row.repair.cpu_speed is None) in ((True, False), (False, True))
    assert {entry.name for entry in model.iterdir() if entry.is_dir()} == {"openvino"}
    rounded = roundings_of(require("openvino", extra="export").Core().read_model(model / row.path))
    assert rounded
    assert not set(row.repair.kept_fp32) & set(rounded)


@pytest.mark.slow
def test_one_matrix_fewer_is_not_enough(folder):
    """Negative control of the search: without the last of the matrices that stay in fp32, the file is refused."""
    model, _ = folder("bert", lambda model: [outlier_in_attention(model, layer) for layer in (0, 1)])
    row, _ = run(model, "onnx-int8")
    source = open_source(model, calibration=model.parent / "texts.txt")
    exact = source.folder / "exact.onnx"
    FORMATS["onnx"].write(source, exact, exact, ())
    kept = row.repair.kept_fp32
    agreements = []
    for names in (kept, kept[:-1]):
        file = source.folder / f"{len(names)}.onnx"
        FORMATS["onnx-int8"].write(source, file, exact, names)
        runtimes = [open_runtime(file) for file in (file, exact)]
        same = []
        for batch in repair.batches_of(source, source.calibration):
            found, wanted = (one.run({k: v.numpy() for k, v in batch.items()}).argmax(-1) for one in runtimes)
            same += list(found == wanted)
        agreements.append(sum(same) / len(same))
    assert agreements[0] >= 0.9 > agreements[1]


@pytest.mark.slow
def test_a_file_that_needs_most_matrices_in_fp32_is_refused_with_the_least_loss(folder):
    model, _ = folder("modernbert", outliers_everywhere, num_hidden_layers=4)
    before = {file.name for file in model.rglob("*")}
    with pytest.raises(ExportRefused, match=r"below 0.9; the least loss is 0\.\d+, with \d of 19 matrices in fp32"):
        run(model, "onnx-int8")
    assert {file.name for file in model.rglob("*")} == before
    row, _ = run(model, "onnx-int8", force=True)  # as it was: kept, without a repair
    assert row.repair is None
    assert row.agreement < 0.9


@pytest.mark.slow
def test_matrices_are_ranked_by_the_damage_of_their_rounding(folder):
    model, (damaged,) = folder("bert", lambda model: [outlier_in_attention(model, 1)])
    source = open_source(model, calibration=model.parent / "texts.txt")
    before = {name: value.clone() for name, value in source.model.state_dict().items()}
    layers = [name for name, part in source.model.named_modules() if hasattr(part, "weight") and part.weight.ndim == 2]
    ranked = repair.rank(repair.damages(source, layers), on_matrix=lambda: None)
    assert ranked[0] == damaged
    assert sorted(ranked) == sorted(layers)
    assert all(torch.equal(value, before[name]) for name, value in source.model.state_dict().items())


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 37])
def test_the_search_finds_the_smallest_number_in_few_steps(most):
    for needed in range(1, most + 3):
        tried = []
        found = repair.fewest(lambda count: tried.append(count) or count >= needed, most)  # noqa: B023
        assert found == (needed if needed <= most else None)
        assert len(tried) == len(set(tried)) <= 2 * max(most, 1).bit_length() + 1
        assert set(tried) <= set(range(1, most + 1))


@pytest.mark.parametrize(
    ("node", "name", "expected"),
    [
        ("/model/bert/encoder/layer.1/output/dense/MatMul_quant", "bert.encoder.layer.1.output.dense", True),
        ("/model/bert/encoder/layer.11/output/dense/MatMul", "bert.encoder.layer.1.output.dense", False),
        (
            "__module.model.bert.encoder.layer.1.output.dense/aten::linear/MatMul",
            "bert.encoder.layer.1.output.dense",
            True,
        ),
        ("model.bert.embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings", True),
        ("/model/bert/encoder/layer.1/attention/output/dense/MatMul", "bert.encoder.layer.1.output.dense", False),
        (
            "/model/albert/albert_layers.0/attention/dense_1/MatMul_quant",
            "albert.albert_layers.0.attention.dense",
            True,
        ),
        ("/model/albert/albert_layers.0/ffn_output_1/MatMul_quant", "albert.albert_layers.0.ffn", False),
    ],
)
def test_nodes_are_found_by_the_module_they_come_from(node, name, expected):
    assert belongs(node, ["other", name]) is expected


ROW = report.Export(
    "onnx-int8",
    "onnx/model_int8.onnx",
    bytes=110,
    agreement=0.95,
    rows=80,
    repair=report.Int8Repair(["a.b", "c"], 16, 100, plain_loss=0.25, speed=0.9),
)


def test_the_table_and_the_card_say_what_a_repair_cost(tmp_path):
    words = "2 of 16 matrices in fp32 (loss before: 25.0 points)\n+10.0 % bytes, 0.90x the speed of plain int8"
    assert findings(ROW).endswith(words)
    build("bert").save_pretrained(tmp_path)
    screen = Console(file=io.StringIO(), width=120)
    screen.print(export_table(tmp_path, [ROW]))
    assert "onnx-int8 in fp32: a.b, c" in screen.file.getvalue()
    assert BUSY_NOTE not in " ".join(screen.file.getvalue().split())
    disturbed = replace(ROW, repair=replace(ROW.repair, busy=True, cpu_speed=0.95))
    assert findings(disturbed).endswith("0.90x the speed of plain int8 (busy machine, CPU time 0.95x)")
    screen.print(export_table(tmp_path, [disturbed]))
    assert BUSY_NOTE in " ".join(screen.file.getvalue().split())


def test_reports_with_and_without_a_repair_open():
    numbers = report.CompressionReport(
        created=report.utc_now(), model=report.Model("a", "b", labels=["x"]), exports=[ROW]
    )
    values = json.loads(report.to_json(numbers))
    assert report.from_dict(values).exports == [ROW]
    assert values["exports"][0].pop("repair") == asdict(ROW.repair)
    assert report.from_dict(values).exports[0].repair is None  # as it was written before
