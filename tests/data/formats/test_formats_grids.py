"""NIfTI, NRRD and MetaImage: geometry, meaning of the values, damage."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from glasslung.data.formats import read_mask, read_scan, write_mask, write_volume
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Intensity, Severity, Volume

RAS = np.array([[-0.7, 0, 0, 120], [0, -0.8, 0, 100], [0, 0, 2.5, -300], [0, 0, 0, 1]], dtype=float)
LPS = np.array([[0, 0, 0.7, -120], [0, 0.8, 0, -100], [2.5, 0, 0, -300], [0, 0, 0, 1]], dtype=float)
HU = np.random.default_rng(0).integers(-1000, 1500, (7, 6, 5)).astype(np.int16)  # (i, j, k)


def nifti(path: Path, values: np.ndarray = HU, affine: np.ndarray = RAS, **header: Any) -> Path:
    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, 1)
    for field, value in header.items():
        image.header[field] = value
    nibabel.save(image, path)
    return path


def patched(path: Path, at: int, value: bytes) -> Path:
    """Overwrite bytes of an uncompressed file."""
    content = bytearray(path.read_bytes())
    content[at : at + len(value)] = value
    path.write_bytes(content)
    return path


def codes(volume: Volume) -> set[str]:
    return {remark.code for remark in volume.source.remarks}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_axes_and_directions(tmp_path: Path, name: str) -> None:
    back = read_scan(nifti(tmp_path / name))
    assert np.array_equal(back.voxels, HU.transpose(2, 1, 0))
    assert np.allclose(back.affine, LPS)
    assert (back.source.kind, back.intensity) == ("nifti", Intensity.HU)


def test_extensions_are_not_believed(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz").rename(tmp_path / "b.nrrd")
    write_volume(Volume(HU, LPS, Intensity.HU), tmp_path / "c.nrrd")
    (tmp_path / "c.nrrd").rename(tmp_path / "d.nii.gz")
    write_volume(Volume(HU, LPS, Intensity.HU), tmp_path / "e.mha")
    (tmp_path / "e.mha").rename(tmp_path / "f")
    assert [read_scan(tmp_path / n).source.kind for n in ("b.nrrd", "d.nii.gz", "f")] == [
        "nifti",
        "nrrd",
        "mha",
    ]


def test_nifti2_and_big_endian(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(HU, RAS), tmp_path / "two.nii")
    big = nibabel.Nifti1Image(HU, RAS, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii.gz")
    for name in ("two.nii", "big.nii.gz"):
        assert np.array_equal(read_scan(tmp_path / name).voxels, HU.transpose(2, 1, 0)), name


def test_qform_alone_counts_and_no_form_is_a_warning(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(HU, RAS)
    image.set_qform(RAS, 1)
    image.set_sform(None, 0)
    nibabel.save(image, tmp_path / "q.nii")
    back = read_scan(tmp_path / "q.nii")
    assert np.allclose(back.affine, LPS, atol=1e-5)
    assert "orientation-assumed" not in codes(back)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "none.nii")
    assert "orientation-assumed" in codes(read_scan(tmp_path / "none.nii"))


def test_scaling_is_applied(tmp_path: Path) -> None:
    raw = (HU.astype(np.int32) + 1024).astype(np.uint16)
    image = nibabel.Nifti1Image(raw, RAS)
    image.header.set_slope_inter(1, -1024)
    nibabel.save(image, tmp_path / "whole.nii")
    # nibabel stores data as given when the slope is set by hand in the file
    path = nifti(tmp_path / "raw.nii", raw)
    patched(path, 112, np.array([1, -1024], "<f4").tobytes())
    assert np.array_equal(read_scan(path).voxels, HU.transpose(2, 1, 0))
    patched(path, 112, np.array([0.5, -1024], "<f4").tobytes())
    assert np.array_equal(read_scan(path).voxels, np.rint(raw.transpose(2, 1, 0) * 0.5 - 1024))


@pytest.mark.parametrize("scale", [(np.nan, np.nan), (np.inf, 0), (1, np.nan), (1e30, 0), (1, 1e30)], ids=str)
def test_damaged_scaling(tmp_path: Path, scale: tuple[float, float]) -> None:
    path = patched(nifti(tmp_path / "a.nii"), 112, np.array(scale, "<f4").tobytes())
    try:
        back = read_scan(path)
    except DataError as error:
        assert "a.nii" in str(error)
    else:  # the standard: a slope that is no number means no scaling
        assert not np.isfinite(scale[0])
        assert np.array_equal(back.voxels, HU.transpose(2, 1, 0))


def test_floats_are_rounded_and_nan_is_refused(tmp_path: Path) -> None:
    values = HU + np.float32(0.4)
    assert np.array_equal(read_scan(nifti(tmp_path / "f.nii", values)).voxels, HU.transpose(2, 1, 0))
    for bad in (np.nan, np.inf, -np.inf):
        values[1, 2, 3] = bad
        for name in ("g.nii", "g.nii.gz"):
            with pytest.raises(DataError, match=r"g.nii.*no numbers"):
                read_scan(nifti(tmp_path / name, values))


def test_four_axes(tmp_path: Path) -> None:
    assert read_scan(nifti(tmp_path / "one.nii", HU[..., np.newaxis])).shape == (5, 6, 7)
    with pytest.raises(DataError, match=r"holds 2 volumes .*split"):
        read_scan(nifti(tmp_path / "two.nii", np.stack([HU, HU], axis=-1)))
    assert read_scan(nifti(tmp_path / "flat.nii", HU[..., 0])).shape == (1, 6, 7)


@pytest.mark.parametrize("row", [280, 296, 312])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20, -1e9])
def test_affines_that_are_none(tmp_path: Path, row: int, value: float) -> None:
    path = patched(nifti(tmp_path / "a.nii"), row, np.array([value], "<f4").tobytes())
    with pytest.raises(DataError, match=r"a.nii"):
        read_scan(path)


def test_singular_and_sheared_affines(tmp_path: Path) -> None:
    for row in ([0, 0, 0, 0], [0, -0.8, 0, 0]):
        path = patched(nifti(tmp_path / "a.nii"), 280, np.array(row, "<f4").tobytes())
        with pytest.raises(DataError, match=r"a.nii"):
            read_scan(path)


def test_units(tmp_path: Path) -> None:
    path = nifti(tmp_path / "m.nii", affine=np.diag([1e-3, 1e-3, 1e-3, 1]) @ RAS)
    patched(path, 123, bytes([1]))  # metres
    back = read_scan(path)
    assert np.allclose(back.affine, LPS, atol=1e-4)
    assert "units" in codes(back)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    ("values", "said", "outcome"),
    [
        (np.arange(210).astype(np.uint8), None, Intensity.DISPLAY8),
        (np.arange(210).astype(np.int16), None, "--intensity display8"),
        (np.arange(210).astype(np.float32) / 210, None, "--intensity display8"),
        (np.arange(210).astype(np.uint16) * 19, None, "--intensity hu"),
        (np.arange(210).astype(np.int16) - 400, None, "--intensity hu"),
        (np.arange(210).astype(np.int16) - 600, None, Intensity.HU),
        (np.arange(210).astype(np.float32) * 1e4, None, "beyond"),
        (np.arange(210).astype(np.int16), Intensity.DISPLAY8, Intensity.DISPLAY8),
        (np.arange(210).astype(np.float32) / 210, Intensity.DISPLAY8, Intensity.DISPLAY8),
        (np.arange(210).astype(np.int16) * 9, Intensity.DISPLAY8, "0 to 255"),
        (np.arange(210).astype(np.int16), Intensity.HU, Intensity.HU),
    ],
)
def test_meaning_is_never_guessed_silently(
    tmp_path: Path, values: np.ndarray, said: Intensity | None, outcome: Any, ending: str
) -> None:
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(values.reshape(5, 6, 7)), str(path))
    if isinstance(outcome, Intensity):
        back = read_scan(path, intensity=said)
        assert back.intensity is outcome
        if outcome is Intensity.DISPLAY8:
            assert "eight-bit" in codes(back)
            assert back.voxels.max() == (255 if values.dtype.kind == "f" else 209) - (
                values.dtype.kind == "f"
            )
        else:
            assert np.array_equal(back.voxels.reshape(-1), values)
    else:
        with pytest.raises(DataError, match=outcome):
            read_scan(path, intensity=said)


def test_the_remedy_that_is_named_works(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(210, dtype=np.int16).reshape(5, 6, 7)), str(path))
    with pytest.raises(DataError, match=r"--intensity display8 \(in Python: intensity='display8'\)"):
        read_scan(path)
    assert read_scan(path, intensity="display8").intensity is Intensity.DISPLAY8
    assert read_scan(path, intensity="hu").intensity is Intensity.HU
    with pytest.raises(UsageError, match="'HU' is not known; it is one of hu, display8"):
        read_scan(path, intensity="HU")


def test_a_mask_is_not_a_scan(tmp_path: Path) -> None:
    path = nifti(tmp_path / "m.nii", (HU > 0).astype(np.uint8))
    remark = next(r for r in read_scan(path).source.remarks if r.code == "label-map")
    assert remark.severity is Severity.REFUSE


def test_padding_below_air(tmp_path: Path) -> None:
    values = HU.copy()
    values[0] = -3024
    back = read_scan(nifti(tmp_path / "p.nii", values))
    assert (back.voxels[:, :, 0] == -1024).all()
    assert "padding-to-air" in codes(back)


@pytest.mark.parametrize(
    "space", ["left-posterior-superior", "right-anterior-superior", "left-anterior-superior"]
)
def test_nrrd_spaces(tmp_path: Path, space: str) -> None:
    """The same points, told in LPS, RAS and LAS."""
    sign = {
        "left-posterior-superior": (1, 1),
        "right-anterior-superior": (-1, -1),
        "left-anterior-superior": (1, -1),
    }
    x, y = sign[space]
    header = (
        f"NRRD0004\ntype: int16\ndimension: 3\nspace: {space}\nsizes: 7 6 5\n"
        f"space directions: ({0.7 * x},0,0) (0,{0.8 * y},0) (0,0,2.5)\nendian: little\nencoding: raw\n"
        f"space origin: ({-120 * x},{-100 * y},-300)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + HU.transpose(2, 1, 0).tobytes())
    back = read_scan(tmp_path / "a.nrrd")
    assert np.allclose(back.affine, LPS)
    assert np.array_equal(back.voxels, HU.transpose(2, 1, 0))
    assert "orientation-assumed" not in codes(back)


def test_orientation_that_a_header_leaves_out(tmp_path: Path) -> None:
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 7 6 5\nspacings: 0.7 0.8 2.5\n"
    head += "endian: little\nencoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + HU.tobytes())
    meta = (
        "ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(meta.encode() + HU.tobytes())
    for name in ("a.nrrd", "a.mha"):
        assert "orientation-assumed" in codes(read_scan(tmp_path / name))


def test_detached_headers(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(HU.transpose(2, 1, 0))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-120, -100, -300))
    for name, raw in (("a.mhd", "a.raw"), ("b.nhdr", "b.raw")):
        sitk.WriteImage(image, str(tmp_path / name))
        back = read_scan(tmp_path / name)
        assert np.array_equal(back.voxels, HU.transpose(2, 1, 0))
        assert np.allclose(back.affine, LPS)
        assert len(back.source.files) == 2
        (tmp_path / raw).rename(tmp_path / "gone")
        with pytest.raises(DataError, match="missing"):
            read_scan(tmp_path / name)
    text = (tmp_path / "a.mhd").read_text()
    for elsewhere in ("/etc/passwd", "../a.raw", "LIST", "a%03d.raw 1 5 1"):
        (tmp_path / "c.mhd").write_text(text.replace("a.raw", elsewhere))
        with pytest.raises(DataError, match=r"c.mhd"):
            read_scan(tmp_path / "c.mhd")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_cut_short_anywhere(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_volume(Volume(HU, LPS, Intensity.HU), path)
    whole = path.read_bytes()
    for keep in (0, 1, 2, 10, 100, 350, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError, match=rf"a{ending}"):
            read_scan(path)


def test_headers_that_promise_too_much(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii")
    patched(path, 42, np.array([32767, 32767, 32767], "<i2").tobytes())
    with pytest.raises(DataError, match="promises"):
        read_scan(path)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match="promises"):
        read_scan(tmp_path / "b.nii.gz")
    write_volume(Volume(HU, LPS, Intensity.HU), tmp_path / "c.mha")
    text = (tmp_path / "c.mha").read_bytes().replace(b"DimSize = 5 6 7", b"DimSize = 9999 9999 9999")
    (tmp_path / "c.mha").write_bytes(text)
    with pytest.raises(DataError, match="promises"):
        read_scan(tmp_path / "c.mha")
    head = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 9999 9999 999\nendian: little\nencoding: raw\n\n"
    (tmp_path / "d.nrrd").write_bytes(head.encode() + HU.tobytes())
    with pytest.raises(DataError, match="promises"):
        read_scan(tmp_path / "d.nrrd")
    patched(nifti(tmp_path / "e.nii"), 42, np.array([-7, 6, 5], "<i2").tobytes())
    with pytest.raises(DataError, match=r"e.nii"):
        read_scan(tmp_path / "e.nii")


def test_colour_and_two_file_nifti(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 3), str(tmp_path / "rgb.nrrd"))
    with pytest.raises(DataError, match="3 values in each voxel"):
        read_scan(tmp_path / "rgb.nrrd")
    nibabel.save(nibabel.Nifti1Pair(HU, RAS), tmp_path / "pair.hdr")
    with pytest.raises(DataError, match=r"two-file NIfTI"):
        read_scan(tmp_path / "pair.hdr")
    rgb = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(rgb, RAS), tmp_path / "rgb.nii")
    with pytest.raises(DataError, match="no plain grey values"):
        read_scan(tmp_path / "rgb.nii")


def scan(shape: tuple[int, int, int] = (5, 6, 7), affine: np.ndarray = LPS) -> Volume:
    return Volume(np.zeros(shape, np.int16), affine, Intensity.HU)


def test_masks_keep_labels_types_and_forms(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).integers(0, 6, (5, 6, 7))
    for ending in (".nii.gz", ".nrrd", ".mha"):
        write_mask(mask, scan(), tmp_path / f"m{ending}")
        back = read_mask(tmp_path / f"m{ending}", scan())
        assert back.dtype == np.uint8
        assert np.array_equal(back, mask)
    image = nibabel.load(tmp_path / "m.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    write_mask(mask == 3, scan(), tmp_path / "b.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "b.nii.gz", scan()), mask == 3)


def test_a_tilted_mask_keeps_its_sform(tmp_path: Path) -> None:
    tilted = LPS.copy()
    tilted[1, 0] = 0.8
    write_mask(np.ones((5, 6, 7), np.uint8), scan(affine=tilted), tmp_path / "m.nii.gz")
    image = nibabel.load(tmp_path / "m.nii.gz")
    assert np.allclose(np.diag([-1, -1, 1, 1]) @ image.get_sform()[:, [2, 1, 0, 3]], tilted, atol=1e-5)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 2)
    assert sitk.ReadImage(str(tmp_path / "m.nii.gz")).GetSize() == (7, 6, 5)
    assert read_mask(tmp_path / "m.nii.gz", scan(affine=tilted)).all()


def test_a_mask_of_another_scan_is_refused(tmp_path: Path) -> None:
    write_mask(np.ones((5, 6, 7), np.uint8), scan(), tmp_path / "m.nii.gz")
    with pytest.raises(ShapeError, match=r"\(5, 6, 7\).*\(5, 7, 6\)"):
        read_mask(tmp_path / "m.nii.gz", scan((5, 7, 6)))
    moved, flipped = LPS.copy(), LPS.copy()
    moved[2, 3] += 2.5
    flipped[0, 2], flipped[0, 3] = -0.7, -120 + 6 * 0.7
    for other in (moved, flipped):
        with pytest.raises(ShapeError, match="mm off"):
            read_mask(tmp_path / "m.nii.gz", scan(affine=other))
    rounded = LPS + np.full((4, 4), 1e-4) * (np.arange(4)[:, None] < 3)
    assert read_mask(tmp_path / "m.nii.gz", scan(affine=rounded)).all()


def test_what_is_no_mask(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="whole numbers 0 to 255"):
        write_mask(np.full((5, 6, 7), -1), scan(), tmp_path / "m.nii.gz")
    with pytest.raises(DataError, match="whole numbers 0 to 255"):
        write_mask(np.full((5, 6, 7), 0.5), scan(), tmp_path / "m.nii.gz")
    with pytest.raises(ShapeError):
        write_mask(np.ones((5, 6), np.uint8), scan(), tmp_path / "m.nii.gz")
    with pytest.raises(UsageError, match="needs an ending"):
        write_mask(np.ones((5, 6, 7), np.uint8), scan(), tmp_path / "m")
    with pytest.raises(DataError, match="whole numbers"):
        read_mask(nifti(tmp_path / "hu.nii"), scan())
    assert [p.name for p in tmp_path.iterdir()] == ["hu.nii"]


@pytest.mark.parametrize("name", ["a.dcm", "a.png", "a.gz", "a.zip", "a.tif"])
def test_endings_that_are_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=name):
        write_volume(scan(), tmp_path / name)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_same_bytes_twice_and_nothing_half_written(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(HU, LPS, Intensity.HU)
    for name in ("a", "b"):
        write_volume(volume, tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    before = (tmp_path / f"a{ending}").read_bytes()

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nibabel.Nifti1Image, "to_stream", stop)
    monkeypatch.setattr(sitk, "WriteImage", stop)
    with pytest.raises(KeyboardInterrupt):
        write_volume(Volume(HU + np.int16(1), LPS, Intensity.HU), tmp_path / f"a{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file/a.nii.gz", "file/a.nrrd", "file/series"):
        with pytest.raises(DataError, match="cannot be written"):
            write_volume(Volume(HU, LPS, Intensity.HU), tmp_path / name)
    (tmp_path / "b.nii.gz").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        write_volume(Volume(HU, LPS, Intensity.HU), tmp_path / "b.nii.gz")


@pytest.mark.real
def test_real_volumes(real: Path) -> None:
    folder = real / "chest_ct_hu"
    volume = read_scan(folder / "lung1-001_ct.nii.gz")
    assert (volume.shape, volume.intensity) == ((93, 253, 340), Intensity.HU)
    assert volume.spacing_mm == pytest.approx((3.0, 0.977, 0.977), abs=1e-3)
    mask = read_mask(folder / "lung1-001_mask.nii.gz", volume)
    x = {label: (np.argwhere(mask == label) @ volume.affine[:3, :3].T)[:, 0].mean() for label in (1, 2)}
    assert x[1] < x[2]  # the right lung lies to the patient's right, where LPS x is smaller
    cip = read_scan(folder / "cip_ct-64.nrrd")
    assert read_mask(folder / "cip_wholeLung-64.nrrd", cip).any()
    with pytest.raises(DataError, match="6 volumes"):
        read_scan(folder)
