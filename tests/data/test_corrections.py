"""Lesions that a reader redrew: kept whole, found by what the scan holds, not believed when damaged."""

import json
from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.corrections import corrections_of, keep_correction
from glasslung.data.formats.reading import read_labels
from glasslung.data.story import read_story
from glasslung.errors import DataError, ShapeError, UsageError
from made_views import drawn, write_made_story


@pytest.fixture
def story(tmp_path):
    write_made_story(tmp_path / "story")
    return tmp_path / "story"


def redrawn(n):
    """Scan n's lesions without the consolidation."""
    lesions = drawn(n)[2]
    return np.where(lesions == 2, 0, lesions).astype(np.uint8)


def test_who_when_from_what_and_how_much(story):
    scan = read_story(story).scans[2]
    kept = keep_correction(story, scan, redrawn(2), "  Ada \n Byron ", "lesions")
    told = json.loads(kept.path.with_name(kept.path.name.replace(".nii.gz", ".json")).read_text())
    assert told == kept.told
    assert (told["who"], told["from"]) == ("Ada Byron", "masks/scan-03/lesions.nii.gz")
    assert told["voxels_changed"] == 3 * 4 * 4
    assert told["voxels"] == {"ground glass": 280, "consolidation": 0, "crazy paving": 0}
    assert np.array_equal(read_labels(kept.path)[0], redrawn(2))
    second = keep_correction(story, scan, redrawn(2), "B", kept.path.name)
    assert second.told["voxels_changed"] == 0 and second.told["from"] == f"corrections/{kept.path.name}"
    third = keep_correction(story, scan, redrawn(2), "C", "")
    assert third.told["from"] == "nothing" and third.told["voxels_changed"] == 280
    assert [one.told["who"] for one in corrections_of(story, scan)] == ["Ada Byron", "B", "C"]
    assert len({second.path, third.path, kept.path}) == 3


def test_a_correction_belongs_to_the_scan_s_content_not_to_its_name(story):
    scans = read_story(story).scans
    keep_correction(story, scans[2], redrawn(2), "A", "lesions")
    assert [len(corrections_of(story, scan)) for scan in scans] == [0, 0, 1]


@pytest.mark.parametrize("damage", ["mask", "note", "no note", "no mask", "a link out of the story"])
def test_what_is_not_whole_does_not_count(story, tmp_path, damage):
    scan = read_story(story).scans[0]
    kept = keep_correction(story, scan, redrawn(0), "A", "lesions")
    note = kept.path.with_name(kept.path.name.replace(".nii.gz", ".json"))
    if damage == "mask":
        kept.path.write_bytes(kept.path.read_bytes()[:-1] + b"x")
    elif damage == "note":
        note.write_text("{")
    elif damage == "no note":
        note.unlink()
    elif damage == "no mask":
        kept.path.unlink()
    else:
        kept.path.rename(tmp_path / "elsewhere.nii.gz")
        kept.path.symlink_to(tmp_path / "elsewhere.nii.gz")
    assert corrections_of(story, scan) == []


@pytest.mark.parametrize(
    ("mask", "error", "said"),
    [
        (np.zeros((2, 2, 2), np.uint8), ShapeError, "voxels"),
        (np.full(drawn(0)[0].shape, 4, np.uint8), DataError, "label 4"),
        (np.zeros(drawn(0)[0].shape, np.float32), DataError, "uint8"),
    ],
)
def test_other_masks_are_refused(story, mask, error, said):
    with pytest.raises(error, match=said):
        keep_correction(story, read_story(story).scans[0], mask, "A", "")
    assert not (story / "corrections").exists()


def test_nobody_and_a_strange_start_are_refused(story):
    scan = read_story(story).scans[0]
    with pytest.raises(UsageError, match="name"):
        keep_correction(story, scan, redrawn(0), " ", "lesions")
    with pytest.raises(DataError, match="no analysis does"):
        keep_correction(story, replace(scan, scan="../../elsewhere"), redrawn(0), "A", "")
    with pytest.raises(DataError, match="no mask of this scan"):
        keep_correction(story, scan, redrawn(0), "A", "../story.json")
