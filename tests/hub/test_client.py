"""The Hub client: a folder is uploaded in one commit, and every error is one line that says what to do."""

import pytest
from huggingface_hub import HfApi

from tests.helpers.publishing import CLIENT_WARNS
from trainer_ext.errors import HubError, InputError
from trainer_ext.hub.client import Remote, check_account, claim, explain_error, look, publish, refuse_foreign

REPO = "user/small"
CARD = "---\nlicense: mit\n---\n# Card\n"
pytestmark = [CLIENT_WARNS, pytest.mark.usefixtures("client_here")]


@pytest.fixture
def folder(tmp_path):
    for name, content in {
        "model.safetensors": b"\x00weights",
        "README.md": CARD.encode(),
        "onnx/model.onnx": b"graph",
    }.items():
        file = tmp_path / "stage" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "stage"


def send(folder, *, gone=(), private=None):
    api = HfApi()
    remote = look(api, REPO)
    url = claim(api, remote, private=private)
    publish(api, folder, remote, gone=gone, message="Publish")
    return url


def test_a_folder_becomes_a_repository_in_one_commit(folder, hub):
    assert send(folder, private=True) == f"{hub.url}/{REPO}"
    assert {name: hub.files(REPO)[name] for name in ("model.safetensors", "onnx/model.onnx")} == {
        "model.safetensors": b"\x00weights",
        "onnx/model.onnx": b"graph",
    }
    assert len(hub.commits(REPO)) == 2, "the initial commit, and ours"
    found = look(HfApi(), REPO)
    assert (found.exists, found.private, found.card) == (True, True, CARD)
    send(folder)
    assert len(hub.commits(REPO)) == 2


def test_files_to_delete_are_exact_names(folder, hub):
    send(folder)
    api = HfApi()
    for name in ("a[1].onnx", "a1.onnx"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo=name, repo_id=REPO)
    send(folder, gone=["a[1].onnx"])
    assert {"a[1].onnx", "a1.onnx"} & hub.files(REPO).keys() == {"a1.onnx"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plan", "kind", "words"),
    [
        ({"method": "POST", "path_pattern": "/commit/", "status": 500}, HubError, "repeat the same command"),
        ({"method": "PUT", "path_pattern": "/storage/", "drop_after": 3}, HubError, "connection"),
        ({"method": "PUT", "path_pattern": "/storage/", "status": 403}, InputError, "may not write"),
        ({"method": "POST", "path_pattern": "/commit/", "status": 412}, HubError, "at the same time"),
        ({"method": "POST", "path_pattern": "/commit/", "status": 429}, HubError, "fewer requests"),
        ({"method": "POST", "path_pattern": "/commit/", "status": 413}, InputError, "too large"),
        ({"method": "POST", "path_pattern": "/commit/", "status": 409}, InputError, "a conflict"),
        ({"method": "POST", "path_pattern": "repos/create", "status": 403}, InputError, "may not write"),
        ({"method": "POST", "path_pattern": "repos/create", "status": 409}, HubError, "cannot be understood"),
        ({"method": "GET", "path_pattern": "/api/models/user/small$", "status": 503}, HubError, "503"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_after_an_error_the_same_call_finishes_the_upload(plan, kind, words, folder, hub):
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    fault = hub.fail(**plan, times=50)
    with pytest.raises(kind, match=words) as error:
        send(folder)
    assert REPO in str(error.value)
    assert fault.happened
    assert "\n" not in str(error.value)
    fault.times = 0
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    send(folder)
    assert hub.files(REPO)["model.safetensors"] == b"\x00weights"


def test_payment_is_explained(hub):
    hub.fail("POST", "repos/create", status=402, message="You need a PRO subscription")
    space = Remote("user/demo", "space")
    with pytest.raises(InputError, match=r"PRO.*zero-a10g.*python space/app\.py"):
        claim(HfApi(), space, hardware="cpu-basic")


def test_no_token(hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match="hf auth login"):
        check_account(HfApi(), REPO)


def test_tokens_that_may_not_publish(folder, hub, monkeypatch):
    check_account(HfApi(), REPO)
    monkeypatch.setenv("HF_TOKEN", hub.add_token(role="read"))
    with pytest.raises(InputError, match="is read-only"):
        check_account(HfApi(), REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    with pytest.raises(InputError, match="does not know this access token"):
        check_account(HfApi(), REPO)
    monkeypatch.setenv("HF_TOKEN", hub.add_token("somebody"))
    with pytest.raises(InputError, match="may not write"):
        send(folder)


def test_offline(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        check_account(HfApi(), REPO)


def test_the_hub_cannot_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(HubError, match="connection"):
        check_account(HfApi(endpoint="http://127.0.0.1:9", token="x"), REPO)


def test_a_model_that_we_did_not_publish():
    with pytest.raises(InputError, match="--overwrite"):
        refuse_foreign(Remote(REPO, exists=True, files=("model.safetensors",)))
    refuse_foreign(Remote(REPO, exists=True, files=("model.safetensors", "compression.json")))
    refuse_foreign(Remote(REPO, exists=True, files=(".gitattributes",)))


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="a bug"), explain_error(REPO):
        raise RuntimeError("a bug")
    with pytest.raises(InputError, match="^as it was$"), explain_error(REPO):
        raise InputError("as it was")
