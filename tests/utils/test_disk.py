"""Disk: what libraries say of a full disk becomes what the system says; other errors stay; what can exist at all."""

import errno

import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.damage import SmallDisk
from trainer_ext import InputError
from trainer_ext.utils.files import exists, refused, room_in, write_bytes, writing_to


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.leave(None)
    disk.close()


@pytest.mark.parametrize("save", [torch.save, save_file], ids=["torch", "safetensors"])
def test_a_full_disk_is_named(disk, save):
    tensors = {"a": torch.zeros(1000, 1000)}
    disk.leave(100)
    with pytest.raises(OSError, match="No space left on device") as raised, writing_to(disk.folder):
        save(tensors, disk.folder / "a")
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(InputError, match="any more .No space left on device.; finished results are kept"):
        with room_in(disk.folder), writing_to(disk.folder):
            save(tensors, disk.folder / "a")
    disk.leave(None)
    with writing_to(disk.folder):  # the control
        save(tensors, disk.folder / "a")


def test_a_file_that_does_not_fit_leaves_the_one_before_and_nothing_else(disk):
    write_bytes(disk.folder / "a", b"before")
    disk.leave(100)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(disk.folder / "a", bytes(200 * 1024))
    assert sorted(path.name for path in disk.folder.iterdir()) == ["a", "filler"]
    assert (disk.folder / "a").read_bytes() == b"before"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("x"), FileNotFoundError(2, "gone", "a")])
def test_other_errors_stay(tmp_path, error):
    for folder in (tmp_path, tmp_path / "not there"):
        with pytest.raises(type(error)) as raised, room_in(folder), writing_to(folder):
            raise error
        assert raised.value is error
        assert refused(folder) is None


def test_a_read_only_place_is_named(disk):
    disk.remount("ro")
    assert refused(disk.folder) == errno.EROFS
    with pytest.raises(OSError, match="Read-only"), writing_to(disk.folder):
        raise RuntimeError("bad stream")
    disk.remount("rw")
    with writing_to(disk.folder):
        pass


def test_what_cannot_exist_is_told_from_what_does_not(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert [exists(path) for path in (tmp_path, file, tmp_path / "none", file / "inside")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(OSError, match="too long"):
        exists(tmp_path / ("x" * 300))
