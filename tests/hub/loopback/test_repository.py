"""Repositories without HTTP: commits, branches, listings and upload rules, compared with git."""

import subprocess

import pytest

from tests.hub.loopback import trees
from tests.hub.loopback.repository import (
    Blob,
    Change,
    MissingEntry,
    MissingRevision,
    Outdated,
    Repository,
    Taken,
    apply,
    git_oid,
)
from tests.hub.loopback.upload_rules import GIT_ATTRIBUTES, is_ignored, is_large

SMALL, OTHER, LARGE = Blob.regular(b"small"), Blob.regular(b"other"), Blob.large(b"large")


def repository(**files):
    return Repository(files or {"a": SMALL})


def test_a_commit_makes_all_changes_or_none():
    a = repository()
    first = a.at("main")
    changes = [Change("b", LARGE), Change("d/e", OTHER), Change("a")]
    second = a.commit("main", changes, title="more", author="user", parent=first.oid[:7])
    assert dict(second.files) == {"b": LARGE, "d/e": OTHER}
    assert dict(a.at(first.oid[:7]).files) == {"a": SMALL}
    for bad in ([Change("c", SMALL), Change("gone")], [Change("c", SMALL), Change("x/", folder=True)]):
        with pytest.raises(MissingEntry):
            a.commit("main", bad, title="bad", author="user")
    with pytest.raises(Outdated, match=second.oid):
        a.commit("main", [Change("c", SMALL)], title="late", author="user", parent=first.oid)
    with pytest.raises(MissingRevision):
        a.commit("none", [Change("c", SMALL)], title="nowhere", author="user")
    assert [commit.title for commit in a.history("main")] == ["more", "initial commit"]
    assert a.at("main") == second


def test_equal_commits_have_different_hashes():
    a = repository()
    oids = {a.commit("main", [Change("a", SMALL)], title="t", author="u").oid for _ in range(3)}
    assert len(oids) == 3


def test_deleting_a_folder_deletes_its_files():
    files = {"d/e/f": SMALL, "d/g": SMALL, "dd": SMALL}
    assert apply(files, [Change("d/", folder=True)]) == {"dd": SMALL}
    assert apply(files, [Change("d", folder=True), Change("d/h", OTHER)]) == {"dd": SMALL, "d/h": OTHER}


def test_branches_and_tags():
    a = repository()
    first = a.at("main").oid
    a.create_branch("side")
    a.create_tag("v1")
    a.commit("side", [Change("b", SMALL)], title="aside", author="user")
    assert "b" not in a.at("main").files
    assert "b" in a.at("refs/heads/side").files
    assert a.at("v1").oid == first
    with pytest.raises(Taken):
        a.create_branch("side")
    with pytest.raises(Taken):
        a.create_tag("v1")
    for name in ("none", first[:6], ""):
        with pytest.raises(MissingRevision):
            a.at(name)


def test_hashes_are_those_of_git(tmp_path):
    (tmp_path / "file").write_bytes(SMALL.content)
    command = ["git", "hash-object", "--no-filters", str(tmp_path / "file")]
    assert SMALL.oid == subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{LARGE.sha256}\nsize 5\n".encode()
    assert (LARGE.oid, LARGE.pointer_size, LARGE.etag) == (git_oid(pointer), len(pointer), LARGE.sha256)
    assert Blob.large(SMALL.content).oid != SMALL.oid


def test_listings():
    files = {"a": SMALL, "d/b": LARGE, "d/e/c": OTHER, "dx": SMALL}
    assert [row["path"] for row in trees.listing(files)] == ["a", "d", "dx"]
    everything = ["a", "d", "d/b", "d/e", "d/e/c", "dx"]
    assert [row["path"] for row in trees.listing(files, recursive=True)] == everything
    assert [row["path"] for row in trees.listing(files, "d")] == ["d/b", "d/e"]
    assert [row["path"] for row in trees.listing(files, "d/e", recursive=True)] == ["d/e/c"]
    with pytest.raises(MissingEntry):
        trees.listing(files, "a")
    assert trees.listing(files, "d")[0]["lfs"] == {"oid": LARGE.sha256, "size": 5, "pointerSize": LARGE.pointer_size}
    before, after = (trees.rows(f, ["d"])[0]["oid"] for f in (files, files | {"d/e/c": SMALL}))
    assert before != after
    assert trees.rows(files, ["none", "a"]) == [trees.file_row("a", SMALL)]


def test_the_commit_that_changed_a_file_last():
    a = repository()
    for title, change in (("b", Change("b", SMALL)), ("a", Change("a", OTHER)), ("a back", Change("a", SMALL))):
        a.commit("main", [change], title=title, author="user")
    found = trees.with_last_commits(trees.listing(a.at("main").files), list(a.history("main")))
    assert {row["path"]: row["lastCommit"]["title"] for row in found} == {"a": "a back", "b": "b"}


@pytest.mark.parametrize(
    ("path", "size", "sample", "large"),
    [
        ("model.safetensors", 1, b"{", True),
        ("onnx/model.onnx", 1, b"x", True),
        ("run/training_args.bin", 1, b"x", True),
        ("safetensors", 1, b"{", False),
        ("tokenizer.json", 10_000_000, b"{", False),
        ("tokenizer.json", 10_000_001, b"{", True),
        ("thumbnail.png", 9, b"\x89PNG\0", True),
        ("README.md", 9, "मराठी".encode(), False),
    ],
)
def test_files_for_large_file_storage(path, size, sample, large):
    assert is_large(path, size, sample) == large


def test_git_attributes():
    assert "*.safetensors filter=lfs diff=lfs merge=lfs -text\n" in GIT_ATTRIBUTES


@pytest.mark.parametrize(
    ("rules", "ignored", "kept"),
    [
        ("*.log", ["a.log", "d/a.log"], ["a.logs", "log"]),
        ("/a.log", ["a.log"], ["d/a.log"]),
        ("runs/", ["runs/a", "d/runs/a/b"], ["runs", "xruns/a"]),
        ("d/*.txt", ["d/a.txt"], ["a.txt", "d/e/a.txt"]),
        ("d/**/x", ["d/x", "d/e/f/x"], ["x"]),
        ("# no\n\n*.log\n!keep.log", ["a.log"], ["keep.log", "# no"]),
        ("", [], ["a"]),
    ],
)
def test_gitignore_is_that_of_git(tmp_path, rules, ignored, kept):
    assert [path for path in [*ignored, *kept] if is_ignored(path, rules)] == ignored
    assert git_ignores(tmp_path, rules, [*ignored, *kept]) == ignored


def git_ignores(folder, rules: str, paths: list[str]) -> list[str]:
    """Return the paths that git ignores with these rules."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    (folder / ".gitignore").write_text(rules)
    command = ["git", "-C", folder, "check-ignore", "--no-index", "--stdin"]
    return subprocess.run(command, input="\n".join(paths), capture_output=True, text=True).stdout.splitlines()
