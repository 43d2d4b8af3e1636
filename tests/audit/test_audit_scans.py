"""What the audit reads of volumes, stacks and their masks, and of files that are not what they seem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_scans import lungs, save

from glasslung.audit.files import audit_files
from glasslung.audit.record import AuditSettings
from glasslung.audit.scans import evenly, scan_facts, thumbnail
from glasslung.audit.survey import audit_cohort
from glasslung.data.cohort import Cohort
from glasslung.data.formats import write_mask, write_volume
from glasslung.types import Case, Intensity, Volume


def volume(seed: int, depth: int = 6, slice_mm: float = 5.0) -> Volume:
    """Lungs in HU: air around, texture inside."""
    rng = np.random.default_rng(seed)
    grey = np.stack([lungs(rng, 64) for _ in range(depth)]).astype(np.int16)
    hu = np.where(grey == 0, -1000, grey * 5 - 1000).astype(np.int16)
    return Volume(
        hu, np.array([[0, 0, 1, 0], [0, 1, 0, 0], [slice_mm, 0, 0, 0], [0, 0, 0, 1.0]]), Intensity.HU
    )


def facts_of(folder: Path, image: str, intensity: Intensity = Intensity.HU, **masks: str):
    case = Case("p", "s", Path(image), intensity, **{name: Path(path) for name, path in masks.items()})
    cohort = Cohort("c", folder, (case,))
    return scan_facts(cohort, case, 15), cohort


def test_a_volume_with_its_masks(tmp_path):
    scan = volume(0)
    write_volume(scan, tmp_path / "scan.nii.gz")
    write_mask(np.ones(scan.shape, np.uint8), scan, tmp_path / "lungs.nii.gz")
    write_mask(np.full(scan.shape, 7, np.uint8), scan, tmp_path / "lobes.nii.gz")
    write_mask(np.ones((6, 64, 64), np.uint8), volume(0, slice_mm=2.0), tmp_path / "lesions.nii.gz")
    facts, cohort = facts_of(
        tmp_path, "scan.nii.gz", lungs="lungs.nii.gz", lobes="lobes.nii.gz", lesions="lesions.nii.gz"
    )
    assert (facts.problem, facts.shape, facts.intensity) == ("", (6, 64, 64), Intensity.HU)
    assert facts.numbers["slice_mm"] == pytest.approx(5.0)
    assert facts.borders["background_level"] == pytest.approx(-1000)
    assert facts.thumbs.shape == (6, 64, 64)
    assert facts.masks["lungs"] == ("", (1,))
    found = {one.what: one.problem for one in audit_files(cohort.cases, [facts]).files}
    assert found.keys() == {"lobes", "lesions"}
    assert "unknown labels: 7" in found["lobes"]
    assert "does not fit" in found["lesions"] or "cannot be read" in found["lesions"]


def test_the_same_voxels_in_another_format_hash_alike(tmp_path):
    for name in ("a.nii.gz", "b.nrrd"):
        write_volume(volume(1), tmp_path / name)
    write_volume(volume(2), tmp_path / "c.nrrd")
    first, second, other = (facts_of(tmp_path, name)[0] for name in ("a.nii.gz", "b.nrrd", "c.nrrd"))
    assert first.pixels == second.pixels != other.pixels
    assert first.kinds["format"] != second.kinds["format"]


def test_slice_thickness_of_a_site_is_a_shortcut_that_is_found(tmp_path):
    """Two sites, two slice distances, each with its own label: volumes are told by their header."""
    cases = []
    for number in range(24):
        label = ["covid", "healthy"][number % 2]
        name = f"{number}.nii.gz"
        write_volume(volume(number, depth=3, slice_mm=1.0 + 4 * (label == "covid")), tmp_path / name)
        cases.append(Case(f"p{number}", "s", Path(name), Intensity.HU, label=label))
    audit = audit_cohort(Cohort("c", tmp_path, tuple(cases)), AuditSettings(trees=20, draws=200))
    remark = next(r for r in audit.remarks if r.code == "facts-tell-label")
    assert "distance between slices in mm" in remark.text
    assert not audit.pairs


def test_a_stack_whose_slices_differ_in_size(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        save(lungs(rng, 60 + number), tmp_path / "stack" / f"{number:03d}.png")
    facts, _ = facts_of(tmp_path, "stack", Intensity.DISPLAY8)
    assert facts.shape == (0, 0, 0)
    assert facts.numbers["slices"] == 20
    assert facts.thumbs.shape == (15, 64, 64)


def test_names_that_lie_and_damaged_files(tmp_path):
    rng = np.random.default_rng(0)
    save(lungs(rng), tmp_path / "x.jpg")
    (tmp_path / "x.jpg").rename(tmp_path / "x.png")
    facts, _ = facts_of(tmp_path, "x.png", Intensity.DISPLAY8)
    assert (facts.kinds["format"], facts.numbers["name_lies"]) == ("JPEG", 1.0)
    whole = (tmp_path / "x.png").read_bytes()
    for name, content in {
        "cut.jpg": whole[: len(whole) // 2],
        "empty.png": b"",
        "text.nii.gz": b"no scan",
        "zeros.dcm": bytes(400),
    }.items():
        (tmp_path / name).write_bytes(content)
        facts, _ = facts_of(tmp_path, name, Intensity.DISPLAY8)
        assert facts.problem.startswith("cannot be read"), name
        assert facts.thumbs is None
    (tmp_path / "nothing").mkdir()
    assert facts_of(tmp_path, "nothing")[0].problem.startswith("cannot be read")
    assert facts_of(tmp_path, "nowhere")[0].problem == "is missing"


def test_evenly_takes_the_middle_of_equal_parts():
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(30, 3) == [5, 15, 25]
    assert evenly(1, 1) == [0]


def test_a_flat_slice_has_a_thumbnail_too():
    assert thumbnail(np.full((30, 40), 7, np.uint8), is_hu=False).shape == (64, 64)
    assert thumbnail(np.full((30, 40), -1000, np.int16), is_hu=True).max() == 59
