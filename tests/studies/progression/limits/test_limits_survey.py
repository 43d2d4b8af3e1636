"""Limits of a cohort: what is planted is found and said, what is missing is said too."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import ndimage, stats

from glasslung.data.cohort import Cohort
from glasslung.data.slices import SliceSet, read_slices
from glasslung.errors import DataError
from glasslung.measure.lungfeatures import plain_features
from glasslung.measure.ranking import auc
from glasslung.measure.separability import group_strata, out_of_fold
from glasslung.measure.statistics import paired_difference
from glasslung.studies.progression.agingworld import draw_world
from glasslung.studies.progression.limits.days import day_limits
from glasslung.studies.progression.limits.figure import draw_limits
from glasslung.studies.progression.limits.groups import Task
from glasslung.studies.progression.limits.summaries import LimitSettings
from glasslung.studies.progression.limits.survey import measure_limits
from glasslung.studies.progression.limits.verdict import (
    AGES,
    AS_THEY_ARE,
    CEILING,
    HEALTHY,
    conclude,
    removed_by,
    row_of,
)
from glasslung.types import Case, Intensity

QUICK = LimitSettings(draws=150, second="", deals=1)
SVG = "{http://www.w3.org/2000/svg}"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def lungs(count: int, seed: int, blur: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Noisy discs of many sizes; blur changes texture, scale the window; greys before it are alike."""
    draw = rng(seed)
    rows, columns = np.mgrid[:32, :32] - 15.5
    images = np.zeros((count, 32, 32), np.float32)
    for image in images:
        inside = np.hypot(rows, columns) < draw.uniform(8, 14)
        grey = ndimage.gaussian_filter(draw.normal(size=(32, 32)), blur)
        grey = 0.4 + 0.08 * (grey - grey[inside].mean()) / grey[inside].std()
        image[inside] = np.clip(np.rint(255 * scale * grey[inside]) / 255, 0.06, 1)
    return images


def set_of(images: np.ndarray, group: np.ndarray, day: np.ndarray | None = None) -> SliceSet:
    names = tuple(f"p{row}" for row in range(len(images)))
    days = np.where(group > 0, 5.0 * group - 3, np.nan) if day is None else day
    return SliceSet(images, group, days.astype(np.float32), np.arange(len(images)), names, names)


GROUP = np.repeat([0, 1, 2, 3], (40, 14, 13, 13))


@pytest.fixture(scope="module")
def windowed():
    """Healthy and ill differ by their window alone; the ages of the ill do not differ."""
    images = np.concatenate([lungs(40, 1), lungs(40, 2, scale=1.4)])
    return measure_limits(set_of(images, GROUP), rng(), settings=QUICK)


@pytest.fixture(scope="module")
def blurred():
    """Healthy and ill differ by sharpness alone: the same histogram."""
    images = np.concatenate([lungs(40, 3), lungs(40, 4, blur=0.8)])
    return measure_limits(set_of(images, GROUP), rng(), settings=QUICK)


def told(found, method, features, task=HEALTHY):
    row = row_of(found, method, features, task)
    assert row is not None
    return row["told"]


# ----------------------------------------------------------------------------------- what tells the groups


def test_a_window_is_found_and_every_standard_removes_it(windowed):
    assert told(windowed, AS_THEY_ARE, "brightness")["low"] > 0.95
    assert told(windowed, AS_THEY_ARE, "outline")["high"] < 0.75
    for method in ("z-score", "percentiles 5 and 95", "histogram"):
        row = row_of(windowed, method, CEILING, HEALTHY)
        assert row["told"]["high"] < 0.85
        assert row["change"]["high"] < -0.15
    assert removed_by(windowed)
    words = windowed["conclusions"]
    assert any(line.startswith("After ") for line in words["can"])
    assert not any("made alike take away" in line for line in words["cannot"])


def test_a_blur_is_found_and_no_standard_removes_it(blurred):
    assert told(blurred, AS_THEY_ARE, "texture")["low"] > 0.95
    for method in ("z-score", "histogram"):
        assert told(blurred, method, "texture")["low"] > 0.9
    assert not removed_by(blurred)
    assert any("made alike take away" in line for line in blurred["conclusions"]["cannot"])


def test_ages_that_do_not_differ_are_at_chance(windowed):
    ages = told(windowed, AS_THEY_ARE, CEILING, AGES)
    assert ages["low"] <= 1 / 3 <= ages["high"]
    assert any("differ at all" in line for line in windowed["conclusions"]["cannot"])


def test_outline_is_the_same_after_every_standard(windowed):
    for method in dict.fromkeys(row["method"] for row in windowed["told"]):
        assert told(windowed, method, "outline") == told(windowed, AS_THEY_ARE, "outline")


def test_the_panel_meets_no_classifier(windowed):
    """A tenth of 40, 14, 13 and 13 patients set the standard; the others are told."""
    assert windowed["panel_patients"] == 4 + 1 + 1 + 1
    assert windowed["tasks"][HEALTHY]["patients"] == 80 - 7
    assert windowed["tasks"][AGES]["patients"] == 40 - 3


def test_same_seed_same_figures_and_all_of_it_is_json(windowed):
    images = np.concatenate([lungs(40, 1), lungs(40, 2, scale=1.4)])
    again = measure_limits(set_of(images, GROUP), rng(), settings=QUICK)
    text = json.dumps(windowed, allow_nan=False)
    assert json.dumps(again, allow_nan=False) == text
    assert conclude(json.loads(text)) == windowed["conclusions"]


def test_a_second_opinion_is_a_row_of_its_own():
    images = np.concatenate([lungs(12, 1), lungs(12, 2, scale=1.4)])
    settings = LimitSettings(draws=50, folds=3, deals=1)
    found = measure_limits(set_of(images, np.repeat([0, 1], 12)), rng(), settings=settings)
    row = row_of(found, AS_THEY_ARE, CEILING, HEALTHY, "forest")
    assert row is not None
    assert row["told"]["low"] > 0.9


@pytest.mark.parametrize("measure", ["AUC", "balanced accuracy"])
def test_change_is_the_paired_difference(measure):
    """Against the slow one: resampled rows, the plain formula."""
    draw = rng(1)
    codes = draw.integers(0, 2, 40)
    before, after = draw.normal(size=40) + codes, draw.normal(size=40) + 2 * codes
    task = Task("t", measure, ("a", "b"), np.arange(40), codes, np.arange(40), seed=5)
    if measure == "AUC":

        def score(truth, given):
            return auc(truth == 1, given)
    else:
        before, after = (before > 0.5).astype(int), (after > 0.5).astype(int)

        def score(truth, given):
            return float(np.mean([(given[truth == kind] == kind).mean() for kind in (0, 1)]))

    slow = paired_difference(
        score,
        np.arange(40),
        codes,
        before,
        after,
        rng=rng(5),
        draws=150,
        strata=group_strata(codes, np.arange(40)) if measure != "AUC" else codes,
    )
    fast = task.change(before, after, QUICK)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high))


def test_deals_are_averaged():
    """Three deals by hand: the same folds, the mean of their chances."""
    draw = rng(2)
    codes = np.arange(60) % 3
    features = draw.normal(size=(60, 2)) + codes[:, None]
    task = Task("t", "balanced accuracy", ("a", "b", "c"), np.arange(60), codes, np.arange(60), seed=5)
    answers = task.score(features, "quadratic", LimitSettings(deals=3))
    again = rng(5)
    deals = [out_of_fold(features, codes, np.arange(60), rng=again) for _ in range(3)]
    np.testing.assert_array_equal(answers, np.mean(deals, axis=0).argmax(1))
    assert any((answers != deal.argmax(1)).any() for deal in deals)


# ----------------------------------------------------------------------------------------- day and outcome


def ill_set(chance_by_group: tuple[float, float, float], each: int = 30):
    """The ill alone, the outcome of a group as often as said; greys follow the outcome, not the day."""
    group = np.repeat([1, 2, 3], each)
    event = np.concatenate([np.arange(each) < round(share * each) for share in chance_by_group])
    day = np.concatenate([np.arange(each) % 5 + 5 * age for age in range(3)]).astype(float)
    images = lungs(3 * each, 7)
    images[event] = np.where(images[event] > 0, np.clip(1.3 * images[event], 0, 1), 0)
    return set_of(images, group, day), event.astype(float)


def limits_of(chance_by_group):
    slices, event = ill_set(chance_by_group)
    return day_limits(slices, event, plain_features(slices.images), rng(), QUICK)


def test_bands_are_exact():
    bands = limits_of((0.9, 0.3, 0.1))["bands"]
    assert [(b["first"], b["last"], b["events"], b["patients"]) for b in bands] == [
        (0, 4, 27, 30),
        (5, 9, 9, 30),
        (10, 14, 3, 30),
    ]
    for band in bands:
        k, n = band["events"], band["patients"]
        assert band["low"] == pytest.approx(stats.beta.ppf(0.025, k, n - k + 1))
        assert band["high"] == pytest.approx(stats.beta.ppf(0.975, k + 1, n - k))


def test_patients_count_once_in_a_band():
    slices, event = ill_set((0.9, 0.3, 0.1))
    twice = slices.take(np.repeat(np.arange(90), 2))
    found = day_limits(twice, np.repeat(event, 2), plain_features(twice.images), rng(), QUICK)
    assert [b["patients"] for b in found["bands"]] == [30, 30, 30]
    assert sum(row["events"] + row["others"] for row in found["by_day"]) == 90


def test_grey_that_follows_the_outcome_goes_with_the_day_only_through_it():
    slices, event = ill_set((0.9, 0.3, 0.1), each=100)
    found = day_limits(slices, event, plain_features(slices.images), rng(), QUICK)
    grey = found["grey_with_day"]
    assert grey["all"]["high"] < -0.3
    assert abs(grey["event"]["value"]) < 0.2
    assert abs(grey["no event"]["value"]) < 0.2


@pytest.mark.parametrize(
    ("chance", "seen", "cannot"),
    [
        ((0.9, 0.3, 0.1), "The outcome falls with the day", "severe to mild"),
        ((0.1, 0.3, 0.9), "The outcome rises with the day", "mild to severe"),
        ((0.5, 0.5, 0.5), "does not clearly go with the day", None),
    ],
)
def test_the_words_follow_the_outcome(windowed, chance, seen, cannot):
    words = conclude(windowed | {"day": limits_of(chance)})
    assert sum(seen in line for line in words["seen"]) == 1
    assert sum("times of one course" in line for line in words["cannot"]) == (cannot is not None)
    if cannot:
        assert any(cannot in line for line in words["cannot"])
    assert any("What the day counts" in line for line in words["cannot"]) == (chance[0] == 0.9)


# ------------------------------------------------------------------------------------------------ cohorts


def cohort_of(folder: Path, slices: SliceSet, event: np.ndarray, site: str = "") -> Cohort:
    from PIL import Image

    cases = []
    for row, image in enumerate(slices.images):
        Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(folder / f"{row}.png")
        day, group = slices.day[row], int(slices.group[row])
        cases.append(
            Case(
                patient=f"p{row}",
                scan=f"p{row}",
                image=Path(f"{row}.png"),
                intensity=Intensity.DISPLAY8,
                day=None if np.isnan(day) else float(day),
                site=site,
                label="covid" if group else "healthy",
                event=None if np.isnan(event[row]) else bool(event[row]),
            )
        )
    return Cohort("made", folder, tuple(cases))


def test_outcome_site_and_size_come_from_the_cohort(tmp_path):
    images = np.concatenate([lungs(12, 1), lungs(36, 2)])
    group = np.repeat([0, 1, 2, 3], 12)
    event = np.where(group == 0, np.nan, (np.arange(48) % 3 == 0).astype(float))
    cohort = cohort_of(tmp_path, set_of(images, group), event, site="one")
    slices = read_slices(cohort, 32)
    found = measure_limits(slices, rng(), cohort, LimitSettings(draws=50, second="", folds=3, deals=1))
    assert found["day"]["events"] == 12
    assert found["looks"]["picture height, px"]["groups"]["t0"]["median"] == 32
    assert any(row["features"] == "file" for row in found["told"])
    assert found["sites"] == "shared"
    assert set(found["by_outcome"]) == {"event", "no event"}
    part = measure_limits(
        slices.take(slices.group > 0), rng(), cohort, LimitSettings(draws=50, second="", deals=1)
    )
    assert "missing" in part["tasks"][HEALTHY]


def test_slices_of_another_cohort_are_refused(tmp_path):
    slices = set_of(lungs(4, 1), np.array([0, 0, 1, 1]))
    cohort = cohort_of(tmp_path, slices.take(np.arange(3)), np.full(3, np.nan))
    with pytest.raises(DataError, match="1 of 4 slices are not in the cohort"):
        measure_limits(slices, rng(), cohort, QUICK)


@pytest.mark.parametrize(
    ("group", "measured"),
    [
        (np.zeros(12, int), []),
        (np.ones(12, int), []),
        (np.repeat([0, 1], 6), ["all groups", HEALTHY]),
        (np.array([0]), []),
    ],
)
def test_what_is_missing_is_said(group, measured):
    slices = set_of(lungs(len(group), 1), group, np.full(len(group), np.nan))
    found = measure_limits(slices, rng(), settings=LimitSettings(draws=20, second=""))
    assert [name for name, about in found["tasks"].items() if "missing" not in about] == measured
    assert "missing" in found["day"]
    assert any("could not be compared" in line for line in found["conclusions"]["seen"])
    assert draw_limits(found).count("Not measured") == 1 + sum(
        "missing" in found["tasks"][task] for task in (HEALTHY, AGES)
    )


def test_the_phantom_has_days_and_no_outcome():
    found = measure_limits(
        draw_world(6, 1, 0).training, rng(), settings=LimitSettings(draws=50, second="", deals=1)
    )
    assert found["day"]["missing"].startswith("18 slices have a day and 0 an outcome")
    assert set(found["looks"]["lung mean grey, of 255"]["groups"]) == {"t0", "t1", "t2", "t3"}
    assert "chance" in found["tasks"]["all groups"]


# ------------------------------------------------------------------------------------------------ figure


def test_the_figure_is_one_svg_that_says_what_it_shows(windowed):
    full = windowed | {"day": limits_of((0.9, 0.3, 0.1))}
    drawn = draw_limits(full, label='Limits of "made" & others')
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'Limits of "made" & others'
    text = " ".join("".join(one.itertext()) for one in root.iter(f"{SVG}text"))
    for word in ("90 %", "30 %", "10 %", "t3", "chance", "histogram", "as they are", "brightness alone"):
        assert word in text
    assert "Not measured" not in text
    assert draw_limits(full, label='Limits of "made" & others') == drawn


@pytest.mark.real
def test_the_released_slices(real):
    """All of the ill, some of the healthy: day and outcome are confounded, no standard hides the source."""
    from glasslung.data.sources import cage

    cohort = cage(real / "cage")
    healthy = [case for case in cohort.cases if case.label == "healthy"][::8]
    part = Cohort("part", cohort.folder, (*healthy, *(c for c in cohort.cases if c.label != "healthy")))
    found = measure_limits(read_slices(part), rng(), part, LimitSettings(draws=200, second="", deals=1))
    assert found["day"]["event told by an early day"]["low"] > 0.9
    shares = [band["share"] for band in found["day"]["bands"]]
    assert shares[0] > 0.85 > 0.5 > shares[1] > shares[2]
    assert told(found, AS_THEY_ARE, "brightness")["low"] > 0.9
    assert told(found, "histogram", "brightness")["high"] < 0.75
    assert told(found, "histogram", "texture")["low"] > 0.8
    assert found["patients_on_two_days"] == 0
