"""Test the quickstart from a built wheel in a new environment, without the checkout.

`python -m recipes.tools.fresh_wheel` builds the wheel, creates a virtual environment in a temporary folder, installs torch
and then the wheel with the newest packages that it allows, copies only recipes/quickstart, and runs the quickstart, with
one epoch for each model unless `--full`, and the first command of the quick tour. It needs a network, or pip's cache.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).parents[2]
REDUCED = ("--scratch_epochs", "1", "--num_train_epochs", "1", "--scratch_hidden_size", "128", "--scratch_heads", "4")
REDUCED += ("--scratch_intermediate_size", "512", "--warmup_steps", "0")
TOUR = ("--max_length", "48", "--latency_sequence_length", "32", "--output_dir", "tour")
WHERE = "import trainer_ext; print(trainer_ext.__file__)"
QUICKSTART, RUN = "recipes/quickstart", "runs/quickstart"


def main(
    python: Annotated[str, typer.Argument(help="The Python of the new environment.")] = sys.executable,
    torch: Annotated[
        str, typer.Option(help="Requirement that pip installs first, to choose the build of torch.")
    ] = "torch",
    full: Annotated[bool, typer.Option(help="Run the whole quickstart.")] = False,
    wheel: Annotated[Path | None, typer.Option(help="A wheel that is built already.")] = None,
) -> None:
    """Build, install and run; print versions and results."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

        def call(*words, **options) -> str:
            done = subprocess.run(
                list(map(str, words)), cwd=place, env=plain, check=True, text=True, stdout=subprocess.PIPE, **options
            )
            return done.stdout

        call(python, "-m", "venv", "environment")
        interpreter = place / "environment/bin/python"
        pip = (interpreter, "-m", "pip", "--quiet", "--disable-pip-version-check")
        if wheel is None:
            call(*pip, "wheel", "--no-deps", "--wheel-dir", place, ROOT)
            (wheel,) = place.glob("trainer_ext-*.whl")
        for what in (torch, wheel.resolve()):
            call(*pip, "install", what)
        shutil.copytree(ROOT / QUICKSTART, place / QUICKSTART)
        origin = Path(call(interpreter, "-c", WHERE).strip())
        if not origin.is_relative_to(place):
            raise typer.BadParameter(f"{origin} is not from the wheel, so this would not test it.")
        command = place / "environment/bin/trainer-ext"
        call(interpreter, f"{QUICKSTART}/corpus.py", "runs/quickstart-data")
        call(command, "compress", f"{QUICKSTART}/quickstart.yaml", "--output_dir", RUN, *(() if full else REDUCED))
        call(command, "check", RUN)
        # The first command of the quick tour, with the model that is there now.
        call(command, "compress", f"{RUN}/baseline", "runs/quickstart-data/train.csv", *TOUR)
        call(command, "check", "tour")
        report = json.loads((place / RUN / "compression.json").read_text(encoding="utf-8"))
    typer.echo(f"{wheel.name}: {', '.join(f'{name} {version}' for name, version in report['versions'].items())}")
    for side in ("baseline", "compressed"):
        typer.echo(f"{side}: {report['parameters'][side]['total']:,} parameters, {report['quality'][side]}")


if __name__ == "__main__":
    typer.run(main)
