"""How a patient's lungs change from scan to scan, and which comparisons would mislead and are not made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from glasslung.errors import DataError
from glasslung.types import Change, Findings, Intensity, RegionMeasures, Remark, Severity

# What is measured on a slab of the chest says nothing about another slab: gate codes that stop every
# comparison.
SLAB_CODES = frozenset({"few-slices", "slab-only"})
# Lungs cut at the edge of the scan: volumes are too small by an unknown amount, per cents nearly hold.
CUT_CODES = frozenset({"lungs-cut-off"})
# Breathing changes the bands as disease does: beyond this change of lung volume it must be said.
BREATHING_RATIO = 1.25
# Thicker slices blur vessels into ground glass: beyond this ratio of slice distance it must be said.
SLICE_RATIO = 2.0

SIDE_REGIONS = ("both lungs", "right lung", "left lung")
Measures = dict[tuple[str, str], float]  # (measure, unit) -> value


def changes(scans: Sequence[Findings]) -> tuple[Change, ...]:
    """The change of each measure between each two consecutive scans.

    scans in order of time. Compared are lung volume, affected tissue (ml, per cent) per side, involvement,
    severity points, the bands of both lungs and lesions by the same network, wherever both scans have the
    figure. A pair is left out when
    intensities differ, a lung mask is not trusted or a scan is only a slab, and its volumes in ml are when
    lungs are cut off: `comparison_remarks` says so. DataError when the days run backwards.
    """
    made: list[Change] = []
    for before, after in pairwise(scans):
        days = _days_between(before, after)
        if not any(obstacle.severity is Severity.REFUSE for obstacle in _obstacles(before, after)):
            made.extend(_pair(before, after, days, without_ml=bool(_codes(before, after) & CUT_CODES)))
    return tuple(made)


def comparison_remarks(scans: Sequence[Findings]) -> tuple[Remark, ...]:
    """What was left out of `changes` and why (refuse, warn), and what a reader of the rest must know.

    scans in order of time, as for `changes`; remarks in that order too.
    """
    remarks: list[Remark] = []
    for before, after in pairwise(scans):
        obstacles = tuple(_obstacles(before, after))
        remarks.extend(obstacles)
        if not any(obstacle.severity is Severity.REFUSE for obstacle in obstacles):
            remarks.extend(_cautions(before, after))
    return tuple(remarks)


def _days_between(before: Findings, after: Findings) -> float | None:
    if before.day is None or after.day is None:
        return None
    if after.day < before.day:
        raise DataError(
            f"{after.scan} (day {after.day:g}) comes after {before.scan} (day {before.day:g}); "
            "give the scans in order of time"
        )
    return after.day - before.day


def _codes(*scans: Findings) -> set[str]:
    return {remark.code for scan in scans for remark in scan.gate}


def _obstacles(before: Findings, after: Findings) -> Iterator[Remark]:
    """Why a pair must not be compared: severity refuse for all of it, warn for a part."""
    pair = f"{before.scan} and {after.scan}"
    if before.intensity is not after.intensity:
        yield Remark(
            "change-mixed-intensity",
            Severity.REFUSE,
            f"{pair} were not compared: one is in Hounsfield units, the other in 8-bit grey values.",
            "Give both scans in Hounsfield units.",
        )
    for scan in (before, after):
        if not scan.lung_quality.trusted:
            why = "; ".join(scan.lung_quality.reasons) or "no reason given"
            yield Remark(
                "change-untrusted-mask",
                Severity.REFUSE,
                f"{pair} were not compared: the lung mask of {scan.scan} is not trusted ({why}).",
                "Look at the mask; correct it or give a better scan.",
            )
        if _codes(scan) & SLAB_CODES:
            yield Remark(
                "change-slab",
                Severity.REFUSE,
                f"{pair} were not compared: {scan.scan} covers only a slab of the chest.",
                "Give the whole series.",
            )
        if _codes(scan) & CUT_CODES:
            yield Remark(
                "change-cut-off",
                Severity.WARN,
                f"Volumes in ml of {pair} were not compared: the lungs of {scan.scan} are cut off.",
                "Read only the per cents.",
            )


def _cautions(before: Findings, after: Findings) -> Iterator[Remark]:
    """What a reader of a pair that was compared must know."""
    pair = f"{before.scan} and {after.scan}"
    if before.intensity is Intensity.DISPLAY8:
        yield Remark(
            "change-no-hu",
            Severity.NOTE,
            f"{pair} have 8-bit grey values: densities, opacity and severity could not be compared.",
            "Give both scans in Hounsfield units.",
        )
    old, new = max(before.spacing_mm), max(after.spacing_mm)
    if max(old, new) > SLICE_RATIO * min(old, new):
        yield Remark(
            "change-slice-distance",
            Severity.WARN,
            f"{pair} have slices {old:.1f} and {new:.1f} mm apart: thick slices blur vessels into ground "
            "glass, so part of the change of bands and of affected tissue may be the scanner's.",
            "Compare reconstructions with like slices.",
        )
    volumes = [scan.regions[0].ml for scan in (before, after) if scan.regions]
    if len(volumes) == 2 and None not in volumes:
        first, second = (ml for ml in volumes if ml is not None)
        if max(first, second) > BREATHING_RATIO * min(first, second):
            yield Remark(
                "change-breathing",
                Severity.WARN,
                f"The lungs hold {first:.0f} ml on {before.scan} and {second:.0f} ml on {after.scan}: the "
                "patient may have breathed in differently, which alone changes densities and per cents.",
                "Compare affected ml, and look at the position of the diaphragm.",
            )


def _pair(before: Findings, after: Findings, days: float | None, without_ml: bool) -> Iterator[Change]:
    """A Change for each measure that both scans have."""
    old, new = _measures(before), _measures(after)
    for (measure, unit), value in old.items():
        if (measure, unit) not in new or (without_ml and unit == "ml"):
            continue
        difference = new[measure, unit] - value
        yield Change(
            measure=measure,
            unit=unit,
            scan_before=before.scan,
            scan_after=after.scan,
            before=value,
            after=new[measure, unit],
            difference=difference,
            per_day=difference / days if days else None,
        )


def _lesion_measures(scan: Findings, region: RegionMeasures) -> dict[tuple[str, str], float | None]:
    """Lesions of a network that is trusted, or made elsewhere; whose they are is part of the name."""
    all_of_it, origin, quality = region.all_lesions, scan.origin, scan.lesion_quality
    if all_of_it is None or origin is None or not (quality is None or quality.trusted):
        return {}
    who = origin.network or "mask given"
    amounts = {"lesions": all_of_it, **(region.lesions or {})}
    return {
        (f"{kind} by {who}, {region.name}", unit): getattr(amount, unit)
        for kind, amount in amounts.items()
        for unit in ("ml", "percent")
    }


def _measures(scan: Findings) -> Measures:
    """Every figure of a scan that can be followed, in the order of a report."""
    found: dict[tuple[str, str], float | None] = {}
    regions = [region for region in scan.regions if region.name in SIDE_REGIONS]
    for region in regions:
        found[f"lung volume, {region.name}", "ml"] = region.ml
    for region in regions:
        if region.affected is not None:
            found[f"affected, {region.name}", "ml"] = region.affected.ml
            found[f"affected, {region.name}", "percent"] = region.affected.percent
    found["involvement", "percent"] = scan.involvement
    if scan.severity is not None:
        # the total is part of the name: points of two definitions must never be subtracted
        found[f"severity, of {scan.severity.most}", "points"] = float(scan.severity.points)
    for region in regions[:1]:
        found |= _lesion_measures(scan, region)
        for band, amount in (region.bands or {}).items():
            found[f"{band}, {region.name}", "ml"] = amount.ml
            found[f"{band}, {region.name}", "percent"] = amount.percent
    return {key: value for key, value in found.items() if value is not None}
