"""Remote code: a code file that differs from the shipped one leaves its mark only where somebody asked for it to run."""

from __future__ import annotations

import pytest
from transformers import AutoConfig, AutoTokenizer

from tests.helpers.commands import run_command
from tests.inputs.bad_arguments import corpus
from tests.inputs.ground import Ground, change_json

CODE = """
from pathlib import Path

from transformers import BertConfig, BertTokenizer

Path({mark!r}).write_text("it ran")


class Config(BertConfig):
    model_type = "strange"


class Tokenizer(BertTokenizer):
    pass
"""


@pytest.fixture
def ground(tmp_path, finished_run):
    """One good thing of each kind."""
    return Ground(tmp_path, finished_run)


def planted(ground, *, part="config.json", **changes):
    """A model whose configuration points to a code file beside it that leaves a mark when it is run."""
    model = ground.model("baseline")
    (model / "strange.py").write_text(CODE.format(mark=str(ground.root / "ran")))
    change_json(model / part, **changes)
    return model


STRANGE = {"model_type": "strange", "auto_map": {"AutoConfig": "strange.Config"}}
TOKENIZER = {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": ["strange.Tokenizer", None]}}
READERS = {
    "check": lambda g, model: ["check", model],
    "benchmark": lambda g, model: ["benchmark", model],
    "export": lambda g, model: ["export", model],
    "trim": lambda g, model: ["trim", model, g.out, "--size", 110, "--corpus", corpus(g)],
    "compress": lambda g, model: g.recipe(model_name_or_path=str(model)),
    "teacher": lambda g, model: g.recipe(distill_teacher=str(model)),
    "import": lambda g, model: ["import-nn-pruning", model, g.out],
}


@pytest.mark.parametrize("reader", READERS)
def test_the_code_of_a_model_is_not_run(reader, ground, monkeypatch, capsys):
    words = READERS[reader](ground, planted(ground, **STRANGE))
    status, _, err = run_command(monkeypatch, capsys, *words)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert not (ground.root / "ran").exists()


def test_the_code_of_a_tokenizer_is_not_run(ground, monkeypatch, capsys):
    """Where transformers has a tokenizer of its own for the model, that one is opened instead."""
    words = READERS["trim"](ground, planted(ground, part="tokenizer_config.json", **TOKENIZER))
    run_command(monkeypatch, capsys, *words)
    assert not (ground.root / "ran").exists()


@pytest.mark.parametrize(
    ("part", "changes", "auto"),
    [("config.json", STRANGE, AutoConfig), ("tokenizer_config.json", TOKENIZER, AutoTokenizer)],
)
def test_who_asks_for_it_runs_it(part, changes, auto, ground):
    """The control: the same folders leave the mark, or the tests above show nothing."""
    auto.from_pretrained(planted(ground, part=part, **changes), trust_remote_code=True)
    assert (ground.root / "ran").read_text() == "it ran"


def elsewhere(ground):
    """A compact model with the shipped code file beside it, whose configuration points into another folder."""
    model, other = ground.model(), ground.root / "other"
    other.mkdir()
    code = (model / "modeling_compact.py").read_text()
    (other / "modeling_compact.py").write_text(f"{code}\nopen({str(ground.root / 'ran')!r}, 'w').close()\n")
    named = {
        "AutoConfig": "CompactBertConfig",
        "AutoModelForSequenceClassification": "CompactBertForSequenceClassification",
    }
    change_json(
        model / "config.json", auto_map={auto: f"{other}--modeling_compact.{cls}" for auto, cls in named.items()}
    )
    return model


def test_code_in_another_folder_is_not_run_unless_asked_for(ground, monkeypatch, capsys):
    """Check opens the model in a process that trusts its code: what it points to is looked at first."""
    model = elsewhere(ground)
    status, _, err = run_command(monkeypatch, capsys, "check", model)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert "auto_map" in err
    assert str(ground.root / "other") in err
    assert not (ground.root / "ran").exists()
    run_command(monkeypatch, capsys, "check", model, "--trust-remote-code")
    assert (ground.root / "ran").exists(), "the flag must really let it run, or the refusal shows nothing"
