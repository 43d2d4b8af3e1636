"""Findings of a scan that nobody took, for tests of what is made of findings."""

from __future__ import annotations

from typing import Any

from glasslung.types import (
    Amount,
    Answer,
    Diagnosis,
    Findings,
    Geometry,
    Intensity,
    MaskOrigin,
    MaskQuality,
    RegionMeasures,
    SeverityScore,
    Standing,
    Validation,
)

GOOD, BAD = MaskQuality(True, 0.9), MaskQuality(False, 0.2, ("it leaks",))


def findings(
    scan: str = "scan-01",
    day: float | None = 0.0,
    percent: float = 20.0,
    network: str = "lesions-made",
    log_odds: float | None = 1.5,
    **more: Any,
) -> Findings:
    """One scan in Hounsfield units with opacities, lesions of a network, and a diagnosis."""
    lesions = {"ground glass": Amount(40.0, percent), "consolidation": Amount(10.0, percent / 4)}
    region = RegionMeasures(
        "both lungs", 4000.0, 100_000, None, Amount(40 * percent, percent), lesions if network else None
    )
    known: dict[str, Any] = {
        "scan": scan,
        "day": day,
        "kind": "nifti",
        "sha256": scan * 4,
        "intensity": Intensity.HU,
        "geometry": Geometry.MEASURED,
        "shape": (60, 90, 90),
        "spacing_mm": (5.0, 4.0, 4.0),
        "gate": (),
        "lung_quality": GOOD,
        "regions": (region,),
        "severity": SeverityScore(8, 20, (), "made"),
        "involvement": percent,
        "masks": {
            name: f"masks/{scan}/{name}.nii.gz"
            for name in ("lungs", "opacities", *(("lesions",) if network else ()))
        },
        "lesion_quality": GOOD if network else None,
        "origin": MaskOrigin("rules and network", "network", network, "abc")
        if network
        else MaskOrigin("rules"),
        "diagnosis": None if log_odds is None else diagnosis(log_odds),
    }
    return Findings(**(known | more))


def diagnosis(log_odds: float, digest: str = "fedc") -> Diagnosis:
    """What a classifier may say."""
    worth = Validation(20, 20, (0.9, 0.8, 1.0), 0.05, (0.9, 0.8, 1.0), (0.9, 0.8, 1.0))
    return Diagnosis(
        finding="COVID-19",
        log_odds=log_odds,
        raw=0.8,
        probability=0.8,
        temperature=1.5,
        bias=0.0,
        answer=Answer.LIKELY,
        threshold=0.6,
        rule="Youden on validation",
        standing=Standing.FINDING,
        level=0.9,
        chances=(0.4, 0.05),
        percentile=30.0,
        doubts=(),
        classifier="classifier-made",
        method="netvlad",
        digest=digest,
        validation=worth,
        trained_on="phantoms",
        limits="made",
    )
