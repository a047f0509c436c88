"""The folder of a sweep: one process per run, no locks of dead processes, and one sweep per folder."""

import os
import signal
import subprocess
import sys
import time

import pytest

from trainer_ext import InputError
from trainer_ext.errors import Busy
from trainer_ext.sweep.storage import SweepDirectory, begin, link_tree

HOLDER = """
import sys, time
from pathlib import Path
from trainer_ext.sweep.storage import SweepDirectory
with SweepDirectory(Path(sys.argv[1])).claim("run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_killed_process_releases_its_run(tmp_path):
    place = SweepDirectory(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert place.is_busy("run")
        assert not place.is_busy("other")
        with pytest.raises(Busy), place.claim("run"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while place.is_busy("run") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not place.is_busy("run")


def test_a_folder_holds_one_sweep(tmp_path):
    place = SweepDirectory(tmp_path / "out")
    begin(place, {"base": "a.yaml", "common": {"seed": 1}})
    begin(place, {"base": "a.yaml", "common": {"seed": 1}})
    with pytest.raises(InputError, match=r"holds another sweep \(common differs\)"):
        begin(place, {"base": "a.yaml", "common": {"seed": 2}})


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds files of something else"):
        begin(SweepDirectory(tmp_path), {})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"], "nothing is made"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"):
        begin(SweepDirectory(tmp_path / "file"), {})


def test_a_linked_tree_needs_no_disk_and_is_not_made_twice(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_text("1")
    link_tree(tmp_path / "a", tmp_path / "b" / "c")
    assert (tmp_path / "b" / "c" / "weights").samefile(tmp_path / "a" / "weights")
    (tmp_path / "a" / "more").write_text("2")
    link_tree(tmp_path / "a", tmp_path / "b" / "c")
    assert not (tmp_path / "b" / "c" / "more").exists()


def test_baselines_with_different_fields_have_different_folders(tmp_path):
    place = SweepDirectory(tmp_path)
    assert place.baseline({"seed": 1, "a": 2}).root == place.baseline({"a": 2, "seed": 1}).root
    assert place.baseline({"seed": 1}).root != place.baseline({"seed": 2}).root


def test_a_field_at_its_default_is_no_other_sweep(tmp_path):
    known = {"common": {"seed": 42, "newer": False, "sizes": [1, 32]}, "goal": {"points": None, "newer": 2}}
    place = SweepDirectory(tmp_path / "out")
    older = begin(place, {"common": {"seed": 42, "lr": 1}, "goal": {"points": 1.0}}, known)
    now = {"common": {"lr": 1, "newer": False, "sizes": [1, 32]}, "goal": {"points": 1.0, "newer": 2}, "added": []}
    assert begin(place, now, known) == older, "the folder keeps what it was begun with"
    for part, field, value in (("common", "newer", True), ("common", "seed", 1), ("goal", "newer", 3)):
        other = now | {part: now[part] | {field: value}}
        with pytest.raises(InputError, match=rf"holds another sweep \({part}: {field} differs\)"):
            begin(place, other, known)
    with pytest.raises(InputError, match=r"holds another sweep \(added differs\)"):
        begin(place, now | {"added": ["onnx"]}, known)
