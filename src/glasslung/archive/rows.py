"""A patient's story as rows of one table: one row per scan, every figure under a name that says its unit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from glasslung.data.results import DONE
from glasslung.errors import DataError
from glasslung.files import read_json
from glasslung.types import Amount, Comparison, Diagnosis, Findings, MaskQuality, Prognosis, Story

Row = dict[str, Any]
"""Column -> text, number or yes/no. What is not known is left out."""


def rows_of(story: Story, folder: Path) -> list[Row]:
    """One row per scan, in the order in which the scans were given to the analysis.

    folder  the story's, where each scan's note says which input it is
    """
    given = story.provenance.settings["inputs"].split()
    placed: dict[int, Row] = {}
    for scan in story.scans:
        key = read_json(folder / "masks" / scan.scan / DONE)["key"]
        placed[given.index(key)] = _known(_row(story, scan))
    if sorted(placed) != list(range(len(given))):
        raise DataError(f"{folder} changed while it was read: run the same command again")
    return [placed[n] for n in range(len(given))]


def _known(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None and value != ""}


def _row(story: Story, scan: Findings) -> Row:
    last = scan is story.scans[-1]
    return {
        "story_scan": scan.scan,
        "day": scan.day,
        "days_by": story.days_known,
        **_about(scan),
        **_trust(scan),
        "severity_points": None if scan.severity is None else scan.severity.points,
        "severity_most": None if scan.severity is None else scan.severity.most,
        "involvement_percent": scan.involvement,
        **dict(_regions(scan)),
        **_diagnosis(scan.diagnosis, scan.unasked),
        **_followed(next((c for c in story.comparisons if c.scan_after == scan.scan), None)),
        **(_foreseen((story.prognosis, *story.further), story.unforeseen) if last else {}),
        "sha256": scan.sha256,
        "schema": story.schema,
        "glasslung": story.provenance.glasslung,
    }


def _about(scan: Findings) -> Row:
    slices, rows, columns = scan.shape
    between, down, across = scan.spacing_mm
    measured = scan.geometry.value == "measured"
    return {
        "kind": scan.kind,
        "intensity": scan.intensity.value,
        "geometry": scan.geometry.value,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "slice_spacing_mm": between if measured else None,
        "row_spacing_mm": down if measured else None,
        "column_spacing_mm": across if measured else None,
    }


def _trust(scan: Findings) -> Row:
    origin = scan.origin
    return {
        "gate": scan.gate[0].severity.value if scan.gate else "clear",
        "gate_remarks": " ".join(remark.code for remark in scan.gate),
        "lungs_by": None if origin is None else origin.lungs,
        **_quality("lungs", scan.lung_quality),
        "lesions_by": None if origin is None else origin.lesions,
        **_quality("lesions", scan.lesion_quality),
        "segmenter": None if origin is None else origin.network,
        "segmenter_digest": None if origin is None else origin.digest,
    }


def _quality(what: str, quality: MaskQuality | None) -> Row:
    if quality is None:
        return {}
    return {
        f"{what}_trusted": quality.trusted,
        f"{what}_confidence": quality.confidence,
        f"{what}_reasons": "; ".join(quality.reasons),
    }


def _regions(scan: Findings) -> Iterator[tuple[str, Any]]:
    for region in scan.regions:
        name = column(region.name)
        yield f"{name}_ml", region.ml
        yield f"{name}_voxels", region.voxels
        yield from _amount(f"{name}_affected", region.affected)
        for band, amount in (region.bands or {}).items():
            yield from _amount(f"{name}_{column(band)}", amount)
        yield from _amount(f"{name}_lesions", region.all_lesions)
        for kind, amount in (region.lesions or {}).items():
            yield from _amount(f"{name}_lesions_{column(kind)}", amount)


def _amount(name: str, amount: Amount | None) -> Iterator[tuple[str, Any]]:
    if amount is not None:
        yield f"{name}_ml", amount.ml
        yield f"{name}_percent", amount.percent


def _diagnosis(told: Diagnosis | None, unasked: str) -> Row:
    if told is None:
        return {"no_diagnosis": unasked}
    return {
        "finding": told.finding,
        "probability": told.probability,
        "log_odds": told.log_odds,
        "threshold": told.threshold,
        "answer": told.answer.value,
        "conformal_answer": told.standing_words,
        "familiarity_percentile": told.percentile,
        "diagnosis_doubted": bool(told.doubts),
        "diagnosis_doubts": "; ".join(told.doubts),
        "classifier": told.classifier,
        "classifier_digest": told.digest,
    }


def _followed(told: Comparison | None) -> Row:
    """What became of the lesions since the scan before."""
    if told is None:
        return {}
    row: Row = {"since": told.scan_before, "compared": told.compared, "not_compared": "; ".join(told.reasons)}
    for fate in told.fates:
        name = f"lesions_{column(fate.fate)}"
        row |= {
            f"{name}_count": fate.count,
            f"{name}_before_ml": fate.before_ml,
            f"{name}_after_ml": fate.after_ml,
        }
    return row


def _foreseen(told: Sequence[Prognosis | None], why_not: str) -> Row:
    row: Row = {"no_prognosis": why_not}
    for one in filter(None, told):
        name = f"chance_of_{column(one.endpoint)}"
        row |= {
            name: one.chance,
            f"{name}_low": one.interval[0],
            f"{name}_high": one.interval[1],
            f"{name}_days": one.horizon,
            f"{name}_doubted": bool(one.doubts),
            "prognosis": one.model,
            "prognosis_digest": one.digest,
        }
    return row


def column(words: str) -> str:
    """'Both lungs' -> 'both_lungs'."""
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
