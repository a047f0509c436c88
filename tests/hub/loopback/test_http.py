"""HTTP without the client: parts of files, signatures, unknown addresses, and the record of requests."""

import base64
import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.loopback.answers import content_answer
from tests.hub.loopback.records import in_the_clear


def fetch(address: str, method: str = "GET", *, body=None, **headers):
    """Status, headers and body of one request."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def publish(hub, files: dict[str, bytes], **fields):
    """A repository user/a with these regular files."""
    owner = {"Authorization": f"Bearer {hub.token}"}
    made = fetch(f"{hub.url}/api/repos/create", "POST", body=json.dumps({"name": "a", **fields}), **owner)
    lines = [{"key": "header", "value": {"summary": "files"}}]
    for path, content in files.items():
        lines.append({"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode()}})
    body = "\n".join(map(json.dumps, lines))
    kind = fields.get("type", "model")
    sent = fetch(f"{hub.url}/api/{kind}s/user/a/commit/main", "POST", body=body, **owner)
    assert (made[0], sent[0]) == (200, 200)


def test_parts_of_a_file():
    def part(wanted):
        answer = content_answer(b"0123456789", wanted, {})
        return answer.status, answer.body, answer.headers.get("Content-Range")

    assert part(None) == part("bytes=-") == part("lines=1-2") == (200, b"0123456789", None)
    assert part("bytes=2-4") == (206, b"234", "bytes 2-4/10")
    assert part("bytes=7-") == part("bytes=-3") == part("bytes=7-99") == (206, b"789", "bytes 7-9/10")
    assert part("bytes=10-") == part("bytes=4-2") == (416, b"", "bytes */10")


def test_files_in_a_browser(hub):
    publish(hub, {"x.svg": b"<svg/>", "p.html": b"<script>"})
    status, headers, image = fetch(f"{hub.url}/user/a/resolve/main/x.svg")
    assert (status, headers["Content-Type"], image) == (200, "image/svg+xml", b"<svg/>")
    assert "sandbox" in headers["Content-Security-Policy"]
    assert fetch(f"{hub.url}/user/a/resolve/main/p.html")[1]["Content-Type"] == "text/plain; charset=utf-8"
    status, headers, nothing = fetch(f"{hub.url}/user/a/resolve/main/x.svg", "HEAD", Range="bytes=1-")
    assert (status, headers["Content-Length"], nothing) == (206, "5", b"")
    assert headers["X-Repo-Commit"] == hub.commits("user/a")[0].oid
    assert fetch(f"{hub.url}/user/none/resolve/main/x.svg")[0] == 401


def test_files_of_a_private_space(hub):
    publish(hub, {"app.py": b"print()"}, type="space", sdk="gradio", visibility="private")
    address = f"{hub.url}/spaces/user/a/resolve/main/app.py"
    assert fetch(address)[0] == 401
    assert fetch(address, Authorization=f"Bearer {hub.token}")[2] == b"print()"


def test_invalid_names(hub):
    owner = {"Authorization": f"Bearer {hub.token}"}
    for name, status in (("a--b", 400), ("a.git", 400), ("-a", 400), ("a" * 97, 400), ("a/b", 400), ("a.b-c_1", 200)):
        assert fetch(f"{hub.url}/api/repos/create", "POST", body=json.dumps({"name": name}), **owner)[0] == status, (
            name
        )


def test_the_storage_requires_a_signature(hub):
    publish(hub, {})
    content, sha256 = b"large", "8b5a6d5b0d5b6b0f6c3e3ff3d5b9cc6a"
    owner = {"Authorization": f"Bearer {hub.token}"}
    wanted = json.dumps({"objects": [{"oid": sha256, "size": 5}]})
    batch = fetch(f"{hub.url}/user/a.git/info/lfs/objects/batch", "POST", body=wanted, **owner)[2]
    address = json.loads(batch)["objects"][0]["actions"]["upload"]["href"]
    assert urlsplit(address).port != urlsplit(hub.url).port, "another origin"
    assert fetch(address + "0", "PUT", body=content)[0] == 403
    assert fetch(address, "GET")[0] == 403, "a signature is for one method"
    status, _, answer = fetch(address, "PUT", body=content)
    assert (status, sha256 in answer.decode()) == (400, True), "this is not what was announced"


def test_unknown_requests_are_recorded():
    with LoopbackHub() as hub:
        publish(hub, {})
        for method, path in (("GET", "/api/telemetry"), ("POST", "/user/a"), ("GET", "/api/models/user/a/unheard/of")):
            assert fetch(hub.url + path, method)[0] == 404
        owner = {"Authorization": f"Bearer {hub.token}"}
        assert fetch(f"{hub.url}/api/models/user/a/commit/main", "POST", body="no JSON", **owner)[0] == 500
        assert [request.status for request in hub.unhandled] == [404, 404, 404, 500]
        assert [request.path for request in hub.unhandled] == [
            request.path.rstrip("?") for request in hub.requests[2:]
        ]


def test_bodies_are_recorded_and_can_be_searched(hub):
    publish(hub, {"notes.txt": b"planted-in-a-file"})
    fetch(f"{hub.url}/api/validate-yaml", "POST", body=json.dumps({"content": "planted-in-a-card"}))
    body = b'{"files": [{"path": "planted-in-a-path", "sample": "%s"}]}' % base64.b64encode(b"planted-in-a-sample")
    everything = b"\n".join([*hub.uploaded, *in_the_clear(body)])
    for where in ("file", "card", "path", "sample"):
        assert f"planted-in-a-{where}".encode() in everything
    assert b"planted-in-a-file" not in b"".join(request.body for request in hub.requests), "in base64 only"
    assert b"planted-in-a-cut" in b"".join(in_the_clear(b'{"planted-in-a-cut": "'))


def test_chunked_bodies_can_be_cut(hub):
    pieces = [b'{"content": ', b'"# A card"', b"}"]
    assert fetch(f"{hub.url}/api/validate-yaml", "POST", body=iter(pieces))[0] == 200
    assert hub.requests[-1].body == b"".join(pieces)
    fault = hub.fail("POST", "validate", drop_after=15)
    with pytest.raises(OSError, match=r"reset|closed|Broken"):
        fetch(f"{hub.url}/api/validate-yaml", "POST", body=iter(pieces))
    assert (fault.happened, hub.requests[-1].status, hub.requests[-1].body) == (1, None, b"".join(pieces)[:15])


def test_a_dropped_connection_is_recorded():
    with LoopbackHub() as hub:
        parts = urlsplit(hub.url)
        for headers, body in (
            ({"Content-Length": "100"}, b"begun"),
            ({"Transfer-Encoding": "chunked"}, b"5\r\nbegun\r\n"),
        ):
            connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
            connection.putrequest("POST", "/api/validate-yaml")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            connection.close()
        assert fetch(f"{hub.url}/api/whoami-v2")[0] == 401  # by now, the others have been let in
    assert sorted((request.body, request.status) for request in hub.requests) == [
        (b"", 401),
        (b"begun", None),
        (b"begun", None),
    ]


def test_two_hubs_are_independent():
    with LoopbackHub() as one, LoopbackHub(user="other", token="hf_given") as two:
        publish(one, {"a": b"1"})
        assert fetch(f"{two.url}/api/models/user/a")[0] == 401
        assert (two.user, two.token) == ("other", "hf_given")
        assert one.token != LoopbackHub().token
