"""Tables 1 and 2 from made answers: folds, best fold and ensemble, cuts, readers."""

from types import SimpleNamespace

import numpy as np
import pytest
from made_ground import made_ground

from glasslung.errors import DataError
from glasslung.measure.ranking import auc
from glasslung.measure.statistics import Interval
from glasslung.studies.prognosis import diagnosed
from glasslung.studies.prognosis.case import case_rows
from glasslung.studies.prognosis.diagnosed import by_days, diagnose, inner
from glasslung.studies.prognosis.folded import I3D, RESNET, Folded, deal_folds
from glasslung.studies.prognosis.ground import People
from glasslung.studies.prognosis.readings import readings_of

FOLDS = 3


@pytest.fixture(scope="module")
def ground():
    made = made_ground(People((15, 9), (10, 6)))
    made.exams.take = lambda rows: SimpleNamespace(rows=rows)  # outlines are not looked at here
    return made


@pytest.fixture(scope="module")
def folded(ground):
    rng, fold = np.random.default_rng(0), deal_folds(ground, FOLDS, 0)
    truth = ground.exams.label * 1.0

    def made(name: str, gap: float) -> Folded:
        log_odds = gap * truth + rng.normal(size=(FOLDS, len(truth))) - gap / 2
        areas = np.array(
            [
                auc(truth[(fold == k) & ground.diagnosed] == 1, log_odds[k, (fold == k) & ground.diagnosed])
                for k in range(FOLDS)
            ]
        )
        return Folded(name, log_odds, np.zeros((FOLDS, len(truth), 2), np.float32), fold, areas)

    return {I3D: made(I3D, 2.0), RESNET: made(RESNET, 0.0)}


@pytest.fixture(scope="module")
def told(ground, folded):
    patch = pytest.MonkeyPatch()
    bar = Interval(0.5, 0.4, 0.6, 0.95, 10, 16)
    patch.setattr(diagnosed, "source_tells", lambda exams, rng, kinds, draws: {kinds[0]: bar})
    found = diagnose(ground, folded, readings_of(ground, None, 0), 0, 60)
    patch.undo()
    return found


def test_folds_part_patients_and_hold_both_diseases(ground):
    fold = deal_folds(ground, FOLDS, 0)
    names, label = np.array(ground.exams.patients), ground.exams.label
    assert ((fold >= 0) == ground.rows("A")).all()
    for name in set(names[fold >= 0]):
        assert len(set(fold[names == name])) == 1
    for number in range(FOLDS):
        assert set(label[fold == number]) == {0, 1}
    with pytest.raises(DataError, match="too few for 20 folds"):
        deal_folds(ground, 20, 0)


def test_scores_come_from_networks_that_did_not_learn_from_the_patient(ground, folded):
    one = folded[I3D]
    inside = one.fold >= 0
    rows = np.flatnonzero(inside)
    assert one.score[rows] == pytest.approx(one.log_odds[one.fold[rows], rows])
    assert one.score[~inside] == pytest.approx(one.log_odds[:, ~inside].mean(0))


def test_every_way_of_a_method_is_scored_on_one_scan_of_each_patient(ground, folded, told):
    for part in ("B", "C"):
        rows = ground.rows(part) & ground.diagnosed
        truth = ground.exams.label[rows] == 1
        found, one = told[part], folded[I3D]
        assert found["day"][0] == pytest.approx(auc(truth, ground.stays.day[rows]))
        assert found["scans"] == rows.sum() and found["with"] == truth.sum()
        methods = found["methods"]
        assert methods["I3D, best fold"]["auc"][0] == pytest.approx(auc(truth, one.log_odds[one.best][rows]))
        assert methods["I3D, ensemble"]["auc"][0] == pytest.approx(auc(truth, one.score[rows]))
        each = [auc(truth, column) for column in one.log_odds[:, rows]]
        assert methods["I3D, ensemble"]["mean of folds"][0] == pytest.approx(np.mean(each))
        assert found["difference"]["delong"]["difference"] == pytest.approx(
            methods["I3D, ensemble"]["auc"][0] - methods["2D ResNet-50, ensemble"]["auc"][0]
        )
        for name in ("sensitivity", "specificity"):
            value, low, high = methods["I3D, ensemble"][name]
            assert low <= value <= high
        assert {one["reader"] for one in found["readers"]} == {"simulated reader 1", "simulated reader 2"}


def test_early_and_late_scans_are_scored_apart(ground, folded):
    one, outside = folded[I3D], ground.diagnosed & ~ground.rows("A")
    early, late = by_days(ground, one, 0, 60)
    assert early["scans"] + late["scans"] == outside.sum() and early["days"][1] < late["days"][0]
    rows = outside & (ground.stays.day <= early["days"][1])
    assert early["auc"][0] == pytest.approx(auc(ground.exams.label[rows] == 1, one.score[rows]))
    assert early["with"] == ground.covid[rows].sum()


def test_the_folds_inside_are_told_as_mean_and_deviation(ground, folded):
    found = inner(ground, folded)[I3D]
    assert found["mean"] == pytest.approx(np.mean(found["folds"]))
    assert found["deviation"] == pytest.approx(np.std(found["folds"], ddof=1))


def test_the_case_is_chosen_by_a_rule_and_is_no_patient_who_was_learned_from(ground):
    rows = case_rows(ground)
    names, many = np.unique(np.array(ground.stays.patients)[~ground.rows("A")], return_counts=True)
    assert len({ground.stays.patients[row] for row in rows}) == 1 and not ground.rows("A")[rows].any()
    assert len(rows) == many.max() and len(names) > 1
    assert (np.diff(ground.stays.day[rows]) > 0).all()
