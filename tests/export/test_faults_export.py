"""Faults in export: an earlier file is whole or gone, never half new; what a killed export leaves, the next one removes."""

import importlib.util

import pytest

from tests.helpers.damage import SmallDisk, bytes_of, last_line
from tests.helpers.killing import KILLED
from trainer_ext import report

FORMAT = ("--format", "openvino")


@pytest.fixture(scope="module")
def exported(forks, finished_run, tmp_path_factory):
    """A finished run with an export, on a small disk where there may be one; and that disk."""
    if importlib.util.find_spec("openvino") is None:  # not imported: it would call home from here
        pytest.skip("needs openvino")
    import shutil

    disk = SmallDisk(tmp_path_factory.mktemp("export") / "disk")
    run = shutil.copytree(finished_run, disk.folder / "run")
    ended = forks.command("export", run, *FORMAT)
    assert ended.status == 0, ended.errors[-2000:]
    yield run, disk
    disk.close()


def scratch(run):
    return list((run / "compressed").glob(".export-*"))


def test_killed_while_the_file_is_written_the_earlier_one_stays(exported, forks):
    run, _ = exported
    before = bytes_of(run)
    assert (
        forks.command("export", run, *FORMAT, die={"make": "*/.export-*/openvino", "bytes": 20_000}).status in KILLED
    )
    assert len(scratch(run)) == 1
    assert {name: value for name, value in bytes_of(run).items() if ".export-" not in name} == before


def test_killed_between_its_two_files_it_is_gone_and_the_next_start_makes_it(exported, forks):
    run, _ = exported
    before = bytes_of(run / "compressed" / "openvino")
    assert forks.command("export", run, *FORMAT, die={"rename": "*/openvino/openvino_model.xml"}).status in KILLED
    assert len(scratch(run)) == 1  # that of the kill before is gone
    assert not (run / "compressed/openvino/openvino_model.xml").exists()
    ended = forks.command("export", run, *FORMAT)
    assert ended.status == 0, ended.errors[-2000:]
    assert scratch(run) == []
    assert bytes_of(run / "compressed" / "openvino").keys() == before.keys()
    assert len(report.load(run).exports) == 1


@pytest.mark.parametrize(("kib", "mode"), [(40, "rw"), (400, "ro")])
def test_where_nothing_can_be_written_it_is_one_line_and_the_earlier_one_stays(exported, forks, kib, mode):
    run, disk = exported
    before = bytes_of(run)
    disk.leave(kib)
    disk.remount(mode)
    ended = forks.command("export", run, *FORMAT)
    disk.remount("rw")
    disk.leave(None)
    assert ended.status == 2
    words = "No space left on device" if mode == "rw" else "Read-only file system"
    assert f"Cannot write to {run / 'compressed'}: {words}" in last_line(ended.errors)
    assert bytes_of(run) == before
