"""A cohort's scans and masks on a network's grid: what is known, what is not, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasslung.data.cohort import read_cohort
from glasslung.data.formats import write_mask, write_volume
from glasslung.data.volumebatches import IN_LUNG, NO_LESION, Settings
from glasslung.data.volumecohort import (
    holds_volumes,
    read_labelled_scan,
    read_volume_cohort,
)
from glasslung.errors import DataError, ShapeError
from glasslung.types import Intensity
from made_volumes import HU, SPACING, chest, volume_of, write_cohort, write_pictures, write_scan

OWN = Settings(spacing_mm=SPACING, margin_mm=1000.0)  # the scans' own grid, all of it


def read(folder: Path, settings: Settings = OWN):
    return read_volume_cohort(read_cohort(folder), settings)


def codes(found) -> set[str]:
    return {remark.code for remark in found.remarks}


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_scans_and_masks_come_to_the_grid(tmp_path, ending):
    found = read(write_cohort(tmp_path, ending=ending))
    assert found.names == ("s0", "s1", "s2") and len(set(found.digests)) == 3
    assert codes(found) == set()
    for n, scan in enumerate(found.scans):
        hu, lungs, lesions = chest(n, ill=n < 2)
        assert (scan.hu == hu).all()
        assert (scan.label == np.where(lesions > 0, lesions + 1, lungs > 0)).all()
        assert scan.intensity is Intensity.HU


def test_a_coarser_grid_keeps_amounts_and_the_box_is_cut_to_the_lungs(tmp_path):
    folder = write_cohort(tmp_path)
    settings = Settings(spacing_mm=(6.0, 10.0, 10.0), margin_mm=10.0)
    whole, cut = read(folder).scans[0], read(folder, settings).scans[0]
    assert cut.hu.size < whole.hu.size / 6
    ml = float(np.prod(settings.spacing_mm)) / 1000
    own = float(np.prod(SPACING)) / 1000
    assert np.count_nonzero(cut.label > 0) * ml == pytest.approx(
        np.count_nonzero(whole.label > 0) * own, rel=0.1
    )
    assert cut.hu[cut.label == 1].mean() == pytest.approx(HU["lung"], abs=100)  # edges are mixed


def test_pictures_as_volumes_keep_their_greys(tmp_path):
    found = read(write_cohort(tmp_path, intensity="display8"))
    scan = found.scans[0]
    assert scan.intensity is Intensity.DISPLAY8
    assert scan.hu.min() >= 0 and scan.hu.max() <= 255
    assert scan.hu[scan.label == 3].mean() > scan.hu[scan.label == 1].mean()


def test_a_dicom_series_takes_masks_of_its_grid(tmp_path):
    hu, lungs, lesions = chest(0)
    write_volume(volume_of(hu), tmp_path / "series")
    for name, mask in (("lungs", lungs), ("lesions", lesions)):
        write_mask(mask, volume_of(hu), tmp_path / f"{name}.nii.gz")
    row = "p,s,series,hu,lungs.nii.gz,lesions.nii.gz"
    (tmp_path / "cohort.csv").write_text(f"patient,scan,image,intensity,lungs,lesions\n{row}\n")
    scan = read(tmp_path).scans[0]
    assert (scan.hu == hu).all()
    assert (scan.label == np.where(lesions > 0, lesions + 1, lungs > 0)).all()


def test_a_stack_of_pictures_takes_masks_of_pictures(tmp_path):
    folder = write_pictures(tmp_path)
    assert not holds_volumes(read_cohort(folder))  # a model of slices reads it too
    scan = read(folder, Settings(spacing_mm=(6.0, 4.0, 4.0), margin_mm=1000.0)).scans[0]
    _, lungs, lesions = chest(0)
    assert scan.intensity is Intensity.DISPLAY8
    assert set(np.unique(scan.label)) == {0, 1, 2, 3, 4}
    share = np.count_nonzero(scan.label > 1) / np.count_nonzero(scan.label > 0)
    assert share == pytest.approx(np.count_nonzero(lesions) / np.count_nonzero(lungs), rel=0.35)


def test_what_nobody_drew_is_unknown(tmp_path):
    lungs_only = read(write_cohort(tmp_path / "a", columns=("lungs",)))
    assert set(np.unique(lungs_only.scans[0].label)) == {0, IN_LUNG}
    assert set(np.unique(lungs_only.scans[2].label)) == {0, 1}  # of somebody healthy: no lesion
    assert codes(lungs_only) == {"lesions-unknown"}
    lesions_only = read(write_cohort(tmp_path / "b", columns=("lesions",)))
    assert set(np.unique(lesions_only.scans[0].label)) == {NO_LESION, 2, 3, 4}
    assert codes(lesions_only) == {"lungs-unknown"}
    neither = write_cohort(tmp_path / "c", columns=())
    (neither / "cohort.csv").write_text((neither / "cohort.csv").read_text().replace("healthy", "covid"))
    with pytest.raises(DataError, match="no labelled scan"):
        read(neither)


def test_lobes_tell_the_lungs_where_these_are_missing(tmp_path):
    folder = write_cohort(tmp_path, columns=("lobes", "lesions"))
    for n in range(3):
        lungs = chest(n)[1]
        write_mask(lungs * 2, volume_of(chest(n)[0]), folder / f"s{n}" / "lobes.nii.gz")
    assert set(np.unique(read(folder).scans[2].label)) == {0, 1}


def test_lesions_outside_the_lungs_are_lung(tmp_path):
    """A mask of the lungs by threshold leaves consolidation out."""
    folder = write_cohort(tmp_path)
    hu, lungs, lesions = chest(0)
    write_mask(np.where(lesions == 2, 0, lungs), volume_of(hu), folder / "s0" / "lungs.nii.gz")
    found = read(folder)
    assert ((found.scans[0].label > 0) == (lungs > 0)).all()
    assert codes(found) == {"lesions-outside-lungs"}
    labelled = read_labelled_scan(read_cohort(folder), read_cohort(folder).cases[0])
    assert labelled.outside == pytest.approx((lesions == 2).sum() / (lesions > 0).sum())
    assert labelled.lungs is not None and (labelled.lungs == (lungs > 0)).all()


def test_masks_of_two_scans_are_refused(tmp_path):
    folder = write_cohort(tmp_path)
    hu, lungs, _ = chest(0)
    write_mask((lungs == 0).astype(np.uint8), volume_of(hu), folder / "s0" / "lesions.nii.gz")
    with pytest.raises(DataError, match=r"scan 's0'.*outside the lungs"):
        read(folder)


def test_swapped_and_absent_labels_are_told(tmp_path):
    folder = write_cohort(tmp_path)
    for n in (0, 1):
        hu, _, lesions = chest(n)
        swapped = np.array([0, 2, 1, 0], np.uint8)[lesions]
        write_mask(swapped, volume_of(hu), folder / f"s{n}" / "lesions.nii.gz")
    found = read(folder)
    assert codes(found) == {"labels-swapped", "class-absent"}
    assert "crazy paving" in next(r.text for r in found.remarks if r.code == "class-absent")


def other_shape(folder: Path) -> None:
    hu = chest(1)[0][:-1]
    write_mask(np.zeros(hu.shape, np.uint8), volume_of(hu), folder / "s1" / "lesions.nii.gz")


def other_grid(folder: Path) -> None:
    hu, lungs, _ = chest(1)
    volume = volume_of(hu)
    volume.affine[0, 3] += 40.0
    write_mask(lungs, volume, folder / "s1" / "lungs.nii.gz")


def strange_label(folder: Path) -> None:
    hu, _, lesions = chest(1)
    write_mask(lesions * 3, volume_of(hu), folder / "s1" / "lesions.nii.gz")


def lobes_as_lungs(folder: Path) -> None:
    hu, lungs, _ = chest(1)
    write_mask(lungs * 2, volume_of(hu), folder / "s1" / "lungs.nii.gz")


def empty_lungs(folder: Path) -> None:
    hu, lungs, _ = chest(1)
    write_mask(lungs * 0, volume_of(hu), folder / "s1" / "lungs.nii.gz")


def no_mask(folder: Path) -> None:
    (folder / "s1" / "lesions.nii.gz").unlink()


def no_image(folder: Path) -> None:
    (folder / "s1" / "image.nii.gz").unlink()


def eight_bit(folder: Path) -> None:
    write_scan(folder, 1, intensity="display8")


def one_slice(folder: Path) -> None:
    hu, lungs, lesions = (part[10:11] for part in chest(1))
    for name, part in (("lungs", lungs), ("lesions", lesions)):
        write_mask(part, volume_of(hu), folder / "s1" / f"{name}.nii.gz")
    write_volume(volume_of(hu), folder / "s1" / "image.nii.gz")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (other_shape, r"lesions.nii.gz.*\(19, 40, 44\).*\(20, 40, 44\)"),
        (other_grid, r"lungs.nii.gz.*40 mm off"),
        (strange_label, r"lesions.nii.gz holds the label\(s\) 6, 9; known are 0 none, 1 ground glass"),
        (lobes_as_lungs, r"lungs.nii.gz holds the label\(s\) 4"),
        (empty_lungs, r"lungs.nii.gz has no lung in it"),
        (no_mask, r"the mask .*lesions.nii.gz is not there"),
        (no_image, r"image.nii.gz is not there"),
        (eight_bit, r"display8 and the table says hu"),
        (one_slice, r"single slice"),
    ],
)
def test_bad_input_names_scan_file_and_remedy(tmp_path, spoil, told):
    folder = write_cohort(tmp_path)
    spoil(folder)
    with pytest.raises(DataError, match=told) as found:
        read(folder)
    assert str(found.value).startswith("scan 's1'")
    assert "\n" not in str(found.value)
    assert isinstance(found.value, ShapeError) == (spoil in (other_shape, other_grid))


def test_volumes_are_told_from_slices(tmp_path):
    cohort = read_cohort(write_cohort(tmp_path))
    assert holds_volumes(cohort)
    rows = "patient,scan,image,intensity\np,s,a.png,display8\n"
    (tmp_path / "cohort.csv").write_text(rows)
    assert not holds_volumes(read_cohort(tmp_path))
