"""Leaks: access tokens, and paths of this machine, found in files before they are published."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 22  # bytes that are looked at together
LONGEST = 512  # bytes of the longest thing that is looked for; chunks overlap by as much

# What tokens look like, by who gives them out.
TOKENS = {
    "a Hugging Face token": rb"\b(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an API key": rb"\bsk-[A-Za-z0-9_-]{40,}",
    "a Weights & Biases key": rb"\bwandb_v1_[A-Za-z0-9_]{40,}",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
}
# A folder below somebody's home, not the middle of an address; files of these kinds are written by people or for them.
HOME = rb"(?<![\w.~-])(?:/(?:home|Users|root)/|[A-Za-z]:\\{1,2}Users\\{1,2})[\w.-]+"
READABLE = frozenset({".json", ".md", ".py", ".svg", ".txt", ".xml", ".yaml", ".yml"})
# Vocabularies hold pieces of anything; whole paths of this machine are looked for there too.
VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt"})
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
SHORTEST_SECRET = 12  # characters; shorter values of such variables are words like "true" or a number


@dataclass(frozen=True)
class Leak:
    """Something private in a file; what it is, never the thing itself."""

    file: Path
    kind: str


def find_leaks(files: Iterable[Path], *, secrets: Mapping[str, str], folders: Iterable[Path] = ()) -> list[Leak]:
    """Everything private in these files, at most once per file and kind.

    Args:
        files: what is to be published; read in pieces, whatever their size.
        secrets: known values by what they are called, as `known_secrets` gives them.
        folders: of this machine, whose names must not be told.
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
    """Values that must never be published: of environment variables with a telling name, and what is given.

    Args:
        environment: the environment variables.
        *given: further tokens, such as the one that is stored for the Hub.
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
