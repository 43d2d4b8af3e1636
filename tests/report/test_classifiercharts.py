"""Charts of classifiers: what is handed over stands in the picture; the same figures draw the same file."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from glasslung.report.classifiercharts import (
    BenefitDrawing,
    RelevanceDrawing,
    ReliabilityDrawing,
    RocDrawing,
    StressDrawing,
    draw_benefit,
    draw_relevance,
    draw_reliability,
    draw_roc,
    draw_stress,
)


def roc(name: str, power: float = 4.0, points=()) -> RocDrawing:
    false = np.linspace(0, 1, 41)
    true = 1 - (1 - false) ** power
    return RocDrawing(
        name, false, true, true - 0.1 * (1 - true), np.minimum(1, true + 0.05), (0.91, 0.84, 0.97), points
    )


def reliability(name: str) -> ReliabilityDrawing:
    bins = [(k / 5, (k + 1) / 5, k / 5 + 0.1, min(1, k / 5 + 0.05 * k), 10 + 7 * k) for k in range(5)]
    return ReliabilityDrawing(name, bins, [(max(0, b[3] - 0.1), min(1, b[3] + 0.1)) for b in bins], 0.07)


def benefit(name: str) -> BenefitDrawing:
    thresholds = np.linspace(0.02, 0.98, 49)
    model = 0.4 - 0.3 * thresholds
    everybody = 0.4 - 0.6 * thresholds / (1 - thresholds)
    return BenefitDrawing(name, thresholds, model, model - 0.05, model + 0.05, everybody)


def stress(heading: str, methods: int) -> StressDrawing:
    rows = [(x, 0.9 - abs(x) / 1000, 0.8 - abs(x) / 1000, 0.95 - abs(x) / 1000) for x in (-300, 0, 300)]
    return StressDrawing(heading, "HU", 0, {f"method {n}": rows for n in range(methods)})


def relevance(name: str) -> RelevanceDrawing:
    shares = {"ground glass": (0.5, 0.4, 0.6), "outside the lungs": (0.02, 0.01, 0.04)}
    return RelevanceDrawing(name, shares, {"ground glass": 0.1}, {"ground glass": (0.12, 0.05, 0.2)})


DRAWN = {
    "roc": lambda: draw_roc([roc("full", points=[("paper, test", 0.18, 0.94)]), roc("no side branch", 2)]),
    "reliability": lambda: draw_reliability([reliability("full"), reliability("slices")]),
    "benefit": lambda: draw_benefit([benefit("full"), benefit("slices")]),
    "stress": lambda: draw_stress([stress("Window level", 6), stress("Noise", 6)]),
    "relevance": lambda: draw_relevance([relevance("full"), relevance("slices")]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_a_picture_that_comes_out_the_same(name):
    first = DRAWN[name]()
    assert ET.fromstring(first).tag.endswith("svg")
    assert first == DRAWN[name]()


def words(svg: str) -> str:
    return " ".join(text for node in ET.fromstring(svg).iter() if (text := (node.text or "").strip()))


def test_what_is_handed_over_is_written_into_the_panels():
    drawn = words(DRAWN["roc"]())
    for wanted in ("full", "no side branch", "paper, test", "AUC 0.91 [0.84, 0.97]"):
        assert wanted in drawn
    assert "ECE 0.07" in words(DRAWN["reliability"]())
    assert "dashed: acting on everybody" in words(DRAWN["benefit"]())
    drawn = words(DRAWN["stress"]())
    assert all(wanted in drawn for wanted in ("method 5", "Window level", "Noise", "300"))
    drawn = words(DRAWN["relevance"]())
    assert all(wanted in drawn for wanted in ("ground glass", "outside the lungs", "slices"))


def test_one_panel_and_seven_panels_both_stand():
    assert words(draw_roc([roc("alone")])).count("AUC") == 1
    assert words(draw_roc([roc(f"m{n}") for n in range(7)])).count("AUC") == 7


def test_an_empty_region_or_bin_is_no_error():
    bare = ReliabilityDrawing("bare", [(0.5, 0.5, 0.5, 0.4, 9)], (), 0.1)
    assert "bare" in words(draw_reliability([bare]))
    gap = RelevanceDrawing("gap", {"left": (0.4, 0.3, 0.5)}, {})
    assert "left" in words(draw_relevance([gap, relevance("full")]))
