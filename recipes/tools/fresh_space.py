"""Test the published page in a new environment that contains only its requirements.txt.

`python -m recipes.tools.fresh_space RUN PYTHON` writes the files of a private Space (the package as a wheel beside `app.py`)
with the two models of a run, creates a virtual environment, installs `requirements.txt`, starts `python app.py`, and calls
`/compare` from the same environment. It needs a network, or pip's cache.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from recipes.benchmarks.page_process import started
from trainer_ext.hub.space import space_files

MODELS = {"baseline": "baseline", "compressed": "compressed"}
ASK = """
import json, platform, sys
from importlib.metadata import version
from gradio_client import Client
answer = Client(sys.argv[1], verbose=False, analytics_enabled=False).predict(sys.argv[2], api_name="/compare")
versions = {name: version(name) for name in ("gradio", "torch", "transformers")}
print(json.dumps({"python": platform.python_version(), **versions, **{name: answer[name] for name in sys.argv[3:]}}))
"""
TEXT = "नव्या फोनची बॅटरी दोन दिवस टिकते असा कंपनीचा दावा"


def write_space(folder: Path, run: Path) -> None:
    """Write the files of a private Space, and the two models of a run."""
    ids = {name: f"user/{name}" for name in MODELS}
    for name, content in space_files(space_id="user/page", private=True, **ids).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for name in MODELS:
        shutil.copytree(run / name, folder / name)
    (folder / "models.json").write_text(json.dumps(MODELS))


def make_environment(folder: Path, python: str, requirements: Path) -> Path:
    """Create an environment, install requirements, and return its interpreter.

    torch is installed first and alone, as in the Makefile.

    Args:
        folder: The folder of the environment.
        python: The Python to create it with.
        requirements: The requirements.txt.
    """
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    interpreter = folder / "bin/python"
    pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    for what in (["torch"], ["--requirement", str(requirements)]):
        subprocess.run([*pip, *what], check=True)
    return interpreter


def main(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    python: Annotated[str, typer.Argument(help="The Python of the new environment.")] = sys.executable,
) -> None:
    """Create the environment, start the page, classify a text, and print versions and answers."""
    with tempfile.TemporaryDirectory() as place:
        space, environment = Path(place, "space"), {"PATH": "/usr/bin:/bin", "HOME": place, "HF_HUB_OFFLINE": "1"}
        space.mkdir()
        write_space(space, run)
        interpreter = make_environment(Path(place, "environment"), python, space / "requirements.txt")
        with started([str(interpreter), "app.py"], cwd=space, environment=environment) as (address, _):
            words = [str(interpreter), "-c", ASK, address, TEXT, *MODELS]
            done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    for name, value in json.loads(done.stdout).items():
        typer.echo(f"{name}: {value if isinstance(value, str) else ', '.join(value['labels'])}")


if __name__ == "__main__":
    typer.run(main)
