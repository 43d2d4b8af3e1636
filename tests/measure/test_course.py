"""Changes between scans: right differences, and no comparison that would mislead."""

from dataclasses import replace

import pytest

from glasslung.errors import DataError
from glasslung.measure.course import changes, comparison_remarks
from glasslung.measure.severity import SIX_ZONES, severity_score
from glasslung.types import (
    Amount,
    Findings,
    Geometry,
    Intensity,
    MaskQuality,
    RegionMeasures,
    Remark,
    Severity,
)


def region(name: str, ml: float, affected: float) -> RegionMeasures:
    bands = {
        "aerated": Amount(ml - affected, 100 - 100 * affected / ml),
        "ground-glass": Amount(affected, 100 * affected / ml),
    }
    return RegionMeasures(name, ml, int(ml * 100), bands, Amount(affected, 100 * affected / ml))


def findings(scan: str, day: float | None, affected: float = 100.0, ml: float = 4000.0) -> Findings:
    regions = (
        region("both lungs", ml, affected),
        region("right lung", ml / 2, affected / 4),
        region("left lung", ml / 2, 3 * affected / 4),
    )
    score = severity_score(dict.fromkeys(SIX_ZONES.zones, 100 * affected / ml))
    return Findings(
        scan=scan, day=day, kind="phantom", sha256="", intensity=Intensity.HU, geometry=Geometry.MEASURED,
        shape=(10, 10, 10), spacing_mm=(2.0, 1.0, 1.0), gate=(), lung_quality=MaskQuality(True, 1.0),
        regions=regions, severity=score, involvement=100 * affected / ml, masks={},
    )  # fmt: skip


def both(scans):
    return changes(scans), comparison_remarks(scans)


def test_a_change_is_after_minus_before_and_per_day():
    made, remarks = both([findings("a", 0, 100), findings("b", 4, 1400)])
    by_name = {(change.measure, change.unit): change for change in made}
    affected = by_name["affected, both lungs", "ml"]
    assert (affected.before, affected.after, affected.difference, affected.per_day) == (100, 1400, 1300, 325)
    assert (affected.scan_before, affected.scan_after) == ("a", "b")
    assert by_name["lung volume, left lung", "ml"].difference == 0
    assert by_name["affected, right lung", "percent"].after == pytest.approx(17.5)
    assert by_name["involvement", "percent"].difference == pytest.approx(32.5)
    assert by_name["severity, of 24", "points"].difference == 6
    assert by_name["aerated, both lungs", "ml"].difference == -1300
    assert ("aerated, left lung", "ml") not in by_name
    assert remarks == ()


def test_three_scans_make_two_steps_that_add_up():
    made, _ = both([findings("a", 0, 100), findings("b", 4, 900), findings("c", 9, 300)])
    steps = [change for change in made if (change.measure, change.unit) == ("affected, both lungs", "ml")]
    assert [(step.scan_before, step.scan_after, step.difference) for step in steps] == [
        ("a", "b", 800),
        ("b", "c", -600),
    ]
    assert both([findings("a", 0)]) == ((), ())
    assert both([]) == ((), ())


@pytest.mark.parametrize("days", [(None, 3), (0, None), (2, 2)])
def test_no_rate_without_days(days):
    made, _ = both([findings("a", days[0]), findings("b", days[1])])
    assert made
    assert all(change.per_day is None for change in made)


def test_days_may_not_run_backwards():
    with pytest.raises(DataError, match="order of time"):
        changes([findings("a", 5), findings("b", 4)])


def eight_bit(scan: str, day: float) -> Findings:
    plain = findings(scan, day)
    regions = tuple(replace(part, ml=None, bands=None, affected=None) for part in plain.regions)
    return replace(plain, intensity=Intensity.DISPLAY8, regions=regions, severity=None, involvement=None)


def test_hu_and_grey_values_are_not_compared():
    made, remarks = both([findings("a", 0), eight_bit("b", 1), eight_bit("c", 2)])
    assert made == ()
    assert [remark.code for remark in remarks] == ["change-mixed-intensity", "change-no-hu"]


def test_an_untrusted_mask_is_not_compared_and_its_reason_is_told():
    doubtful = replace(findings("b", 1), lung_quality=MaskQuality(False, 0.2, ("the lungs touch the table",)))
    made, remarks = both([findings("a", 0), doubtful, findings("c", 2), findings("d", 3)])
    assert {change.scan_before for change in made} == {"c"}
    assert [remark.code for remark in remarks] == ["change-untrusted-mask"] * 2
    assert "the lungs touch the table" in remarks[0].text


def with_gate(scan: Findings, code: str) -> Findings:
    return replace(scan, gate=(Remark(code, Severity.WARN, "seen"),))


def test_a_slab_is_not_compared_and_cut_lungs_only_in_per_cent():
    made, remarks = both([findings("a", 0), with_gate(findings("b", 1), "few-slices")])
    assert made == ()
    assert remarks[0].code == "change-slab"
    made, remarks = both([findings("a", 0), with_gate(findings("b", 1), "lungs-cut-off")])
    assert {change.unit for change in made} == {"percent", "points"}
    assert remarks[0].code == "change-cut-off"


def test_thick_slices_and_breathing_are_said():
    thick = replace(findings("b", 1), spacing_mm=(5.0, 1.0, 1.0))
    made, remarks = both([findings("a", 0), thick])
    assert made
    assert [remark.code for remark in remarks] == ["change-slice-distance"]
    made, remarks = both([findings("a", 0), findings("b", 1, ml=2500)])
    assert made
    assert [remark.code for remark in remarks] == ["change-breathing"]
    assert "4000 ml" in remarks[0].text
    assert "2500 ml" in remarks[0].text


def test_two_definitions_of_severity_are_never_subtracted():
    other = findings("b", 1)
    other = replace(other, severity=replace(other.severity, most=25))
    made, _ = both([findings("a", 0), other])
    assert not [change for change in made if change.unit == "points"]
