"""Figure 4: one patient's scans, where the network looked, scaled by s(t) on one scale for all days.

The patient is chosen by a rule, not by eye: of those outside the trained hospital with most scans the one
whose burden changes most. The network is that of the best fold; it never saw this patient.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.camsheet import CamColumn, cam_column, cam_sheet
from glasslung.errors import DataError
from glasslung.explain.volumecam import VolumeCam, common_scale, exam_cam, share_inside
from glasslung.files import write_whole
from glasslung.predict.exams import exam_map_to_scan
from glasslung.studies.prognosis.burden import AFFECTED
from glasslung.studies.prognosis.ground import PrognosisGround

if TYPE_CHECKING:
    from torch import nn

PICTURE = "case.png"
MOST_DAYS = 5  # as the paper's case


def draw_case(ground: PrognosisGround, model: nn.Module, out: Path) -> dict[str, Any]:
    """Write the sheet of a case into a folder.

    -> {'part', 'file', 'full': log-odds in full colour, 'days': [{'day', 's', 'affected_percent', 'true
        percent', 'in lesions': share of what speaks for it, 'lesions': their share of the lungs}], 'stay':
        {'day', 'days', 'seen'} of the last scan with a stay ahead, or null}
    """
    rows = case_rows(ground)[:MOST_DAYS]
    columns, days, cams = [], [], []
    for row in rows:
        volume, lungs = ground.volume(int(row))
        exam = ground.exams.exams[row]
        heat, score = exam_cam(model, exam)
        cam = VolumeCam(exam_map_to_scan(heat, exam, volume), score)
        heading = f"day {ground.stays.day[row]:g}"
        columns.append(cam_column(heading, volume, lungs, cam.scaled, score))
        cams.append(cam)
        days.append(_day(ground, int(row), heat, score))
    full = common_scale(cams)
    write_case(columns, full, out)
    return {
        "part": ground.exams.split[rows[0]],
        "file": PICTURE,
        "full": full,
        "days": days,
        "stay": _stay(ground, rows),
    }


def case_rows(ground: PrognosisGround) -> np.ndarray:
    """The scans of the case, in order of days."""
    names, burden = np.array(ground.stays.patients), ground.burdens[AFFECTED]
    outside = ground.covid & ~ground.rows(ground.trained)
    serial = {}
    for name in sorted(set(names[outside])):
        rows = np.flatnonzero(outside & (names == name))
        serial[name] = (len(rows), float(np.ptp(burden[rows])))
    if not serial or max(serial.values())[0] < 2:
        raise DataError("no patient outside the trained part has two scans: there is no case to show")
    chosen = max(serial, key=lambda name: serial[name])
    rows = np.flatnonzero(outside & (names == chosen))
    return np.asarray(rows[np.argsort(ground.stays.day[rows])])


def write_case(columns: list[CamColumn], full: float, out: Path) -> None:
    """The sheet as a picture in a folder."""
    write_whole(out / PICTURE, cam_sheet(columns, full))


def _day(ground: PrognosisGround, row: int, heat: np.ndarray, score: float) -> dict[str, Any]:
    exam = ground.exams.exams[row]
    true = ground.truth.get("affected_percent")
    try:
        shares: tuple[float | None, float | None] = share_inside(heat, exam.lesions, exam.lungs)
    except DataError:  # no lesion, or nothing speaks for it
        shares = None, None
    return {
        "day": float(ground.stays.day[row]),
        "s": score,
        "affected_percent": float(ground.burdens[AFFECTED][row]),
        "true percent": None if true is None else float(true[row]),
        "in lesions": shares[0],
        "lesions": shares[1],
    }


def _stay(ground: PrognosisGround, rows: np.ndarray) -> dict[str, Any] | None:
    ahead = [int(row) for row in rows if np.isfinite(ground.stays.stay[row])]
    if not ahead:
        return None
    last = ahead[-1]
    stays = ground.stays
    return {"day": float(stays.day[last]), "days": float(stays.stay[last]), "seen": bool(stays.seen[last])}
