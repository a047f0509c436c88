"""What the tests of the page share: a folder with two tiny models, and a way to run Python with other packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from vocabularies import tokenizer_of

LABELS = ("खेळ", "राजकारण", "<b>tech</b> & more")
HEADS, NEURONS = [[], [1, 3]], [[], [0, 5, 9]]  # what stays of two layers


def write_pair(folder: Path, tiny_model, cut) -> Path:
    """A run's two models, `baseline/` and the compact `compressed/`, with a tokenizer and labels that have names."""
    tokenizer = tokenizer_of("bert")
    for name in ("baseline", "compressed"):
        model = tiny_model(vocab_size=len(tokenizer))
        model.config.id2label = dict(enumerate(LABELS))
        model.config.label2id = {label: index for index, label in enumerate(LABELS)}
        model = cut(model, HEADS, NEURONS) if name == "compressed" else model
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def only(*places: Path) -> list[str]:
    """A Python command line that finds packages in these places, and what else is installed, but no editable one.

    Without `site` no `.pth` file is read, and an editable install is found through one.
    """
    others = [path for path in sys.path if path.endswith("-packages")]
    if any((Path(path) / "trainer_ext").is_dir() for path in others):
        pytest.skip("trainer_ext is installed, not linked: it cannot be left out")
    start = f"import sys; sys.path += {[*map(str, places), *others]}; exec(sys.argv.pop(1))"
    return [sys.executable, "-I", "-S", "-c", start]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without the places it finds packages in, and without a token."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_TOKEN")}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more}


def run(command: list[str], code: str, *arguments) -> str:
    """What the code prints."""
    words = [*command, code, *map(str, arguments)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
