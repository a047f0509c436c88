"""The page as a process: started as a Space or a person starts it, and asked by the real client over HTTP."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from paging import LABELS, START, ask, environment, only, started, write_pair
from transformers import AutoModelForSequenceClassification
from vocabularies import MARATHI, tokenizer_of

from trainer_ext.space_files import space_files
from trainer_ext.space_folder import space_folder


def expected(folder: Path, text: str) -> torch.Tensor:
    with torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        return model(**tokenizer_of("bert")(text, return_tensors="pt")).logits[0].softmax(-1)


def assert_answers(found: dict, run: Path, text: str):
    """Every label's probability of both models, as the models say."""
    for name in ("baseline", "compressed"):
        probabilities = found[name]["probabilities"]
        assert list(probabilities) == list(LABELS)
        torch.testing.assert_close(torch.tensor(list(probabilities.values())), expected(run / name, text))
        assert found[name]["milliseconds"] > 0


def test_a_published_page_runs_from_its_own_folder(tiny_model, cut, tmp_path):
    """What a private or duplicated Space is: these files, what they ask pip for, and no package but the wheel."""
    for path, content in space_files(
        space_id="user/demo", baseline="user/news", compressed="user/small", private=True
    ).items():
        (tmp_path / path).write_bytes(content)
    write_pair(tmp_path, tiny_model, cut)
    (tmp_path / "models.json").write_text(json.dumps({"baseline": "baseline", "compressed": "compressed"}))
    texts = (MARATHI[0], "<script>alert(1)</script>", "  ", "क" * 10_001, MARATHI[1])
    with started([*only(), START], cwd=tmp_path) as address:
        first, script, nothing, long, last, endpoints = ask(address, *texts)
    assert_answers(first, tmp_path, texts[0])
    assert_answers(script, tmp_path, texts[1])
    assert_answers(last, tmp_path, texts[-1])
    assert "There is no text to classify" in nothing
    assert "at most 10,000" in long
    assert endpoints == ["/compare", "/compare_batch"]
    assert "Traceback" not in (tmp_path / "page.log").read_text()


def test_a_checkout_shows_a_run(tiny_model, cut, tmp_path):
    """`python space/app.py RUN`, asked by more than one at once."""
    write_pair(tmp_path / "run", tiny_model, cut)
    command = [sys.executable, str(space_folder() / "app.py"), "run"]
    with started(command, cwd=tmp_path, PYTHONPATH=str(space_folder().parent)) as address:
        with ThreadPoolExecutor() as clients:
            found = list(clients.map(lambda text: ask(address, text)[0], MARATHI[2:4]))
    for text, answer in zip(MARATHI[2:4], found, strict=True):
        assert_answers(answer, tmp_path / "run", text)


@pytest.mark.parametrize("with_wheel", [True, False])
def test_what_is_missing_is_said_in_one_line(tmp_path, with_wheel):
    for path, content in space_files(space_id="user/demo", baseline="user/news", compressed="user/small").items():
        if with_wheel or not path.endswith(".whl"):
            (tmp_path / path).write_bytes(content)
    (tmp_path / "models.json").unlink()
    done = subprocess.run([*only(), START], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    message = (
        "There is no model in runs/quickstart/baseline; make one: make quickstart."
        if with_wheel
        else ("trainer_ext is not installed; in its checkout: pip install -e '.[demo]'")
    )
    assert done.stderr.splitlines() == [message]
