"""Score a trained network on the whole scans of a cohort: find, compare, write what was found.

masks/SCAN/lungs.nii.gz, lesions.nii.gz   what was found, on the scan's own grid, with the labels of `Lesion`
per_scan.csv                              every figure of every scan
overlays-1.png, ...                       the slice of each scan with the most lesion, lowest Dice first

A network for whole scans looks at the box around the lungs that rules find in the scan, as it learned to;
one that looks for lungs alone sees all of it. A segmenter of slices is asked as `analyze` asks it, and the
lungs are then those that it and the rules agree on. Nothing of the truth is shown to either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.orientation import orientation_of, to_upright
from glasslung.data.volumebatches import scale_hu
from glasslung.data.volumecohort import (
    Labelled,
    is_labelled,
    label_remarks,
    labelled_cases,
    labels_of,
    read_labelled_scan,
)
from glasslung.data.windows import LUNG_WINDOW_HU
from glasslung.errors import DataError
from glasslung.files import write_whole
from glasslung.measure.overlap import Counts
from glasslung.predict import Network, Settings, predict
from glasslung.predict.trained import TRAINING, Trained
from glasslung.studies.folder import part_of
from glasslung.studies.segmentation.scores import INFECTION, KINDS, SegmentationScores, Segmented
from glasslung.studies.segmentation.sheet import file_name, sheets
from glasslung.studies.segmentation.volumes import DIGITS, SCANS, USUAL, WHOLE_MM, margin_of, network_of
from glasslung.studies.segmentation.volumescores import (
    FoundMasks,
    ScanScore,
    as_told,
    figures_of_volumes,
    scan_table,
    score_scan,
    table_of_volumes,
)
from glasslung.studies.trained import told_of
from glasslung.types import Case, Intensity, Lesion, Progress, Remark, Severity, Volume

PART = "test"
LUNG, OUTSIDE = "lung", ("outside", "none")
LABELS = {
    **{name: kind for kind, name in KINDS.items()},
    "combined": Lesion.GROUND_GLASS,  # the paper's class of mixed lesions, which no mask of ours has
    "lesion": Lesion.GROUND_GLASS,
}
"""The label that a network's class has in a lesion mask."""

Find = Callable[[Volume, Progress | None], FoundMasks]


@dataclass(frozen=True, eq=False)
class Finder:
    """Something that finds lungs or lesions in a scan.

    kinds  names of the lesions that it tells apart
    asked  how it was asked, one sentence
    """

    find: Find
    kinds: tuple[str, ...]
    asked: str


def evaluate_volumes(
    trained: Trained,
    which: str | Path,
    cohort: Cohort,
    seed: int = 0,
    out: Path | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], str, tuple[Remark, ...]]:
    """Find lungs and lesions in a cohort's labelled scans and score them: figures, table, what to beware of.

    which   as `trained` was opened: a run's folder or a shipped name
    out     a folder that is there, for what was found; None: nothing is written
    Of a table with a part 'test' that part is scored. One scan at a time is in memory.
    """
    finder = finder_of(trained, which)
    cohort, remarks = _part(cohort)
    cases, scores, seen, digests, shown = labelled_cases(cohort), [], [], [], []
    names = _names(cases)
    for number, (case, name) in enumerate(zip(cases, names, strict=True)):
        here = part_of(progress, number / len(cases), (number + 1) / len(cases))
        if here:
            here(f"{name}: reading", 0.0)
        labelled = read_labelled_scan(cohort, case)
        found = finder.find(labelled.volume, part_of(here, 0.1, 0.7))
        if here:
            here(f"{name}: scoring", 0.7)
        scores.append(score_scan(name, labelled, found, finder.kinds))
        seen.append(labels_of(labelled))
        digests.append(labelled.volume.source.sha256)
        if out is not None:
            write_masks(found, labelled.volume, out / "masks" / name)
            shown += _slice_shown(name, labelled, found, finder.kinds)
    figures = figures_of_volumes(scores, np.random.default_rng(seed))
    remarks += (*_seen_remarks(trained, digests), *label_remarks(seen))
    if out is not None:
        write_whole(out / "per_scan.csv", scan_table(scores))
        _write_sheets(shown, scores, out)
    whole = {
        "about": told_of(trained) | {"asked": finder.asked},
        "data": {"name": cohort.name, "sha256": sorted(digests)},
        "figures": figures,
    }
    return whole, table_of_volumes(figures), remarks


def _part(cohort: Cohort) -> tuple[Cohort, tuple[Remark, ...]]:
    """The part of a cohort that is kept aside, where there is one, and what was left out."""
    remarks: tuple[Remark, ...] = ()
    if any(case.split == PART for case in cohort.cases):
        whole, cohort = len(cohort.cases), cohort.part(PART)
        text = f"Scored are the {len(cohort.cases)} of {whole} scans that the table has in its part {PART!r}."
        remarks += (Remark("part-test", Severity.NOTE, text),)
    if bare := sum(not is_labelled(case) for case in cohort.cases):
        text = f"{bare} of {len(cohort.cases)} scans have no mask and are left out."
        remarks += (Remark("scans-unlabelled", Severity.NOTE, text),)
    return cohort, remarks


def _names(cases: Sequence[Case]) -> list[str]:
    """A name for each scan that is good for a folder: its own, with the patient's where two share one."""
    shared = {case.scan for case in cases if sum(other.scan == case.scan for other in cases) > 1}
    names = [file_name(f"{case.patient}-{case.scan}" if case.scan in shared else case.scan) for case in cases]
    if len(set(names)) < len(names):
        raise DataError("two scans would be written to one folder; name the scans differently")
    return names


# ------------------------------------------------------------------------------------------------- finding


def finder_of(trained: Trained, which: str | Path) -> Finder:
    """How a trained model is asked about a scan; UsageError for one that finds nothing in scans."""
    if trained.method in USUAL:
        return _finder_of_network(network_of(trained), margin_of(trained))
    from glasslung.predict.opening import open_segmenter

    return _finder_of_segmenter(open_segmenter(which))


def _finder_of_network(network: Network, margin_mm: float) -> Finder:
    finds_lungs = LUNG in network.classes
    lung = np.array([name not in OUTSIDE for name in network.classes])
    lesion = np.array([LABELS.get(name, Lesion.NONE) for name in network.classes], np.uint8)
    whole = margin_mm >= WHOLE_MM

    def find(volume: Volume, progress: Progress | None) -> FoundMasks:
        from glasslung.data.lungs import segment_lungs

        near = None if whole else segment_lungs(volume).mask
        look = near if near is not None and near.any() else None
        settings = Settings(margin_mm=margin_mm)
        labels = predict(network, volume, within=look, settings=settings, progress=progress).labels
        return FoundMasks(lung[labels] if finds_lungs else None, lesion[labels] if lesion.any() else None)

    asked = "all of the scan" if whole else f"the box around the lungs by rules and {margin_mm:g} mm"
    return Finder(find, tuple(name for name in KINDS.values() if name in network.classes), asked)


def _finder_of_segmenter(segmenter: Any) -> Finder:
    """A segmenter of slices, asked as `analyze` asks it."""
    from glasslung.data.lungs import segment_lungs
    from glasslung.predict.masks import segment_scan

    def find(volume: Volume, progress: Progress | None) -> FoundMasks:
        found = segment_scan(volume, segmenter, segment_lungs(volume), progress=progress)
        return FoundMasks(found.lungs.mask > 0, found.lesions)

    kinds = tuple(name for name in segmenter.classes if name in KINDS.values())
    return Finder(find, kinds, "slice by slice in the lungs that it and the rules agree on, as analyze does")


# ------------------------------------------------------------------------------------------------- writing


def write_masks(found: FoundMasks, volume: Volume, folder: Path) -> None:
    """lungs and lesions of one scan, on its own grid: NIfTI, or a folder of pictures for a stack of these."""
    from glasslung.data.formats import write_mask

    folder.mkdir(parents=True, exist_ok=True)
    ending = "" if volume.source.kind == "pictures" else ".nii.gz"
    for name, mask in (("lungs", found.lungs), ("lesions", found.lesions)):
        if mask is not None:
            write_mask(mask, volume, folder / f"{name}{ending}")


def _slice_shown(name: str, labelled: Labelled, found: FoundMasks, kinds: Sequence[str]) -> list[Segmented]:
    """The upright slice with the most lesion, true or else found, for the sheet; [] where none is known."""
    if labelled.lesions is None or found.lesions is None:
        return []
    orientation = orientation_of(labelled.volume)
    truth, answer = (
        to_upright(mask, orientation) for mask in (as_told(labelled.lesions, kinds), found.lesions)
    )
    most = truth if truth.any() else answer
    z = int((most > 0).sum((1, 2)).argmax())
    grey = to_upright(labelled.volume.voxels, orientation)[z]
    if labelled.volume.intensity is Intensity.HU:
        grey = np.rint(255 * scale_hu(grey, LUNG_WINDOW_HU)).astype(np.uint8)
    one_hot = answer[z] == np.arange(len(KINDS) + 1 if kinds else 2)[:, None, None]
    drawn = truth[z].copy()
    return [Segmented(f"{name} z {z}", name, drawn, one_hot.astype(np.float32), grey.copy())]


def _write_sheets(shown: Sequence[Segmented], scores: Sequence[ScanScore], out: Path) -> None:
    """Pictures of the slices shown, in order of the Dice of any lesion in the whole scan."""
    if not shown:
        return
    by_name = {scan.name: scan.targets[INFECTION] for scan in scores if INFECTION in scan.targets}
    each = [by_name[one.patient] for one in shown]
    counts = Counts(
        *(np.array([getattr(one, part) for one in each]) for part in ("both", "only_truth", "only_found"))
    )
    pictured = SegmentationScores(tuple(shown), {INFECTION: counts}, {}, {})
    for number, sheet in enumerate(sheets(pictured), start=1):
        sheet.save(out / f"overlays-{number}.png")


def _seen_remarks(trained: Trained, digests: Sequence[str]) -> tuple[Remark, ...]:
    """Whether the model was trained on these very scans, as far as its folder tells."""
    known = trained.about["settings"].get(TRAINING, {}).get(SCANS)
    if known is None:
        text = "Whether the model was trained on some of these scans is not known; its folder does not say."
        return (Remark("training-unknown", Severity.NOTE, text),)
    if seen := sum(digest[:DIGITS] in set(known) for digest in digests):
        text = f"The model was trained on {seen} of these {len(digests)} scans."
        remedy = "Read these figures as those of training, or score scans that it never saw."
        return (Remark("trained-on-these", Severity.WARN, text, remedy),)
    return ()
