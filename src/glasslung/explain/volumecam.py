"""Grad-CAM of a whole scan in three dimensions, on the scan's own grid, scaled by s(t) for serial scans.

    cam = volume_cam(classifier, exam, volume)            # one scan: VolumeCam(heat, score)
    full = common_scale(cams)                             # one colour scale for all days of a patient
    columns = [cam_column("day 4", volume, lungs, cam.scaled, cam.score) ...]   # data.camsheet
    png = cam_sheet(columns, full)                        # one column per day, one colour bar

H(x, y, z) is Grad-CAM (Selvaraju et al., 2017; by captum) with both signs: the last maps weighed by the mean
of their gradients, brought to the exam's slices, divided by the value that 99.5 % of the places stay below,
and cut off there, so that one odd place does not make all else pale. Of a network for whole scans (i3d,
densenet3d) maps and weights are those of the scan; of a network for slices each slice has its own, and all
are divided by one number, so that slices stay comparable. Where an exam is black outside the lungs the map is
0: a network that is shown nothing there still has a constant to say, which tells nothing of this scan. Of an
ensemble the members' maps are averaged, as their log-odds are.

The COVID3D paper scales H by s(t), the scan's log-odds, and draws what is above 0 red and what is below blue
(figure 4). Here it is H times |s(t)|: the same wherever the finding is likely, and red still speaks for the
finding where it is not. A map of a scan whose answer is near even is faint, as in the paper. The unit is
log-odds: the strongest places of a scan have its |s(t)|. Values are no parts of a sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from glasslung.data.exambatches import on_all_slices, shown_slices, whole
from glasslung.data.exams import Exam
from glasslung.errors import DataError, ShapeError
from glasslung.explain.gradients import class_activation
from glasslung.explain.heatmaps import FULL_SHARE
from glasslung.nn.borrow import evaluating
from glasslung.nn.ensemble import Ensemble
from glasslung.predict.diagnosing import Classifier, check_exam
from glasslung.predict.exams import exam_map_to_scan
from glasslung.types import Volume

NOTHING = 1.0  # full colour of scans that have no map at all, in log-odds


@dataclass(frozen=True, eq=False)
class VolumeCam:
    """Where a classifier looked in one scan.

    heat   (D, H, W) float32 on the scan's own grid, -1 to 1: for the finding above 0, against it below; 0
           where the classifier was shown nothing
    score  s(t), log-odds of the finding
    """

    heat: np.ndarray
    score: float

    @property
    def scaled(self) -> np.ndarray:
        """heat times |s(t)|, in log-odds, (D, H, W) float32."""
        return self.heat * np.float32(abs(self.score))


def volume_cam(classifier: Classifier, exam: Exam, volume: Volume) -> VolumeCam:
    """Grad-CAM of one scan, on its own grid.

    exam  of this scan, as the classifier reads it (`predict.exams`)
    One pass forward and one back. UsageError where the classifier does not read such an exam or its last
    maps are not known, ShapeError where the exam is of another scan.
    """
    check_exam(classifier, exam)
    heat, score = exam_cam(classifier.model, exam)
    return VolumeCam(exam_map_to_scan(heat, exam, volume), score)


def exam_cam(model: nn.Module, exam: Exam) -> tuple[np.ndarray, float]:
    """The same on the exam's slices: (S, H, W) float32 from -1 to 1, and the log-odds.

    Slices that were thinned out have the map of their neighbour. All zero where the last maps say nothing.
    """
    batch, shown = whole(exam), shown_slices(exam)
    with evaluating(model), torch.no_grad():
        score = float(model.scores(batch.image, batch.lesion, batch.scan)[0])  # type: ignore[operator]
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    each = [class_activation(one, batch.image, batch.lesion) for one in members]
    signed = np.mean(each, axis=0)
    if not np.isfinite(signed).all() or not np.isfinite(score):
        raise DataError("the network answers with what is no number; look at its weights")
    signed = np.where(_seen(exam)[shown], signed, 0)
    strong = np.abs(signed[signed != 0])
    most = float(np.quantile(strong, FULL_SHARE)) if strong.size else 1.0
    return on_all_slices(np.clip(signed / most, -1, 1), shown, len(exam)), score


def _seen(exam: Exam) -> np.ndarray:
    """Where the network is shown something, (S, H, W) bool: the lungs, or all of it."""
    return exam.lungs > 0 if exam.frame.masked else np.ones(exam.lungs.shape, bool)


def common_scale(cams: Iterable[VolumeCam]) -> float:
    """The log-odds drawn in full colour on every day of one patient: the strongest places of all days."""
    most = max((float(np.abs(cam.heat).max(initial=0.0)) * abs(cam.score) for cam in cams), default=0.0)
    return most or NOTHING


def share_inside(heat: np.ndarray, lesions: np.ndarray, lungs: np.ndarray) -> tuple[float, float]:
    """How much of what speaks for the finding lies inside lesions, and their share of the lungs' volume.

    heat (D, H, W) of both signs, lesions and lungs (D, H, W) labels. Both shares are of the lungs, 0 to 1; a
    map that knows nothing has them alike. DataError where there is no lesion or nothing speaks for it.
    """
    if not heat.shape == lesions.shape == lungs.shape:
        raise ShapeError(f"map {heat.shape}, lesions {lesions.shape} and lungs {lungs.shape} must be alike")
    inside = lungs > 0
    sick = (lesions > 0) & inside
    speaks = np.where(inside, heat, 0).clip(0)
    whole_heat = float(speaks.sum(dtype=np.float64))
    if not sick.any() or whole_heat <= 0:
        raise DataError("no lesion lies in the lungs, or nothing there speaks for the finding: no share")
    return float(speaks[sick].sum(dtype=np.float64)) / whole_heat, float(sick.sum() / inside.sum())
