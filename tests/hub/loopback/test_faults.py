"""Faults: each reaches the client like a real one, happens as often as planned, and a second try succeeds."""

import pytest

from tests.hub.loopback.faults import Fault, Faults
from tests.hub.loopback.hub_client import ask

pytestmark = pytest.mark.slow

TEXT, WEIGHTS = b"t" * 3_000_000, b"w" * 12_000_000


def test_a_status_is_answered_once(hub, tmp_path):
    space = hub.fail("POST", "/api/repos/create", status=402, message="Gradio Spaces need a plan")
    commit = hub.fail("POST", "/commit/main", status=500)
    limit = hub.fail("GET", "whoami", status=429)
    busy = hub.fail("POST", "/objects/batch", status=503, headers={"Retry-After": "0"})
    names = ["create space", "create space", "create", "text", "text", "whoami", "whoami", "weights"]
    first, again, _, lost, oid, limited, name, weights = ask(hub, tmp_path, "attempt", names=names)
    assert first[:2] == ["HfHubHTTPError", 402]
    assert "need a plan" in first[2]
    assert again == f"{hub.url}/spaces/user/s"
    assert lost[:2] == ["HfHubHTTPError", 500]
    assert limited[:2] == ["HfHubHTTPError", 429]
    assert name == "user"
    assert [commit.oid for commit in hub.commits("user/a")][:2] == [weights, oid]
    assert hub.files("user/a")["a.bin"] == WEIGHTS
    assert [fault.happened for fault in (space, commit, limit, busy)] == [1, 1, 1, 1]
    assert [request.status for request in hub.requests if "whoami" in request.path] == [429, 200]


def test_a_connection_breaks_and_a_second_try_succeeds(hub, tmp_path):
    """In a commit, which the client does not send again by itself; and in a large file, which it does."""
    in_commit = hub.fail("POST", "/commit/main", drop_after=1_000_000)
    in_large = hub.fail("PUT", "^/storage/", drop_after=1_000_000)
    in_download = hub.fail("GET", "^/storage/", drop_response_after=11_000_000)
    after_commit = hub.fail("POST", "/commit/main", drop_response_after=0)
    names = ["create", "text", "text", "text", "weights", "down"]
    _, lost, unheard, text, weights, size = ask(hub, tmp_path, "attempt", names=names)
    assert lost[0] in ("RemoteProtocolError", "ReadError", "WriteError")
    assert unheard[0] in ("RemoteProtocolError", "ReadError")
    assert text == hub.commits("user/a")[1].oid, "it had been committed, though the client did not hear of it"
    assert hub.files("user/a") | {".gitattributes": b""} == {".gitattributes": b"", "a.txt": TEXT, "a.bin": WEIGHTS}
    assert size == len(WEIGHTS)
    assert len(hub.commits("user/a")) == 3
    assert [f.happened for f in (in_commit, in_large, in_download, after_commit)] == [1, 1, 1, 1]
    broken = [request for request in hub.requests if request.status is None]
    assert [len(request.body) for request in broken] == [1_000_000, 1_000_000]
    ranges = [request.status for request in hub.requests if request.storage and request.method == "GET"]
    assert ranges == [200, 206], "the client keeps what came in pieces of 10 MB, and asks for the rest"
    assert weights == hub.commits("user/a")[0].oid


def test_faults_are_checked_and_counted():
    faults = Faults()
    with pytest.raises(ValueError, match="status is 200"):
        faults.plan(Fault("GET", "/", status=200))
    with pytest.raises(ValueError, match="times is 0"):
        faults.plan(Fault("GET", "/", times=0))
    twice = faults.plan(Fault("GET", "/a$", times=2, body=b"as given"))
    assert faults.take("POST", "/a") is None
    assert faults.take("GET", "/a/b") is None
    assert [faults.take("GET", "/x/a") for _ in range(3)] == [twice, twice, None]
    assert twice.answer().body == b"as given"
