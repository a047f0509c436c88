"""Run the core tests in several environments, one after the other: `make versions`, or for some `make versions PAIRS="low 3.13"`.

Core is what depends on the versions of torch, transformers and the Hub's client; the page, the exports and the recipes are
tested by `make lowest` and `make newest`. Exit status 1 if a test fails in one of them. It needs only the standard library.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOMS = [f"tests/{room}" for room in ("models pruning distillation trainer hub vocabulary utils tasks").split()]
# Old releases meet the newest of what they need, which calls them out of date.
OLD = [f"-Wignore::{name}" for name in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")]
TELL = (
    "import platform; from importlib.metadata import version as v; "
    "print(platform.python_version(), *(v(n) for n in ('torch', 'transformers', 'huggingface_hub')))"
)


def tested(python: Path, tests: list[str], *options: str) -> dict[str, int]:
    """Run tests with a Python and return how many passed, failed and were skipped; their output goes to the terminal."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder, "counts.xml")
        words = ["-m", "pytest", "-m", "not slow", *OLD, f"--junitxml={counts}", *options, *tests]
        done = subprocess.run([python, *words], env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        suite = ElementTree.parse(counts).getroot().find("testsuite") if counts.is_file() else None
    if suite is None:
        return {"passed": 0, "failed": 1, "skipped": 0}
    found = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = found["failures"] + found["errors"]
    passed = found["tests"] - failed - found["skipped"]
    # Something that is no test, such as a collection that was broken off.
    failed = max(failed, int(done.returncode != 0))
    return {"passed": passed, "failed": failed, "skipped": found["skipped"]}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environments", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", default=ROOMS, help="files or folders; default: the core tests")
    parser.add_argument("--options", default="--numprocesses auto --maxprocesses 4 --dist loadfile", help="of pytest")
    asked = parser.parse_args(words)
    rows = []
    for environment in asked.environments:
        python = environment / "bin/python"
        told = subprocess.run([python, "-c", TELL], capture_output=True, text=True, check=True).stdout.split()
        rows.append((told, tested(python, asked.tests, *asked.options.split())))
    print(f"\n{'Python':9}{'torch':14}{'transformers':14}{'hub':10}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for (version, torch, transformers, hub), counts in rows:
        print(
            f"{version:9}{torch:14}{transformers:14}{hub:10}{counts['passed']:8}{counts['failed']:8}{counts['skipped']:9}"
        )
    return int(any(counts["failed"] for _, counts in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
