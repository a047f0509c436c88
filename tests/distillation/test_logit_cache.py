"""Answer store: rows are there whole or not at all, whoever writes at the same time and whenever a writer is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from trainer_ext.distillation.teacher_cache import LogitCache
from trainer_ext.errors import InputError


def row(number):
    """The row that belongs to a key; large enough to spread over pages of the file."""
    return {"logits": torch.arange(2000.0) + number, "start_logits": torch.tensor(float(number))}


def key(number):
    return number.to_bytes(16, "big")


def assert_whole(store, numbers):
    for number in numbers:
        found = store.get([key(number)])
        if found is not None:
            assert all(torch.equal(found[0][name], value) for name, value in row(number).items())


def test_rows_come_back_in_the_order_asked_for(tmp_path):
    store = LogitCache(tmp_path / "new folder" / "answers.sqlite")
    store.put({key(i): row(i) for i in range(5)})
    found = store.get([key(3), key(1), key(3)])
    for i, rows in zip((3, 1, 3), found, strict=True):
        assert rows.keys() == row(i).keys()
        assert all(torch.equal(rows[name], value) for name, value in row(i).items())
    assert store.get([key(3), key(9)]) is None
    assert len(store) == 5


def test_a_row_that_is_there_stays(tmp_path):
    store = LogitCache(tmp_path / "answers.sqlite")
    store.put({key(0): row(0)})
    store.put({key(0): row(7), key(1): row(1)})
    assert_whole(store, range(2))
    assert len(store) == 2


def test_another_store_of_the_same_file_sees_every_row_at_once(tmp_path):
    first, second = (LogitCache(tmp_path / "answers.sqlite") for _ in range(2))
    first.put({key(0): row(0)})
    assert second.get([key(0)]) is not None
    second.put({key(1): row(1)})
    assert first.get([key(0), key(1)]) is not None
    first.close()
    assert LogitCache(tmp_path / "answers.sqlite").get([key(0), key(1)]) is not None


def test_the_file_is_read_through_a_memory_map(tmp_path):
    store = LogitCache(tmp_path / "answers.sqlite")
    assert store._rows.execute("PRAGMA mmap_size").fetchone()[0] > 1 << 30


def test_half_a_transaction_is_none(tmp_path):
    store = LogitCache(tmp_path / "answers.sqlite")
    store._rows.execute("BEGIN IMMEDIATE")
    store._rows.execute("INSERT INTO answers VALUES (?, ?)", (key(0), b"half"))
    other = LogitCache(tmp_path / "answers.sqlite")
    assert other.get([key(0)]) is None
    store.close()
    assert other.get([key(0)]) is None


@pytest.mark.parametrize("content", [b"no database at all, but something else" * 40, None])
def test_what_is_no_store_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "answers.sqlite"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(
        InputError, match="cannot be kept in .*answers.sqlite.*name another folder as distill_cache_dir"
    ):
        LogitCache(path)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the open files of a process are read from /proc")
def test_a_file_that_is_refused_is_closed(tmp_path):
    def is_open(path):
        return str(path) in [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]

    sound, damaged = tmp_path / "sound.sqlite", tmp_path / "damaged.sqlite"
    damaged.write_text("no database at all" * 40)
    store = LogitCache(sound)
    with pytest.raises(InputError) as caught:  # which keeps what it was raised in
        LogitCache(damaged)
    assert caught.value.__cause__ is not None
    assert is_open(sound)
    assert not is_open(damaged)
    store.close()
    assert not is_open(sound)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be kept in"):
        LogitCache(tmp_path / "file" / "answers.sqlite")


def in_children(mode, path):
    """Run this file as a process that writes from several children."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, mode, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_whole_rows_only(tmp_path):
    path = tmp_path / "answers.sqlite"
    codes = in_children("kill", path)
    assert codes == ["-9"] * KILLS
    store = LogitCache(path)
    assert len(store) > 0
    assert store._rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    numbers = [int.from_bytes(k, "big") for (k,) in store._rows.execute("SELECT key FROM answers")]
    assert_whole(store, numbers)
    writers = {number // 10**6 for number in numbers}
    assert len(writers) > 1  # those after the first one wrote as well
    per_batch = [sum(number // 8 == batch for number in numbers) for batch in {number // 8 for number in numbers}]
    assert set(per_batch) == {8}  # a batch is there whole or not at all
    store.put({key(1): row(1)})


@pytest.mark.slow
def test_several_processes_may_write_at_once(tmp_path):
    path = tmp_path / "answers.sqlite"
    assert in_children("together", path) == ["0"] * 3
    store = LogitCache(path)
    assert len(store) == 3 * 80 + 80
    assert_whole(store, [*range(80), *(10**6 * (i + 1) + n for i in range(3) for n in range(80))])


KILLS = 8


def write(path, start, stop):
    store = LogitCache(Path(path))
    for first in range(start, stop, 8):
        store.put({key(number): row(number) for number in range(first, first + 8)})


def child(work, *args):
    """A process that shares nothing with this one; returns its id."""
    pid = os.fork()
    if not pid:
        work(*args)
        os._exit(0)
    return pid


if __name__ == "__main__":
    import signal
    import time

    mode, path = sys.argv[1:]
    if mode == "kill":
        for i in range(KILLS):
            pid = child(write, path, 10**6 * i, 10**6 * (i + 1))
            time.sleep(0.1 + 0.013 * i)
            os.kill(pid, signal.SIGKILL)
            print(-os.WTERMSIG(os.waitpid(pid, 0)[1]))
    else:

        def both(i):
            write(path, 0, 80)
            write(path, 10**6 * (i + 1), 10**6 * (i + 1) + 80)

        for pid in [child(both, i) for i in range(3)]:
            print(os.waitpid(pid, 0)[1])


OPENS = """
import sys, time
from pathlib import Path
from trainer_ext.distillation.teacher_cache import LogitCache
start, folder = float(sys.argv[1]), Path(sys.argv[2])
for index in range(40):
    while time.time() < start + 0.05 * index:
        pass
    LogitCache(folder / f"{index}.sqlite").close()
"""


@pytest.mark.slow
def test_processes_that_open_a_new_file_at_the_same_moment_wait_for_each_other(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", OPENS, str(time.time() + 12), str(tmp_path)]
    started = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(process.communicate(timeout=120)[1][-2000:], process.returncode) for process in started]
    assert [status for _, status in ended] == [0] * 3, ended
