"""The notebooks: each runs whole, offline, with a small model; their committed outputs are trimmed, and a badge opens each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.tools import notebooks

nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).parents[2]
BOOKS = {file.stem: file for file in notebooks.notebooks()}


RUN = """
import sys, nbformat
from pathlib import Path
from recipes.tools.notebooks import executed
nbformat.write(executed(Path(sys.argv[1]), Path(sys.argv[2])), sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BOOKS)
def test_a_notebook_runs_whole(name, tmp_path):
    """In a process of its own: the sockets to its kernel stay open to the end."""
    words = [sys.executable, "-c", RUN, str(BOOKS[name]), str(tmp_path), str(tmp_path / "book.ipynb")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    book = nbformat.read(tmp_path / "book.ipynb", as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    shown = "".join(output.get("text", "") for cell in code for output in cell.outputs)
    assert "the Hub is not reached" in shown
    assert "trainer-ext: " not in shown  # a command that refused; `!` does not fail the cell
    made = {"1_ten_minutes": "small", "2_your_own_csv": "my-model-small/compressed/openvino"}
    made |= {"3_one_language": "my-model-small/vocabulary", "4_no_labels": "my-model-small/compressed"}
    assert (tmp_path / (made | {"5_publish_and_show": "staged"})[name]).is_dir()


@pytest.mark.parametrize("name", BOOKS)
def test_its_outputs_are_kept_trimmed_and_its_badge_opens_it(name):
    text = BOOKS[name].read_text(encoding="utf-8")
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert len(text) < 30_000
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) >= 3, "run them: python -m recipes.tools.notebooks run"
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert json.dumps(notebooks.trimmed(nbformat.reads(text, as_version=4))) == json.dumps(book)
    assert f"/blob/main/recipes/notebooks/{name}.ipynb)" in book.cells[0].source
    assert notebooks.BADGE.search(text)


def test_the_badges_open_another_repository(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "FOLDER", shutil.copytree(notebooks.FOLDER, tmp_path / "books"))
    notebooks.badges("someone/thing")
    texts = [file.read_text(encoding="utf-8") for file in notebooks.notebooks()]
    assert len(texts) == 5
    assert all("/github/someone/thing/blob/main/" in text and "OWNER/" not in text for text in texts)


def test_progress_and_paths_are_left_out_of_an_output():
    shown = notebooks._short("first\r\n 50%|###  | 1/2 [00:01<00:01,  1.2it/s]\nin /tmp/x\nlast\n" + "more\n" * 80)
    assert shown.splitlines()[:2] == ["first", "last"]
    assert shown.splitlines()[-1] == "..."
    assert len(shown.splitlines()) == notebooks.LINES + 1
