"""The output folder: complete scans only, one run at a time, names that follow the story."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasslung.data.results import (
    arrange,
    arrange_parts,
    check_output,
    fingerprint,
    finished_parts,
    finished_scans,
    hold,
    new_part,
    new_scan,
    read_part,
    write_part_note,
    write_scan_note,
)
from glasslung.errors import UsageError


def finish(masks: Path, key: str) -> None:
    with new_scan(masks, key) as work:
        (work / "lungs.nii.gz").write_bytes(b"mask")
        (work / "preview.npz").write_bytes(b"picture")
        write_scan_note(work, key, {"masks": {"lungs": "lungs.nii.gz"}})


def test_a_scan_appears_only_when_it_is_whole(tmp_path):
    def break_off():
        with hold(tmp_path / "out") as masks, new_scan(masks, "k1") as work:
            (work / "lungs.nii.gz").write_bytes(b"half a mask")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert not (tmp_path / "out").exists()


def test_a_killed_run_leaves_partial_work_that_the_next_run_sweeps(tmp_path):
    partial = tmp_path / "masks" / ".partial-k1"
    partial.mkdir(parents=True)
    (partial / "lungs.nii.gz").write_bytes(b"half a mask")
    with hold(tmp_path) as masks:
        assert finished_scans(masks) == {}
        assert not partial.exists()


def test_a_scan_in_between_shifts_the_names_and_keeps_the_work(tmp_path):
    with hold(tmp_path) as masks:
        finish(masks, "first")
        finish(masks, "last")
        arrange(masks, {"first": "scan-01", "last": "scan-02"})
        finish(masks, "middle")
        arrange(masks, {"first": "scan-01", "middle": "scan-02", "last": "scan-03"})
        assert {key: p.name for key, p in finished_scans(masks).items()} == {
            "first": "scan-01",
            "middle": "scan-02",
            "last": "scan-03",
        }


def test_a_scan_that_is_not_told_leaves_nothing_behind(tmp_path):
    with hold(tmp_path) as masks:
        finish(masks, "a")
        finish(masks, "b")
        arrange(masks, {"b": "scan-01"})
        assert [p.name for p in masks.iterdir()] == ["scan-01"]


@pytest.mark.parametrize("damage", ["gone", "cut", "changed", "note"])
def test_a_damaged_scan_is_set_aside_and_not_called_finished(tmp_path, damage):
    with hold(tmp_path) as masks:
        finish(masks, "a")
        arrange(masks, {"a": "scan-01"})
    mask, note = tmp_path / "masks/scan-01/lungs.nii.gz", tmp_path / "masks/scan-01/scan.json"
    if damage == "gone":
        mask.unlink()
    elif damage == "note":
        note.write_text("[")
    else:
        mask.write_bytes(b"ma" if damage == "cut" else b"mosk")
    assert finished_scans(tmp_path / "masks") == {}
    with hold(tmp_path) as masks:
        assert [p.name for p in masks.iterdir()] == [".damaged-scan-01"]
        finish(masks, "a")
        arrange(masks, {"a": "scan-01"})
        assert set(finished_scans(masks)) == {"a"}


def test_two_runs_on_one_folder(tmp_path):
    with hold(tmp_path), pytest.raises(UsageError, match="another analysis"), hold(tmp_path):
        pytest.fail("the second run got in")


def test_a_place_nobody_can_write_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"), hold(tmp_path / "file" / "out"):
        pytest.fail("it was written")


def test_outputs_that_would_mix_with_other_files(tmp_path):
    scan = tmp_path / "scan"
    scan.mkdir()
    (scan / "1.dcm").write_bytes(b"")
    with pytest.raises(UsageError, match="inside the scan"):
        check_output(scan / "out", [scan])
    with pytest.raises(UsageError, match="holds other files"):
        check_output(tmp_path, [tmp_path / "elsewhere.nii.gz"])
    (tmp_path / "mine" / "masks" / "drawn-by-me").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds other files"):
        check_output(tmp_path / "mine", [tmp_path / "elsewhere.nii.gz"])
    with pytest.raises(UsageError, match="is a file"):
        check_output(scan / "1.dcm", [tmp_path / "x.nii.gz"])


def test_the_fingerprint_follows_files_and_settings(tmp_path):
    file = tmp_path / "a.nii"
    file.write_bytes(b"1")
    before = fingerprint(file, "0.1.0", None)
    assert fingerprint(file, "0.1.0", None) == before
    assert fingerprint(file, "0.1.0", "series 2") != before
    file.write_bytes(b"12")
    assert fingerprint(file, "0.1.0", None) != before


def finish_change(masks: Path, key: str, text: bytes = b"change") -> None:
    with new_part(masks, "change", key) as work:
        (work / "change.nii.gz").write_bytes(text)
        write_part_note(work, "change", key, {"of": key})


@pytest.fixture
def three(tmp_path):
    """A folder with three scans in their places."""
    with hold(tmp_path) as masks:
        for n in range(3):
            finish(masks, f"k{n}")
        arrange(masks, {f"k{n}": f"scan-0{n + 1}" for n in range(3)})
        yield masks


def test_a_part_moves_into_the_scan_it_belongs_to(three):
    finish_change(three, "p1")
    arrange_parts(three, "change", {"p1": "scan-02"})
    assert finished_parts(three, "change") == {"p1": three / "scan-02"}
    assert read_part(three / "scan-02", "change")["told"] == {"of": "p1"}
    assert set(finished_scans(three)) == {"k0", "k1", "k2"}
    assert not list(three.glob(".change-*"))


def test_a_part_that_nobody_wants_goes(three):
    finish_change(three, "p1")
    arrange_parts(three, "change", {"p1": "scan-02"})
    arrange_parts(three, "change", {})
    assert finished_parts(three, "change") == {}
    assert sorted(p.name for p in (three / "scan-02").iterdir()) == [
        "lungs.nii.gz",
        "preview.npz",
        "scan.json",
    ]


def test_parts_follow_their_scans_to_new_names(three):
    finish_change(three, "p1", b"one")
    finish_change(three, "p2", b"two")
    arrange_parts(three, "change", {"p1": "scan-02", "p2": "scan-03"})
    arrange_parts(three, "change", {"p1": "scan-03", "p2": "scan-02"})
    assert (three / "scan-03" / "change.nii.gz").read_bytes() == b"one"
    assert (three / "scan-02" / "change.nii.gz").read_bytes() == b"two"


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_part_does_not_count_and_is_replaced(three, damage):
    finish_change(three, "p1")
    arrange_parts(three, "change", {"p1": "scan-02"})
    file = three / "scan-02" / "change.nii.gz"
    file.unlink() if damage == "gone" else file.write_bytes(b"cut")
    assert finished_parts(three, "change") == {}
    finish_change(three, "p1")
    arrange_parts(three, "change", {"p1": "scan-02"})
    assert file.read_bytes() == b"change"
    assert finished_parts(three, "change") == {"p1": three / "scan-02"}


def test_half_a_part_is_swept_away(tmp_path):
    def break_off():
        with hold(tmp_path) as masks, new_part(masks, "serial", "p1") as work:
            (work / "serial-01.npz").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    with hold(tmp_path) as masks:
        assert finished_parts(masks, "serial") == {}
