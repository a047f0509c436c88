"""Bad arguments of `push`, and wrong answers of the Hub, with what the command says."""

from __future__ import annotations

from tests.inputs.ground import Bad

REPO = "user/small"
DRY = ("--dry-run",)


def push(*words, repo=REPO):
    return lambda g: ["push", g.run, repo, *words]


NAMES = {
    "no owner": Bad(push(*DRY, repo="small"), ("'small'", "USER/NAME")),
    "an empty name": Bad(push(*DRY, repo=""), ("''",)),
    "dots for an owner": Bad(push(*DRY, repo="../small"), ("'../small'",)),
    "dots for a name": Bad(push(*DRY, repo="user/.."), ("'user/..'",)),
    "dots inside": Bad(push(*DRY, repo="user/a..b"), ("'user/a..b'",)),
    "a path": Bad(push(*DRY, repo="/etc/passwd"), ("'/etc/passwd'",)),
    "three parts": Bad(push(*DRY, repo="user/a/b"), ("'user/a/b'",)),
    "a space": Bad(push(*DRY, repo="user/a b"), ("'user/a b'",)),
    "a line break": Bad(push(*DRY, repo="user/a\nb"), ("user/a",)),
    "a URL": Bad(push(*DRY, repo="https://huggingface.co/user/a"), ("https://huggingface.co/user/a",)),
    "a query": Bad(push(*DRY, repo="user/a?x=1"), ("'user/a?x=1'",)),
    "a long name": Bad(push(*DRY, repo="user/" + "a" * 200), ("a" * 200,)),
    "other letters": Bad(push(*DRY, repo="user/मराठी"), ("मराठी",)),
    "a Space of dots": Bad(push(*DRY, "--space", "user/../x"), ("'user/../x'",)),
    "a baseline of dots": Bad(push(*DRY, "--space", "user/demo", "--baseline", "../x"), ("'../x'",)),
    "one name for both": Bad(push(*DRY, "--space", "user/demo", "--baseline", REPO), ("both models",)),
    "a data set of dots": Bad(push(*DRY, "--dataset", "../x"), ("'../x'",)),
    "a base model of dots": Bad(push(*DRY, "--base-model", "a/../b"), ("'a/../b'",)),
    "no such variable": Bad(push(*DRY, "--space-token", "NOT_SET_ANYWHERE"), ("NOT_SET_ANYWHERE",)),
    "an unknown card": Bad(push(*DRY, "--card", "mine"), ("'mine'",)),
    "folders kept without a dry run": Bad(push("--keep", "kept"), ("--keep needs --dry-run",)),
    "a full folder to keep in": Bad(lambda g: push(*DRY, "--keep", g.root)(g), ("--keep", "not an empty folder")),
    "no run": Bad(lambda g: ["push", g.root / "nowhere", REPO, *DRY], ("nowhere",)),
    "a folder of something else": Bad(lambda g: ["push", g.root / "data", REPO, *DRY], ("data", "holds no run")),
    "a token in a file": Bad(lambda g: ["push", _token(g), REPO, *DRY], ("config.json", "token")),
}


def _token(ground):
    from tests.inputs.ground import change_json

    change_json(ground.run / "compressed/config.json", note="hf_" + "Zq7" * 12)
    return ground.run


# The request that fails and how, the exit status, and what the command says.
ANSWERS = {
    "an unknown token": (
        {"method": "GET", "path_pattern": "/api/whoami", "status": 401},
        2,
        "does not know this access token",
    ),
    "a page for an answer": (
        {"method": "GET", "path_pattern": "/api/whoami", "status": 502, "body": b"<html>" * 9},
        1,
        "502",
    ),
    "no JSON": (
        {"method": "GET", "path_pattern": "/api/models/user/small$", "status": 500, "body": b"\x00\xff{"},
        1,
        "cannot be understood",
    ),
    "nothing": ({"method": "GET", "path_pattern": "/api/models/user/small$", "status": 500, "body": b""}, 1, "500"),
    "a giant answer": (
        {"method": "GET", "path_pattern": "/api/models/user/small$", "status": 500, "body": b"x" * 10**6},
        1,
        "500",
    ),
    "an answer of lines": (
        {"method": "GET", "path_pattern": "/api/models/user/small$", "status": 403, "message": "no\nno\nno"},
        2,
        "no no no",
    ),
    "a broken connection": (
        {"method": "GET", "path_pattern": "/api/models/user/small$", "drop_response_after": 5},
        1,
        "connection",
    ),
}
