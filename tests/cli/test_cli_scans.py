"""Verbs about the scans of one patient."""

from __future__ import annotations

import pytest
from verb_process import glasslung_here, one_line, refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["analyze", "{tmp}/none"], "does not exist"),
        (["analyze", "{tmp}/empty"], "empty"),
        (["analyze", "{tmp}/note.txt"], "note.txt"),
        (["analyze", "{course}/day00.nii.gz", "--days", "zero"], "numbers with commas"),
        (["analyze", "{course}/day00.nii.gz", "--days", "0,,4"], "numbers with commas"),
        (["analyze", "{course}/day00.nii.gz", "--intensity", "suv"], "hu, display8"),
        (["analyze", "{course}/day00.nii.gz", "--forecast", "{tmp}/none"], "there is no run"),
        (["analyze", "{course}/day00.nii.gz", "--seen", "4"], "--forecast"),
        (["forecast", "{course}/day00.nii.gz", "--run", "{tmp}/none"], "there is no run"),
        (["forecast", "{course}/day00.nii.gz", "--run", "{tmp}/empty"], "is not a run"),
        (["forecast", "{course}/day00.nii.gz", "--run", "usvae"], "carries no lung to another age"),
        (["forecast", "{course}/day00.nii.gz", "--days", "5,x"], "numbers with commas"),
        (["forecast", "{course}/day00.nii.gz", "--days", "5,99"], "0 to 14"),
        (["forecast", "{course}/day00.nii.gz", "--out", "{tmp}"], "holds other files"),
        (["report", "{tmp}/empty"], "story.json"),
        (["analyze", "{course}/day00.nii.gz", "--segmenter", "{tmp}/none"], "there is no run"),
        (["analyze", "{course}/day00.nii.gz", "--segmenter", "{tmp}/empty"], "is not a run"),
        (["analyze", "{course}/day00.nii.gz", "--segmenter", "no-such-weights"], "comes with the package"),
        (["analyze", "{course}/day00.nii.gz", "--segmenter", "usvae"], "finds no lesions"),
        (["analyze", "{course}/day00.nii.gz", "--lungs", "{tmp}/none.nii.gz"], "--lungs"),
        (["analyze", "{course}/day00.nii.gz", "--lungs", "{tmp}/note.txt"], "note.txt"),
        (["analyze", "{course}/day00.nii.gz", "--lungs", "{course}/day00.nii.gz"], "whole numbers 0 to 255"),
        (["analyze", "{course}/day00.nii.gz", "--lesion-labels", "1=ground glass"], "--lesions FILE"),
        (["analyze", "{course}/day00.nii.gz", "--lesion-labels", "1=fluff"], "consolidation"),
        (["segment", "{tmp}/none"], "does not exist"),
        (["segment", "{tmp}/empty"], "empty"),
        (["segment", "{tmp}/note.txt", "--segmenter", "none"], "note.txt"),
        (["segment", "{tmp}/empty", "--slices"], "holds no pictures"),
        (["segment", "{course}/day00.nii.gz", "--segmenter", "usvae"], "finds no lesions"),
        (["segment", "{course}/day00.nii.gz", "--out", "{tmp}"], "holds other files"),
    ],
)
def test_mistakes_end_in_one_line(course, tmp_path, words, told):
    assert told in refused(words, tmp_path, course=course)


def test_analyze_tells_the_story_and_draws_the_report(course, tmp_path):
    out = tmp_path / "out"
    done = glasslung_here(
        "analyze", course / "day00.nii.gz", course / "day09.nii.gz", "--days", "0,9", "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert "scan-02, day 9: lungs" in done.stdout
    assert "Not a medical device" in done.stdout
    assert f"report: {out / 'report.html'}" in done.stdout
    assert {p.name for p in out.iterdir()} == {
        "findings.csv",
        "lesions.csv",
        "masks",
        "report.html",
        "story.json",
    }
    drawn = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert glasslung_here("report", out).returncode == 0
    assert (out / "report.html").read_bytes() == drawn


def test_segment_draws_masks_and_tells_what_it_found(course, tmp_path):
    out = tmp_path / "masks"
    done = glasslung_here("segment", course / "day09.nii.gz", "--out", out, "--segmenter", "none")
    assert done.returncode == 0, done.stderr
    assert "no network was asked about lesions" in done.stdout
    assert f"masks: {out}" in done.stdout and "Not a medical device" in done.stdout
    assert {p.name for p in out.iterdir()} == {"lungs.nii.gz", "overlay.png", "segment.json"}


def test_masks_made_elsewhere_by_hand(course, tmp_path):
    lungs, out = tmp_path / "masks", tmp_path / "out"
    scan = course / "day09.nii.gz"
    assert glasslung_here("segment", scan, "--out", lungs, "--segmenter", "none").returncode == 0
    given = lungs / "lungs.nii.gz"
    labels = ("--lesion-labels", "1=consolidation,2=none")
    done = glasslung_here("analyze", scan, "--lungs", given, "--lesions", given, *labels, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "lesions by the mask given: consolidation" in done.stdout


def test_inspect_goes_on_after_a_scan_that_cannot_be_read(course, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"\x1f\x8b broken")
    done = glasslung_here("inspect", tmp_path / "bad.nii.gz", course / "day00.nii.gz")
    assert "bad.nii.gz" in one_line(done)
    assert "day00.nii.gz: nifti, hu, 40 x 96 x 96 voxels" in done.stdout
