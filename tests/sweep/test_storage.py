"""The folder of a sweep: one process per run, no locks of dead processes, and one sweep per folder."""

import os
import signal
import subprocess
import sys
import time

import pytest

from trainer_ext import InputError
from trainer_ext.errors import Busy
from trainer_ext.sweep.config import Job
from trainer_ext.sweep.storage import VARIANTS, SweepDirectory, begin, link_tree

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


def test_runs_without_a_result_may_change(tmp_path):
    place = SweepDirectory(tmp_path / "out")
    begin(place, {"runs": {"done": {"lr": 1}, "half": {"model": "mistyped"}, "gone": {}}})
    for name in ("done", "half"):
        run = place.run(Job(name))
        run.root.mkdir()
        run.recipe.write_text("")
    done = place.run(Job("done"))
    done.report.write_text("{}")
    (done.root / VARIANTS).write_text("[]")
    now = {"runs": {"done": {"lr": 1}, "half": {"model": "right"}, "new": {"lr": 2}}}
    with place.claim("half"), pytest.raises(InputError, match=r"\(runs: half differs\)"):
        begin(place, now)  # another process works on it as it was
    assert begin(place, now) == now
    assert begin(place, now) == now
    assert not place.run(Job("half")).root.exists(), "it cannot be continued with other fields"
    assert done.report.is_file()
    for runs in ({**now["runs"], "done": {"lr": 2}}, {"new": {"lr": 2}}):
        with pytest.raises(InputError, match=r"holds another sweep \(runs: done differs\)"):
            begin(place, {"runs": runs})


def test_results_remember_the_runs_that_they_were_made_from(tmp_path):
    place, noon, later = SweepDirectory(tmp_path), "2026-01-01T12:00:00+00:00", "2026-01-01T13:00:00+00:00"
    place.shared.mkdir()
    assert place.was_measured({"a": noon}, later), "as of an older version, by the time"
    assert not place.was_measured({"a": later}, noon)
    place.remember_measured({"a": noon})
    assert place.was_measured({"a": noon}, noon)
    assert not place.was_measured({"a": "2026-01-01T11:00:00+00:00"}, noon), "another run, by a clock that is slow"
