"""What the page is told of the scans it shows: plain values, no path, and no name but the scans' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from glasslung.analyze.serial import PER_PERCENT
from glasslung.data.montage import LESION_RGB, OUTLINE_RGB
from glasslung.data.preview import AS_STORED, LUNG_WINDOW, SOFT_TISSUE_WINDOW, Window
from glasslung.explain.heatmaps import AGAINST_RGB, FOR_RGB, FULL_SHARE
from glasslung.report.figures import TISSUE_RGB
from glasslung.types import DISCLAIMER, Comparison, Findings, Geometry, Intensity, Story, Trajectory
from glasslung.web.viewer.case import LESION_LAYERS, Shown, ViewCase
from glasslung.web.viewer.corrections import corrections_in, told_of
from glasslung.web.viewer.layers import lesions
from glasslung.web.viewer.links import link

# The report's two windows first; then bone, and a narrow one in which faint haze stands out.
HU_WINDOWS = (
    LUNG_WINDOW,
    Window("mediastinum", SOFT_TISSUE_WINDOW.level, SOFT_TISSUE_WINDOW.width),
    Window("bone", 480.0, 2500.0),
    Window("narrow lung", -700.0, 800.0),
)
GREY_WINDOWS = (Window("as stored", AS_STORED.level, AS_STORED.width),)


def view_told(case: ViewCase, reader: str) -> dict[str, Any]:
    """All that is known before a scan is opened; as JSON."""
    story = case.story
    return {
        "disclaimer": DISCLAIMER,
        "reader": reader,
        "canSave": story is not None,
        "daysKnown": "" if story is None else story.days_known,
        "scans": [_scan_told(one) for one in case.scans],
        "colours": {
            "lungs": OUTLINE_RGB,
            "lesions": {lesion.words: rgb for lesion, rgb in LESION_RGB.items()},
            "change": {tissue.name.lower(): rgb for tissue, rgb in TISSUE_RGB.items()},
            "relevance": {"for": FOR_RGB, "against": AGAINST_RGB},
        },
        "trajectory": [] if story is None else [_course_told(one) for one in story.trajectory],
        "comparisons": [] if story is None else [_pair_told(one) for one in story.comparisons],
    }


def _scan_told(one: Shown) -> dict[str, Any]:
    windows = HU_WINDOWS if one.intensity is Intensity.HU else GREY_WINDOWS
    return {
        "name": one.name,
        "label": one.label,
        "day": one.day,
        "hu": one.intensity is Intensity.HU,
        "measured": one.geometry is Geometry.MEASURED,
        "there": one.scan is not None,
        "layers": list(one.layers),
        "windows": [{"name": w.name, "level": w.level, "width": w.width} for w in windows],
        "doubts": [] if one.findings is None else doubts_of(one.findings),
        "facts": {} if one.findings is None else _facts(one.findings),
    }


def doubts_of(found: Findings) -> list[str]:
    """Why the masks of a scan may not be believed, a sentence each; [] where they may."""
    said = []
    for what, quality in (("lungs", found.lung_quality), ("lesions", found.lesion_quality)):
        if quality is not None and not quality.trusted:
            said.append(f"the mask of the {what} is not trusted: {'; '.join(quality.reasons)}")
    return said


def _facts(found: Findings) -> dict[str, Any]:
    """The few figures that stand beside the pictures."""
    told = found.diagnosis
    whole = found.regions[0] if found.regions else None
    every = None if whole is None else whole.all_lesions
    return {
        "lesions_by": "" if found.origin is None else found.origin.network or found.origin.lesions,
        "involvement": found.involvement,
        "lesions": None if every is None else every.percent,
        "lesions_ml": None if every is None else every.ml,
        "severity": None if found.severity is None else [found.severity.points, found.severity.most],
        "diagnosis": None if told is None else [told.finding, told.probability, told.answer.value],
    }


def _course_told(one: Trajectory) -> dict[str, Any]:
    curve = one.curve
    return {
        "measure": one.measure,
        "of": one.of,
        "unit": one.unit,
        "scans": one.scans,
        "days": one.days,
        "values": one.values,
        "trusted": one.trusted,
        "curve": None
        if curve is None
        else {"days": curve.days, "middle": curve.middle, "low": curve.low, "high": curve.high},
    }


def _pair_told(one: Comparison) -> dict[str, Any]:
    return {
        "before": one.scan_before,
        "after": one.scan_after,
        "by": one.lesions_by,
        "reasons": one.reasons,
        "cautions": one.cautions,
        "lesions": [
            {
                "fate": lesion.fate,
                "before_ml": lesion.before_ml,
                "after_ml": lesion.after_ml,
                "mm": [-lesion.centre_mm[0], -lesion.centre_mm[1], lesion.centre_mm[2]],  # LPS -> RAS
            }
            for lesion in one.lesions
        ],
    }


# --- one scan, once it is opened ----------------------------------------------------------------------------


def scan_facts(case: ViewCase, n: int) -> dict[str, Any]:
    """What takes reading its masks: how it is linked, and the scale of its map of relevance."""
    shown = case.scans[n]
    return {"link": link(case, n), "relevance_full": relevance_scale(case.story, shown)}


def relevance_scale(story: Story | None, shown: Shown) -> float | None:
    """What is drawn in full colour in a scan's map, in the map's own unit: one scale for all days.

    A story of one scan has no common scale; then it is what all but few places lie below. None: no map.
    """
    path = shown.file("relevance")
    if path is None or shown.findings is None:
        return None
    serial = None if story is None else story.serial
    if serial is not None and serial.full > 0:
        voxels = shown.findings.regions[0].voxels if shown.findings.regions else 0
        if serial.unit != PER_PERCENT:
            return serial.full
        if voxels:
            return serial.full * 100.0 / voxels
    from glasslung.data.formats.nifti import read_nifti

    values = np.abs(read_nifti(path)[0])
    there = values[values > 0]
    return float(np.quantile(there, FULL_SHARE)) if there.size else None


def corrections_told(case: ViewCase, n: int) -> list[dict[str, Any]]:
    """The corrections of a scan, the oldest first."""
    return [told_of(one) for one in corrections_in(case.folder, case.scans[n])]


def lesion_file(case: ViewCase, n: int, what: str) -> Path | None:
    """The mask called so: a layer of lesions, or the file of a correction; None for anything else."""
    shown = case.scans[n]
    if what in LESION_LAYERS:
        return shown.file(what)
    return next((one.path for one in corrections_in(case.folder, shown) if one.path.name == what), None)


def lesions_told(case: ViewCase, n: int, what: str, path: Path) -> dict[str, Any]:
    """The lesions of a mask one by one."""
    return lesions(path, case.scans[n].file("lungs"), kinds=what != "opacities")
