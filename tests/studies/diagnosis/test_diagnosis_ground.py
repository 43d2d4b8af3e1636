from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.cohort import Cohort
from glasslung.errors import DataError, LeakError, UsageError
from glasslung.predict.exams import ExamMaking
from glasslung.studies.diagnosis import ground as grounds
from glasslung.studies.diagnosis.ground import (
    EXTERNAL,
    MIX,
    PARTS,
    cohort_ground,
    phantom_ground,
    plan_phantoms,
    severity_word,
)
from glasslung.types import Case, Intensity


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(grounds, "SHAPE", (16, 48, 48))


@pytest.mark.parametrize("people", [26, 60, 240])
def test_no_patient_is_in_two_parts_and_every_part_holds_both_labels(people):
    plan = plan_phantoms(people, 3)
    assert len({scan.seed for scan in plan}) == len(plan) == people
    for part in (*PARTS, EXTERNAL):
        words = Counter(scan.disease for scan in plan if scan.part == part)
        assert words["covid"] >= 2 and sum(words.values()) - words["covid"] >= 1
    if people >= 60:
        assert {(scan.part, scan.disease) for scan in plan} == {
            (part, word) for part in (*PARTS, EXTERNAL) for word in MIX
        }


def test_one_hospital_is_never_trained_on_and_the_others_share_every_part():
    plan = plan_phantoms(120, 0)
    assert {scan.site for scan in plan if scan.part == EXTERNAL} == {"c"}
    for part in PARTS:
        sites = Counter(scan.site for scan in plan if scan.part == part)
        assert set(sites) == {"a", "b"} and abs(sites["a"] - sites["b"]) <= 3


def test_a_site_says_nothing_about_the_label():
    plan = plan_phantoms(240, 1)
    shares = [np.mean([s.disease == "covid" for s in plan if s.site == site]) for site in ("a", "b", "c")]
    assert max(shares) - min(shares) < 0.03


def test_the_same_seed_is_the_same_plan_and_another_seed_another_one():
    assert plan_phantoms(30, 4) == plan_phantoms(30, 4)
    assert {scan.seed for scan in plan_phantoms(30, 4)} != {scan.seed for scan in plan_phantoms(30, 5)}
    with pytest.raises(UsageError, match="26 patients or more"):
        plan_phantoms(10, 0)


def test_phantom_exams_hold_the_truth_and_are_drawn_once(coarse, tmp_path):
    first = phantom_ground(26, 0, tmp_path, size=32)
    assert first.parts == ("train", "val", "test", "external") and len(first.exams) == 26
    for row, scan in enumerate(first.plan):
        assert first.exams.words[row] == scan.disease and first.exams.split[row] == scan.part
        assert first.exams.label[row] == int(scan.disease == "covid")
        healthy = scan.disease == "healthy"
        assert (first.exams.extra["severity"][row] == "none") or not healthy
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "scans").iterdir()}
    again = phantom_ground(26, 0, tmp_path, size=32)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "scans").iterdir()} == before
    np.testing.assert_array_equal(again.exams.exams[3].image, first.exams.exams[3].image)
    assert sum(line["scans"] for line in first.told()["by part, site, word"]) == 26


def test_a_scan_is_drawn_again_as_it_was_and_its_exam_fits_it(coarse):
    ground = phantom_ground(26, 0, None, size=32)
    some = ground.scans_of("external", 3)
    assert {scan.disease for _, scan in some} == set(MIX)
    row, scan = next((row, scan) for row, scan in some if scan.disease == "covid")
    chest = scan.render()
    exam = grounds.make_exam(chest.volume, chest.lungs, chest.lesions, 32)
    np.testing.assert_array_equal(exam.image, ground.exams.exams[row].image)


def test_severity_is_named_by_the_share_of_the_lungs():
    assert [severity_word(share) for share in (0.0, 0.05, 0.2, 0.6)] == ["none", "mild", "moderate", "severe"]


def made_cohort(words: list[str], splits: list[str]) -> Cohort:
    cases = tuple(
        Case(f"p{n}", f"s{n}", Path(f"{n}.png"), Intensity.DISPLAY8, label=word, split=split)
        for n, (word, split) in enumerate(zip(words, splits, strict=True))
    )
    return Cohort("made", Path(), cases)


def test_a_cohort_without_both_labels_or_with_a_leak_is_refused():
    one_class = made_cohort(["covid"] * 4, ["train", "train", "val", "val"])
    with pytest.raises(DataError, match="part 'train' of made has 2 patient"):
        cohort_ground(one_class)
    lonely = made_cohort(["covid", "other"] * 3 + ["other"], ["train"] * 4 + ["test"] * 3)
    with pytest.raises(DataError, match=r"part 'test' of made has 1 .* and 2 without it; it needs 2 of each"):
        cohort_ground(lonely)
    leaking = made_cohort(["covid", "other"] * 2, ["train", "train", "val", "val"])
    cases = (replace(leaking.cases[0], patient="p2"), *leaking.cases[1:])
    with pytest.raises(LeakError):
        cohort_ground(replace(leaking, cases=cases))


def test_one_patient_under_two_names_keeps_only_the_earlier_part(tmp_path):
    from PIL import Image

    for n in range(60):
        Image.fromarray(np.full((40, 40), 90 + n, np.uint8)).save(tmp_path / f"{n}.png")
    made = made_cohort(["covid", "other"] * 30, (["train"] * 30 + ["val"] * 30))
    cases = (*made.cases[:59], replace(made.cases[59], patient="p0"))
    ground = cohort_ground(
        replace(made, folder=tmp_path, cases=cases), None, ExamMaking(size=32, segmenter="none")
    )
    assert ground.left == ("s59",) and "s59" not in ground.exams.scans and len(ground.exams) == 59
    assert set(ground.part("train").patients).isdisjoint(ground.part("val").patients)


@pytest.mark.real
def test_pictures_of_a_public_set_become_a_ground(real):
    from glasslung.data.sources import ucsd_covid_ct

    cohort = ucsd_covid_ct(real / "ucsd_covid_ct")
    kept = [case for case in cohort.cases if case.split in ("train", "val")]
    once = list({case.patient: case for case in kept}.values())
    few = [
        case
        for split in ("train", "val")
        for word in ("covid", "other")
        for case in [one for one in once if (one.split, one.label) == (split, word)][:2]
    ]
    ground = cohort_ground(replace(cohort, cases=tuple(few)), None, ExamMaking(size=64, segmenter="none"))
    assert ground.parts == ("train", "val") and set(ground.exams.label.tolist()) == {0, 1}
