"""The output folder: complete scans only, one run at a time, names that follow the story."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from glasslung.data.results import (
    DONE,
    arrange,
    check_output,
    fingerprint,
    finished_scans,
    hold,
    new_scan,
)
from glasslung.errors import DataError, UsageError
from glasslung.files import write_whole


def finish(masks: Path, key: str) -> None:
    with new_scan(masks, key) as work:
        (work / "lungs.nii.gz").write_bytes(b"mask")
        (work / "preview.npz").write_bytes(b"picture")
        write_whole(work / DONE, json.dumps({"key": key, "findings": {"masks": {"lungs": "lungs.nii.gz"}}}))


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


def test_a_scan_that_is_not_told_is_kept_and_comes_back(tmp_path):
    with hold(tmp_path) as masks:
        finish(masks, "a")
        finish(masks, "b")
        arrange(masks, {"b": "scan-01"})
        assert finished_scans(masks)["a"].name == ".scan-a"
        arrange(masks, {"a": "scan-01", "b": "scan-02"})
        assert sorted(p.name for p in masks.iterdir()) == ["scan-01", "scan-02"]


def test_a_folder_that_lost_a_file_is_not_called_finished(tmp_path):
    with hold(tmp_path) as masks:
        finish(masks, "a")
        (masks / ".scan-a" / "lungs.nii.gz").unlink()
        with pytest.raises(DataError, match=r"damaged.*another --out"):
            finished_scans(masks)


def test_two_runs_on_one_folder(tmp_path):
    with hold(tmp_path), pytest.raises(UsageError, match="another analysis"), hold(tmp_path):
        pytest.fail("the second run got in")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_nobody_may_write_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot be written"), hold(tmp_path / "out"):
        pytest.fail("it was written")


def test_outputs_that_would_mix_with_other_files(tmp_path):
    scan = tmp_path / "scan"
    scan.mkdir()
    (scan / "1.dcm").write_bytes(b"")
    with pytest.raises(UsageError, match="inside the scan"):
        check_output(scan / "out", [scan])
    with pytest.raises(UsageError, match="holds other files"):
        check_output(tmp_path, [tmp_path / "elsewhere.nii.gz"])
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
