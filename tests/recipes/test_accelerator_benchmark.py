"""The benchmark for accelerators: its whole way on a processor, small and in bf16, and its refusal where there is no GPU."""

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from recipes.benchmarks import accelerator, accelerator_table
from recipes.tools.markdown import replace_part

pytestmark = pytest.mark.slow


def run(*words):
    app = typer.Typer()
    app.command()(accelerator.main)
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_its_way_on_a_processor(tmp_path):
    small = ("--steps", 5, "--batch-size", 4, "--tokens", 8, "--repeats", 3, "--output", tmp_path / "out")
    done = run("--device", "cpu", "--tiny", *small)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [(row["trainer"], row["precision"]) for row in found["training"]] == [
        (trainer, precision) for trainer in ("stock Trainer", "masks and teacher") for precision in ("fp32", "bf16")
    ]
    assert found["training"][0]["peak_bytes"] is None
    assert list(found["blocks"]) == ["fp32", "bf16"]
    assert all(ms > 0 for times in found["blocks"].values() for ms in times.values())
    entries = {(row["model"], row["precision"]) for row in found["latency"]}
    assert entries == {(name, precision) for name in ("dense", "half", "quarter") for precision in ("fp32", "bf16")}
    assert "| quarter | bf16 |" in (tmp_path / "out.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in (tmp_path / "out.json").read_text(encoding="utf-8")


def test_the_tables_on_the_page_are_what_the_result_file_gives():
    page = accelerator_table.README.read_text(encoding="utf-8")
    found = json.loads(accelerator_table.FILE.read_text(encoding="utf-8"))
    assert replace_part(page, accelerator_table.NAME, accelerator_table.summary(found)) == page
    found["training"][0]["seconds_per_step"] *= 2
    assert replace_part(page, accelerator_table.NAME, accelerator_table.summary(found)) != page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_it_says_so_in_one_line():
    done = run()
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert "PyTorch finds no CUDA device here" in done.output
    assert run("--device", "tpu").exit_code == 2


def test_its_task_can_be_learned_by_counting():
    rows = accelerator.texts(40, 400, seed=3)
    odd = [float((row["input_ids"] % 2).float().mean()) for row in rows]
    # Half of a random text is odd; with 30 % written over it is 35 % or 65 %.
    assert [share > 0.5 for share in odd] == [bool(row["labels"]) for row in rows]
