"""A reader never sees half a file or half a folder."""

import pytest

from glasslung.errors import DataError
from glasslung.files import whole_file, whole_folder, write_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    target = tmp_path / "story.json"
    write_whole(target, "old")
    with pytest.raises(RuntimeError, match="broke off"), whole_file(target) as part:
        part.write_text("half")
        raise RuntimeError("broke off")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["story.json"]


def test_text_and_bytes_arrive_as_they_are(tmp_path):
    write_whole(tmp_path / "deep" / "t", "ü")
    write_whole(tmp_path / "b", b"\x00\xff")
    assert (tmp_path / "deep" / "t").read_text(encoding="utf-8") == "ü"
    assert (tmp_path / "b").read_bytes() == b"\x00\xff"


def test_the_file_beside_keeps_the_ending_that_libraries_look_at(tmp_path):
    with whole_file(tmp_path / "mask.nii.gz") as part:
        assert part.name.endswith(".nii.gz")
        part.touch()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"story\.json: cannot be written"):
        write_whole(tmp_path / "file" / "story.json", "text")


def test_a_folder_appears_whole_and_never_replaces_a_full_one(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "series") as part:
        (part / "1.dcm").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_folder(tmp_path / "series") as part:
        (part / "1.dcm").touch()
    with pytest.raises(DataError, match="not empty"), whole_folder(tmp_path / "series"):
        pytest.fail("it was replaced")
