"""The study of prognosis from end to end on a few phantoms, and what it refuses."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest

from glasslung.cli import studies
from glasslung.data.cohort import Cohort, write_cohort
from glasslung.data.phantom.chest import render
from glasslung.errors import DataError, UsageError
from glasslung.studies.diagnosis.contest import Budget
from glasslung.studies.diagnosis.learning import Pace
from glasslung.studies.prognosis import ground
from glasslung.studies.prognosis.folded import I3D, RESNET
from glasslung.studies.prognosis.ground import People, plan_serial
from glasslung.studies.prognosis.study import FULL, QUICK, is_critical, run_prognosis

TINY = replace(
    QUICK.for_methods(I3D),
    people=People((18, 4), (10, 3)),
    size=32,
    folds=2,
    budget=Budget(0.5, Pace(each=2), looks=1),
    windows=2,
    window_scans=2,
    draws=40,
)


@pytest.mark.slow
def test_the_study_tells_its_story_and_keeps_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(ground, "SHAPE", (20, 48, 48))
    out = tmp_path / "study"
    page = run_prognosis(None, out, TINY)
    numbers = json.loads((out / "numbers.json").read_text())
    assert set(numbers["diagnosis"]) == {"B", "C"}
    found = numbers["diagnosis"]["B"]["methods"]
    assert set(found) == {"I3D, best fold", "I3D, ensemble"} and 0 <= found["I3D, ensemble"]["auc"][0] <= 1
    told = numbers["prognosis"]
    for row in told["pairs"]:
        assert row["one"].endswith("one scan") and row["two"].endswith("two scans")
    assert told["ceiling"]["stay"]["true law"]["patients"] == told["asked"]["patients"]
    assert told["stay"]["I3D features, two scans"]["network"]["patients"] == told["asked"]["patients"]
    assert len(numbers["windows"]["C"]["deviations"][0]["areas"]) == 2
    assert numbers["course"]["burden"]["peaks"]["patients"] >= 2
    assert (out / "case.png").read_bytes()[:4] == b"\x89PNG"
    text = page.read_text("utf-8")
    assert "not a medical device" in text.lower() and "Two scans against one" in text
    with pytest.raises(UsageError, match="another study"):
        run_prognosis(None, out, TINY.for_folds(3))


def test_plans_are_checked(tmp_path):
    for wrong, words in (
        (lambda: QUICK.for_minutes(0), "--minutes"),
        (lambda: QUICK.for_folds(1), "--folds"),
        (lambda: QUICK.for_size(4), "--size"),
        (lambda: QUICK.for_methods("a crystal ball"), "no method"),
    ):
        with pytest.raises(UsageError, match=words):
            wrong()
    assert QUICK.for_methods(RESNET).methods == (I3D, RESNET)
    assert QUICK.for_minutes(2).budget.seconds == 120 and QUICK.with_masks(True).found
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no study"):
        run_prognosis(None, tmp_path / "full", TINY)
    with pytest.raises(UsageError, match="no table of readings"):
        run_prognosis(None, tmp_path / "new", TINY, tmp_path / "readers.csv")


def test_a_folder_of_slices_with_critical_illness_goes_to_its_own_study(tmp_path):
    assert not is_critical(tmp_path)
    (tmp_path / "labels.csv").write_text("path,patient,critical_illness\n")
    assert is_critical(tmp_path)
    (tmp_path / "labels.csv").write_text("path,patient,label\n")
    assert not is_critical(tmp_path)


def table_of(folder: Path, scans: int) -> Path:
    """A user's own table: patients of two sites with COVID-19 alone, as many scans each."""
    from glasslung.data.formats import write_mask, write_volume

    cases, many = [], dict[str, int]()
    for scan in plan_serial(People((14, 3), (14, 3)), 1):
        case = scan.case()
        many[case.patient] = many.get(case.patient, 0) + 1
        if scan.disease != "covid" or scan.hospital == "C" or many[case.patient] > scans:
            continue
        image = Path(f"{case.scan}.nii.gz")
        chest = render(scan.patient(), scan.day, shape=(20, 48, 48))
        write_volume(chest.volume, folder / image)
        masks = {name: Path(f"{case.scan}-{name}.nii.gz") for name in ("lungs", "lesions")}
        for name, path in masks.items():
            write_mask(getattr(chest, name), chest.volume, folder / path)
        cases.append(replace(case, image=image, **masks))
    return write_cohort(Cohort("mine", folder, tuple(cases)), folder)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("p,a,a.png,,9,discharged", "q,b,b.png,2,9,discharged"), "row 2, column day"),
        (("p,a,a.png,1,9,discharged", "p,b,b.png,1,9,discharged"), "one patient, two scans on day 1"),
        (("p,a,a.png,1,-9,discharged", "q,b,b.png,2,9,discharged"), "row 2, column stay_days"),
        (("p,a,a.png,1,9,in hospital", "q,b,b.png,2,9,in hospital"), "all stays are censored"),
        (("p,a,a.png,1,,", "q,b,b.png,2,,"), "needs a column stay_days"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused_and_nothing_is_written(tmp_path, rows, words):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")  # no picture is read
    head = "patient,scan,image,day,stay_days,outcome,intensity"
    table = tmp_path / "cohort.csv"
    table.write_text("\n".join([head, *(f"{row},display8" for row in rows)]) + "\n")
    with pytest.raises(DataError, match=words):
        run_prognosis(table, tmp_path / "study", TINY)
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_users_table_of_single_scans_says_why_two_cannot_be_asked(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    table = table_of(folder, 1)
    page = run_prognosis(table, tmp_path / "study", TINY)
    numbers = json.loads((tmp_path / "study" / "numbers.json").read_text())
    left = numbers["prognosis"]["left out"]
    assert "one scan" in left["lesion burden, two scans"] and numbers["prognosis"]["pairs"] == []
    assert "labelled otherwise" in numbers["no diagnosis"] and numbers["course"]["why not"]
    assert "cannot be asked" in page.read_text("utf-8")
    lines = table.read_text().splitlines()
    header = lines[0].split(",")
    day, stay = header.index("day"), header.index("stay_days")
    first = lines[1].split(",")

    def with_field(place: int, value: str) -> None:
        changed = [*first]
        changed[place] = value
        table.write_text("\n".join([lines[0], ",".join(changed), *lines[2:]]) + "\n")

    for place, value, words in ((day, "", "row 2, column day"), (stay, "-2", "row 2, column stay_days")):
        with_field(place, value)
        with pytest.raises(DataError, match=words):
            run_prognosis(table, tmp_path / "other", TINY)


def test_the_help_tells_the_plans_that_are_run():
    """The defaults in the words of --help are those of the plans."""
    words = inspect.getsource(studies.prognosis)
    for told in (
        f"each fold; {FULL.budget.seconds / 60:g} in full, {QUICK.budget.seconds / 60:.2g} quick.",
        f"learned from; {FULL.folds} in full, {QUICK.folds} quick.",
        f"pixels; {FULL.size} in full, {QUICK.size} quick.",
    ):
        assert told in words
