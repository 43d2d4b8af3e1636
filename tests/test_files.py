"""A reader never sees half a file or half a folder."""

import os
from pathlib import Path

import pytest

from glasslung.errors import DataError
from glasslung.files import (
    make_folder,
    read_json,
    remove_whole,
    replace_folder,
    whole_file,
    whole_folder,
    write_json,
    write_whole,
)


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


def test_messages_name_the_path_that_was_given_and_no_hidden_one(tmp_path):
    """A file in the way, at the place itself, in an unfinished folder, for a folder to be replaced."""
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"
    with pytest.raises(DataError) as told:
        write_whole(out / "story.json", "text")
    assert str(told.value).startswith(
        f"{out / 'story.json'}: cannot be written ({tmp_path / 'file'} is a file)"
    )
    for path in (out, out.with_name(".out.new")):
        with pytest.raises(DataError) as told, whole_folder(path):
            pytest.fail("it was made")
        assert str(told.value).startswith(f"{out}: cannot be written")
    for path in (tmp_path / "new", tmp_path / ".new.new"):
        with pytest.raises(DataError) as told, whole_folder(path) as part:
            (part / "table").touch()
            write_whole(part / "table" / "a.csv", "text")
        assert str(told.value).startswith(f"{tmp_path / 'new' / 'table' / 'a.csv'}: cannot be written")
    (tmp_path / ".mine.new").mkdir()
    (tmp_path / ".mine.new" / "taken").mkdir()
    with pytest.raises(DataError, match=r"\.mine\.new/taken: cannot be written"):
        write_whole(tmp_path / ".mine.new" / "taken", "a folder of that name is there")
    with pytest.raises(DataError, match=f"{tmp_path}.*: is there already"), whole_folder(tmp_path):
        pytest.fail("it was replaced")


def test_a_folder_appears_whole_and_never_replaces_a_full_one(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "series") as part:
        (part / "1.dcm").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_folder(tmp_path / "series") as part:
        (part / "1.dcm").touch()
    with pytest.raises(DataError, match="not empty"), whole_folder(tmp_path / "series"):
        pytest.fail("it was replaced")


def test_a_folder_of_ours_takes_the_place_of_an_earlier_try(tmp_path):
    for content in ("first", "second"):
        part = tmp_path / "part"
        part.mkdir()
        (part / "state").write_text(content)
        replace_folder(part, tmp_path / "checkpoint")
        assert (tmp_path / "checkpoint" / "state").read_text() == content
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    with pytest.raises(DataError, match="cannot be written"):
        replace_folder(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    synced = []

    def sync(descriptor):
        synced.append((os.fstat(descriptor).st_ino, (tmp_path / "weights").exists()))

    monkeypatch.setattr("glasslung.files.os.fsync", sync)
    write_whole(tmp_path / "weights", "content")
    assert synced == [((tmp_path / "weights").stat().st_ino, False)]


def test_json_comes_back_and_knows_no_nan(tmp_path):
    write_json(tmp_path / "state.json", {"step": 3, "name": "ü"})
    assert read_json(tmp_path / "state.json") == {"step": 3, "name": "ü"}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "state.json", {"step": float("nan")})
    assert read_json(tmp_path / "state.json")["step"] == 3


@pytest.mark.parametrize("content", ["", "{half", "[1, 2]", None])
def test_a_damaged_json_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    with pytest.raises(DataError, match=r"state\.json"):
        read_json(tmp_path / "state.json")


def test_a_folder_that_cannot_be_made_is_told_in_a_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("mine")
    bad = [tmp_path / "file", tmp_path / "file" / "out", tmp_path / "new" / ("n" * 300), Path("/proc/x")]
    for path in bad:
        with pytest.raises(DataError, match="cannot be written") as told:
            make_folder(path)
        assert "\n" not in str(told.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"
    for _ in range(2):
        make_folder(tmp_path / "deep" / "out")
    assert list((tmp_path / "deep" / "out").iterdir()) == []


def test_a_folder_into_which_nothing_can_be_written_is_told():
    with pytest.raises(DataError, match="cannot be written"):
        make_folder(Path("/proc"))


def test_files_and_folders_are_removed_and_what_a_link_points_to_stays(tmp_path):
    kept = tmp_path / "kept"
    write_whole(kept / "a", "1")
    write_whole(tmp_path / "folder" / "a", "1")
    write_whole(tmp_path / "file", "1")
    (tmp_path / "link").symlink_to(kept)
    for name in ("folder", "file", "link"):
        remove_whole(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert (kept / "a").read_text() == "1"
    with pytest.raises(DataError, match="gone"):
        remove_whole(tmp_path / "gone")
