"""Access with tokens that are wrong, read-only, missing or belong to somebody else."""

import pytest

from tests.hub.loopback.access import Access, made_up_token, signed_in, writer
from tests.hub.loopback.answers import Refusal
from tests.hub.loopback.hub_client import ask


def test_every_refusal_reaches_the_client(hub, tmp_path):
    answers = ask(hub, tmp_path, "refusals", reader=hub.add_token(role="read"), other=hub.add_token("other"))
    expected = {"wrong": 401, "reader": 403, "other": 403, "none": 401}
    for who, status in expected.items():
        for what in ("create", "upload", "delete"):
            assert answers[who][what][:2] == ["HfHubHTTPError", status], (who, what)
    assert "write token" in answers["reader"]["upload"][2]
    lost = "RepositoryNotFoundError"
    for what in ("hidden", "hidden file"):
        assert answers["wrong"][what][:2] == ["HfHubHTTPError", 401]
        assert answers["other"][what][:2] == [lost, 404]
        assert answers["none"][what][:2] == [lost, 401]
    assert answers["reader sees"] == "w" * 64
    assert answers["other's own"] == "other/a"
    assert answers["whoami"][:2] == ["HfHubHTTPError", 401]

    assert answers["revision"][:2] == ["RevisionNotFoundError", 404]
    assert answers["upload to no branch"][:2] == ["RevisionNotFoundError", 404]
    assert answers["entry"][:2] == ["RemoteEntryNotFoundError", 404]
    assert answers["no repository"][:2] == answers["one part"][:2] == [lost, 404]
    assert answers["pull request"][:2] == ["BadRequestError", 400]
    assert answers["leak"][:2] == ["BadRequestError", 400]
    assert "notes.md" in answers["leak"][2]
    assert answers["card yaml"][0] == answers["card type"][0] == "ValueError"
    assert '"tags" must be an array' in answers["card type"][2]
    # What was refused is not there; what was allowed is. A large file is not searched for tokens.
    assert set(hub.files("user/a")) == {".gitattributes", "README.md", "training_args.bin"}


def test_tokens():
    access = Access("user", "hf_owner")
    assert access.account(None) is None
    assert access.account("Bearer hf_owner").role == "write"
    reader = access.account(f"Bearer {access.add_token('user', 'read')}")
    with pytest.raises(Refusal, match="Invalid credentials") as refusal:
        access.account("Bearer hf_owner2")
    assert refusal.value.status == 401
    assert writer(access.account("Bearer hf_owner"), "user").user == "user"
    for account, owner, status in ((None, "user", 401), (reader, "user", 403), (access.account("hf_owner"), "b", 403)):
        with pytest.raises(Refusal) as refusal:
            writer(account, owner)
        assert refusal.value.status == status
    with pytest.raises(Refusal):
        signed_in(None)
    with pytest.raises(ValueError, match="read, write"):
        access.add_token("user", "admin")
    assert access.tokens_in(b"a hf_owner b")
    assert not access.tokens_in(b"hf_own")
    assert made_up_token() != made_up_token()
