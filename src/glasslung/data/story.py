"""The story as files: story.json by a published schema, findings.csv and lesions.csv for spreadsheets.

The schema is made from the types themselves and published as docs/story.schema.json. Reading is strict: a
missing field, a wrong type or another schema is an error that says where.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import DataError
from glasslung.files import write_whole
from glasslung.types import Amount, Comparison, Diagnosis, Findings, RegionMeasures, Story

if TYPE_CHECKING:
    from pydantic import TypeAdapter

STORY_SCHEMA = "glasslung-story/1"
STORY_MINOR = 1  # 1: comparisons, trajectory, prognosis, serial
STORY_FILE = "story.json"

LESIONS_FILE = "lesions.csv"
_LESION_COLUMNS = (
    *("scan_before", "scan_after", "lesions_by", "fate", "before_ml", "after_ml", "change_ml"),
    *("x_mm", "y_mm", "z_mm", "slice", "parts_before", "parts_after"),
)
_SCAN_COLUMNS = (
    *("scan", "day", "intensity", "geometry", "lungs_trusted", "severity_points", "severity_most"),
    *("lesions_by", "lesions_trusted"),
    *("classifier", "finding", "probability_percent", "answer", "conformal_answer", "familiarity_percentile"),
)
_REGION_COLUMNS = ("region", "lung_ml", "lung_voxels", "affected_ml", "affected_percent")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """The reader and writer of one of our frozen types."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def as_json(thing: Story | Findings | Diagnosis | Comparison) -> dict[str, Any]:
    """A story, the findings of one scan, a diagnosis, or what became of lesions, as plain JSON values.

    A file name that is not UTF-8 comes from the system with halves of surrogate pairs in it, which no JSON
    file can hold: they become question marks.
    """
    kind: Any = type(thing)
    plain = _encodable(_adapter(kind).dump_python(thing, mode="json"))
    assert isinstance(plain, dict)
    return plain


def _encodable(value: Any) -> Any:
    """The same value with every text fit for UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    return [_encodable(inner) for inner in value] if isinstance(value, list) else value


def findings_from_json(plain: dict[str, Any]) -> Findings:
    """The findings of one scan back from `as_json`; DataError says which field is wrong."""
    return _from_plain(Findings, plain, "the findings")


def comparison_from_json(plain: dict[str, Any]) -> Comparison:
    """What became of lesions, back from `as_json`; DataError says which field is wrong."""
    return _from_plain(Comparison, plain, "the comparison of two scans")


def _from_plain(kind: type, plain: dict[str, Any], what: str) -> Any:
    try:
        text = json.dumps(plain, allow_nan=False)
    except ValueError as problem:
        raise DataError(f"{what} hold a figure that is no number: run `glasslung analyze` anew") from problem
    return _from_json(kind, text, what)


def story_schema() -> dict[str, Any]:
    """The JSON Schema of story.json (draft 2020-12), made from the types."""
    schema = _adapter(Story).json_schema(mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glasslung story",
        "description": "The findings of one patient's chest CT scans in order of time. Research use only.",
    }
    schema["properties"]["schema"]["const"] = STORY_SCHEMA
    return head | {k: v for k, v in schema.items() if k not in head}


def write_story(story: Story, folder: Path) -> Path:
    """Write story.json into the folder, whole or not at all; returns its path."""
    assert story.schema == STORY_SCHEMA, f"schema {story.schema!r} is not what this version writes"
    text = json.dumps(as_json(story), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(folder / STORY_FILE, text)
    return folder / STORY_FILE


def read_story(folder: Path) -> Story:
    """The story that an analysis left in a folder.

    Raises DataError when there is none, or when a field is missing, of a wrong type or of another schema.
    """
    path = folder / STORY_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(
            f"{path} cannot be read; give the folder that `glasslung analyze ... --out FOLDER` made"
        ) from problem
    _check_schema(text, path)
    return _from_json(Story, text, str(path))


def _check_schema(text: str, path: Path) -> None:
    """Say plainly when the file is no story, or one of another version."""
    try:
        plain = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{path} is not JSON ({problem}); run `glasslung analyze` again") from problem
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != STORY_SCHEMA:
        raise DataError(
            f"{path} has schema {schema!r}, this version reads {STORY_SCHEMA!r}: run `glasslung analyze` anew"
        )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _from_json(kind: type, text: str, what: str) -> Any:
    """Read one of our types strictly; the error names the first field that is wrong."""
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_json(text, strict=True)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{what} is damaged at {where or 'its root'}: {first['msg']}; run `glasslung analyze` again"
        ) from problem


def write_findings_csv(story: Story, path: Path) -> Path:
    """One row per scan and region, units in the column names, empty where nothing was measured."""
    bands = _band_names(story)
    columns = [*_SCAN_COLUMNS, *_REGION_COLUMNS]
    columns += [f"{_column(band)}_{unit}" for band in bands for unit in ("ml", "percent")]
    kinds = _kind_names(story)
    columns += [f"lesion_{_column(kind)}_{unit}" for kind in kinds for unit in ("ml", "percent")]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    for scan in story.scans:
        for region in scan.regions:
            writer.writerow([*_scan_cells(scan), *_region_cells(region, bands), *_kind_cells(region, kinds)])
    write_whole(path, table.getvalue())
    return path


def write_lesions_csv(story: Story, path: Path) -> Path | None:
    """One row per lesion that was followed from a scan to the next; no file in stories that followed none."""
    if not any(pair.lesions for pair in story.comparisons):
        path.unlink(missing_ok=True)
        return None
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_LESION_COLUMNS)
    for pair in story.comparisons:
        for one in pair.lesions:
            sizes = [one.before_ml, one.after_ml, one.after_ml - one.before_ml, *one.centre_mm]
            row = [pair.scan_before, pair.scan_after, pair.lesions_by, one.fate, *map(_cell, sizes)]
            writer.writerow([*row, one.slice, one.parts_before, one.parts_after])
    write_whole(path, table.getvalue())
    return path


def _band_names(story: Story) -> list[str]:
    """Every band that any region has, in order of density."""
    regions = (region for scan in story.scans for region in scan.regions)
    return list(dict.fromkeys(band for region in regions for band in region.bands or {}))


def _kind_names(story: Story) -> list[str]:
    """'all' and every kind of lesion that any region has; [] where no mask tells lesions."""
    regions = (region for scan in story.scans for region in scan.regions)
    kinds = list(dict.fromkeys(kind for region in regions for kind in region.lesions or {}))
    return ["all", *kinds] if kinds else []


def _kind_cells(region: RegionMeasures, kinds: list[str]) -> list[str]:
    """Amounts of all lesions, and of each kind."""
    found = region.lesions or {}
    amounts = [region.all_lesions if kind == "all" else found.get(kind) for kind in kinds]
    return [cell for amount in amounts for cell in _amount_cells(amount)]


def _amount_cells(amount: Amount | None) -> list[str]:
    return ["", ""] if amount is None else [_cell(amount.ml), _cell(amount.percent)]


def _column(band: str) -> str:
    return band.replace("-", "_").replace(" ", "_")


def _scan_cells(scan: Findings) -> list[str]:
    score = scan.severity
    return [
        scan.scan,
        _cell(scan.day),
        scan.intensity.value,
        scan.geometry.value,
        "yes" if scan.lung_quality.trusted else "no",
        "" if score is None else str(score.points),
        "" if score is None else str(score.most),
        "" if scan.origin is None else scan.origin.lesions.replace("none", ""),
        "" if scan.lesion_quality is None else "yes" if scan.lesion_quality.trusted else "no",
        *_diagnosis_cells(scan.diagnosis),
    ]


def _diagnosis_cells(told: Diagnosis | None) -> list[str]:
    """Who was asked, and what it says; empty where nobody was."""
    if told is None:
        return [""] * 6
    return [
        told.classifier,
        told.finding,
        _cell(100.0 * told.probability),
        told.answer.value,
        told.standing_words,
        _cell(told.percentile),
    ]


def _region_cells(region: RegionMeasures, bands: list[str]) -> list[str]:
    amounts = [(region.bands or {}).get(band) for band in bands]
    cells = [region.name, _cell(region.ml), str(region.voxels)]
    for amount in (region.affected, *amounts):
        cells += _amount_cells(amount)
    return cells


def _cell(value: float | None) -> str:
    """A number with three decimals at most, without trailing zeros; '' where there is none."""
    if value is None:
        return ""
    assert math.isfinite(value)
    return f"{value:.3f}".rstrip("0").rstrip(".") or "0"


if __name__ == "__main__":  # python -m glasslung.data.story > docs/story.schema.json
    sys.stdout.write(json.dumps(story_schema(), indent=2, ensure_ascii=False) + "\n")
