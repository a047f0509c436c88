"""Leftovers: scratch folders of killed processes go, those in which somebody works stay."""

from trainer_ext.utils.files import scratch_in


def test_a_scratch_folder_is_there_for_the_time_of_the_block(tmp_path):
    with scratch_in(tmp_path, ".export-") as scratch:
        assert scratch.parent == tmp_path
        assert list(tmp_path.iterdir()) == [scratch]
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_left_goes_and_one_that_is_used_stays(tmp_path):
    left, other = tmp_path / ".export-left", tmp_path / ".export-other"
    for folder in (left, other):
        folder.mkdir()
        (folder / "model").write_text("")
    (left / "lock").write_text("")  # that nobody holds; the other is none of ours
    with scratch_in(tmp_path, ".export-") as first:
        assert sorted(tmp_path.iterdir()) == sorted([first, other])
        with scratch_in(tmp_path, ".export-") as second:
            assert sorted(tmp_path.iterdir()) == sorted([first, second, other])
