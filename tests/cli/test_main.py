"""The command line: help with an example, one line for bad input, and the exit statuses."""

import subprocess
import sys

import pytest

from tests.helpers.commands import run_command


@pytest.mark.parametrize(
    "command",
    ["benchmark", "check", "compress", "demo", "energy", "export", "import-nn-pruning", "push", "sweep", "trim"],
)
def test_the_help_of_every_command_has_an_example(command, monkeypatch, capsys):
    status, out, _ = run_command(monkeypatch, capsys, command, "--help")
    assert status == 0
    assert out.count(f"trainer-ext {command} ") >= 2, "the usage line and an example"
    assert "--debug" in out


def test_without_a_command_the_help_is_shown(monkeypatch, capsys):
    _, out, err = run_command(monkeypatch, capsys)
    for name in ("compress", "check", "benchmark"):
        assert name in out + err


def test_fields_lists_ours_and_those_of_transformers(monkeypatch, capsys):
    status, out, _ = run_command(monkeypatch, capsys, "compress", "--fields")
    assert status == 0
    for name in ("prune_sparsity", "data_dir", "distill_teacher", "scratch_layers", "warmup_steps"):
        assert name in out


def test_compress_without_a_recipe_says_what_to_name(monkeypatch, capsys):
    status, _, err = run_command(monkeypatch, capsys, "compress")
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "RECIPE.yaml" in err


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
@pytest.mark.parametrize("command", ["compress", "check", "sweep"])
def test_several_processes_are_refused(monkeypatch, capsys, variable, command):
    monkeypatch.setenv(variable, "2")
    status, out, err = run_command(monkeypatch, capsys, command, "gone")
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1)
    assert "needs one process, but 2 were started: run it without torchrun" in err
    monkeypatch.setenv(variable, "1")
    status, _, err = run_command(monkeypatch, capsys, command, "gone")
    assert (status, "gone" in err) == (2, True)


def test_debug_shows_where(tmp_path):
    command = [sys.executable, "-m", "trainer_ext", "check", str(tmp_path)]
    quiet, loud = (
        subprocess.run([*command, *more], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        for more in ((), ("--debug",))
    )
    assert (quiet.returncode, loud.returncode) == (2, 1)
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr


def test_benchmark_times_models_side_by_side(tmp_path, tiny_model, monkeypatch, capsys):
    for name, width in (("wide", 64), ("narrow", 16)):
        tiny_model("bert", intermediate_size=width).save_pretrained(tmp_path / name)
    words = ("--batch-size", 2, "--batch-size", 3, "--sequence-length", 8, "--repeats", 3, "--no-memory")
    status, out, err = run_command(monkeypatch, capsys, "benchmark", tmp_path / "wide", tmp_path / "narrow", *words)
    assert status == 0, err
    assert out.count("1.00x") >= 2, "the first model of each batch size is what the others are compared with"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--repeats", 1), "--repeats"),
        (("--batch-size", 0), "--batch-size"),
        (("--sequence-length", 4000), "reads at most"),
        (("--threads", 0), "--threads"),
    ],
)
def test_benchmark_refuses_what_it_cannot_time(words, message, tmp_path, tiny_model, monkeypatch, capsys):
    tiny_model("bert").save_pretrained(tmp_path)
    status, _, err = run_command(monkeypatch, capsys, "benchmark", tmp_path, *words)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert message in err


def test_benchmark_takes_the_longest_text_that_all_models_read(tmp_path, tiny_model, monkeypatch, capsys):
    tiny_model("bert").save_pretrained(tmp_path)
    words = ("--batch-size", 1, "--repeats", 3, "--no-memory")
    status, out, err = run_command(monkeypatch, capsys, "benchmark", tmp_path, *words)
    assert status == 0, err
    assert "40 tokens" in out


def test_benchmark_of_nothing_is_refused(tmp_path, monkeypatch, capsys):
    status, _, err = run_command(monkeypatch, capsys, "benchmark", tmp_path)
    assert (status, len(err.strip().splitlines())) == (2, 1)
