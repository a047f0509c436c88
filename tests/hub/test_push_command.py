"""The push command: bad input is refused in one line, and a dry run stages, verifies and shows what would be uploaded."""

import json
import shutil

import pytest

from tests.helpers.commands import run_command
from tests.helpers.publishing import run_python
from tests.hub.test_upload import LOAD


def call(monkeypatch, capsys, *words):
    return run_command(monkeypatch, capsys, "push", *words)


def contents(folder):
    """Every file of a folder with its bytes."""
    return {file.relative_to(folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "user/small"], "no folder"),
        (["{run}/logs", "user/small"], "holds no run"),
        (["{run}", "small"], "USER/NAME"),
        (["{run}", "user/a b"], "not a valid name on the Hub"),
        (["{run}", "user/small", "--space", "demo"], "USER/NAME"),
        (["{run}", "user/small", "--space", "user/demo", "--baseline", "user/small"], "both models"),
        (["{run}", "user/small", "--card", "mine"], "'local', 'hub'"),
        (["{run}", "user/small", "--keep", "{run}"], "new or an empty folder"),
        (["{run}", "user/small", "--keep", "{run}/compression.json"], "new or an empty folder"),
        (["{run}", "user/small", "--space-token", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["{run}", "user/small", "--dataset", "a b"], "datasets"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(words, message, run, monkeypatch, capsys):
    before = contents(run)
    words = [word.format(run=run) for word in words]
    status, _, err = call(monkeypatch, capsys, *words, "--dry-run")
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert contents(run) == before


def test_only_a_dry_run_keeps_folders(run, tmp_path, monkeypatch, capsys):
    status, _, err = call(monkeypatch, capsys, run, "user/small", "--keep", tmp_path / "kept")
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "--keep needs --dry-run" in err
    assert not (tmp_path / "kept").exists()


def test_a_dry_run_lists_the_files_and_prints_the_card(run, monkeypatch, capsys):
    (run / "compressed/secret.txt").write_text("private")
    before = contents(run)
    status, out, err = call(
        monkeypatch, capsys, run, "user/small", "--dry-run", "--license", "mit", "--space", "user/d"
    )
    assert status == 0, err
    assert "model.safetensors" in out
    assert "secret.txt" in out
    assert out.index("secret.txt") < out.index("stays here")
    assert "license: mit" in out
    assert 'pipeline("text-classification", "user/small", trust_remote_code=True)' in out
    for name in ("user/small: ", "user/small-baseline: ", "user/d: ", "app.py", ".whl"):
        assert name in out, name
    assert out.count("logits differ by at most 0.0e+00") == 2, "the model and the baseline were loaded again"
    assert contents(run) == before, "a dry run must not change the run"


@pytest.mark.slow
def test_a_dry_run_keeps_what_a_stranger_can_load(run, tmp_path, monkeypatch, capsys):
    (run / "compressed/notes.txt").write_text("private")
    before, kept = contents(run), tmp_path / "kept"
    kept.mkdir()
    words = ["--dry-run", "--keep", kept, "--language", "mr", "--space", "user/demo"]
    status, _, err = call(monkeypatch, capsys, run, "user/small", *words)
    assert status == 0, err
    assert contents(run) == before, "a dry run must not change the run"
    assert sorted(file.name for file in kept.iterdir()) == ["baseline", "model", "space"]
    assert {str(file) for file in contents(kept / "model")} == {
        *("README.md", "compression.json", "config.json", "model.safetensors", "modeling_compact.py"),
        *("parameters.svg", "tokenizer.json", "tokenizer_config.json"),
    }
    assert "mr" in (kept / "model/README.md").read_text("utf-8")
    assert json.loads((kept / "model/compression.json").read_text("utf-8"))["model"]["compressed"] == "user/small"
    assert json.loads((kept / "space/models.json").read_text())["compressed"] == "user/small"
    weights = kept / "model/model.safetensors"
    assert weights.stat().st_nlink == 1, "an edit of the copy must not change the run"
    (tmp_path / "empty").mkdir()
    offline = {"environment": {"HF_HUB_OFFLINE": "1"}, "cwd": tmp_path / "empty"}
    as_stranger = run_python(LOAD, kept / "model", "flag", **offline)
    assert as_stranger == run_python(LOAD, run / "compressed", "package", **offline, package=True)


@pytest.mark.slow
def test_a_dry_run_of_a_trainers_folder_may_name_a_baseline(run, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(run / "compressed", tmp_path / "trained")
    shutil.copyfile(run / "compression.json", folder / "compression.json")
    space = ["--dry-run", "--space", "user/demo"]
    status, _, err = call(monkeypatch, capsys, folder, "user/small", *space)
    assert (status, "no baseline" in err) == (2, True), err
    status, out, err = call(monkeypatch, capsys, folder, "user/small", *space, "--baseline", "user/large")
    assert status == 0, err
    assert "user/large: " not in out, "it is on the Hub already"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["token", "weights"])
def test_a_dry_run_refuses_what_the_push_would_refuse(damage, run, tmp_path, monkeypatch, capsys):
    if damage == "token":
        file = run / "compressed/config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "note": "hf_" + "Zq7" * 12}))
    else:
        file = run / "compressed/model.safetensors"
        content = bytearray(file.read_bytes())
        content[-3] ^= 0x40  # a bit of the last number
        file.write_bytes(content)
    before = contents(run)
    status, _, err = call(monkeypatch, capsys, run, "user/small", "--dry-run", "--keep", tmp_path / "kept")
    message = {"token": (2, "config.json holds a Hugging Face token"), "weights": (1, "does not hold")}[damage]
    assert (status, message[1] in err) == (message[0], True), err
    assert not (tmp_path / "kept").exists()
    assert contents(run) == before
