"""The command line: help with an example, one line for bad input, and the exit statuses."""

import os
import subprocess
import sys

import pytest

from tests.helpers.commands import run_command
from trainer_ext import __version__


@pytest.mark.parametrize(
    "command",
    ["benchmark", "check", "compress", "demo", "energy", "export", "import-nn-pruning", "push", "sweep", "trim"],
)
def test_the_help_of_every_command_has_an_example(command, monkeypatch, capsys):
    status, out, _ = run_command(monkeypatch, capsys, command, "--help")
    assert status == 0
    assert out.count(f"trainer-ext {command} ") >= 2, "the usage line and an example"
    assert "--debug" in out


def test_without_a_command_three_situations_are_shown_with_their_commands(monkeypatch, capsys):
    status, out, err = run_command(monkeypatch, capsys)
    assert (status, err) == (0, "")
    assert out.count("    trainer-ext compress MODEL ") == 3
    assert all(word in out for word in ("data.csv", "texts.txt", "--baseline_epochs", "--help"))
    assert all(len(line) <= 100 for line in out.splitlines())
    _, out, _ = run_command(monkeypatch, capsys, "--help")
    assert all(name in out for name in ("compress", "check", "benchmark", "--version", "--install-completion"))


def test_the_version_is_shown(monkeypatch, capsys):
    status, out, _ = run_command(monkeypatch, capsys, "--version")
    assert (status, out) == (0, f"trainer-ext {__version__}\n")


@pytest.mark.parametrize(
    ("typed", "offered"), [("trainer-ext comp", {"compress"}), ("trainer-ext compress --res", {"--resume"})]
)
def test_the_shell_completes_commands_and_options(typed, offered, monkeypatch, capsys):
    monkeypatch.setenv("_TRAINER_EXT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    _, out, err = run_command(monkeypatch, capsys)
    assert ({*out.split()}, err) == (offered, "")


def test_no_colour_is_written_where_none_is_wanted():
    command = [sys.executable, "-m", "trainer_ext", "nothing"]
    for variables, coloured in (({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)):
        environment = {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **variables}
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
        assert ("\x1b[31m" in done.stderr) == coloured, (variables, done.stderr)


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
