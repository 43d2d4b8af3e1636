"""Sentences and page of the prognosis study, from made figures."""

import pytest
from made_numbers import numbers, triple

from glasslung.studies.prognosis.columns import FEATURES
from glasslung.studies.prognosis.verdict import cautions, p_told, verdicts


def test_no_effect_is_said_plainly_with_what_stands_in_the_way():
    said = " ".join(verdicts(numbers()))
    assert "no effect of the scan before was found" in said and "What stands in the way" in said
    assert "+0.010 [\u22120.020, +0.040]" in said
    assert "better than one" not in said


@pytest.mark.parametrize(("gain", "words"), [(0.05, "better than one"), (-0.05, "worse than one")])
def test_an_effect_is_told_with_its_sign(gain, words):
    assert words in " ".join(verdicts(numbers([gain, gain - 0.01, gain + 0.01])))


def test_no_lucky_difference_is_picked_out():
    made = numbers()
    made["prognosis"]["pairs"][3]["difference"] = [0.06, 0.02, 0.1]
    said = " ".join(verdicts(made))
    many = len(made["prognosis"]["pairs"])
    assert f"Of {many} differences" in said and "1 exclude 0 for two scans" in said and "0 against" in said


def test_what_was_reached_stands_beside_what_could_be():
    made = numbers()
    made["prognosis"]["stay"][FEATURES[1].name]["Cox"]["harrell"] = triple(0.68)
    said = " ".join(verdicts(made))
    assert "best reachable C at these landmarks is 0.71" in said and "0.03 below" in said
    made["prognosis"]["ceiling"] = None
    assert "reachable" not in " ".join(verdicts(made))


def test_an_auc_that_outlines_reach_too_is_not_praised():
    made = numbers()
    made["diagnosis"]["B"]["outline"] = triple(0.78)
    said = " ".join(verdicts(made))
    assert "not surely more than the 0.78" in said and "more than the 0.55" in said


def test_cautions_name_what_the_figures_rest_on():
    made = numbers()
    said = " ".join(cautions(made))
    assert "No human being has read these scans" in said and "2.0 points off" in said
    assert "hardly tells" not in said
    made["diagnosis"]["C"]["methods"]["I3D, ensemble"]["auc"] = triple(0.6)
    made["prognosis"]["asked"]["long"] = 9
    said = " ".join(cautions(made))
    assert "hardly tells the diseases apart at C" in said and "Only 9 patients" in said


def test_reasons_stand_where_nothing_was_asked():
    made = numbers()
    made["diagnosis"], made["inner"], made["no diagnosis"] = {}, {}, "too few"
    made["course"] = {"why not": "every patient has one scan"}
    made["prognosis"]["pairs"] = []
    made["prognosis"]["left out"] = {FEATURES[1].name: "every patient has one scan"}
    said = " ".join(verdicts(made))
    assert "could not be asked: every patient has one scan" in said and "too few" in said


def test_groups_that_lie_the_wrong_way_round_are_called_so(tmp_path):
    said = " ".join(verdicts(numbers()))
    assert "prognosis two scans: log-rank p = 0.020, but the wrong way round" in said
    assert said.count("the wrong way round") == 1


@pytest.mark.parametrize(("p", "words"), [(None, "p not defined"), (1e-5, "p < 0.001"), (0.03, "p = 0.030")])
def test_p_values_are_printed_alike(p, words):
    assert p_told(p) == words


def test_the_page_holds_every_table_and_curve(tmp_path):
    from glasslung.studies.prognosis.page import write_page

    text = write_page(numbers(), tmp_path).read_text("utf-8")
    for words in ("Table 1", "Table 2", "Two scans against one", "Through other windows", "Krippendorff"):
        assert words in text
    assert text.count("Kaplan-Meier curves:") >= 6 and "not a medical device" in text.lower()
    assert text.index("no effect of the scan before") < text.index("Table 1")
