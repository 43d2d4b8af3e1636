"""Verbs about models."""

from __future__ import annotations

import pytest
from verb_process import glasslung_here, refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "gan", "--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "5"], "usvae, cage"),
        (["train", "usvae", "--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "50"], "known layouts"),
        (
            ["train", "usvae", "--cohort", "{tmp}", "--out", "{tmp}/o", "--steps", "50", "--seed", "-1"],
            "0 or more",
        ),
        (["runs", "{tmp}/none"], "there is no folder"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, words, told):
    assert told in refused(words, tmp_path)


def test_a_cohort_from_scans_to_slices_to_a_run(tmp_path):
    from glasslung.data.phantom import draw_cohort, write_cohort

    cohort, slices, run = tmp_path / "c", tmp_path / "slices", tmp_path / "runs" / "small"
    write_cohort(draw_cohort(16, 1), cohort, days=(2.0,), shape=(40, 96, 96))
    done = glasslung_here("prepare", cohort, "--out", slices)
    assert done.returncode == 0, done.stderr
    assert "12 slices of 12 patients" in done.stdout
    assert "left out: 4 other-label; the reasons are in" in done.stdout
    assert "no run in" in glasslung_here("runs", tmp_path).stdout
    command = ["train", "usvae", "--cohort", slices, "--out", run, "--steps", "20", "--device", "cpu"]
    settings = ["net=slim", "likelihood=beta", "kl_schedule=warm-up"]
    done = glasslung_here(*command, "--batch", "4", *(word for one in settings for word in ("--set", one)))
    assert done.returncode == 0, done.stderr
    assert "usvae: 20 steps done" in done.stdout
    listed = glasslung_here("runs", tmp_path / "runs").stdout.splitlines()
    assert listed[0].split()[:3] == ["run", "study", "model"]
    assert listed[1].split()[0] == "small"
    assert "20/20" in listed[1]
