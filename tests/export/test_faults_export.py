"""A failed export never leaves a half written file; the next export removes what a killed one left."""

import importlib.util

import pytest

from tests.helpers.damage import SmallDisk, bytes_of, last_line
from tests.helpers.killing import KILLED
from trainer_ext import report

pytestmark = pytest.mark.slow

FORMAT = ("--format", "openvino")


@pytest.fixture(scope="module")
def exported(forks, finished_run, tmp_path_factory):
    """A finished run with an export, on a small disk if one can be mounted; and that disk."""
    if importlib.util.find_spec("openvino") is None:  # not imported: that would send telemetry
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


def test_an_export_killed_while_writing_keeps_the_earlier_file(exported, forks):
    run, _ = exported
    before = bytes_of(run)
    assert (
        forks.command("export", run, *FORMAT, die={"make": "*/.export-*/openvino", "bytes": 20_000}).status in KILLED
    )
    assert len(scratch(run)) == 1
    assert {name: value for name, value in bytes_of(run).items() if ".export-" not in name} == before


def test_an_export_killed_between_its_two_files_leaves_none_and_the_next_one_writes_both(exported, forks):
    run, _ = exported
    before = bytes_of(run / "compressed" / "openvino")
    assert forks.command("export", run, *FORMAT, die={"rename": "*/openvino/openvino_model.xml"}).status in KILLED
    assert len(scratch(run)) == 1  # that of the earlier kill was removed
    assert not (run / "compressed/openvino/openvino_model.xml").exists()
    ended = forks.command("export", run, *FORMAT)
    assert ended.status == 0, ended.errors[-2000:]
    assert scratch(run) == []
    assert bytes_of(run / "compressed" / "openvino").keys() == before.keys()
    assert len(report.load(run).exports) == 1


@pytest.mark.parametrize(("kib", "mode"), [(40, "rw"), (400, "ro")])
def test_a_full_or_read_only_disk_is_one_line_and_keeps_the_earlier_file(exported, forks, kib, mode):
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
