"""The catalogue: every bad input ends with its status and one line that names it, and changes nothing on the disk."""

from __future__ import annotations

import pytest
from transformers.utils import logging

from tests.helpers.commands import run_command
from tests.helpers.publishing import CLIENT_WARNS
from tests.inputs.bad_arguments import ARGUMENTS
from tests.inputs.bad_data import DATA
from tests.inputs.bad_hub import ANSWERS, NAMES, REPO
from tests.inputs.bad_models import MODELS
from tests.inputs.bad_recipes import RECIPES
from tests.inputs.bad_reports import REPORTS
from tests.inputs.bad_sweeps import SWEEPS
from tests.inputs.bad_tokenizers import CORPORA, TOKENIZERS
from tests.inputs.bad_uploads import UPLOADS
from tests.inputs.ground import Bad, Ground, listing
from trainer_ext import InputError

TABLES = {
    "arguments": ARGUMENTS,
    "recipes": RECIPES,
    "sweeps": SWEEPS,
    "data": DATA,
    "models": MODELS,
    "tokenizers": TOKENIZERS,
    "corpora": CORPORA,
    "reports": REPORTS,
    "names": NAMES,
}
CATALOGUE = {f"{table}: {name}": bad for table, rows in TABLES.items() for name, bad in rows.items()}


@pytest.fixture
def ground(tmp_path, finished_run):
    """One good thing of each kind."""
    return Ground(tmp_path, finished_run)


@pytest.fixture(autouse=True)
def _as_a_command(monkeypatch):
    """What the command line sets before it imports transformers, which is here already."""
    before = logging.get_verbosity()
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


def refused(call, bad: Bad, ground: Ground):
    """Everything that is asked of a refusal; `call(words)` gives status, standard output and standard error."""
    words = bad.make(ground)
    before = listing(ground.root)
    status, out, err = call(*words)
    assert status == bad.status, err
    assert len(err.strip().splitlines()) == 1, err
    assert len(err) < 1200, "a line, not a file"
    assert err.strip().isprintable(), repr(err)
    assert [word for word in bad.says if word not in err] == [], err
    assert "Traceback" not in err
    assert "Traceback" not in out
    assert listing(ground.root) == before


@pytest.mark.parametrize("bad", CATALOGUE.values(), ids=CATALOGUE)
def test_bad_input_is_one_line(bad, ground, monkeypatch, capsys):
    refused(lambda *words: run_command(monkeypatch, capsys, *words), bad, ground)


@pytest.mark.parametrize(("act", "says"), UPLOADS.values(), ids=UPLOADS)
def test_the_page_refuses_in_one_line(act, says, ground):
    with pytest.raises(InputError) as error:
        act(ground)
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in says if word not in message] == [], message


@CLIENT_WARNS
@pytest.mark.usefixtures("client_here")
@pytest.mark.parametrize(("plan", "status", "says"), ANSWERS.values(), ids=ANSWERS)
def test_a_bad_answer_of_the_hub_is_one_line(plan, status, says, ground, hub, monkeypatch, capsys):
    fault = hub.fail(**plan, times=50)
    bad = Bad(lambda g: ["push", g.run, REPO], (says, REPO), status)
    refused(lambda *words: run_command(monkeypatch, capsys, *words), bad, ground)
    assert fault.happened, "or this shows nothing"
    assert not any(name.startswith("model") for _, repo in hub.repositories for name in hub.files(repo))


def test_a_good_input_is_not_refused(ground, monkeypatch, capsys):
    """The control: without what is made bad, every check of the catalogue fails."""
    good = Bad(lambda g: ["trim", g.model("baseline"), g.out, "--size", 130, "--corpus", corpus(g)], ())
    with pytest.raises(AssertionError):
        refused(lambda *words: run_command(monkeypatch, capsys, *words), good, ground)
    assert (ground.out / "model.safetensors").is_file()


def corpus(ground):
    """Good texts."""
    from tests.inputs.bad_arguments import corpus

    return corpus(ground)


def test_the_catalogue_is_as_long_as_it_was():
    assert len(CATALOGUE) + len(UPLOADS) + len(ANSWERS) >= 400
