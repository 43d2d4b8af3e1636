"""The true chance of a long stay at a landmark, beside patients drawn one by one."""

import numpy as np
import pytest

from glasslung.data.phantom.outcome import draw_outcome
from glasslung.studies.prognosis.ceiling import chance_of_event, chance_of_stay


@pytest.mark.parametrize(("risk", "day"), [(0.0, 4.0), (1.5, 6.0), (-1.0, 3.0)])
def test_the_law_at_a_landmark_is_that_of_the_drawn_patients(risk, day):
    drawn = [draw_outcome(seed, risk) for seed in range(6000)]
    there = [one for one in drawn if one.stay_days > day and one.event_day > day]
    long = np.mean([one.stay_days - day >= 7 for one in there])
    ill = np.mean([one.event and one.event_day - day <= 7 for one in there])
    error = 4 * np.sqrt(0.25 / len(there))
    assert chance_of_stay([risk], [day])[0] == pytest.approx(long, abs=error)
    assert chance_of_event([risk], [day], 7.0)[0] == pytest.approx(ill, abs=error)


def test_a_higher_risk_stays_longer_and_a_longer_look_ahead_finds_fewer():
    risks = np.linspace(-2, 2, 9)
    assert (np.diff(chance_of_stay(risks, np.full(9, 4.0))) > 0).all()
    assert chance_of_stay([0.0], [4.0], 1e-6)[0] == pytest.approx(1.0, abs=1e-4)
    assert chance_of_stay([0.0], [4.0], 3.0)[0] > chance_of_stay([0.0], [4.0], 9.0)[0]
