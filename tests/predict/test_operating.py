"""What lies beside a classifier's weights: read strictly, and read as it was measured."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from glasslung.data.exams import BODY, LUNGS
from glasslung.errors import DataError
from glasslung.files import write_json
from glasslung.measure.calibration import Calibration
from glasslung.measure.conformal import Answer, Conformal
from glasslung.predict.operating import OPERATING, TENSORS, read_operating, sigmoid
from glasslung.types import Standing
from made_classifiers import told

SAME = {
    Answer.WITH: Standing.FINDING,
    Answer.WITHOUT: Standing.OTHER,
    Answer.CANNOT_TELL: Standing.EITHER,
    Answer.UNFAMILIAR: Standing.NEITHER,
}


def kept(folder, **more):
    write_json(folder / OPERATING, told(**more))
    return read_operating(folder)


def test_log_odds_are_read_as_validation_measured_them(tmp_path):
    read = kept(tmp_path, temperature=3.0, bias=-0.7)
    for log_odds in (-900.0, -3.0, 0.0, 1.5, 900.0):
        assert read.probability(log_odds) == pytest.approx(
            float(Calibration(3.0, -0.7).probability(log_odds))
        )
    assert sigmoid(-1e6) == 0 and sigmoid(1e6) == 1


@pytest.mark.parametrize("many", [5, 9, 10, 30])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_conformal_answers_are_those_that_were_validated(tmp_path, many, level):
    rng = np.random.default_rng(many)
    scores = [np.sort(rng.random(many) * most).round(2).tolist() for most in (0.5, 0.7)]
    read = kept(tmp_path, conformal={"level": level, "covid": scores[0], "other": scores[1]})
    twin = Conformal(level, tuple(scores[0]), tuple(scores[1]))
    seen = set()
    for probability in [*np.linspace(0, 1, 101), *scores[1], *(1 - np.array(scores[0]))]:
        chances = read.chances(float(probability))
        assert chances == pytest.approx(twin.p_values(float(probability)))
        assert read.standing(chances) is SAME[twin.answer(float(probability))]
        seen.add(read.standing(chances))
    assert len(seen) > 1 or many < 9


def test_a_few_validation_scans_rule_nothing_out(tmp_path):
    read = kept(tmp_path, conformal={"covid": [0.1, 0.2], "other": [0.1, 0.2]})
    assert {read.standing(read.chances(p)) for p in (0.0, 0.5, 1.0)} == {Standing.EITHER}


def test_distances_lie_in_the_file_or_beside_it(tmp_path):
    inside = kept(tmp_path).familiar
    parts = told()["familiar"]
    save_file({k: np.atleast_1d(np.array(v, np.float32)) for k, v in parts.items()}, tmp_path / TENSORS)
    beside = kept(tmp_path, familiar=None).familiar
    one = np.array([0.3, 0.2])
    assert inside.distance(one) == pytest.approx(beside.distance(one), rel=1e-4)
    (tmp_path / TENSORS).unlink()
    assert kept(tmp_path, familiar=None).familiar is None


def test_the_frame_it_wants_is_told_and_the_usual_one_where_it_is_not(tmp_path):
    assert kept(tmp_path).frame == LUNGS
    assert kept(tmp_path, reads={"frame": "body"}).frame == BODY


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"reads": {"frame": "head"}}, "frame is 'head'"),
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": True}, "temperature is True"),
        ({"bias": float("inf")}, "bias"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"rule": None}, "rule is None"),
        ({"conformal": {"covid": []}}, "one at least"),
        ({"conformal": {"level": None}}, "level is None"),
        ({"validation": {"auc": [0.9, 0.95, 0.8]}}, "auc is"),
        ({"validation": {"scans": 0}}, "scans is 0"),
        ({"reads": {"intensity": "suv"}}, "suv"),
        ({"reads": {"size": 2}}, "size is 2"),
        ({"familiar": {"directions": [[1.0, 2.0]]}}, "damaged"),
    ],
)
def test_what_is_damaged_is_refused_by_name(tmp_path, more, words):
    import json

    (tmp_path / OPERATING).write_text(json.dumps(told(**more)))
    with pytest.raises(DataError, match=words):
        read_operating(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has no operating\.json"):
        read_operating(tmp_path)
    short = told()
    del short["rule"]
    write_json(tmp_path / OPERATING, short)
    with pytest.raises(DataError, match="'rule' is missing"):
        read_operating(tmp_path)
