"""Killing: work in processes of its own that end at a chosen place, without a word, as kill -9 and full disks end them.

One Python imports what is needed and forks for every piece of work, so that a kill costs no start. A place is one of

    {"operation": 17}                        before the 17th change of the file system
    {"open": "*/checkpoint-4/config.json"}   before this file is opened for writing
    {"open": "*/trainer_state.json", "bytes": 90}    while it is written: the kernel ends whoever writes byte 91 of any file
    {"rename": "*/compressed"}               before something gets this name
    {"make": "*/new"}, {"remove": "*/old"}   before a folder is made or removed
    {"unlink": "*/file"}                     before a file is
    {"connect": "*.sqlite", "bytes": 9000}   as above, from when this database is opened
    {"call": ["pruning/shrinking.py", 5]}               at the fifth call of a function of this file

with `"nth": 2` for the second time. Audit hooks, a profile function and a resource limit see all this from outside: nothing
of the package is replaced.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
# Audit event -> how a place calls it, and which of its arguments is the path.
EVENTS = {
    "open": ("open", 0),
    "os.rename": ("rename", 1),
    "os.mkdir": ("make", 0),
    "os.remove": ("unlink", 0),
    "shutil.rmtree": ("remove", 0),
    "sqlite3.connect": ("connect", 0),
}
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)


class Ended(NamedTuple):
    """How a piece of work ended: exit status (negative: by which signal), what it said, what it returned."""

    status: int
    errors: str
    value: object


class Forks:
    """The Python that forks; leave the block and it is gone."""

    def __enter__(self):
        path = str(HERE.parents[1])
        environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        command, pipe = [sys.executable, __file__], subprocess.PIPE
        self.process = subprocess.Popen(  # a session of its own: Ctrl-C is for whoever asked
            command, env=environment, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def run(self, work: str, *args, die=None, **kwargs) -> Ended:
        """Do one piece of work, a name of WORK, in a fork; paths and all else travel as JSON."""
        request = {"work": work, "args": args, "kwargs": kwargs, "die": die}
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        return Ended(*json.loads(self.process.stdout.readline()))

    def command(self, *words, die=None) -> Ended:
        """A command of the package."""
        return self.run("command", *map(str, words), die=die)


def die_at(place: dict) -> None:
    """End this process at a place, see above."""
    left = place.get("nth", place.get("operation", 1))

    def reached() -> None:
        nonlocal left
        left -= 1
        if left:
            return
        if "bytes" not in place:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and gets an error instead
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (place["bytes"], place["bytes"]))

    def audit(event, args) -> None:
        if event in EVENTS:
            kind, index = EVENTS[event]
            if event == "open" and not _writes(args[2]):
                return
            path = os.fsdecode(args[index]) if isinstance(args[index], str | bytes | os.PathLike) else ""
            if "operation" in place or (kind in place and fnmatch(path, place[kind])):
                reached()

    if "call" in place:
        file, left = place["call"]

        def profile(frame, event, _) -> None:
            if event == "call" and frame.f_code.co_filename.endswith(f"trainer_ext/{file}"):
                reached()

        sys.setprofile(profile)
    else:
        sys.addaudithook(audit)


def _writes(flags) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def command(*words):
    """A command of the package; like the real one it may end the process with a status."""
    from trainer_ext.cli import main

    sys.argv = ["trainer-ext", *words]
    main.main()


def count_operations(*words):
    """As `command`; returns how often the file system was changed."""
    count = 0

    def audit(event, args) -> None:
        nonlocal count
        count += event in EVENTS and (event != "open" or _writes(args[2]))

    sys.addaudithook(audit)
    try:
        command(*words)
    except SystemExit as left:
        if left.code:
            raise
    return count


def train(folder, fields, **options):
    """One run of training.resumable_run; its result lies in the folder."""
    from tests.helpers.training import resumable_run

    resumable_run(folder, fields, **options)


WORK = {"command": command, "count_operations": count_operations, "train": train}


def _in_fork(request: dict, errors: int, answer: int) -> None:
    """The work of a fork, up to its end."""
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    status, value = 0, None
    try:
        if request["die"]:
            die_at(request["die"])
        value = WORK[request["work"]](*request["args"], **request["kwargs"])
    except SystemExit as left:
        status = left.code or 0
    except BaseException:
        traceback.print_exc()
        status = 70
    sys.setprofile(None)
    sys.stderr.flush()
    os.write(answer, json.dumps(value).encode())
    os._exit(status)


def _serve() -> None:
    import tempfile

    import torch

    import trainer_ext.pipeline.compress  # noqa: F401
    from tests.helpers import training  # noqa: F401  (it freezes what was imported)

    torch.set_num_threads(1)
    for line in sys.stdin:
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as answer:
            pid = os.fork()
            if not pid:
                _in_fork(json.loads(line), errors.fileno(), answer.fileno())
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            errors.seek(0)
            answer.seek(0)
            words, value = errors.read().decode(errors="replace"), answer.read()
        print(json.dumps([status, words, json.loads(value) if value else None]), flush=True)


if __name__ == "__main__":
    _serve()
