"""The fixture of every test that finds what a test leaves behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEAVES = {
    # PyTorch 2.13 forgets to remove that it was a hook with keywords.
    "global hooks of modules": "torch.nn.modules.module.register_module_forward_hook(print, with_kwargs=True).remove()",
    "gradients": "torch.set_grad_enabled(False)",
    "default dtype": "torch.set_default_dtype(torch.float64)",
    "deterministic algorithms": "torch.use_deterministic_algorithms(True)",
    "threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "working directory": "os.chdir('..')",
}


def test_what_a_test_leaves_behind_is_told(tmp_path):
    """Seven tests in one process: six that leave something, and one that does not."""
    tests = [f"def test_{number}():\n    {line}\n" for number, line in enumerate([*LEAVES.values(), "torch.zeros(1)"])]
    (tmp_path / "conftest.py").write_text("from tests.helpers.isolation import *\n")
    (tmp_path / "test_it.py").write_text("\n\n".join(["import os, torch\n", *tests]))
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert re.findall(r"^E +AssertionError: left behind: \{'([a-z ]+)': ", done.stdout, re.MULTILINE) == list(LEAVES)
    assert "7 passed, 6 errors" in done.stdout
