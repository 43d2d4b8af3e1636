"""Stories made from drawn chests, as an analysis leaves them: to test the report on, and to look at it.

python tests/report/made_stories.py FOLDER     draws them all there
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from glasslung.data.preview import heat_of, make_preview
from glasslung.data.previewfile import write_preview
from glasslung.data.story import STORY_SCHEMA, write_findings_csv, write_story
from glasslung.measure.course import changes
from glasslung.measure.regions import LesionMask, measure_scan
from glasslung.report.page import write_report
from glasslung.types import (
    DISCLAIMER,
    Answer,
    Diagnosis,
    Explanation,
    Findings,
    Geometry,
    Intensity,
    Lesion,
    Lung,
    Lungs,
    MaskOrigin,
    MaskQuality,
    Provenance,
    RelevanceShare,
    Remark,
    Severity,
    Standing,
    Story,
    Validation,
    Volume,
)

FLAT = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])  # plain pictures, head first
GOOD = MaskQuality(True, 0.94)
HOSTILE = '<script>alert("B70f")</script> & "kernel" \x00\ud800'


@dataclass(frozen=True)
class Drawn:
    """One drawn scan: how far the disease is (0 to 1), and what is special about it."""

    disease: float
    day: float | None = None
    slices: int = 40
    side: int = 128
    grey8: bool = False
    gate: tuple[Remark, ...] = ()
    quality: MaskQuality = GOOD
    pictures: bool = True
    lesions: MaskQuality | None = None
    given: bool = False
    told: Diagnosis | None = None
    unasked: str = ""


def drawn_chest(drawn: Drawn, seed: int = 7) -> tuple[Volume, Lungs, np.ndarray]:
    """An ellipse of a body with two lungs, vessels, a spine, and patches low at the back that grow."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(
        np.linspace(-1, 1, drawn.slices) if drawn.slices > 2 else np.linspace(-0.1, 0.1, drawn.slices),
        *(np.linspace(-1, 1, drawn.side),) * 2,
        indexing="ij",
    )
    body = (x / 0.92) ** 2 + (y / 0.66) ** 2 < 1
    lung = np.zeros(body.shape, np.uint8)
    for label, middle in ((Lung.RIGHT, -0.42), (Lung.LEFT, 0.42)):
        breath = 1.0 - 0.12 * drawn.disease
        shape = ((x - middle) / (0.34 * breath)) ** 2 + ((y + 0.02) / 0.5) ** 2 + (z / 0.97) ** 2 < 1
        lung[shape] = label
    lung[(x / 0.3) ** 2 + ((y + 0.12) / 0.28) ** 2 + ((z + 0.4) / 0.6) ** 2 < 1] = 0
    lung[((x - 0.2) / 0.3) ** 2 + ((y + 0.2) / 0.3) ** 2 + ((z + 0.5) / 0.5) ** 2 < 1] = 0
    hu = np.where(body, 45.0, -1000.0)
    hu[(x / 0.11) ** 2 + ((y - 0.5) / 0.13) ** 2 < 1] = 350
    inside = lung > 0
    texture = ndimage.gaussian_filter(rng.normal(size=body.shape), 1.2)
    hu[inside] = -860 + 60 * (texture[inside] / texture.std())
    patches = ndimage.gaussian_filter(rng.normal(size=body.shape), (2.5, 5, 5))
    wanted = patches / patches.std() + 1.2 * y - 0.9 * z - 2.9 + 3.2 * drawn.disease
    hazy, dense = inside & (wanted > 0), inside & (wanted > 1.3)
    hu[hazy] = -560 + 70 * texture[hazy] / texture.std()
    hu[dense] = -60
    vessels = inside & (ndimage.gaussian_filter(rng.normal(size=body.shape), 1.0) > 0.22)
    hu[vessels] = 20
    opacities = np.where(dense, int(Lesion.CONSOLIDATION), np.where(hazy, int(Lesion.GROUND_GLASS), 0))
    opacities[vessels] = 0
    affine = np.array(
        [
            [0, 0, 340 / drawn.side, -170],
            [0, 340 / drawn.side, 0, -170],
            [260 / 40, 0, 0, -300],
            [0, 0, 0, 1.0],
        ]
    )
    volume = Volume(
        np.clip(hu + rng.normal(0, 18, hu.shape), -1024, 1500).astype(np.int16), affine, Intensity.HU
    )
    return volume, Lungs(lung, drawn.quality), opacities.astype(np.uint8)


def findings_of(drawn: Drawn, n: int, folder: Path) -> Findings:
    """One scan measured and its preview written, as an analysis does it."""
    volume, lungs, opacities = drawn_chest(drawn)
    dense: np.ndarray | None = opacities
    if drawn.grey8:
        grey = np.clip((volume.voxels + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
        volume = Volume(grey, FLAT, Intensity.DISPLAY8, geometry=Geometry.ASSUMED)
        dense = None
    network = drawn.lesions is not None
    lesions = LesionMask(learned(opacities), tuple(Lesion)[1:]) if network or drawn.given else None
    regions, severity, involvement = measure_scan(volume, lungs, dense, lesions=lesions)
    name = f"scan-{n:02d}"
    preview = f"masks/{name}/preview.npz"
    if drawn.pictures:
        mask = None if lesions is None else lesions.mask
        heat = None if drawn.told is None or drawn.told.explanation is None else relevance_of(opacities)
        write_preview(make_preview(volume, lungs, dense, mask, heat), folder / preview)
    return Findings(
        scan=name,
        day=drawn.day,
        kind="pictures" if drawn.grey8 else "nifti",
        sha256=f"{n:02x}" * 32,
        intensity=volume.intensity,
        geometry=volume.geometry,
        shape=volume.shape,
        spacing_mm=volume.spacing_mm,
        gate=drawn.gate,
        lung_quality=drawn.quality,
        regions=regions,
        severity=severity,
        involvement=involvement,
        masks={"lungs": f"masks/{name}/lungs.nii.gz"}
        | ({} if dense is None else {"opacities": f"masks/{name}/opacities.nii.gz"}),
        preview=preview if drawn.pictures else None,
        lesion_quality=drawn.lesions,
        origin=origin_of(drawn),
        diagnosis=drawn.told,
        unasked=drawn.unasked,
    )


def relevance_of(opacities: np.ndarray) -> np.ndarray:
    """A map of relevance as one may be: in the dense lung for the finding, in front of it against."""
    there = ndimage.gaussian_filter((opacities > 0).astype(np.float32), 2)
    against = ndimage.gaussian_filter(
        np.roll(opacities > 0, -opacities.shape[1] // 4, 1).astype(np.float32), 2
    )
    return heat_of(there - 0.5 * against, 0.8)


def diagnosis_of(probability: float = 0.83, percentile: float | None = 41.0, **more: object) -> Diagnosis:
    """What a classifier may say."""
    known: dict[str, object] = {
        "finding": "COVID-19",
        "log_odds": 3.2,
        "raw": 0.96,
        "probability": probability,
        "temperature": 2.02,
        "bias": 0.0,
        "answer": Answer.LIKELY if probability >= 0.6 else Answer.UNLIKELY,
        "threshold": 0.6,
        "rule": "Youden on validation",
        "standing": Standing.FINDING,
        "level": 0.9,
        "chances": (0.44, 0.03),
        "percentile": percentile,
        "doubts": (),
        "classifier": "classifier-made",
        "method": "netvlad",
        "digest": "fedcba9876543210",
        "validation": Validation(
            40,
            38,
            (0.91, 0.84, 0.97),
            0.06,
            (0.9, 0.75, 0.98),
            (0.8, 0.64, 0.92),
            ((0.0, 0.3, 0.12, 0.1, 10), (0.3, 0.7, 0.5, 0.4, 5), (0.7, 1.0, 0.88, 0.84, 25)),
        ),
        "trained_on": "drawn chests of three scanners",
        "limits": "it has never seen a patient",
        "explanation": REASONS,
    }
    return Diagnosis(**(known | more))  # type: ignore[arg-type]


def learned(opacities: np.ndarray) -> np.ndarray:
    """Lesions as a network may draw them: rounder than opacities, and crazy paving in the middle of some."""
    soft = ndimage.gaussian_filter((opacities > 0).astype(np.float32), 1.2)
    paved = ndimage.gaussian_filter((opacities == Lesion.GROUND_GLASS).astype(np.float32), 3.0) > 0.6
    kinds = np.where(opacities == Lesion.CONSOLIDATION, 2, np.where(paved, 3, 1))
    return np.where(soft > 0.45, kinds, 0).astype(np.uint8)


def origin_of(drawn: Drawn) -> MaskOrigin:
    """Where the masks of a made scan come from."""
    if drawn.given:
        return MaskOrigin("given", "given", kinds=KINDS, agreement=0.93, notes=(NOTE_GIVEN,))
    if drawn.lesions is None:
        return MaskOrigin("rules")
    return MaskOrigin(
        "rules and network",
        "network",
        "lesions-made",
        "0123456789abcdef",
        KINDS,
        0.97,
        (NOTE_ADDED,),
        "drawn chests",
        "It has never seen a patient.",
    )


def make_story(folder: Path, *scans: Drawn) -> Story:
    """Write story.json, findings.csv and the previews of these scans into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    findings = tuple(findings_of(drawn, n, folder) for n, drawn in enumerate(scans, start=1))
    days = "unknown" if any(scan.day is None for scan in scans) else "given"
    made = Provenance(
        glasslung="0.1.0",
        python="3.11.9",
        platform="Linux x86_64",
        libraries={"numpy": "2.4.6", "scipy": "1.17.1", "SimpleITK": "2.5.7"},
        command="glasslung analyze SCAN[0a1b2c3d4e5f]",
        created="2026-01-15T09:30:00+00:00",
        settings={"inputs": "0a1b2c3d4e5f", "days": "", "series": ""},
    )
    story = Story(STORY_SCHEMA, DISCLAIMER, days, findings, changes(findings), made)
    write_story(story, folder)
    write_findings_csv(story, folder / "findings.csv")
    return story


THICK = Remark(
    "thick-slices",
    Severity.WARN,
    "Slices lie 6.5 mm apart; small opacities can be missed",
    "Use the thin series if there is one",
)
KERNEL = Remark(
    "kernel", Severity.NOTE, "Reconstructed with the sharp kernel B70f, which adds noise to the bands"
)
FEW = Remark(
    "few-slices", Severity.WARN, "The scan has 2 slices: a slab, not a chest", "Give the whole series"
)
NO_HU = Remark(
    "not-hu",
    Severity.WARN,
    "The grey values are 8-bit display values, not Hounsfield units",
    "Give the original CT series",
)
NOT_CHEST = Remark(
    "coverage", Severity.REFUSE, "Only 40 mm of chest is covered", "Give a scan of the whole chest"
)
POOR = MaskQuality(
    False, 0.31, ("the left lung is 4 times smaller than the right", "the outline leaks into the bowel")
)

SURE = MaskQuality(True, 0.86)
UNSURE = MaskQuality(False, 0.31, ("the network is unsure inside what it calls lesion",))
KINDS = ("ground glass", "consolidation", "crazy paving")
NOTE_ADDED = "dense lung that the rules had left out (2.4 % of the lungs) was taken in by the network"
NOTE_GIVEN = "the mask of the lesions lay on another grid and was brought to the scan's, nearest voxel"

REASONS = Explanation(
    "layer-wise relevance propagation, conserving rules",
    (
        RelevanceShare("lesions", 0.62, 0.11),
        RelevanceShare("lungs", 0.93, 1.0),
        RelevanceShare("right lung", 0.55, 0.53),
        RelevanceShare("left lung", 0.38, 0.47),
        RelevanceShare("right lower third", 0.31, 0.17),
        RelevanceShare("outside the lungs", 0.07, None),
    ),
    0.002,
    "masks/scan-01/relevance.nii.gz",
)
FAR = "it lies farther from the training scans than 97 % of the validation scans"

EXAMPLES: dict[str, tuple[Drawn, ...]] = {
    "four": (
        Drawn(0.25, 0, gate=(KERNEL,)),
        Drawn(0.6, 4),
        Drawn(0.95, 9, gate=(THICK, KERNEL)),
        Drawn(0.7, 16),
    ),
    "single": (Drawn(0.6, 0),),
    "pictures": (Drawn(0.6, grey8=True, gate=(NO_HU,)),),
    "two-slices": (Drawn(0.6, 0, slices=2, gate=(FEW, THICK)),),
    "untrusted": (Drawn(0.3, 0), Drawn(0.7, 5, quality=POOR), Drawn(0.4, 12)),
    "refused": (Drawn(0.3, 0, gate=(NOT_CHEST,), pictures=False),),
    "unknown-days": (Drawn(0.3), Drawn(0.8), Drawn(0.8)),
    "lesions": (Drawn(0.4, 0, lesions=SURE), Drawn(0.9, 9, lesions=SURE)),
    "unsure": (Drawn(0.6, 0, lesions=UNSURE),),
    "lesions-in-pictures": (Drawn(0.6, grey8=True, gate=(NO_HU,), lesions=SURE),),
    "given": (Drawn(0.6, 0, given=True),),
    "diagnosed": (Drawn(0.8, 0, lesions=SURE, told=diagnosis_of()),),
    "asked-twice": (
        Drawn(
            0.4, 0, lesions=SURE, told=diagnosis_of(0.004, answer=Answer.UNLIKELY, standing=Standing.OTHER)
        ),
        Drawn(
            0.9,
            9,
            lesions=SURE,
            told=diagnosis_of(0.55, 97.5, standing=Standing.EITHER, doubts=(FAR,), explanation=None),
        ),
        Drawn(0.7, 16, unasked="no classifier was to be asked"),
    ),
    "diagnosed-pictures": (
        Drawn(0.6, grey8=True, gate=(NO_HU,), lesions=SURE, told=diagnosis_of(0.97, None)),
    ),
    "nobody-asked": (Drawn(0.6, 0, unasked="no classifier for scans in Hounsfield units ships"),),
    "hostile": (Drawn(0.3, 0, gate=(Remark("x", Severity.NOTE, HOSTILE, HOSTILE),)),),
}


def small(drawn: Drawn) -> Drawn:
    """The same scan, small enough for a test."""
    return replace(drawn, slices=min(drawn.slices, 24), side=64)


def main(folder: Path) -> None:
    """Draw every example, as large as a scan is."""
    for name, scans in EXAMPLES.items():
        if name != "hostile":
            large = [replace(s, slices=s.slices if s.slices == 2 else 40, side=256) for s in scans]
            make_story(folder / name, *large)
            sys.stdout.write(f"{write_report(folder / name)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
