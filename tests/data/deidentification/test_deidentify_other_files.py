"""NIfTI files and pictures without their words, with their voxels."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from glasslung.data.deidentification.nifti_cleaning import clean_nifti
from glasslung.data.formats import read_scan, write_volume
from glasslung.errors import DataError
from made_identities import all_bytes, run, small_chest


@pytest.mark.parametrize("cls", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_keeps_voxels_and_geometry_and_loses_its_words(tmp_path, cls, ending):
    rng = np.random.default_rng(1)
    voxels = rng.integers(-1000, 400, (16, 12, 5)).astype(np.int16)
    image = cls(voxels, np.diag([-0.7, 0.8, 2.5, 1.0]))
    image.header["descrip"], image.header["aux_file"] = b"Quastenberg^Friedebert", b"Nordhausen"
    image.header["intent_name"] = b"QX-4417"
    image.header.set_slope_inter(2.0, -5.0)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"born 19470615"))
    source = tmp_path / "in" / f"Quastenberg{ending}"
    source.parent.mkdir()
    image.to_filename(source)
    result = run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    (made,) = (tmp_path / "out" / "volumes").glob("*.nii.gz")
    before, after = nibabel.load(source), nibabel.load(made)
    np.testing.assert_array_equal(np.asanyarray(before.dataobj), np.asanyarray(after.dataobj))
    np.testing.assert_array_equal(before.affine, after.affine)
    assert result.written == 1 and not after.header.extensions
    for text in (b"quastenberg", b"nordhausen", b"qx-4417", b"19470615"):
        assert text not in all_bytes(tmp_path / "out")


def test_our_own_volumes_come_out_the_same(tmp_path):
    write_volume(small_chest(), tmp_path / "scan.nii.gz")
    (tmp_path / "made.nii.gz").write_bytes(clean_nifti(tmp_path / "scan.nii.gz")[0])
    before, after = read_scan(tmp_path / "scan.nii.gz"), read_scan(tmp_path / "made.nii.gz")
    np.testing.assert_array_equal(before.voxels, after.voxels)
    np.testing.assert_array_equal(before.affine, after.affine)


def test_a_nifti_file_cut_short_is_told(tmp_path):
    write_volume(small_chest(), tmp_path / "scan.nii")
    whole = (tmp_path / "scan.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[:-20])
    with pytest.raises(DataError, match="cut short"):
        clean_nifti(tmp_path / "cut.nii")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole)[:-30])
    with pytest.raises(DataError):
        clean_nifti(tmp_path / "cut.nii.gz")


def test_pictures_keep_pixels_and_order_and_lose_texts_and_names(tmp_path):
    rng = np.random.default_rng(2)
    folder = tmp_path / "in" / "Quastenberg"
    folder.mkdir(parents=True)
    for n, name in enumerate(("slice2", "slice10", "slice1")):
        pixels = rng.integers(0, 255, (20, 24)).astype(np.uint8)
        pixels[0, 0] = n
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Patient", "Quastenberg")
        notes.add_itxt("Comment", "Friedebert", zip=True)
        exif = Image.Exif()
        exif[0x010E] = "Nordhausen"
        Image.fromarray(pixels).save(folder / f"{name}.png", pnginfo=notes, exif=exif)
    run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    made = sorted((tmp_path / "out" / "pictures").rglob("*.png"))
    assert [int(np.asarray(Image.open(path))[0, 0]) for path in made] == [2, 0, 1]
    for path in made:
        image = Image.open(path)
        assert not image.info and not image.getexif()
    np.testing.assert_array_equal(read_scan(folder).voxels, read_scan(made[0].parent).voxels)
    for text in (b"quastenberg", b"friedebert", b"nordhausen", b"slice"):
        assert text not in all_bytes(tmp_path / "out")
