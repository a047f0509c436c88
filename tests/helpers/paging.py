"""Helpers for tests of the page: two tiny models, a page in a process, and Python without the installed package."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import network_guard
import pytest
import transformers
from core.models import Pair, open_pair
from core.startup import choose

from recipes.benchmarks import page_process
from tests.helpers.vocabularies import tokenizer_of
from trainer_ext.report.io import save
from trainer_ext.report.schema import CompressionReport, Model

LABELS = ("खेळ", "राजकारण", "<b>tech</b> & more")
TAGS = ("O", "B-<b>PER", "I-<b>PER", "B-LOC", "I-LOC")
# The other tasks of the page: head, labels, problem type, and what the recipe of the run says.
TASKS = {
    "several": ("ForSequenceClassification", LABELS, "multi_label_classification", {}),
    "pairs": ("ForSequenceClassification", LABELS, None, {"text_pair_column": "other"}),
    "tags": ("ForTokenClassification", TAGS, None, {}),
    "answers": ("ForQuestionAnswering", ("LABEL_0", "LABEL_1"), None, {"doc_stride": 6, "max_answer_length": 4}),
}
HEADS, NEURONS = [[], [1, 3]], [[], [0, 5, 9]]  # that are kept in two layers


def write_pair(folder: Path, tiny_model, cut) -> Path:
    """Write the two models of a run, `baseline/` and the compact `compressed/`, with tokenizers and label names."""
    tokenizer = tokenizer_of("bert")
    for name in ("baseline", "compressed"):
        model = tiny_model(vocab_size=len(tokenizer))
        model.config.id2label = dict(enumerate(LABELS))
        model.config.label2id = {label: index for index, label in enumerate(LABELS)}
        model = cut(model, HEADS, NEURONS) if name == "compressed" else model
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def write_task(folder: Path, tiny_model, cut, name: str) -> Path:
    """Write the same for another task, one of `TASKS`, with the report of its run."""
    head, labels, problem_type, fields = TASKS[name]
    tokenizer, auto_class = tokenizer_of("bert"), getattr(transformers, f"AutoModel{head}")
    for part in ("baseline", "compressed"):
        model = tiny_model(vocab_size=len(tokenizer), num_labels=len(labels), auto_class=auto_class)
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: index for index, label in enumerate(labels)}
        model.config.problem_type = problem_type
        model = cut(model, HEADS, NEURONS) if part == "compressed" else model
        model.save_pretrained(folder / part)
        tokenizer.save_pretrained(folder / part)
    recipe = {"max_length": 32, **fields}
    save(CompressionReport(created="2026-01-01T00:00:00+00:00", model=Model(labels=[*labels]), recipe=recipe), folder)
    return folder


def pair_of(run: Path) -> Pair:
    """Load the models of a run."""
    return open_pair(choose([str(run)], beside=run))


def only(*places: Path) -> list[str]:
    """Return a Python command line that finds installed packages and those in some folders, but no editable install.

    Editable installs are found through `.pth` files, which Python does not read without `site`.
    """
    others = [path for path in sys.path if path.endswith("-packages")]
    if any((Path(path) / "trainer_ext").is_dir() for path in others):
        pytest.skip("trainer_ext is installed, not linked: it cannot be left out")
    start = f"import sys; sys.path += {[*map(str, places), *others]}; exec(sys.argv.pop(1))"
    return [sys.executable, "-I", "-S", "-c", start]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of this process without PYTHONPATH and token, with the network guard."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_TOKEN")}
    places = os.pathsep.join(filter(None, [str(Path(network_guard.__file__).parent), more.pop("PYTHONPATH", "")]))
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **more, "PYTHONPATH": places}


def run(command: list[str], code: str, *arguments) -> str:
    """Run code, and return what it prints."""
    words = [*command, code, *map(str, arguments)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# Like `python app.py`, but only with the packages that `only` allows.
START = """
import importlib.util, runpy, sys
assert importlib.util.find_spec("trainer_ext") is None, "it must come from the wheel"
sys.path.insert(0, ".")
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""
ASK = """
import json, sys
from gradio_client import Client
from gradio_client.exceptions import AppError
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
for text in json.loads(sys.argv[2]):
    try:
        answer = client.predict(text, api_name="/compare")
    except AppError as error:
        answer = str(error)
    print(json.dumps(answer))
print(json.dumps(list(client.view_api(print_info=False, return_format="dict")["named_endpoints"])))
"""


@contextlib.contextmanager
def started(command: list[str], *, cwd: Path, **variables: str):
    """Run a page, and yield its address."""
    with page_process.started(command, cwd=cwd, environment=environment(**variables)) as (address, _):
        yield address


def processor_seconds(process: int) -> float:
    """Return the processor time of all threads of a process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def used_in(process: int, *, seconds: float) -> float:
    """Return the processor time that a process uses in the next seconds."""
    before = processor_seconds(process)
    time.sleep(seconds)
    return processor_seconds(process) - before


def ask(address: str, *texts: str) -> list:
    """Return the answers or error messages of `/compare` for some texts, and last the names of the endpoints."""
    printed = run([sys.executable, "-c"], ASK, address, json.dumps(texts))
    return [json.loads(line) for line in printed.splitlines()]
