"""Secrets: tokens by their form or value and local paths are found in any file."""

from pathlib import Path

import pytest

from trainer_ext.hub import secrets as leaks
from trainer_ext.hub.secrets import find_leaks, known_secrets

HUB_TOKEN = "hf_" + "aB3" * 12


def kinds(path: Path, content: bytes, **options) -> list[str]:
    path.write_bytes(content)
    return [leak.kind for leak in find_leaks([path], **{"secrets": {}, **options})]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f'"token": "{HUB_TOKEN}"', "a Hugging Face token"),
        ("ghp_" + "a1" * 20, "a GitHub token"),
        ("AKIA" + "A1" * 8, "an AWS access key"),
        ("sk-proj-" + "a1-_" * 12, "an API key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
    ],
)
def test_what_looks_like_a_token_is_found_in_any_file(tmp_path, text, kind):
    assert kinds(tmp_path / "weights.safetensors", b"\x00\xff" + text.encode() + b"\x00") == [kind]


def test_ordinary_text_is_not_a_secret(tmp_path):
    text = "hf_model sk-learn AKIA /homework /users home/user hf_transfer https://example.org/home/news " + "x" * 5000
    assert kinds(tmp_path / "README.md", text.encode()) == []


def test_a_known_secret_is_found(tmp_path):
    secrets = known_secrets(
        {"MY_API_KEY": "correct horse battery", "PATH": "correct horse battery"}, "another secret value"
    )
    assert kinds(tmp_path / "a.bin", b"..correct horse battery..", secrets=secrets) == ["the value of MY_API_KEY"]
    assert kinds(tmp_path / "a.bin", b"..another secret value..", secrets=secrets) == ["your access token"]


def test_short_values_and_paths_are_not_secrets(tmp_path):
    assert known_secrets({"USE_TOKEN": "true", "TOKEN_FILE": str(tmp_path)}, None) == {}


def test_a_token_across_two_chunks_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(leaks, "CHUNK", 1024)
    for offset in range(980, 1030, 7):
        content = b"." * offset + b" " + HUB_TOKEN.encode() + b" " + b"." * 3000
        assert kinds(tmp_path / "big.bin", content) == ["a Hugging Face token"]


def test_paths_of_this_machine(tmp_path):
    private = tmp_path / "secret project"
    inside = f'{{"from": "{private}/x"}}'.encode()
    assert kinds(tmp_path / "tokenizer.json", inside, folders=[private]) == ["a path of this machine"]
    assert kinds(tmp_path / "tokenizer.json", inside) == []
    for home, slash in (("/home", "/"), ("/Users", "/"), ("/root", "/"), ("C:\\Users", "\\")):
        text = slash.join([home, "asha", "models"])
        assert kinds(tmp_path / "config.json", text.encode()) == ["a path of this machine"], text
        assert kinds(tmp_path / "vocab.txt", text.encode()) == [], "a vocabulary holds pieces of anything"


def test_a_top_level_folder_is_too_short_to_look_for(tmp_path):
    assert kinds(tmp_path / "model.onnx", b"/tmp /usr", folders=["/tmp", "/usr"]) == []
