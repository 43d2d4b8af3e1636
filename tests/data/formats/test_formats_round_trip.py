"""What goes through a file comes back on its own grid, left still left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glasslung.data.formats import read_mask, read_scan, write_mask, write_volume
from glasslung.types import Intensity, Volume

SHAPE = (5, 6, 7)


def rotation(degrees: float) -> np.ndarray:
    """A turn about an oblique axis."""
    angle, axis = np.deg2rad(degrees), np.array([1, 2, 3]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def affine_of(
    columns: list[list[float]], spacing: tuple[float, float, float] = (2.5, 0.7, 0.8)
) -> np.ndarray:
    """Columns: where a step in d, h, w goes (LPS directions)."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns, dtype=float).T * spacing
    affine[:3, 3] = (-120.5, 33.25, -410.125)
    return affine


L, P, S = [1, 0, 0], [0, 1, 0], [0, 0, 1]
R, A, I = [-1, 0, 0], [0, -1, 0], [0, 0, -1]  # noqa: E741
TILTED = affine_of([S, P, L])
TILTED[:3, 1] = 0.7 * np.array([0, np.cos(np.deg2rad(20)), -np.sin(np.deg2rad(20))])
OBLIQUE = affine_of([S, P, L])
OBLIQUE[:3, :3] = rotation(25) @ OBLIQUE[:3, :3]
ORIENTATIONS = {
    "axial": affine_of([S, P, L]),
    "axial, prone": affine_of([S, A, R]),
    "axial, feet first in file": affine_of([I, P, R]),
    "coronal": affine_of([P, I, L]),
    "coronal, back to front": affine_of([A, I, R]),
    "sagittal": affine_of([L, I, P]),
    "sagittal, left to right": affine_of([R, I, A]),
    "mirrored slices": affine_of([I, P, L]),
    "oblique": OBLIQUE,
    "tilted": TILTED,
}


def scan(affine: np.ndarray, seed: int = 0) -> Volume:
    voxels = np.random.default_rng(seed).integers(-1024, 2000, SHAPE).astype(np.int16)
    return Volume(voxels, affine, Intensity.HU)


def blot(shape: tuple[int, ...]) -> np.ndarray:
    """An asymmetric mask: no flip or swap of axes leaves it as it is."""
    mask = np.zeros(shape, dtype=np.uint8)
    mask[0, 1, 2], mask[0, 1, 3:], mask[3, 2:5, 0], mask[4, 5, 6] = 1, 2, 3, 5
    return mask


def in_space(mask: np.ndarray, affine: np.ndarray) -> dict[tuple[float, ...], int]:
    """LPS point (rounded) -> label: the mask as the patient has it, whatever its axes."""
    index = np.argwhere(mask)
    points = (np.c_[index, np.ones(len(index))] @ affine.T)[:, :3].round(2) + 0.0
    return {tuple(p): int(mask[tuple(i)]) for p, i in zip(points.tolist(), index, strict=True)}


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.nrrd", "scan.mha"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_grid_comes_back_as_it_was(tmp_path: Path, orientation: str, name: str) -> None:
    volume = scan(ORIENTATIONS[orientation])
    write_volume(volume, tmp_path / name)
    back = read_scan(tmp_path / name)
    assert np.array_equal(back.voxels, volume.voxels)
    assert np.allclose(back.affine, volume.affine, atol=2e-5)
    assert back.intensity is Intensity.HU


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_dicom_series_comes_back_in_the_same_place(tmp_path: Path, orientation: str) -> None:
    volume = scan(ORIENTATIONS[orientation])
    write_volume(volume, tmp_path / "series")
    back = read_scan(tmp_path / "series")
    mirrored = np.linalg.det(volume.affine[:3, :3]) * np.linalg.det(back.affine[:3, :3]) < 0
    again = back.voxels[::-1] if mirrored else back.voxels
    assert np.array_equal(again, volume.voxels)
    first = np.array([volume.shape[0] - 1 if mirrored else 0, 0, 0, 1.0])
    assert np.allclose(back.affine @ first, volume.affine[:, 3], atol=1e-6)
    assert back.source.tilt_deg == pytest.approx(20 if orientation == "tilted" else 0, abs=1e-3)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("kind", ["series", "scan.nii.gz", "scan.nrrd"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_lies_where_the_scan_lies(tmp_path: Path, orientation: str, kind: str, ending: str) -> None:
    """Through DICOM, NIfTI and NRRD: the mask is read back voxel for voxel, each label at the same point."""
    import nibabel

    truth = scan(ORIENTATIONS[orientation])
    write_volume(truth, tmp_path / kind)
    volume = read_scan(tmp_path / kind)
    mask = blot(volume.shape)
    write_mask(mask, volume, tmp_path / f"mask{ending}")
    assert np.array_equal(read_mask(tmp_path / f"mask{ending}", volume), mask)
    if ending.startswith(".nii"):  # by another library, in its own convention
        image = nibabel.load(tmp_path / f"mask{ending}")
        lps = np.diag([-1, -1, 1, 1]) @ image.affine
        assert in_space(np.asarray(image.dataobj), lps) == in_space(mask, volume.affine)


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name != "tilted"])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_simpleitk_sees_the_same_points(tmp_path: Path, orientation: str, ending: str) -> None:
    import SimpleITK as sitk

    volume = scan(ORIENTATIONS[orientation])
    write_volume(volume, tmp_path / f"scan{ending}")
    image = sitk.ReadImage(str(tmp_path / f"scan{ending}"))
    for d, h, w in [(0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (4, 5, 6)]:
        point = image.TransformIndexToPhysicalPoint((w, h, d))
        assert np.allclose(point, (volume.affine @ [d, h, w, 1])[:3], atol=1e-3)
        assert image.GetPixel((w, h, d)) == volume.voxels[d, h, w]


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name != "tilted"])
def test_simpleitk_sees_the_same_dicom(tmp_path: Path, orientation: str) -> None:
    import SimpleITK as sitk

    write_volume(scan(ORIENTATIONS[orientation]), tmp_path / "series")
    volume = read_scan(tmp_path / "series")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    image = reader.Execute()
    for d, h, w in [(0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6), (4, 5, 6)]:
        z, y, x = (volume.affine @ [d, h, w, 1])[:3][::-1]
        index = image.TransformPhysicalPointToIndex((x, y, z))
        assert image.GetPixel(index) == volume.voxels[d, h, w]
        assert np.allclose(image.TransformIndexToPhysicalPoint(index), (x, y, z), atol=1e-3)


def test_left_is_left(tmp_path: Path) -> None:
    """A mark drawn at a known point of the patient is at that point in every format and orientation."""
    for n, (name, affine) in enumerate(ORIENTATIONS.items()):
        voxels = np.full(SHAPE, -1000, dtype=np.int16)
        voxels[1, 2, 5] = 700
        point = (affine @ [1, 2, 5, 1])[:3]
        for kind in ("series", "scan.nii.gz", "scan.nrrd", "scan.mha"):
            write_volume(Volume(voxels, affine, Intensity.HU), tmp_path / str(n) / kind)
            back = read_scan(tmp_path / str(n) / kind)
            (index,) = np.argwhere(back.voxels == 700)
            assert np.allclose((back.affine @ [*index, 1])[:3], point, atol=1e-3), (name, kind)
