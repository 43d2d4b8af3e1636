"""Figures of a prognosis study that never ran, for tests of its sentences and its page."""

from __future__ import annotations

import copy
from typing import Any

from glasslung.studies.prognosis.columns import AGE_SEX, BURDEN, FEATURES, PAIRS, S
from glasslung.studies.prognosis.foretelling import MODELS, TRUE_LAW, TRUE_RISK
from glasslung.studies.prognosis.risks import ILL, STAY

DAYS = [2.0, 3.0, 5.0, 8.0, 9.0, 12.0]


def triple(value: float, reach: float = 0.05) -> list[float]:
    """A figure with even limits."""
    return [value, value - reach, value + reach]


def stay(c: float) -> dict[str, Any]:
    """Figures of one risk of staying long."""
    return {
        "patients": 60,
        "long": 24,
        "open": 2,
        "harrell": triple(c),
        "uno": triple(c),
        "auc": triple(c + 0.1),
        "brier": triple(0.2, 0.02),
        "calibration": [[0.2, 0.25, 0.1, 0.4, 30], [0.6, 0.5, 0.3, 0.7, 30]],
        "log_rank": {"p": 0.004, "reversed": False, "high": 3, "low": 3},
        "groups": {"days": DAYS, "seen": [True] * 5 + [False], "high": [False] * 3 + [True] * 3},
        "strength": 0.1,
    }


def ill(c: float) -> dict[str, Any]:
    """Figures of one risk of critical illness."""
    figures = {"harrell": triple(c), "uno": triple(c), "auc": triple(c), "brier": triple(0.15, 0.02)}
    return {"patients": 60, "events": 14, "by day 14": 12, "predicted": 0.25, "observed": 0.2, **figures}


def course(peak: float) -> dict[str, Any]:
    """A followed measure with two patients."""
    days = [1.0, 8.0, 15.0]
    lines = {"mean": [0.0, 2.0, 1.0], "low": [-1.0, 1.0, 0.0], "high": [1.0, 3.0, 2.0]}
    one = {
        "part": "B",
        "patient": "p1",
        "days": days,
        "values": [0.1, 2.2, 0.9],
        "peak": [9.0, 6.0, 12.0],
        "true_peak": [8.0, 10.0],
        "at": days,
        **lines,
    }
    share = [0.8, 0.6, 0.95]
    return {
        "scans": 40,
        "patients": 15,
        "span": [1.0, 15.0],
        "common": {"days": days, "peak_day": peak, **lines},
        "points": {"days": days, "values": [0.0, 2.0, 1.0]},
        "people": [one, {**one, "patient": "p2", "true_peak": None}],
        "ends": {"patients": 20, "first": 0.4, "last": 0.1, "first above 0": 0.9, "last above 0": 0.5},
        "peaks": {
            "patients": 10,
            "guess_day": peak,
            "true": [8.0, 10.0],
            "found": 9.0,
            "error": 0.7,
            "error of the guess": 0.9,
            "within": [{"days": within, "course": share, "guess": share} for within in (0.0, 2.0)],
            "held": share,
        },
    }


def diagnosis(auc: float) -> dict[str, Any]:
    """A hospital's figures of both methods."""
    roc = {"false": [0.0, 0.5, 1.0], "true": [0.3, 0.9, 1.0], "low": [0.1, 0.7, 1.0], "high": [0.5, 1.0, 1.0]}
    one = {
        "auc": triple(auc),
        "roc": roc,
        "threshold": 0.5,
        "sensitivity": triple(0.8),
        "specificity": triple(0.7),
    }
    both = {**one, "folds": [auc, auc], "mean of folds": triple(auc)}
    ways = {"best fold": one, "ensemble": both}
    return {
        "scans": 50,
        "with": 30,
        "outline": triple(0.55),
        "day": triple(0.51),
        "methods": {
            f"{name}, {way}": figures for name in ("I3D", "2D ResNet-50") for way, figures in ways.items()
        },
        "difference": {
            "names": ["2D ResNet-50", "I3D"],
            "delong": {"difference": 0.03, "low": -0.02, "high": 0.08, "p": 0.2},
        },
        "readers": [
            {"reader": "reader 1", "scans": 50, "sensitivity": triple(0.7), "specificity": triple(0.8)}
        ],
    }


def numbers(difference: list[float] | None = None) -> dict[str, Any]:
    """All figures; difference is that of two scans less one in every pair."""
    sets = {AGE_SEX: 0.58, **{one.name: 0.62 for pair in PAIRS for one in pair}}
    gain = difference or [0.01, -0.02, 0.04]
    pairs = [
        {"one": one.name, "two": two.name, "endpoint": endpoint, "model": model, "difference": gain}
        for one, two in PAIRS
        for endpoint in (STAY, ILL)
        for model in MODELS[endpoint]
    ]
    part = {"part": "A", "patients with COVID-19": 20, "other patients": 10, "scans": 60, "landmarks": 20}
    made = {
        "command": "glasslung study prognosis",
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {"glasslung": "0"},
        "seeds_trained": [0],
        "jobs": [{"name": "I3D fold 0", "seconds": 60.0, "steps": 100}],
        "plan": {
            "quick": False,
            "folds": 2,
            "size": 64,
            "draws": 200,
            "windows": 20,
            "window_scans": 8,
            "methods": ["I3D", "2D ResNet-50"],
            "budget": {"seconds": 60.0},
        },
        "ground": {
            "name": "phantom",
            "scans": 160,
            "masks by": "drawn",
            "parts": [part, {**part, "part": "B"}, {**part, "part": "C"}],
        },
        "no diagnosis": "",
        "simulated readers": True,
        "inner": {
            name: {"folds": [0.8, 0.9], "mean": 0.85, "deviation": 0.07} for name in ("I3D", "2D ResNet-50")
        },
        "diagnosis": {"B": diagnosis(0.8), "C": diagnosis(0.75)},
        "windows": {
            "B": {
                "scans": 20,
                "with": 10,
                "usual": 0.8,
                "deviations": [
                    {"hu": 100.0, "mean": 0.78, "deviation": 0.02, "least": 0.7, "most": 0.82, "areas": [0.8]}
                ],
            }
        },
        "mask check": {"scans": 9, "drawn": 12.0, "found": 10.0, "off": 2.0, "correlation": 0.97},
        "by day": [{"days": [1.0, 4.5], "scans": 50, "with": 30, "auc": triple(0.83)}],
        "course": {
            "s": course(9.0) | {"changes with": {"affected_percent": triple(-0.4)}},
            "burden": course(11.0),
        },
        "prognosis": {
            "learned": {"landmarks": 40, "patients": 30, "long": 15, "critical": 8, "open": 1},
            "asked": {
                "landmarks": 60,
                "patients": 60,
                "long": 24,
                "critical": 14,
                "open": 2,
                "by part": {"B": 30, "C": 30},
            },
            "left out": {},
            "stay": {name: {model: stay(c) for model in MODELS[STAY]} for name, c in sets.items()},
            "ill": {name: {model: ill(c) for model in MODELS[ILL]} for name, c in sets.items()},
            "pairs": pairs,
            "ceiling": {
                "stay": {name: stay(0.71) for name in (TRUE_LAW, TRUE_RISK)},
                "ill": {name: ill(0.75) for name in (TRUE_LAW, TRUE_RISK)},
            },
        },
        "readers": {
            "prognosis": [
                {
                    "task": "prognosis two scans",
                    "reader": "simulated reader 1",
                    "patients": 60,
                    "log_rank": {"p": 0.02, "reversed": True, "high": 3, "low": 3},
                    "sensitivity": 0.7,
                    "specificity": 0.6,
                    "groups": stay(0.6)["groups"],
                }
            ],
            "agreement": [
                {
                    "task": "diagnosis",
                    "scans": 50,
                    "fleiss": triple(0.5),
                    "alpha": triple(0.5),
                    "pairs": [{"first": "a", "second": "b", "agree": triple(0.8), "kappa": triple(0.5)}],
                }
            ],
        },
        "case": None,
    }
    assert {BURDEN[0].name, FEATURES[0].name, S[0].name} <= set(sets)
    return copy.deepcopy(made)
