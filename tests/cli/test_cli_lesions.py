"""Verbs about lesions in slices."""

from __future__ import annotations

import pytest
from made_cohort import write_folder
from verb_process import glasslung_here, refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["styles", "{tmp}/none", "{tmp}", "--out", "{tmp}/o"], "there is no run"),
        (["styles", "usvae", "{tmp}", "--out", "{tmp}/o"], "has no styles"),
        (["styles", "usvae", "{tmp}", "--out", "{tmp}"], "not empty"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, words, told):
    assert told in refused(words, tmp_path)


def test_a_run_draws_a_lung_in_other_states(tmp_path):
    run, out = tmp_path / "run", tmp_path / "styles"
    command = ["train", "stichnet", "--cohort", write_folder(tmp_path / "set"), "--out", run]
    small = ["--steps", "4", "--size", "32", "--set", "width=4", "--device", "cpu", "--batch", "2"]
    done = glasslung_here(*command, *small)
    assert done.returncode == 0, done.stderr
    done = glasslung_here("styles", run, tmp_path / "set" / "img", "--out", out)
    assert done.returncode == 0, done.stderr
    assert str(out / "styles-1.png") in done.stdout
    assert (out / "styles-1.png").is_file()
