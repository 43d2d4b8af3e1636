"""`glasslung robustness` as a person types it: a page and tables, resumed, and what cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from verb_process import glasslung_here, refused

from glasslung.files import write_json
from glasslung.predict.folds import FOLDS, FORMAT
from made_classifiers import write_classifier
from made_patients import write_patients, write_pictures

SHORT = ("--draws", 2, "--sd", "100", "--drawn-masks")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("robustness")
    write_patients(folder / "scans", 6, ())
    write_pictures(folder / "pictures", 16)
    write_classifier(folder / "hu")
    write_classifier(folder / "eight", reads={"intensity": "display8", "lesions_by": "none"})
    one_kind = (folder / "scans" / "cohort.csv").read_text().splitlines()
    (folder / "scans" / "ill.csv").write_text(
        "\n".join(row for row in one_kind if "healthy" not in row and "bacterial" not in row) + "\n"
    )
    lonely = [row for row in one_kind if "covid" not in row or row.startswith("p0")]
    (folder / "scans" / "lonely.csv").write_text("\n".join(lonely) + "\n")
    return folder


def test_a_page_with_its_tables_is_made_and_goes_on(made, tmp_path):
    words = ("robustness", made / "hu", made / "scans", "--out", tmp_path / "out", *SHORT)
    done = glasslung_here(*words)
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stdout
    assert "Scored: 6 scans" in done.stdout
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert list(numbers["draws"]) == ["100"]
    assert len(numbers["draws"]["100"]["windows"]) == 2
    assert len(numbers["curves"]["level"]) == 9
    assert numbers["about"]["window"] == {"low": -1000.0, "high": 400.0, "known": True}
    page = (tmp_path / "out" / "index.html").read_text()
    for words_on_page in ("Unshifted, the AUC is", "Windows at random", "given by the table", "scans.csv"):
        assert words_on_page in page
    kept = sorted((tmp_path / "out" / "answers").iterdir())
    assert len(kept) == 6
    stamps = [one.stat().st_mtime_ns for one in kept[1:]]
    kept[0].write_text("{}")  # as if it had been stopped there
    again = glasslung_here(*words)
    assert again.returncode == 0, again.stderr
    assert [one.stat().st_mtime_ns for one in kept[1:]] == stamps
    after = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert after["draws"] == numbers["draws"]
    other = glasslung_here(*words, "--seed", 3)
    assert other.returncode == 2
    assert "holds another study" in other.stderr


def test_folds_are_asked_as_one(made, tmp_path):
    folds = tmp_path / "folds"
    names = ("fold-00", "fold-01")
    for name in names:
        write_classifier(folds / name)
    (folds / "operating.json").write_bytes((folds / names[0] / "weights" / "operating.json").read_bytes())
    told = {"format": FORMAT, "model": "slicewise", "best": names[0]}
    write_json(folds / FOLDS, told | {"folds": [{"folder": name} for name in names]})
    done = glasslung_here(
        "robustness", folds, made / "scans", "--out", tmp_path / "out", "--scans", 4, *SHORT
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers["about"]["method"] == "2 folds of slicewise"


def test_pictures_are_asked_with_their_brightness_and_contrast_changed(made, tmp_path):
    done = glasslung_here(
        *("robustness", made / "eight", made / "pictures", "--out", tmp_path / "out", "--part", "all"),
        *("--draws", 2, "--sd", "80", "--scans", 4),
    )
    assert done.returncode == 0, done.stderr
    assert "4 of these are asked" in done.stdout
    page = (tmp_path / "out" / "index.html").read_text()
    assert "their window was never written down" in page
    assert "Deviation 80 HU" in page or "80 HU" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{hu}", "{pictures}", "--part", "all"], "reads hu, and the scan's grey values are display8"),
        (["{hu}", "{ill}"], "needs scans labelled 'covid' and scans labelled otherwise"),
        (["{hu}", "{lonely}"], "1 patient(s) with the finding"),
        (["nobody", "{scans}"], "no trained 'nobody' comes with the package"),
        (["lesions-hu", "{scans}"], "classifies no scans"),
        (["{hu}", "{scans}/none"], "scans/none"),
        (["{hu}", "{scans}", "--sd", "fifty"], "--sd 'fifty'"),
        (["{hu}", "{scans}", "--sd", "-5"], "above 0 HU"),
        (["{hu}", "{scans}", "--sd", "2000"], "too much"),
        (["{hu}", "{scans}", "--draws", "1"], "two windows or more"),
        (["{hu}", "{scans}", "--part", "val"], "--part 'val'"),
        (["{hu}", "{scans}", "--out", "{tmp}"], "holds no study"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(words, told, made, tmp_path):
    places = {"hu": made / "hu", "scans": made / "scans", "pictures": made / "pictures"}
    places |= {name: made / "scans" / f"{name}.csv" for name in ("ill", "lonely")}
    out = [] if "--out" in words else ["--out", "{tmp}/out"]
    assert told in refused(["robustness", *words, *out], tmp_path, **places)
