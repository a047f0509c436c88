"""Benchmarks: each runs at its smallest size and prints its table; what they measure is never asserted here."""

from typer.testing import CliRunner

from recipes.benchmarks import import_time, step_time


def run(main, *words):
    import typer

    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def test_import_time():
    assert "target: at most +0.3 s" in run(import_time.main, "--runs", 1)


def test_step_time():
    smallest = ("--layers", 1, "--batch-size", 2, "--tokens", 8, "--rounds", 1, "--steps", 1)
    out = run(step_time.main, *smallest)
    for name in ("stock Trainer", "nothing asked", "masks", "masks and live teacher"):
        assert name in out
