"""The page of the diagnosis study: from made-up figures every part stands on it, and verdicts follow."""

from __future__ import annotations

import copy
import json
import re

import numpy as np
import pytest
from made_answers import replies, scans

from glasslung.explain.ledger import Figure
from glasslung.measure.statistics import Interval
from glasslung.studies.diagnosis.explained import explained, joined_rows
from glasslung.studies.diagnosis.page import write_page
from glasslung.studies.diagnosis.papers import FULL, NO_CVAE, NO_SIDE
from glasslung.studies.diagnosis.scores import score_part
from glasslung.studies.diagnosis.verdict import cautions, verdicts

METHODS = {"whole": 2.2, "no side": 1.4, "no CVAE <b>": 0.8, "slices": 1.6, "3D": 1.9}


def made_explained(method: str, ratio: float) -> dict:
    """What a ledger tells, with relevance in lesions `ratio` times their volume."""

    def interval(value: float) -> Interval:
        return Interval(value, 0.8 * value, 1.2 * value, 0.95, 200, 30)

    found = [
        Figure("conservation error", interval(0.004), None, 30),
        Figure("in lesions", interval(0.1 * ratio), interval(0.1), 30),
        Figure("in lungs", interval(0.97), interval(1.0), 30),
        Figure("in outside the lungs", interval(0.03), None, 30),
        Figure("lesions, share over volume", interval(ratio), interval(1.0), 28),
        Figure("deletion, mean log-odds", interval(0.4), interval(1.4), 30),
        Figure("lesions, share over volume, all layers shuffled", interval(1.02), None, 28),
    ]
    shuffled = [Figure("in lesions", interval(0.11), interval(0.1), 30)]
    return explained(method, "whole", found, shuffled)


def made_numbers(draws: int = 200) -> dict:
    """Figures of made-up answers, as the study hands them over."""
    generator = np.random.default_rng(5)
    validation = generator.random(60) < 0.5
    parts = {}
    for seed, (part, sites) in enumerate((("test", ("north", "south")), ("external", ("east",)))):
        held = scans(100, seed, sites)
        answers = {
            name: replies(held.truth, validation, apart - 0.5 * seed, 10 * seed + n)
            for n, (name, apart) in enumerate(METHODS.items())
        }
        bars = {
            "outline": Interval(0.55, 0.44, 0.66, 0.95, draws, 50),
            "grain": Interval(0.63, 0.52, 0.74, 0.95, draws, 50),
        }
        parts[part] = score_part(held, validation, answers, "whole", source=bars, draws=draws)
    stress_rows = [[x, 0.9 - abs(x) / 1500, 0.8 - abs(x) / 1500, 0.96] for x in (-300, -100, 0, 100, 300)]
    kinds = ("window level", "window width", "noise", "slice thickness")
    counts = {"scans": 100, "patients": 90, "with": 40, "without": 60, "sites": ["north"]}
    return {
        "ground": {
            "name": "phantoms",
            "sha256": "ab" * 32,
            "left out, patient in another part": 0,
            "by part, site, word": [{"part": "train", "site": "north", "word": "covid", "scans": 40}],
            "parts": {"train": counts, "test": counts},
        },
        "reference": "whole",
        "parts": parts,
        "ablation": {FULL: "whole", NO_SIDE: "no side", NO_CVAE: "no CVAE <b>"},
        "complexity": [{"method": "whole", "parameters": 1_423_000, "gflops": 12.5, "seconds": 0.41}],
        "stress": {
            "scans": 40,
            "patients": 40,
            "with": 20,
            "without": 20,
            "unaltered": {name: [0.9, 0.8, 0.96] for name in METHODS},
            "kinds": {
                kind: {"label": "HU", "usual": 0, "curves": dict.fromkeys(METHODS, stress_rows)}
                for kind in kinds
            },
        },
        **joined_rows([made_explained("LRP", 5.0), made_explained("Grad-CAM", 1.05)]),
        "plan": {
            "quick": True,
            "seconds": 120,
            "size": 96,
            "draws": draws,
            "methods": list(METHODS),
            "budget": {"seconds": 120, "looks": 12, "pace": {"each": 4}},
        },
        "jobs": [],
        "seeds_trained": [0, 1],
        "command": "glasslung study diagnosis --out x",
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {"glasslung": "0"},
    }


@pytest.fixture(scope="module")
def numbers() -> dict:
    return made_numbers()


@pytest.fixture(scope="module")
def page(numbers, tmp_path_factory) -> str:
    path = write_page(json.loads(json.dumps(numbers)), tmp_path_factory.mktemp("page"))
    assert path.name == "index.html"
    return path.read_text("utf-8")


def test_every_part_stands_on_the_page(page):
    text = re.sub(r"<[^>]+>", " ", page)
    for wanted in (
        "The paper beside ours",
        "Held-out patients",
        "A hospital never trained on",
        "FPR at 95 % TPR",
        "By severity",
        "By kind",
        "CO-RADS",
        "only it right",
        "Calibration",
        "cannot tell",
        "Stress",
        "Explanations, measured",
        "Whether relevance adds up",
        "the paper: lung segmentation",
        "A quick look",
        "glasslung study diagnosis --out x",
    ):
        assert wanted in text, wanted
    assert page.count("data:image/svg+xml") == 8  # ROC, reliability, benefit twice; stress; relevance
    assert text.count("0.94") >= 1  # the paper's sensitivity


def test_the_page_asks_nothing_of_the_network_and_escapes_names(page):
    assert "http://" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page).replace("http://www.w3.org", "")
    assert "no CVAE <b>" not in page
    assert "no CVAE &lt;b&gt;" in page


def test_what_was_not_measured_is_left_out(numbers, tmp_path):
    bare = {
        key: value
        for key, value in copy.deepcopy(numbers).items()
        if key not in ("stress", "explanations", "faithfulness", "conservation", "complexity", "ablation")
    }
    for part in bare["parts"].values():
        part["source"], part["source_only"] = {}, None
    text = write_page(bare, tmp_path).read_text("utf-8")
    assert 'id="stress"' not in text
    assert 'id="explanations"' not in text
    assert "was not measured" in text


def test_verdicts_follow_the_figures(numbers):
    said = " ".join(verdicts(numbers))
    assert "more than that can explain" in said
    assert "without side information AUC \u2212" in said
    assert "as in the paper" in said
    assert "LRP: lesions hold 5.00 [4.00, 6.00] times the relevance that their volume would, more" in said
    assert "with shuffled weights 1.02 [0.82, 1.22] times" in said
    assert "Grad-CAM: lesions hold 1.05 [0.84, 1.26] times the relevance that their volume would, no" in said
    turned = copy.deepcopy(numbers)
    turned["parts"]["test"]["methods"]["whole"]["auc"] = [0.6, 0.5, 0.65]
    turned["parts"]["external"]["source_only"] = [0.9, 0.85, 0.95]
    said = " ".join(verdicts(turned))
    assert "does not prove that lungs were read" in said
    assert "unlike in the paper" in said
    assert any("scores there may rest on it" in one for one in cautions(turned))


def test_a_fall_under_stress_is_told_with_its_amount(numbers):
    assert "loses more than 0.1 of AUC first at window level" in " ".join(verdicts(numbers))
    steady = copy.deepcopy(numbers)
    for kind in steady["stress"]["kinds"].values():
        kind["curves"]["whole"] = [[0, 0.9, 0.8, 0.95], [300, 0.89, 0.8, 0.95]]
    assert "No alteration" in " ".join(verdicts(steady))


def test_cautions_name_few_patients_and_one_seed(numbers):
    few = copy.deepcopy(numbers)
    few["parts"]["external"]["with"] = 7
    few["seeds_trained"] = [0]
    said = " ".join(cautions(few))
    assert "only 7 scans of the rarer class" in said
    assert "One training of each method" in said
    assert "One training" not in " ".join(cautions(numbers))


def test_a_ledger_is_dealt_to_the_tables():
    rows = made_explained("LRP", 5.0)
    assert [row["region"] for row in rows["explanations"]] == ["lesions", "lungs", "outside the lungs"]
    assert rows["explanations"][0]["chance"] == 0.1
    assert rows["explanations"][0]["randomised"] == pytest.approx([0.11, 0.088, 0.132])
    assert rows["explanations"][2]["chance"] is None
    assert rows["conservation"] == [{"network": "whole", "rule": "LRP", "error": 0.004}]
    assert [row["random"] is None for row in rows["faithfulness"]] == [False, False, True]
