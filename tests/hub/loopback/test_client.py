"""The real client in child processes: what it publishes is stored and can be downloaded."""

import json
import re

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.loopback.hub_client import ask

pytestmark = pytest.mark.slow

CARD = "---\nlicense: apache-2.0\ntags:\n- pruned\n---\n# A card\n"
BIG = b'"' + b"1" * 11_000_000 + b'"'


def statuses(answers: dict, *names: str) -> list:
    return [answers[name][:2] for name in names]


def test_repositories(hub, tmp_path):
    answers = ask(hub, tmp_path, "repositories")
    assert answers["who"] == "user"
    assert answers["url"] == f"{hub.url}/user/a"
    assert answers["exist_ok"] == "user/a"
    assert answers["info"] == ["user/a", False, 40, [True]]
    assert answers["revision"]
    assert (answers["hidden"], answers["shown"]) == (True, False)
    assert statuses(answers, "again", "foreign") == [["HfHubHTTPError", 409], ["HfHubHTTPError", 403]]
    lost = "RepositoryNotFoundError"
    assert statuses(answers, "hidden from strangers", "deleted", "delete again") == [
        [lost, 401],
        [lost, 404],
        [lost, 404],
    ]
    with pytest.raises(KeyError, match="user/hidden"):
        hub.files("user/a")


def write_folder(folder):
    """Files of every kind: small, with a large ending, above 10 MB, below a folder, and more than a page of them."""
    files = {"README.md": CARD.encode(), "config.json": b"{}", "notes.txt": b"n", "big.json": BIG}
    files |= {"model.safetensors": b"s" * 1000, "onnx/model.onnx": b"o" * 10}
    files |= {f"many/{index:02}.md": str(index).encode() for index in range(60)}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return files


def test_a_folder_is_uploaded_and_downloaded(hub, tmp_path):
    files = write_folder(tmp_path / "folder")
    answers = ask(hub, tmp_path, "uploads", folder=str(tmp_path / "folder"))
    assert answers["same commit"]
    assert answers["down"]
    assert answers["sha"]
    assert answers["below"] == ["onnx/model.onnx"]
    top = {".gitattributes", *(path.split("/")[0] for path in files)}
    assert answers["folder"] == sorted(top)
    assert answers["no folder"][:2] == ["RemoteEntryNotFoundError", 404]
    assert answers["paths"] == [1000, None, []]
    assert answers["after deletion"] == sorted({".gitattributes", *files} - {"notes.txt"})
    assert answers["left at the first"]
    assert len(answers["pages"]) == 60
    assert set(answers["pages"].values()) == {"Upload folder using huggingface_hub"}
    assert answers["last"]["config.json"] == "third"
    assert answers["last"][".gitattributes"] == "initial commit"
    assert answers["commits"] == ["third", "Upload folder using huggingface_hub", "initial commit"]
    assert answers["outdated"][:2] == ["HfHubHTTPError", 412]

    assert hub.files("user/a")["a.txt"] == b"1"
    assert hub.files("user/a")["same.bin"] == files["model.safetensors"]
    assert hub.files("user/a", revision=hub.commits("user/a")[2].oid)["big.json"] == BIG
    sent = [request.path for request in hub.requests if request.method == "PUT"]
    assert len(sent) == 3, "big.json, model.safetensors (twice committed) and model.onnx, each of them once"
    assert all(request.storage for request in hub.requests if request.method == "PUT")


def test_branches_tags_and_ignored_files(hub, tmp_path):
    answers = ask(hub, tmp_path, "refs")
    assert answers["on main"] == [".gitattributes"]
    assert answers["on the branch"] == [".gitattributes", ".gitignore", "copy.pt"]
    assert answers["refs"] == [["checkpoints", "main"], [["v1", True]]]
    assert answers["tagged"]
    assert statuses(answers, "branch again", "main stays") == [["HfHubHTTPError", 409], ["HfHubHTTPError", 403]]
    lost = ["RevisionNotFoundError", 404]
    assert statuses(answers, "no tag", "no branch") == [lost, lost]
    assert answers["missing"][:2] == ["RemoteEntryNotFoundError", 404]


def test_a_space(hub, tmp_path):
    answers = ask(hub, tmp_path, "spaces", other=hub.add_token("other"))
    assert answers["url"] == f"{hub.url}/spaces/user/demo"
    assert answers["files"] == [".gitattributes", "README.md", "app.py"]
    assert (answers["runtime"], answers["hardware"], answers["sleep"]) == ("zero-a10g", "cpu-upgrade", 600)
    assert answers["secrets"] == {"FIRST": None, "SECOND": "for the models"}
    assert answers["one secret"] == ["FIRST"]
    assert (answers["variables"], answers["no variables"]) == ({"MODEL": "user/a"}, {})
    assert (answers["stage"], answers["paused"], answers["restarted"]) == ("BUILDING", "PAUSED", "BUILDING")
    assert answers["stranger"][:2] == ["RepositoryNotFoundError", 404]
    everything = b"\n".join(hub.uploaded)
    assert b"SECOND" in everything
    assert b"secret-value" not in everything


def test_a_client_with_xet_fails(tmp_path):
    """Why `environment` sets HF_HUB_DISABLE_XET; and an unknown request is recorded."""
    pytest.importorskip("hf_xet")
    with LoopbackHub() as hub:
        *_, (name, _, message) = ask(
            hub, tmp_path, "attempt", names=["create", "weights"], without="HF_HUB_DISABLE_XET"
        )
        assert "xet-write-token" in message, name
        assert {request.path for request in hub.unhandled} == {"/api/models/user/a/xet-write-token/main"}
        assert "a.bin" not in hub.files("user/a")


def test_models_are_published_and_loaded_by_id(hub, tmp_path):
    before = ask(hub, tmp_path / "one", "publish", folder=str(tmp_path / "run"), token=hub.token)
    after = ask(hub, tmp_path / "empty", "load", without="HF_TOKEN")
    assert after["tiny"] == before["tiny"]
    assert after["trained"] == before["trained"]
    assert after["tiny"] != after["trained"], "two models, told apart by their ids"
    assert after["pipeline"] == [f"LABEL_{int(b > a)}" for a, b in before["tiny"]]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(hub.files("user/tiny"))
    assert json.loads(hub.files("user/tiny")["config.json"])["model_type"] == "bert"
    # The stock Trainer uploads its arguments, token and all: what is searched here would find a leak.
    assert "training_args.bin" in hub.files("user/trained")
    assert any(hub.token.encode() in body for body in hub.uploaded)
    assert not any(re.search(rb"hf_[A-Za-z0-9]{30}", content) for content in hub.files("user/tiny").values())
