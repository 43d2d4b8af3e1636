"""The folder of a study: whose it is, and what every study does around its steps."""

from __future__ import annotations

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.studies.folder import STUDY, about_run, check_free, claim, one_thread, part_of


def test_a_new_or_empty_folder_is_free_and_so_is_a_studys(tmp_path):
    check_free(tmp_path / "new")
    check_free(tmp_path)
    claim(tmp_path, {"study": "progression"})
    check_free(tmp_path)


def test_a_file_or_a_folder_with_something_else_is_not_free(tmp_path):
    (tmp_path / "letter.txt").write_text("dear colleague")
    for taken in (tmp_path, tmp_path / "letter.txt"):
        with pytest.raises(UsageError, match="holds no study"):
            check_free(taken)


def test_the_same_study_may_go_on_and_another_is_refused_by_what_differs(tmp_path):
    asked = {"study": "progression", "plan": {"each": 8, "labels": (5, 10)}}
    claim(tmp_path, asked)
    written = (tmp_path / STUDY).read_bytes()
    claim(tmp_path, asked)
    with pytest.raises(UsageError, match=r"holds another study: its plan\.each is 8, asked for: 9"):
        claim(tmp_path, {**asked, "plan": {"each": 9, "labels": (5, 10)}})
    assert (tmp_path / STUDY).read_bytes() == written


def test_a_part_of_the_progress_runs_from_its_start_to_its_end():
    told = []
    part = part_of(lambda text, share: told.append((text, share)), 0.2, 0.6)
    for share in (0.0, 0.5, 1.0):
        part("training", share)
    assert told == [("training", pytest.approx(share)) for share in (0.2, 0.4, 0.6)]
    assert part_of(None, 0.2, 0.6) is None


def test_the_number_of_threads_is_given_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == before


def test_a_run_is_told_with_its_seeds_and_versions():
    told = about_run({"study": "progression"}, [], 2)
    assert told["study"] == "progression"
    assert (told["seeds_trained"], told["jobs"]) == ([0, 1], [])
    assert "torch" in told["versions"]
    assert told["command"].startswith("glasslung")
