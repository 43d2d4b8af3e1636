"""The output folder: complete scans only, one run at a time, names that follow the story."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasslung.data.results import (
    arrange,
    check_output,
    fingerprint,
    finished_scans,
    hold,
    new_scan,
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
