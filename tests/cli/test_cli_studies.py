"""Studies."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from made_cohort import write_table
from verb_process import glasslung_here, refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["study", "progression", "--cohort", "{tmp}/empty", "--out", "{tmp}/o"], "known layouts"),
        (["study", "progression", "--quick", "--out", "{course}"], "holds no study"),
        (["study", "progression", "--quick", "--out", "{tmp}/note.txt/o"], "cannot be written"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--seeds", "0"], "one training at least"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--minutes", "0"], "needs some time"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--methods", "R9"], "no method 'R9'"),
        (["study", "segmentation", "--cohort", "{tmp}/empty", "--out", "{tmp}/o"], "known layouts"),
        (["study", "segmentation", "--healthy", "{tmp}", "--out", "{tmp}/o"], "goes with --cohort"),
        (["study", "segmentation", "--quick", "--out", "{course}"], "holds no study"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--seeds", "0"], "one training at least"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--minutes", "0"], "needs some time"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--size", "100"], "a multiple of 32"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--folds", "1"], "two at least"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--labels", "5,x"], "whole numbers"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--labels", "0"], "one label at least"),
        (["study", "segmentation", "--quick", "--out", "{tmp}/o", "--methods", "V"], "no method 'V'"),
    ],
)
def test_mistakes_end_in_one_line(course, tmp_path, words, told):
    assert told in refused(words, tmp_path, course=course)


def test_a_study_of_segmenters_from_a_cohort_to_a_page(tmp_path, monkeypatch):
    from glasslung.studies.segmentation import study
    from glasslung.studies.segmentation.contest import Budget

    tiny = replace(study.QUICK, budget=Budget(size=32, labelled=2, unlabelled=2), every=1, draws=60)
    monkeypatch.setattr(study, "QUICK", tiny)
    cohort, healthy = write_table(tmp_path / "set", 6, 4, 0), write_table(tmp_path / "well", 0, 0, 2)
    words = ["--cohort", cohort, "--healthy", healthy, "--quick"]
    words += ["--minutes", "0.01", "--labels", "2", "--methods", "Mean teacher"]
    done = glasslung_here("study", "segmentation", "--out", tmp_path / "study", *words)
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path / 'study' / 'index.html'}" in done.stdout
    numbers = json.loads((tmp_path / "study" / "numbers.json").read_text())
    assert list(numbers["cells"]) == ["U-Net", "Mean teacher"]
    assert (numbers["ground"]["unlabelled"], numbers["ground"]["healthy"]) == (4, 2)
    assert (numbers["plan"]["labels"], numbers["plan"]["budget"]["seconds"]) == ([2], 0.6)
