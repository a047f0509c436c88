"""The page in a process, started as in a Space or by a user, and called by the real client over HTTP."""

import ast
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from charts.compare import in_client, in_curl, in_python
from core import startup
from core.startup import QUICKSTART
from transformers import AutoModelForSequenceClassification

from tests.helpers.commands import recipe_fields, run_command, write_recipe, write_task
from tests.helpers.paging import LABELS, START, ask, environment, only, run, started, write_pair
from tests.helpers.vocabularies import MARATHI, tokenizer_of
from trainer_ext import InputError
from trainer_ext.hub.space import space_files, space_folder


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def expected(folder: Path, text: str) -> torch.Tensor:
    with torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        return model(**tokenizer_of("bert")(text, return_tensors="pt")).logits[0].softmax(-1)


def assert_answers(found: dict, run: Path, text: str):
    """Check the probabilities of both models."""
    for name in ("baseline", "compressed"):
        probabilities = found[name]["probabilities"]
        assert list(probabilities) == list(LABELS)
        torch.testing.assert_close(torch.tensor(list(probabilities.values())), expected(run / name, text))
        assert found[name]["milliseconds"] > 0


@pytest.mark.slow
def test_a_published_page_runs_from_its_own_folder(tiny_model, cut, tmp_path):
    """As in a private or duplicated Space: only these files, their requirements, and the package from the wheel."""
    for path, content in space_files(
        space_id="user/demo", baseline="user/news", compressed="user/small", private=True
    ).items():
        write_file(tmp_path / path, content)
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
    assert (
        {"/compare", "/compare_batch"} <= set(endpoints) <= {"/compare", "/compare_batch", "/benchmark"}
    )  # no part of the page itself
    assert "Traceback" not in (tmp_path / "page.log").read_text()


@pytest.mark.slow
def test_a_checkout_shows_a_run(tiny_model, cut, tmp_path):
    """`python space/app.py RUN`, called by several clients at the same time."""
    write_pair(tmp_path / "run", tiny_model, cut)
    command = [sys.executable, str(space_folder() / "app.py"), "run"]
    with started(command, cwd=tmp_path, PYTHONPATH=str(space_folder().parent)) as address:
        with ThreadPoolExecutor() as clients:
            found = list(clients.map(lambda text: ask(address, text)[0], MARATHI[2:4]))
    for text, answer in zip(MARATHI[2:4], found, strict=True):
        assert_answers(answer, tmp_path / "run", text)


@pytest.mark.slow
def test_the_code_on_a_page_of_the_demo_gives_the_answer(tiny_model, cut, tmp_path):
    """`trainer-ext demo RUN`; the text contains quotes of Python, of a shell and of JSON."""
    write_pair(tmp_path / "run", tiny_model, cut)
    text = f"""{MARATHI[0]} 'a' "b" $HOME `c` \\ \n d"""
    command = [sys.executable, "-m", "trainer_ext", "demo", "run"]
    with started(command, cwd=tmp_path, PYTHONPATH=str(space_folder().parent)) as address:
        by_client = ast.literal_eval(run([sys.executable, "-c"], in_client([text], address)).splitlines()[-1])
        stream = run(["sh", "-c"], in_curl([text], address)) if shutil.which("curl") else None
    assert_answers(by_client, tmp_path / "run", text)
    if stream is not None:
        (by_curl,) = json.loads(re.search(r"^event: complete\ndata: (.*)$", stream, re.MULTILINE).group(1))
        assert_answers(by_curl, tmp_path / "run", text)
    script = f"import sys; sys.path.insert(0, {str(space_folder().parent)!r})\n"
    script += in_python([text], str(tmp_path / "run/compressed"))
    (alone,) = ast.literal_eval(run([sys.executable, "-c"], script).splitlines()[-1])
    found = {one["label"]: one["score"] for one in alone}
    assert found == pytest.approx(by_client["compressed"]["probabilities"], abs=1e-5)


def test_the_demo_is_the_page_and_takes_a_port(monkeypatch, capsys):
    called = []
    monkeypatch.setattr("os.execve", lambda *words: called.append(words))
    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    for words in (["demo", "a run", "--port", "8000"], ["demo"]):
        assert run_command(monkeypatch, capsys, *words)[0] == 0
    (program, words, variables), (_, default, as_they_are) = called
    assert words == [program, str(space_folder() / "app.py"), "a run"]
    assert (variables["GRADIO_SERVER_PORT"], default) == ("8000", words[:-1])
    assert "GRADIO_SERVER_PORT" not in as_they_are
    status, _, err = run_command(monkeypatch, capsys, "demo", "--port", "0")
    assert (status, len(called)) == (2, 2), err


@pytest.mark.slow
def test_the_quickstart_is_run_on_the_first_start(tmp_path):
    """With a recipe of tiny models: the run is made, then served."""
    checkout = tmp_path / "checkout"
    shutil.copytree(space_folder(), checkout / "space", ignore=shutil.ignore_patterns("models.json", "__pycache__"))
    recipe = checkout / "recipes/quickstart"
    recipe.mkdir(parents=True)
    task = write_task(tmp_path / "task")
    (recipe / "corpus.py").write_text(f"import shutil, sys; shutil.copytree({str(task)!r}, sys.argv[1])")
    fields = recipe_fields("elsewhere", "elsewhere", scratch_epochs=2, num_train_epochs=1)
    write_recipe(recipe / "quickstart.yaml", fields)
    command = [sys.executable, str(checkout / "space/app.py")]
    with started(command, cwd=tmp_path, PYTHONPATH=str(space_folder().parent)) as address:
        assert ask(address, "text")[0]["baseline"]["milliseconds"] > 0
    assert "No run in runs/quickstart yet" in (tmp_path / "page.log").read_text()
    assert (tmp_path / "runs/quickstart/compression.json").exists()


def test_a_quickstart_that_fails_is_told_in_one_line(tmp_path):
    recipe = tmp_path / startup.RECIPE
    recipe.mkdir(parents=True)
    (recipe / "corpus.py").write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match=r"No run could be made in .*run \(exit status 3\)"):
        startup.ensure(tmp_path / "run", checkout=tmp_path)
    startup.ensure(tmp_path / "run", checkout=tmp_path / "no checkout")
    for name in ("baseline", "compressed"):
        (tmp_path / "run" / name).mkdir(parents=True)
    startup.ensure(tmp_path / "run", checkout=tmp_path)  # it is there: nothing is run


def test_the_quickstart_is_that_of_the_makefile():
    """Same recipe, same folders."""
    makefile = (space_folder().parent / "Makefile").read_text()
    steps = re.findall(r"^\t\$\(BIN\)/(?:python|trainer-ext) (.*quickstart.*)$", makefile, re.MULTILINE)
    data, compress = startup.commands(startup.RECIPE, QUICKSTART)
    assert " ".join(data[1:]) == steps[0]
    arguments = compress[compress.index("trainer_ext") + 1 :]
    place = arguments.index("--data_dir")
    assert arguments[place + 1] == data[-1]
    ours = " ".join(arguments[:place] + arguments[place + 2 :])
    assert ours == steps[1].replace("$(RUN)", str(QUICKSTART))


@pytest.mark.parametrize("with_wheel", [True, False])
def test_what_is_missing_is_said_in_one_line(tmp_path, with_wheel):
    for path, content in space_files(space_id="user/demo", baseline="user/news", compressed="user/small").items():
        if with_wheel or not path.endswith(".whl"):
            write_file(tmp_path / path, content)
    (tmp_path / "models.json").unlink()
    done = subprocess.run([*only(), START], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    message = (
        "There is no model in runs/quickstart/baseline; make one: make quickstart."
        if with_wheel
        else ("trainer_ext is not installed; in its checkout: pip install -e '.[demo]'")
    )
    assert done.stderr.splitlines() == [message]
