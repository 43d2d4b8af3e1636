"""A reader never sees half a file."""

import pytest

from glasslung.data.files import fill_whole, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    target = tmp_path / "story.json"
    write_whole(target, "old")

    def break_off(beside):
        beside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_whole(target, break_off)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["story.json"]


def test_text_and_bytes_arrive_as_they_are(tmp_path):
    write_whole(tmp_path / "t", "ü")
    write_whole(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "t").read_text(encoding="utf-8") == "ü"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_the_file_beside_keeps_the_ending_that_libraries_look_at(tmp_path):
    seen = []
    fill_whole(tmp_path / "mask.nii.gz", lambda beside: (seen.append(beside.name), beside.touch())[0])
    assert seen[0].endswith(".nii.gz")
