"""One push with a Space by the command; then other processes do everything that the card and the page promise."""

import json
import subprocess
import sys

import pytest
import torch
from huggingface_hub import HfApi
from transformers import pipeline

from tests.helpers.cards import code_blocks, run_block
from tests.helpers.commands import TOPICS
from tests.helpers.paging import START, ask, only, started
from tests.helpers.publishing import CLIENT_WARNS, ROOT, make_run
from tests.hub.loopback import LoopbackHub
from trainer_ext.export.formats import export

REPO, SPACE = "user/small", "user/demo"
IN_ARGUMENTS, IN_ENVIRONMENT, IN_FILES = "hf_" + "Arg7" * 9, "not-to-be-told-1234", "hf_" + "Fil3" * 9
TEXT = "what copper can do"
pytestmark = [CLIENT_WARNS, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with an export, and with secrets in many places."""
    fields = {"card_license": "cc0-1.0", "card_language": ["en"], "hub_token": IN_ARGUMENTS}
    run = make_run(tmp_path_factory.mktemp("published"), **fields)
    export(run, ["onnx"])
    for name in (
        "training_args.bin",
        "notes.txt",
        ".env",
        "emissions.csv",
        "onnx/.cache",
        "checkpoint-3/optimizer.pt",
    ):
        file = run / "compressed" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(IN_FILES)
    return run


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    """`(hub, output)` after the command published the run in a process of its own."""
    home = tmp_path_factory.mktemp("home")
    with LoopbackHub() as hub:
        words = [
            "push",
            str(run),
            REPO,
            "--space",
            SPACE,
            "--dataset",
            "owner/topics",
            "--space-hardware",
            "zero-a10g",
        ]
        done = subprocess.run(
            [sys.executable, "-m", "trainer_ext", *words],
            env={
                **hub.environment(home),
                "SOME_API_KEY": IN_ENVIRONMENT,
                "PATH": "",
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            },
            cwd=home,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        yield hub, done.stdout
    assert not hub.unhandled


def test_the_command_prints_the_addresses(published):
    hub, printed = published
    words = "".join(printed.split())
    for place in (REPO, f"{REPO}-baseline", f"spaces/{SPACE}"):
        assert f"{hub.url}/{place}" in words
    assert {name for _, name in hub.repositories} == {REPO, f"{REPO}-baseline", SPACE}


def test_no_secret_was_uploaded(published, run):
    hub, printed = published
    secrets = {IN_ARGUMENTS, IN_ENVIRONMENT, IN_FILES, hub.token}
    bodies = b"\n".join(hub.uploaded)
    assert bodies, "or this shows nothing"
    assert not {secret for secret in secrets if secret.encode() in bodies or secret in printed}
    assert str(run).encode() not in bodies
    assert IN_ARGUMENTS in (run / "recipe.yaml").read_text(), "the secret must be in the run"


def test_every_code_block_of_the_card_runs(published, tmp_path):
    """From an empty cache and an empty folder; the output is a prediction."""
    hub, _ = published
    blocks = code_blocks(hub.files(REPO)["README.md"].decode())
    assert [(block.section, block.language) for block in blocks] == [
        *[("loading", "python")] * 2,
        *[("exports", "python"), ("exports", "sh")],
    ]
    written = [run_block(block, tmp_path, **hub.environment(tmp_path / "cache")) for block in blocks]
    for output in (written[0], written[1], written[3]):
        assert any(topic in output for topic in TOPICS), output


def test_a_wrong_code_block_fails(published, tmp_path):
    hub, _ = published
    block = code_blocks(hub.files(REPO)["README.md"].decode())[0]
    wrong = block.__class__(block.language, block.text.replace(", trust_remote_code=True", ""), block.section)
    with pytest.raises(AssertionError, match="trust_remote_code"):
        run_block(wrong, tmp_path, **hub.environment(tmp_path / "cache"))


@pytest.fixture
def api(published, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return HfApi(endpoint=published[0].url, token=published[0].token)


def test_the_front_matter_of_the_models(published, api):
    hub, _ = published
    card = api.model_info(REPO).card_data
    assert (card.license, card.language, card.datasets, card.pipeline_tag) == (
        *("cc0-1.0", ["en"], ["owner/topics"], "text-classification"),
    )
    assert "baseline" in api.model_info(f"{REPO}-baseline").card_data.tags
    exported = json.loads(hub.files(REPO)["compression.json"])["exports"]
    assert [row["path"] for row in exported] == ["compressed/onnx/model.onnx"]
    assert "onnx/model.onnx" in hub.files(REPO)
    assert f"]({hub.url}" not in hub.files(REPO)["README.md"].decode(), "no address of this machine"


def test_the_published_space_starts(published, run, tmp_path):
    """From the published files, with its own wheel and its models by id from an empty cache."""
    hub, _ = published
    for name, content in hub.files(SPACE, repo_type="space").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert f"{REPO}-baseline" in (tmp_path / "models.json").read_text()
    environment = {**hub.environment(tmp_path / "cache"), "HF_TOKEN": ""}
    with started([*only(), START], cwd=tmp_path, **environment) as address:
        found, endpoints = ask(address, TEXT)
    assert {"/compare"} <= set(endpoints) <= {"/compare", "/compare_batch", "/benchmark"}
    for name in ("baseline", "compressed"):
        told = pipeline("text-classification", str(run / name), top_k=None)([TEXT])[0]
        probabilities = {row["label"]: row["score"] for row in told}
        ours = found[name]["probabilities"]
        assert ours.keys() == probabilities.keys()
        torch.testing.assert_close(
            torch.tensor([ours[label] for label in probabilities]), torch.tensor([*probabilities.values()])
        )


def test_the_space_requires_its_own_wheel(published, api):
    hub, _ = published
    files = hub.files(SPACE, repo_type="space")
    wheel = next(name for name in files if name.endswith(".whl"))
    assert f"{hub.url}/spaces/{SPACE}/resolve/main/{wheel}" in files["requirements.txt"].decode()
    runtime = api.get_space_runtime(SPACE)
    assert runtime.requested_hardware == "zero-a10g" or runtime.hardware == "zero-a10g"
