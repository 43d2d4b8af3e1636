"""A folder of folds: known by its file, refused where it is damaged."""

from __future__ import annotations

import json

import pytest

from glasslung.errors import DataError
from glasslung.predict.folds import FOLDS, FORMAT, is_folds, read_folds
from made_classifiers import write_classifier


def lines(names, **more):
    folds = [{"folder": name, "scans": 4, "auc": 0.5} for name in names]
    return json.dumps({"format": FORMAT, "model": "slicewise", "folds": folds, "best": names[-1], **more})


def test_it_names_its_runs_and_the_best(tmp_path):
    assert not is_folds(tmp_path)
    for name in ("fold-00", "fold-01"):
        write_classifier(tmp_path / name)
    (tmp_path / FOLDS).write_text(lines(["fold-00", "fold-01"]))
    found = read_folds(tmp_path)
    assert is_folds(tmp_path) and found.method == "slicewise" and found.best == tmp_path / "fold-01"
    assert found.runs == (tmp_path / "fold-00", tmp_path / "fold-01")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        lines(["fold-00"], format="glasslung-folds/9"),
        lines(["fold-00"], best="fold-07"),
        lines(["fold-00"], folds=[{}]),
        lines(["fold-00"], folds=3),
    ],
)
def test_a_damaged_file_is_told(tmp_path, content):
    (tmp_path / FOLDS).write_text(content)
    with pytest.raises(DataError):
        read_folds(tmp_path)


def test_a_fold_that_is_gone_is_named_and_nothing_outside_the_folder_is_opened(tmp_path):
    (tmp_path / FOLDS).write_text(lines(["../fold-00"], best="fold-00"))
    with pytest.raises(DataError, match="lacks fold-00"):
        read_folds(tmp_path)
