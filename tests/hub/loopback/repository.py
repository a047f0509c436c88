"""A repository in memory: commits of content-addressed files, branches and tags."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
SHORTEST_OID = 7  # git's abbreviation of a commit


class MissingRevision(LookupError):
    """No branch, tag or commit of that name."""


class MissingEntry(LookupError):
    """No file or folder of that name."""


class Taken(ValueError):
    """The name is in use."""


class Outdated(ValueError):
    """The branch is no longer at the parent of the change."""


def git_oid(content: bytes, kind: str = "blob") -> str:
    """Return the hash that git gives to this content."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """The content of a file: in git (`sha256` is None), or in large-file storage with a pointer in git."""

    content: bytes = field(repr=False)
    oid: str
    sha256: str | None = None
    pointer_size: int = 0

    @classmethod
    def regular(cls, content: bytes) -> "Blob":
        """Return a file stored in git."""
        return cls(content, git_oid(content))

    @classmethod
    def large(cls, content: bytes) -> "Blob":
        """Return a file in large-file storage; its `oid` is that of the pointer."""
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = POINTER.format(sha256=sha256, size=len(content)).encode()
        return cls(content, git_oid(pointer), sha256, len(pointer))

    @property
    def etag(self) -> str:
        """The key of this content in a cache."""
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Commit:
    """All files after a change, and its description. `date` is ISO 8601, UTC."""

    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Blob] = field(repr=False)


@dataclass(frozen=True)
class Change:
    """Write one file, or delete a file or a folder (`blob` is None)."""

    path: str
    blob: Blob | None = None
    folder: bool = False


def apply(files: Mapping[str, Blob], changes: Iterable[Change]) -> dict[str, Blob]:
    """Return the files after the changes.

    Raises:
        MissingEntry: A file to delete does not exist.
    """
    result = dict(files)
    for change in changes:
        if change.blob is not None:
            result[change.path] = change.blob
            continue
        inside = change.path.rstrip("/") + "/"
        gone = [path for path in result if path.startswith(inside)] if change.folder else [change.path]
        if not gone or any(path not in result for path in gone):
            raise MissingEntry(
                f"A {'folder' if change.folder else 'file'} with this name doesn't exist: {change.path}"
            )
        for path in gone:
            del result[path]
    return result


class Repository:
    """Commits, branches and tags. It starts with one commit on `main`."""

    def __init__(self, files: Mapping[str, Blob], *, author: str = "system"):
        self.commits: dict[str, Commit] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self._write("main", None, files, "initial commit", "", author)

    def at(self, revision: str) -> Commit:
        """Return the commit of a branch, a tag, `refs/heads/...`, or (the start of) a commit hash.

        Raises:
            MissingRevision: There is none.
        """
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name)
        if oid is None and len(name) >= SHORTEST_OID:
            oid = next((known for known in self.commits if known.startswith(name)), None)
        if oid is None:
            raise MissingRevision(f"Invalid rev id: {revision}")
        return self.commits[oid]

    def history(self, revision: str) -> Iterator[Commit]:
        """Yield the commit of a revision and those before it, newest first."""
        commit = self.at(revision)
        yield commit
        while commit.parent:
            commit = self.commits[commit.parent]
            yield commit

    def commit(
        self, branch: str, changes: Iterable[Change], *, title: str, message: str = "", author: str, parent: str = ""
    ) -> Commit:
        """Write a commit to a branch; either all changes are made or none.

        Args:
            branch: an existing one.
            changes: in order.
            title: first line of the message.
            message: the rest of it.
            author: user name.
            parent: (start of) the commit hash that the branch must be at; empty if any will do.

        Raises:
            MissingRevision: There is no such branch.
            MissingEntry: A file to delete does not exist.
            Outdated: The branch is not at `parent`.
        """
        if branch not in self.branches:
            raise MissingRevision(f"Invalid rev id: {branch}")
        head = self.commits[self.branches[branch]]
        if not head.oid.startswith(parent):
            raise Outdated(f"A commit has happened since. Please refresh and try again. {branch} is at {head.oid}.")
        return self._write(branch, head.oid, apply(head.files, changes), title, message, author)

    def create_branch(self, name: str, start: str = "main"):
        """Create a branch; raises `Taken` or `MissingRevision`."""
        if name in self.branches:
            raise Taken(f"Reference already exists: refs/heads/{name}")
        self.branches[name] = self.at(start).oid

    def create_tag(self, name: str, revision: str = "main"):
        """Create a tag; raises `Taken` or `MissingRevision`."""
        if name in self.tags:
            raise Taken(f"Tag reference exists already: {name}")
        self.tags[name] = self.at(revision).oid

    def _write(self, branch: str, parent: str | None, files, title: str, message: str, author: str) -> Commit:
        date = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        listing = "\n".join(f"{path} {blob.oid}" for path, blob in sorted(files.items()))
        # The number distinguishes two commits in one millisecond.
        text = "\n".join((str(len(self.commits)), parent or "", author, date, title, message, listing))
        commit = Commit(git_oid(text.encode(), "commit"), parent, title, message, author, date, dict(files))
        self.commits[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit
