"""Run the notebooks of recipes/notebooks and keep their trimmed outputs; set the repository that their badges open.

python -m recipes.tools.notebooks run                 # all, offline, in a scratch folder; outputs are written back
python -m recipes.tools.notebooks badges OWNER/NAME   # at a release: where Colab finds them
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

FOLDER = Path(__file__).parents[1] / "notebooks"
LINES, WIDTH = 60, 160  # of an output that is kept
SECONDS = 280  # for a cell
BADGE = re.compile(r"(colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+(/blob/)")
NOISE = re.compile(r"it/s\]|s/it\]|━.*\d+/\d+ |\d+/\d+ -:--|/tmp/|Warning|^[\u2800-\u28ff] ")
STYLE = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)


def notebooks() -> list[Path]:
    """Return the notebooks in their order."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(file: Path, folder: Path) -> Any:
    """Run a notebook whole, offline, in a folder of its own, and return it with trimmed outputs.

    Args:
        file: The notebook; not changed.
        folder: Where its cells write.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    import nbformat
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    manager = AsyncKernelManager()
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=command, language="python", display_name="Python 3")
    book: Any = nbformat.read(file, as_version=4)
    root = str(FOLDER.parents[1])
    paths = filter(None, [os.environ.get("PYTHONPATH"), root])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "NO_COLOR": "1"}
    environment["CI"] = "true"  # or importing openvino sends telemetry
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": str(folder / ".ipython"), "COLUMNS": "120"}
    client = NotebookClient(
        book, timeout=SECONDS, km=manager, resources={"metadata": {"path": str(folder)}}, record_timing=False
    )
    client.execute(env=environment)
    return trimmed(book)


def trimmed(book: Any) -> Any:
    """Return a notebook without progress bars, warnings, long outputs and what changes from run to run; in place."""
    for cell in book.cells:
        cell.get("metadata", {}).pop("execution", None)
        if cell.cell_type != "code":
            continue
        kept: list[Any] = []
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stdout":
                if kept and kept[-1].output_type == "stream":  # one text, however it came
                    kept[-1].text += output.text
                else:
                    kept.append(output)
            elif output.output_type in ("execute_result", "display_data") and "text/plain" in output.data:
                output.data = {"text/plain": _short(output.data["text/plain"])}
                kept.append(output)
        for output in kept:
            if output.output_type == "stream":
                output.text = _short(output.text)
        cell.outputs = [output for output in kept if output.get("text", "") or "data" in output]
    return book


def _short(text: str) -> str:
    lines = [line.rstrip().split("\r")[-1][:WIDTH].rstrip() for line in STYLE.sub("", text).split("\n")]
    lines = [line for line in lines if not NOISE.search(line)]
    return "\n".join([*lines[:LINES], *(["..."] if len(lines) > LINES else [])]).strip("\n")


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Which, without .ipynb; default: all.")] = None,
) -> None:
    """Run notebooks and write their trimmed outputs."""
    import nbformat

    for file in notebooks():
        if names and file.stem not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(file, Path(folder)), file)
        typer.echo(f"{file.name}: done")


@app.command()
def badges(repository: Annotated[str, typer.Argument(help="Where the repository is on GitHub: OWNER/NAME.")]) -> None:
    """Let the badges open the notebooks of a repository."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise typer.BadParameter(f"{repository!r} is not OWNER/NAME")
    for file in notebooks():
        text = file.read_text(encoding="utf-8")
        file.write_text(BADGE.sub(rf"\g<1>{repository}\g<2>", text), encoding="utf-8")


if __name__ == "__main__":
    app()
