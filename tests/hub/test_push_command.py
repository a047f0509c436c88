"""The push command: what it refuses in one line, what it shows without sending, and the rehearsal."""

import json

import pytest

from tests.helpers.commands import run_command
from trainer_ext.cli import main


def call(monkeypatch, capsys, *words):
    return run_command(monkeypatch, capsys, "push", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "user/small"], "no folder"),
        (["{run}/logs", "user/small"], "holds no run"),
        (["{run}", "small"], "USER/NAME"),
        (["{run}", "user/a b"], "no name on the Hub"),
        (["{run}", "user/small", "--space", "demo"], "USER/NAME"),
        (["{run}", "user/small", "--space", "user/demo", "--baseline", "user/small"], "both models"),
        (["{run}", "user/small", "--card", "mine"], "local or hub"),
        (["{run}", "user/small", "--rehearse"], "choose one"),
        (["{run}", "user/small", "--space-token", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["{run}", "user/small", "--dataset", "a b"], "datasets"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_sent_or_written(words, said, run, monkeypatch, capsys):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    words = [word.format(run=run) for word in words]
    status, _, err = call(monkeypatch, capsys, *words, "--dry-run")
    assert status == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_dry_run_lists_the_files_and_prints_the_card(run, monkeypatch, capsys):
    (run / "compressed/secret.txt").write_text("private")
    before = sorted(run.rglob("*"))
    status, out, err = call(
        monkeypatch, capsys, run, "user/small", "--dry-run", "--license", "mit", "--space", "user/d"
    )
    assert status == 0, err
    assert "model.safetensors" in out
    assert "secret.txt" in out
    assert out.index("secret.txt") < out.index("stays here")
    assert "license: mit" in out
    assert 'pipeline("text-classification", "user/small", trust_remote_code=True)' in out
    assert "user/small-baseline" in out
    assert sorted(run.rglob("*")) == before


def test_a_rehearsal_publishes_here_and_loads_it_back(run, monkeypatch, capsys):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    status, out, err = call(monkeypatch, capsys, run, "user/small", "--rehearse", "--language", "mr")
    assert status == 0, err
    assert "logits differ by at most 0.0e+00" in out
    page = run / "rehearsal/model/user/small/index.html"
    assert "user/small" in page.read_text("utf-8")
    assert (page.parent / "model.safetensors").read_bytes() == (run / "compressed/model.safetensors").read_bytes()
    assert json.loads((page.parent / "compression.json").read_text())["model"]["compressed"] == "user/small"
    after = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and "rehearsal" not in file.parts}
    assert after == before, "a rehearsal is not a publication: nothing else changes"


def test_a_rehearsal_refuses_what_the_push_would_refuse(run, monkeypatch, capfd):
    file = run / "compressed/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "note": "hf_" + "Zq7" * 12}))
    monkeypatch.setattr("sys.argv", ["trainer-ext", "push", str(run), "user/small", "--rehearse"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 2
    assert "config.json holds a Hugging Face token" in capfd.readouterr().err
    assert not (run / "rehearsal").exists()
