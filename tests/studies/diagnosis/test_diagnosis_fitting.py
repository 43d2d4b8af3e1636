import numpy as np
import pytest
import torch

from glasslung.data.exambatches import whole
from glasslung.errors import DataError
from glasslung.models import build
from glasslung.studies.diagnosis.fitting import STRENGTHS, Asked, ask_exams, fit_linear, set_linear
from made_exams import made_exam_set


def made_features(count: int = 60, width: int = 30) -> tuple[Asked, np.ndarray, list[str]]:
    """One feature tells the label, the others are noise; one is known in half of the scans."""
    rng = np.random.default_rng(0)
    label = np.arange(count) % 2
    values = rng.normal(size=(count, width)) * 3 + 5
    values[:, 0] += 4 * label
    known = np.ones(values.shape, bool)
    known[::2, 1] = False
    values[::2, 1] = 1e6  # what stands where nothing is known is never read
    return Asked(values, known), label, [f"p{n // 2 % 20}-{n % 2}" for n in range(count)]


def test_the_feature_that_tells_is_found_and_what_is_unknown_is_not_read():
    asked, label, patients = made_features()
    fit = fit_linear(asked, label, patients, np.random.default_rng(0))
    assert int(np.argmax(np.abs(fit.weight))) == 0 and fit.weight[0] > 0
    assert fit.strength in STRENGTHS and fit.held_out.value > 0.7
    assert abs(fit.mean[1]) < 20 and fit.spread[1] < 10


def test_no_patient_is_fitted_and_held_out():
    """Patients who tell their label by a feature of their own: known when seen, a coin toss when not."""
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 40).repeat(4)
    values = rng.normal(size=(40, 60)).repeat(4, 0) + 0.01 * rng.normal(size=(160, 60))
    fit = fit_linear(
        Asked(values, np.ones(values.shape, bool)), label, [f"p{n // 4}" for n in range(160)], rng
    )
    assert fit.held_out.low < 0.5 < fit.held_out.high + 0.1


def test_the_model_says_what_was_fitted():
    exams = made_exam_set(6, size=64, slices=(3, 4))
    model = build("lesionnet", 0, size=64, width=2, scales=(1.0,))
    asked = ask_exams(model, exams)
    fit = fit_linear(asked, exams.label, exams.patients, np.random.default_rng(0))
    set_linear(model, fit)
    model.eval()
    scaled = np.where(asked.known, (asked.values - fit.mean) / fit.spread, 0)
    for row, exam in enumerate(exams.exams):
        batch = whole(exam)
        with torch.no_grad():
            said = float(model.scores(batch.image, batch.lesion, batch.scan)[0])
        assert said == pytest.approx(float(scaled[row] @ fit.weight + fit.bias), abs=1e-3)


def test_too_few_patients_are_refused():
    asked, label, _ = made_features(20)
    with pytest.raises(DataError, match="as many patients of each label; there are 1"):
        fit_linear(asked, label, ["a" if one else "b" for one in label], np.random.default_rng(0))
