"""Find access tokens and paths of this machine in files before they are published."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 22  # bytes searched at a time
LONGEST = 512  # bytes; chunks overlap by as much, so that a match across two of them is found

# The form of the tokens of several services.
TOKENS = {
    "a Hugging Face token": rb"\b(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an API key": rb"\bsk-[A-Za-z0-9_-]{40,}",
    "a Weights & Biases key": rb"\bwandb_v1_[A-Za-z0-9_]{40,}",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
# A folder in a home folder; searched for only in files that people read.
HOME = rb"(?<![\w.~-])(?:/(?:home|Users|root)/|[A-Za-z]:\\{1,2}Users\\{1,2})[\w.-]+"
READABLE = frozenset({".json", ".md", ".py", ".svg", ".txt", ".xml", ".yaml", ".yml"})
# A vocabulary may hold such a text by chance; it is searched for the folders of this machine only.
VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt"})
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
SHORTEST_SECRET = 12  # characters; shorter values of such variables are settings like "true" or a number


@dataclass(frozen=True)
class Leak:
    """Something private in a file; `kind` says what it is, without its value."""

    file: Path
    kind: str


def find_leaks(files: Iterable[Path], *, secrets: Mapping[str, str], folders: Iterable[Path] = ()) -> list[Leak]:
    """Return everything private in files, at most once per file and kind.

    Args:
        files: The files to publish, of any size.
        secrets: Known secrets by description, as returned by `known_secrets`.
        folders: Folders of this machine whose paths must not be published.
    """
    patterns = TOKENS | {name: re.escape(value.encode()) for name, value in secrets.items()}
    names = {str(Path(folder).resolve()) for folder in folders}
    here = [re.escape(name.encode()) for name in sorted(names) if name.count("/") > 1]
    found = []
    for file in files:
        readable = file.suffix in READABLE and file.name not in VOCABULARIES
        private = b"|".join([*here, HOME] if readable else here)
        kinds = _kinds(file, {**patterns, "a path of this machine": private} if private else patterns)
        found += [Leak(file, kind) for kind in kinds]
    return found


def known_secrets(environment: Mapping[str, str] = os.environ, *given: str | None) -> dict[str, str]:
    """Return secrets by description: the given tokens, and environment variables that are called like a secret.

    Args:
        environment: The environment variables.
        *given: Access tokens, such as the one that is stored for the Hub.
    """
    named = {
        f"the value of {name}": value
        for name, value in environment.items()
        if SECRET_NAME.search(name) and len(value) >= SHORTEST_SECRET and not Path(value).exists()
    }
    tokens = [value for value in given if value and len(value) >= SHORTEST_SECRET]
    return named | {f"your access token{f' {i}' if i else ''}": value for i, value in enumerate(tokens)}


def _kinds(file: Path, patterns: Mapping[str, bytes]) -> list[str]:
    missing = {kind: re.compile(pattern) for kind, pattern in patterns.items()}
    kinds, before = [], b""
    with file.open("rb") as stream:
        while piece := stream.read(CHUNK):
            text = before + piece
            kinds += [kind for kind, pattern in missing.items() if pattern.search(text)]
            missing = {kind: pattern for kind, pattern in missing.items() if kind not in kinds}
            before = text[-LONGEST:]
    return kinds
