"""story.json and findings.csv: what is written comes back, what is damaged is named."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from glasslung.data.story import (
    STORY_SCHEMA,
    as_json,
    findings_from_json,
    read_story,
    story_schema,
    write_findings_csv,
    write_story,
)
from glasslung.errors import DataError
from glasslung.types import (
    DISCLAIMER,
    Amount,
    Change,
    Findings,
    Geometry,
    Intensity,
    MaskQuality,
    Provenance,
    RegionMeasures,
    Remark,
    Severity,
    SeverityScore,
    Story,
    ZoneScore,
)

PUBLISHED = Path(__file__).parents[2] / "docs" / "story.schema.json"


def a_scan(name: str, day: float | None, involvement: float | None = 12.5) -> Findings:
    """One scan with a region that has bands and one that has none."""
    bands = {"aerated": Amount(1800.0, 90.0), "ground-glass": Amount(200.0, 10.0)}
    score = SeverityScore(3, 24, (ZoneScore("right upper third", 12.5, 3),), "points per zone")
    return Findings(
        scan=name,
        day=day,
        kind="nifti",
        sha256="ab" * 32,
        intensity=Intensity.HU,
        geometry=Geometry.MEASURED,
        shape=(40, 64, 64),
        spacing_mm=(5.0, 0.75, 0.75),
        gate=(Remark("thick-slices", Severity.WARN, "Slices are 5 mm thick.", "Use the thin series."),),
        lung_quality=MaskQuality(True, 0.9, ("one reason",)),
        regions=(
            RegionMeasures("both lungs", 2000.0, 711111, bands, Amount(250.0, 12.5)),
            RegionMeasures("right lung", None, 400000, None, None),
        ),
        severity=score,
        involvement=involvement,
        masks={"lungs": f"masks/{name}/lungs.nii.gz"},
        preview=f"masks/{name}/preview.npz",
    )


def a_story() -> Story:
    """Two scans, one change."""
    change = Change("involvement", "percent", "scan-01", "scan-02", 12.5, 20.0, 7.5, 1.875)
    return Story(
        schema=STORY_SCHEMA,
        disclaimer=DISCLAIMER,
        days_known="given",
        scans=(a_scan("scan-01", 0.0), a_scan("scan-02", 4.0, None)),
        changes=(change,),
        provenance=Provenance("0.1", "3.11", "Linux", {"numpy": "2"}, "glasslung", "2026-01-01", {"a": "b"}),
    )


def test_a_story_comes_back_as_it_was_written(tmp_path):
    write_story(a_story(), tmp_path)
    assert read_story(tmp_path) == a_story()
    assert [p.name for p in tmp_path.iterdir()] == ["story.json"]


def test_a_name_that_is_not_utf8_does_not_stop_the_writing(tmp_path):
    scan = replace(a_scan("scan-01", 0.0), gate=(Remark("x", Severity.NOTE, "file caf\udce9.dcm \x00"),))
    write_story(replace(a_story(), scans=(scan,)), tmp_path)
    assert read_story(tmp_path).scans[0].gate[0].text == "file caf?.dcm \x00"
    assert findings_from_json(json.loads(json.dumps(as_json(scan)))).gate[0].text == "file caf?.dcm \x00"


def test_findings_come_back_too():
    assert findings_from_json(as_json(a_scan("scan-01", None))) == a_scan("scan-01", None)


def test_the_published_schema_is_the_one_the_types_make():
    made = json.dumps(story_schema(), indent=2, ensure_ascii=False) + "\n"
    assert PUBLISHED.read_text(encoding="utf-8") == made, (
        "write it anew: python -m glasslung.data.story > docs/story.schema.json"
    )


def test_a_story_fits_its_schema_and_a_damaged_one_does_not():
    validator = jsonschema.Draft202012Validator(story_schema())
    validator.check_schema(story_schema())
    plain = as_json(a_story())
    validator.validate(plain)
    for damage in ({"schema": "other/1"}, {"scans": [{"scan": "scan-01"}]}, {"days_known": 3}):
        assert not validator.is_valid(plain | damage)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("[]", "schema None"),
        ('{"schema": "glasslung-story/0"}', "glasslung-story/0"),
        ('{"schema": "glasslung-story/1", "x": NaN}', "NaN"),
        ('{"schema": "glasslung-story/1"}', "disclaimer"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_damaged_story_is_one_line_that_says_where(tmp_path, text, told):
    (tmp_path / "story.json").write_text(text)
    with pytest.raises(DataError, match=told) as problem:
        read_story(tmp_path)
    assert "\n" not in str(problem.value)


def test_a_wrong_type_deep_inside_is_named(tmp_path):
    plain = as_json(a_story())
    plain["scans"][1]["regions"][0]["affected"]["percent"] = "12"
    (tmp_path / "story.json").write_text(json.dumps(plain))
    with pytest.raises(DataError, match=r"scans\.1\.regions\.0\.affected\.percent"):
        read_story(tmp_path)


def test_no_story_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match="glasslung analyze"):
        read_story(tmp_path)


def test_a_figure_that_is_no_number_is_never_written(tmp_path):
    broken = replace(a_story(), scans=(a_scan("scan-01", 0.0, float("nan")),))
    with pytest.raises(ValueError, match="JSON compliant"):
        write_story(broken, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_row_per_scan_and_region_with_units_in_its_names(tmp_path):
    path = write_findings_csv(a_story(), tmp_path / "findings.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["scan"], row["region"]) for row in rows] == [
        (scan, region) for scan in ("scan-01", "scan-02") for region in ("both lungs", "right lung")
    ]
    assert rows[0]["lung_ml"] == "2000"
    assert rows[0]["ground_glass_percent"] == "10"
    assert rows[0]["affected_percent"] == "12.5"
    assert rows[2]["day"] == "4"
    assert rows[1]["lung_ml"] == rows[1]["ground_glass_ml"] == rows[1]["affected_ml"] == ""
