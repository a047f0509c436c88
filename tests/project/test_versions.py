"""`make versions`: a row for each environment, and exit status 1 if a test of one fails."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests/by_hand/versions.py"
TESTS = {
    "sound": "import pytest\ndef test_a(): pass\n@pytest.mark.skip\ndef test_b(): pass\n",
    "failing": "def test_a(): assert False\ndef test_b(): pass\n",
    "broken": "def test_a(): pass\nimport nothing_of_this_name\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "status", "counts"),
    [("sound", 0, ["1", "0", "1"]), ("failing", 1, ["1", "1", "0"]), ("broken", 1, ["0", "1", "0"])],
)
def test_a_row_for_each_environment(what, status, counts, tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS[what])
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    words = [SCRIPT, sys.prefix, sys.prefix, "--tests", "test_it.py", "--options=-q"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()[-2:]]
    assert done.returncode == status, done.stdout + done.stderr
    assert [row[4:] for row in rows] == [counts, counts], done.stdout


def test_the_pythons_that_are_promised_can_be_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    targets = re.findall(r"^ENVIRONMENT_(3\.\d+) :=", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert project["requires-python"] == f">={promised[0]}"
    assert promised[1:] == targets
