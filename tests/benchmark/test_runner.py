"""Benchmark: what is timed, what it reads and what is written. No test asserts a speed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.commands import run_command
from trainer_ext import report
from trainer_ext.benchmark.memory import fresh_memory
from trainer_ext.benchmark.tables import merged
from trainer_ext.benchmark.targets import BenchmarkEntry, list_entries, open_entry
from trainer_ext.benchmark.workloads import InputLimits, padded_batches, read_texts, sample_texts, text_encoder
from trainer_ext.errors import InputError
from trainer_ext.export.onnx import quantise_onnx, write_onnx
from trainer_ext.export.traceable import Traceable
from trainer_ext.pipeline.scratch import small_bert, train_tokenizer

TEXTS = ["the mango of today", "iron", "what ganga can do for everyone in the town", "more guava"]
SHORT = ("--batch-size", 2, "--repeats", 3, "--threads", 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two small models, the compressed one with an ONNX file."""
    root = tmp_path_factory.mktemp("runs") / "small"
    tokenizer = train_tokenizer(TEXTS, vocab_size=200, max_length=20)
    for name, width in (("baseline", 64), ("compressed", 16)):
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": width}
        model = small_bert(tokenizer, ["a", "b"], **sizes)
        for saved in (model, tokenizer):
            saved.save_pretrained(root / name)
    (root / "compressed" / "onnx").mkdir()
    file = root / "compressed" / "onnx" / "model.onnx"
    write_onnx(Traceable(model, ("input_ids", "token_type_ids", "attention_mask")), file)
    quantise_onnx(file, file.with_name("model_int8.onnx"))
    report.save(report.CompressionReport(created=report.utc_now(), model=report.Model("baseline", "compressed")), root)
    return root


def test_a_run_means_its_models_and_their_exports(finished):
    found = list_entries([str(finished)], precisions=["bf16"])
    assert [(entry.name, entry.runtime, entry.precision) for entry in found] == [
        ("baseline", "torch", "fp32"),  # not asked for, but all others are compared with it
        ("baseline", "torch", "bf16"),
        ("compressed", "torch", "bf16"),
        ("compressed", "onnxruntime", "fp32"),
        ("compressed", "onnxruntime", "int8"),
    ]
    assert {entry.source for entry in found[2:]} == {str(finished / "compressed")}
    both = list_entries([str(finished), str(finished / "compressed")])
    assert both[0].name == "small/baseline"
    alone = list_entries([found[3].path, found[3].path])
    assert [(entry.runtime, entry.source) for entry in alone] == [("onnxruntime", found[3].source)]


@pytest.mark.parametrize(
    ("working", "path"), [("onnx", "model.onnx"), ("onnx", "../onnx/model.onnx"), (".", "onnx/model.onnx")]
)
def test_the_model_of_an_exported_file_is_found_from_any_folder(finished, monkeypatch, working, path):
    monkeypatch.chdir(finished / "compressed" / working)
    (entry,) = list_entries([path])
    assert Path(entry.source).resolve() == finished / "compressed", "its tokenizer is there"


def test_all_targets_run_the_same_batch(finished):
    entries = list_entries([str(finished / "compressed")])
    batch = padded_batches([[1, 9, 8, 2], [1, 7, 2]], batch_size=2, pad=0)[0]
    exact, onnx, int8 = (open_entry(entry, threads=1).run(batch) for entry in entries)
    expected = exact.logits.numpy()
    assert np.abs(onnx - expected).max() <= 1e-5
    assert 0 < np.abs(int8 - expected).max() < 0.1
    half = open_entry(replace(entries[0], precision="bf16"), threads=1)
    assert half.model.dtype == torch.bfloat16
    assert not half.model.training


def test_batches_are_padded_to_their_longest_text():
    rows = [[5, 6, 7], [5], [8, 9]]
    first, second = padded_batches(rows, batch_size=2, pad=3)
    assert first["input_ids"].tolist() == [[5, 6, 7], [5, 3, 3]]
    assert first["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert second["input_ids"].shape == (1, 2)
    assert {value.dtype for value in first.values()} == {np.dtype(np.int64)}


def test_texts_are_cut_to_what_the_model_reads_or_to_512_tokens(tmp_path):
    """A model and a tokenizer without a limit, as DeBERTa: transformers then says 10^30, which cannot be cut to."""
    tokenizer = train_tokenizer(TEXTS, vocab_size=200)
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(tmp_path)
    for longest, cut in ((None, 512), (30, 30)):
        (ids,) = text_encoder(InputLimits(tmp_path, longest=longest))([" ".join(TEXTS * 300)])
        assert len(ids) == cut


def test_sampled_texts_are_always_the_same():
    chosen = sample_texts(TEXTS, 6)
    assert chosen == sample_texts(TEXTS, 6)
    assert {*chosen} == {*TEXTS}


def test_texts_of_a_file(tmp_path):
    lines, table = tmp_path / "texts.txt", tmp_path / "texts.csv"
    lines.write_text("one\n\n two \n", encoding="utf-8")
    table.write_text('label,headline\na,"one, two"\nb,\nc,three\n', encoding="utf-8")
    assert read_texts(lines, column="text") == ["one", "two"]
    assert read_texts(table, column="headline") == ["one, two", "three"]
    with pytest.raises(InputError, match="no column 'text', only 'label', 'headline'"):
        read_texts(table, column="text")


def test_memory_is_measured_in_a_new_process(finished, tmp_path):
    tokenizer = train_tokenizer(TEXTS, vocab_size=200, max_length=20)
    sizes = {"hidden_size": 512, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8192}
    model = small_bert(tokenizer, ["a"], **sizes)
    write_onnx(Traceable(model, ("input_ids", "attention_mask")), tmp_path / "large.onnx")
    files = [str(finished / "compressed" / "onnx" / "model.onnx"), str(tmp_path / "large.onnx")]
    ours = np.ones(600_000_000, dtype=np.uint8)  # a new process inherits this peak as its ru_maxrss
    small, large = (fresh_memory(entry, shape=(2, 8), vocabulary=20, threads=1) for entry in list_entries(files))
    assert small.runtime < small.peak < ours.nbytes
    assert large.peak - small.peak > 0.7 * sum(parameter.nbytes for parameter in model.parameters())
    (tmp_path / "large.onnx").write_text("no model")
    with pytest.raises(InputError, match="does not run in a new process"):
        fresh_memory(BenchmarkEntry("x", files[1], "onnxruntime", "fp32", "x"), shape=(2, 8), vocabulary=20, threads=1)


def test_exported_files_are_opened_without_torch():
    code = "import sys, trainer_ext.benchmark.memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_json_file_the_plot_and_the_report(finished, tmp_path, monkeypatch, capsys):
    files = {"--json": tmp_path / "out.json", "--plot": tmp_path / "out.svg"}
    words = (*SHORT, "--no-memory", "--sequence-length", 4, "--sequence-length", 8, "--save")
    words += tuple(word for pair in files.items() for word in pair)
    for _ in range(2):  # the second result replaces the first
        status, out, err = run_command(monkeypatch, capsys, "benchmark", finished, *words)
        assert status == 0, err
    found = json.loads(files["--json"].read_text())
    assert len(found["rows"]) == 2 * 4
    assert str(finished.parent) not in found["command"]
    assert {row["speedup"] for row in found["rows"][::4]} == {1.0}
    assert found["rows"][1]["ideal_speedup"] == found["rows"][3]["ideal_speedup"] > 1
    assert found["sizes"][2]["bytes"] > found["sizes"][3]["bytes"] > 0
    latency = report.load(finished).latency
    assert [(row.runtime, row.precision, row.sequence_length) for row in latency] == [
        (*runtime, length)
        for length in (4, 8)
        for runtime in (("torch", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "int8"))
    ]
    drawn = files["--plot"].read_text()
    for words in ("onnxruntime int8", "2 x 8 tokens", "1.00x"):
        assert words in drawn
        assert words in out


def test_texts_of_a_file_have_different_lengths(finished, tmp_path, monkeypatch, capsys):
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS, "today " * 50]), encoding="utf-8")
    words = (*SHORT, "--no-memory", "--texts", tmp_path / "texts.txt", "--json", tmp_path / "out.json")
    status, out, err = run_command(monkeypatch, capsys, "benchmark", finished, *words)
    assert status == 0, err
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["texts"] == "texts.txt"
    assert {row["sequence_length"] for row in found["rows"]} == {None}
    assert len({row["mean_length"] for row in found["rows"]}) == 1, "the two models have the same tokenizer"
    assert 3 < found["rows"][0]["mean_length"] <= 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", 99999), "--threads 99999: this machine has"),
        (("--precision", "fp16"), "on cpu there is fp32, bf16"),
        (("--device", "cuda"), "no CUDA device"),
        (("--device", "tpu"), "--device tpu"),
        (("--plot", "times.pdf"), ".png or .svg"),
        (("--json", "nowhere/out.json"), "--json"),
        (("--texts", "empty.txt"), "is empty"),
        (("--texts", "missing.txt"), "missing.txt"),
        (("--texts", "empty.txt", "--sequence-length", 4), "leave one out"),
        (("--texts", "empty.txt", "--save"), "--save"),
        (("other.onnx",), "there is no such file"),
        (("broken.onnx",), "broken.onnx"),
        (("small", "--save"), "nothing else"),
    ],
)
def test_bad_input_is_one_line(words, message, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "broken.onnx").write_text("no model")
    status, _, err = run_command(monkeypatch, capsys, "benchmark", finished, *words)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert message in err


def test_new_rows_replace_old_ones():
    row = report.Latency("torch", "fp32", "cpu", "x", 1, 1, 8, baseline_ms=1.0)
    other, again = replace(row, threads=2), replace(row, baseline_ms=2.0)
    assert merged([row, other], [again]) == [again, other]
