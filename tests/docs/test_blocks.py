"""Every command and every script on the pages runs as it stands, with a tiny model; those that cannot say why."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.docs.blocks import REASONS, ROOT, Block, blocks, pages
from tests.helpers.commands import TOPICS, recipe_fields, run_command, write_csv, write_recipe, write_task
from tests.helpers.publishing import CLIENT_WARNS, make_run

PAGES = pages()
RUN = [
    name
    for name, text in PAGES.items()
    if any(b.reason is None and b.language in ("sh", "python") for b in blocks(text))
]
KNOWN = {"sh", "python", "yaml", "text"}
PLACES = ("here", "there", "again", "today", "now", "then", "once", "soon", "at last", "for all", "in town", "of old")
TEXTS = [(f"{word} {place}", topic) for topic, words in TOPICS.items() for word in words for place in PLACES]


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory):
    """A finished run of a tiny model that reads 128 tokens, as real ones do; copied for every page."""
    return make_run(tmp_path_factory.mktemp("run"), max_length=128)


@pytest.fixture
def workplace(shared_run, tmp_path, monkeypatch):
    """A folder with what the pages name: models, tables, texts, a recipe, and a finished run."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shared_run, "my-run")
    shutil.copytree("my-run/baseline", "my-model")
    write_csv(tmp_path / "headlines.csv", TEXTS)
    (tmp_path / "texts.txt").write_text("\n".join(text for text, _ in TEXTS), encoding="utf-8")
    write_task(tmp_path / "data")
    fields = recipe_fields(tmp_path / "data", tmp_path / "out-of-recipe")
    write_recipe(tmp_path / "recipe.yaml", fields)
    return tmp_path


def names_of_scripts():
    """What a script on a page has before it starts."""
    model = AutoModelForSequenceClassification.from_pretrained("my-model")
    tokenizer = AutoTokenizer.from_pretrained("my-model")
    ids = model.config.label2id
    rows = [{**tokenizer(text), "labels": ids[topic]} for text, topic in TEXTS]
    return {"model": model, "tokenizer": tokenizer, "train": rows, "test": rows, "texts": [text for text, _ in TEXTS]}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")  # no accelerator to copy to
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of the exporters
@CLIENT_WARNS
@pytest.mark.parametrize("page", RUN)
def test_a_page_runs_as_it_stands(page, workplace, monkeypatch, capsys):
    names = {}
    for block in blocks(PAGES[page]):
        if block.reason is not None or block.language == "text":
            continue
        if block.title is not None:
            (workplace / block.title).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            names = names or names_of_scripts()
            exec(compile(block.text, page, "exec"), names)
        for command in block.commands if block.language == "sh" else ():
            status, shown = run_words(shlex.split(command), monkeypatch, capsys)
            assert status == 0, f"{command}\n{shown[-2000:]}"


def run_words(words, monkeypatch, capsys):
    """Run a command line, our own in this process: its status and what it wrote to standard error."""
    if words[0] == "trainer-ext":
        status, _, shown = run_command(monkeypatch, capsys, *words[1:])
        return status, shown
    assert words[0] == "python", f"nobody knows how to run {words[0]}; mark the block <!-- not run: REASON -->"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words[1:]], env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_what_is_left_out_says_why(page):
    found = blocks(PAGES[page])
    assert PAGES[page].count("```") == 2 * len(found)  # none escapes
    assert {block.language for block in found} <= KNOWN
    assert {block.reason for block in found if block.reason is not None} <= set(REASONS)
    assert not [b for b in found if b.reason == "needs the Hub" and not re.search(r"push|USER/", b.text)]


def test_nearly_all_commands_are_run():
    found = [block for text in PAGES.values() for block in blocks(text) if block.language in ("sh", "python")]
    assert len(found) > 40
    assert sum(block.reason is None for block in found) / len(found) > 0.6


def test_a_block_is_read_with_its_mark_and_its_title():
    page = """
<!-- not run: needs the Hub -->
```sh
trainer-ext push a b   # a comment
```

```yaml title="grid.yaml"
base: x
```
"""
    first, second = blocks(page)
    assert first == Block("sh", "trainer-ext push a b   # a comment\n", "needs the Hub")
    assert first.commands == ["trainer-ext push a b"]
    assert (second.title, second.text, second.reason) == ("grid.yaml", "base: x\n", None)


def test_a_command_that_fails_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_words(["trainer-ext", "check", "nowhere"], monkeypatch, capsys)[0] == 2
    with pytest.raises(AssertionError, match="nobody knows how to run"):
        run_words(["make", "tea"], monkeypatch, capsys)
