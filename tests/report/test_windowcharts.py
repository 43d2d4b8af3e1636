"""Charts of windows: every window and scan drawn, the worst named, nothing lost where all are alike."""

from __future__ import annotations

import re

import numpy as np

from glasslung.report.windowcharts import CloudDrawing, SpreadDrawing, draw_cloud, draw_spread


def cloud(count=20, same=False):
    rng = np.random.default_rng(0)
    return [
        (float(a), float(b), 0.8 if same else 0.9 - 0.001 * abs(a)) for a, b in rng.normal(0, 50, (count, 2))
    ]


def test_every_window_is_a_dot_and_the_worst_is_named():
    windows = cloud()
    svg = draw_cloud([CloudDrawing("Deviation 50 HU", windows), CloudDrawing("Deviation 100 HU", windows)])
    assert svg.startswith("<svg")
    assert svg.count(f"worst {min(one[2] for one in windows):.3f}") == 2
    assert "Deviation 100 HU" in svg
    assert len(re.findall(r"<use ", draw_cloud([CloudDrawing("a", cloud(20))]))) >= 20
    assert draw_cloud([CloudDrawing("a", windows)]) == draw_cloud([CloudDrawing("a", windows)])


def test_windows_that_are_all_alike_still_have_a_scale_and_none_is_worst():
    svg = draw_cloud([CloudDrawing("a", cloud(5, same=True))])
    assert "0.8000" in svg
    assert "worst" not in svg


def test_every_scan_has_its_bar():
    scans = [(float(n), n - 0.5, n + 0.5, n % 2 == 0) for n in range(10)]
    svg = draw_spread([SpreadDrawing("Deviation 50 HU", scans, 4.2)])
    assert "with the finding" in svg
    assert "without" in svg
    only_sick = draw_spread([SpreadDrawing("a", [one for one in scans if one[3]], 0.0)])
    assert only_sick.count("<path") < svg.count("<path")
