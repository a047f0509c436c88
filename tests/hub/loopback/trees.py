"""List the files and folders of a commit in the format of the Hub."""

from collections.abc import Iterable, Mapping
from typing import Any

from tests.hub.loopback.repository import Blob, Commit, MissingEntry, git_oid


def file_row(path: str, blob: Blob) -> dict[str, Any]:
    """Return the row of a file."""
    row = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content)}
    if blob.sha256:
        row["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": blob.pointer_size}
    return row


def sibling(path: str, blob: Blob, *, details: bool) -> dict[str, Any]:
    """Return a file in the description of its repository; with sizes and hashes if `details`."""
    row: dict[str, Any] = {"rfilename": path}
    if details:
        row |= {"size": len(blob.content), "blobId": blob.oid}
        if blob.sha256:
            row["lfs"] = {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": blob.pointer_size}
    return row


def folders(files: Mapping[str, Blob]) -> set[str]:
    """Return every folder that holds a file, at any depth."""
    return {path[:end] for path in files for end, letter in enumerate(path) if letter == "/"}


def folder_row(path: str, files: Mapping[str, Blob]) -> dict[str, Any]:
    """Return the row of a folder; its hash changes with its contents."""
    inside = sorted(f"{name} {blob.oid}" for name, blob in files.items() if name.startswith(path + "/"))
    return {"type": "directory", "path": path, "oid": git_oid("\n".join(inside).encode(), "tree"), "size": 0}


def listing(files: Mapping[str, Blob], folder: str = "", *, recursive: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a folder ('' for the root), sorted by path.

    Raises:
        MissingEntry: There is no such folder.
    """
    known = folders(files)
    if folder and folder not in known:
        raise MissingEntry(f"{folder} does not exist")
    start = f"{folder}/" if folder else ""
    paths = [path for path in sorted({*files, *known}) if path.startswith(start)]
    return rows(files, [path for path in paths if recursive or "/" not in path[len(start) :]])


def rows(files: Mapping[str, Blob], paths: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of these files and folders, without those that do not exist."""
    known = folders(files)
    return [
        file_row(path, files[path]) if path in files else folder_row(path, files)
        for path in paths
        if path in files or path in known
    ]


def with_last_commits(found: list[dict[str, Any]], history: list[Commit]) -> list[dict[str, Any]]:
    """Return the rows, each with the commit that changed it last.

    Args:
        found: rows of the newest commit.
        history: commits, newest first.
    """
    states = [{row["path"]: row["oid"] for row in rows(c.files, [r["path"] for r in found])} for c in history]

    def last(row: dict[str, Any]) -> dict[str, str]:
        same = 0  # commits in a row, from the newest, that have it as it is
        while same < len(states) and states[same].get(row["path"]) == row["oid"]:
            same += 1
        commit = history[same - 1]
        return {"id": commit.oid, "title": commit.title, "date": commit.date}

    return [{**row, "lastCommit": last(row)} for row in found]
