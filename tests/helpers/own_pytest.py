"""Own pytest: run tests in a pytest of its own, to see what a fixture of every test says of them."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def own_pytest(folder: Path, guard: str, tests: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run tests, each a line or more, with the fixtures of the module `guard`; their file is written to `folder`."""
    functions = (f"def test_{number}():\n    {lines}\n" for number, lines in enumerate(tests))
    (folder / "conftest.py").write_text(f"from {guard} import *\n")
    (folder / "test_it.py").write_text("\n\n".join(["import os, torch\n", *functions]))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests/offline")))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, cwd=folder)
