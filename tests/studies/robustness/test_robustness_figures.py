"""Figures of answers whose truth is known: windows that matter, windows that do not, and slow twins."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from glasslung.errors import UsageError
from glasslung.measure.ranking import auc
from glasslung.studies.robustness.figures import Answers, figures_of, mean_auc_interval, write_tables
from glasslung.studies.robustness.windows import RobustnessPlan, drawn_kind, plan_windows

WINDOW = (-1000.0, 400.0)
PLAN = RobustnessPlan(draws=12, resamples=200, level=(-100, 0, 100), width=(-200, 0, 200))


def answers(shaken, patients=None, count=24, seed=0):
    """Scans in fair order; `shaken` noise in log-odds for each HU that a window is moved."""
    rng = np.random.default_rng(seed)
    windows = plan_windows(PLAN, WINDOW)
    truth = np.arange(count) % 2 == 0
    centre = rng.normal(np.where(truth, 1.0, -1.0), 1.0)
    far = np.abs(windows.shifts).sum(1)
    noise = rng.normal(size=(count, len(far))) * far * shaken
    names = tuple(patients or (f"p{n}" for n in range(count)))
    return Answers(centre[:, None] + noise, truth, names, tuple(f"s{n}" for n in range(count))), windows


def test_windows_of_a_plan_are_its_curves_and_its_draws():
    windows = plan_windows(PLAN, WINDOW)
    assert not windows.shifts[0].any()
    assert windows.shifts[windows.rows("level"), 0].tolist() == [-100, 0, 100]
    assert windows.shifts[windows.rows("width"), 1].tolist() == [-200, 0, 200]
    assert not windows.shifts[windows.rows("level"), 1].any()
    for deviation in PLAN.deviations:
        drawn = windows.shifts[windows.rows(drawn_kind(deviation))]
        assert drawn.shape == (12, 2)
        assert np.abs(drawn).max() < 5 * deviation
    np.testing.assert_array_equal(windows.shifts, plan_windows(PLAN, WINDOW).shifts)


def test_draws_of_one_deviation_do_not_depend_on_the_others():
    alone = RobustnessPlan(draws=12, deviations=(100.0,))
    one, two = plan_windows(alone, WINDOW), plan_windows(PLAN, WINDOW)
    kind = drawn_kind(100.0)
    np.testing.assert_array_equal(one.shifts[one.rows(kind)], two.shifts[two.rows(kind)])


def test_a_classifier_that_no_window_moves_has_no_spread():
    said, windows = answers(0.0)
    found = figures_of(said, windows, PLAN, 0.0)
    for one in found["draws"].values():
        assert one["sd"] == pytest.approx(0, abs=1e-12)
        assert one["worst"] == pytest.approx(found["centre"][0])
        assert one["change"] == pytest.approx([0, 0, 0], abs=1e-12)
        assert one["turned"] == 0
        assert one["spread"]["most"] == pytest.approx(0, abs=1e-12)
    assert all(row[1:] == found["centre"] for rows in found["curves"].values() for row in rows)


def test_figures_are_those_of_their_definition():
    said, windows = answers(0.01)
    found = figures_of(said, windows, PLAN, 0.3)["draws"]["100"]
    rows = windows.rows(drawn_kind(100.0))
    areas = [auc(said.truth, said.log_odds[:, row]) for row in rows]
    assert found["mean"][0] == pytest.approx(np.mean(areas))
    assert found["change"][0] == pytest.approx(np.mean(areas) - auc(said.truth, said.log_odds[:, 0]))
    assert found["sd"] == pytest.approx(np.std(areas, ddof=1))
    assert found["worst"] == pytest.approx(min(areas))
    assert found["worst_at"] == windows.shifts[rows[int(np.argmin(areas))]].tolist()
    assert [row[2] for row in found["windows"]] == pytest.approx(areas)
    likely = said.log_odds[:, rows] >= 0.3
    turned = (likely != (said.log_odds[:, :1] >= 0.3)).mean()
    assert found["turned"] == pytest.approx(turned)
    assert 0 < turned < 0.5
    spreads = [np.std(said.log_odds[n, rows], ddof=1) for n in range(len(said.truth))]
    assert found["spread"] == pytest.approx({"median": np.median(spreads), "most": max(spreads)})


def test_windows_that_matter_more_spread_more():
    said, windows = answers(0.01)
    found = figures_of(said, windows, PLAN, 0.0)["draws"]
    assert found["100"]["spread"]["median"] > 1.4 * found["50"]["spread"]["median"]
    assert found["100"]["mean"][0] < found["50"]["mean"][0] + 0.02


def test_limits_resample_patients_with_all_their_scans():
    paired = [f"p{n // 4}" for n in range(24)]
    own, _ = answers(0.01)
    together, _ = answers(0.01, [f"{name}{n % 2}" for n, name in enumerate(paired)])
    rows = slice(5, 17)
    one = mean_auc_interval(own, own.log_odds[:, rows], PLAN)
    two = mean_auc_interval(together, together.log_odds[:, rows], PLAN)
    assert one.value == pytest.approx(two.value)
    assert one.patients == 24
    assert two.patients == 12


def test_tables_hold_a_line_for_each_scan_and_window(tmp_path):
    said, windows = answers(0.01)
    write_tables(said, windows, figures_of(said, windows, PLAN, 0.0), tmp_path)
    with (tmp_path / "scans.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    drawn = said.log_odds[3, windows.rows(drawn_kind(50.0))]
    assert float(rows[3]["lowest_50"]) == pytest.approx(drawn.min(), rel=1e-4)
    assert float(rows[3]["sd_50"]) == pytest.approx(drawn.std(ddof=1), rel=1e-4)
    assert {row["with_finding"] for row in rows} == {"0", "1"}
    with (tmp_path / "windows.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 24


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"draws": 1}, "two windows or more"),
        ({"deviations": ()}, "one number or more"),
        ({"deviations": (50.0, 50.0)}, "none of them twice"),
        ({"deviations": (-50.0,)}, "above 0 HU"),
        ({"level": (-100, 100)}, "must hold 0"),
        ({"scans": 3}, "two of each label"),
    ],
)
def test_impossible_plans_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        RobustnessPlan(**settings)


def test_a_deviation_that_no_window_stands_is_refused():
    with pytest.raises(UsageError, match="too much"):
        plan_windows(RobustnessPlan(deviations=(900.0,)), WINDOW)
