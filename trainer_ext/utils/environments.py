"""Environments: a Python with another release of transformers, built once by venv and pip, and kept.

It takes torch, and what else it lacks, from the environment that runs this: torch is large, and then nothing but transformers
and what that asks for differs between the two.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from filelock import FileLock
from packaging.version import InvalidVersion, Version

from ..errors import InputError, one_line
from .files import whole_folder

LOWEST = Version("4.51")  # of which `modeling_compact.py` knows how to build its models
_PYTHON = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
_FOUND = re.compile(r"from versions: ([^)]*)\)")  # pip, of a release that does not exist


def check_release(text: str) -> Version:
    """Return a release of transformers as a version.

    Args:
        text: what was asked for, such as "4.57.6".

    Raises:
        InputError: It is no version, or the models of this package do not open with it.
    """
    try:
        release = Version(text)
    except InvalidVersion:
        raise InputError(f"{text!r} is not a release of transformers; name one such as 4.57.6.") from None
    if release < LOWEST:
        raise InputError(f"Compact models need transformers {LOWEST} or newer, not {text}; name a later release.")
    return release


def python_with(release: Version, *, say: Callable[[str], None] = lambda step: None) -> Path:
    """Return the Python of an environment with a release of transformers; the first call builds it.

    It is kept in `~/.cache/trainer_ext/environments` (or below `XDG_CACHE_HOME`), about 150 MB for a release. A new release
    of torch or Python, or another environment to run this in, makes another one.

    Args:
        release: as `check_release` returns it.
        say: called with each step of the building.

    Raises:
        InputError: There is no such release, or it cannot be installed.
    """
    folder = folder_of(release)
    python = folder / _PYTHON
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):  # two processes may want the same one
            if not python.exists():
                shutil.rmtree(folder, ignore_errors=True)  # made with a Python that is gone
                with whole_folder(folder) as part:
                    _build(part, release, say)
    except OSError as error:
        raise InputError(
            f"No environment can be built in {folder.parent} ({one_line(error)}); set XDG_CACHE_HOME."
        ) from error
    return python


def folder_of(release: Version) -> Path:
    """Return the folder of the environment with a release of transformers, whether it is built or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "trainer_ext/environments"
    here = f"python-{'.'.join(map(str, sys.version_info[:3]))}-torch-{metadata.version('torch')}"
    return cache / f"transformers-{release}-{here}-{sha256(str(_shared()).encode()).hexdigest()[:8]}"


def _shared() -> Path:
    """Return the folder that torch of this environment is in."""
    return Path(str(metadata.distribution("torch").locate_file(""))).resolve()


def _build(folder: Path, release: Version, say: Callable[[str], None]) -> None:
    """Fill a folder with an environment; what it does not find there it finds in the folder that is shared."""
    say("making an environment")
    failed = _run([sys.executable, "-I", "-m", "venv", str(folder)], say)
    if failed:
        raise InputError(f"No environment can be made ({failed}); install the venv module of your Python.")
    python = str(folder / _PYTHON)
    wanted = f"transformers=={release}"
    say(f"installing transformers {release}")
    pip = [python, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "1"]
    if failed := _run([*pip, wanted], say):
        raise InputError(_why_not(release, failed))
    where = [python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "shared.pth").write_text(f"{_shared()}\n", encoding="utf-8")


def _run(command: list[str], say: Callable[[str], None]) -> str:
    """Run a command, pass on each line that it prints, and return its last lines if it fails, else an empty text."""
    lines: list[str] = []
    options = {"encoding": "utf-8", "errors": "replace", "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, stdout=subprocess.PIPE, **options) as process:  # type: ignore[call-overload]
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith(("Collecting", "Downloading", "Installing")):
                say(one_line(line, most=60))
    return " ".join(line for line in lines[-20:] if line) if process.returncode else ""


def _why_not(release: Version, failed: str) -> str:
    found = _FOUND.search(failed)
    if found is None:
        return f"transformers {release} cannot be installed ({one_line(failed.rpartition('ERROR: ')[2])})."
    known = [Version(each) for each in found[1].split(", ")] if found[1] != "none" else []
    if not known:
        return f"transformers {release} cannot be installed: pip reaches no package index that has transformers."
    nearest = max((each for each in known if each < release), default=min(known))
    return f"There is no transformers {release}; the nearest that pip finds is {nearest}."
