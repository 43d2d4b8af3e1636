"""Pictures: every mode, stacks of any sizes, and masks that go back to each picture's own size."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasslung.data.formats import read_mask, read_scan, write_mask, write_volume
from glasslung.data.orientation import orientation_of
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Geometry, Intensity, Severity, Volume

GREY = (np.indices((12, 17)).sum(0) * 8 % 256).astype(np.uint8)


def codes(volume: Volume) -> dict[str, Severity]:
    return {remark.code: remark.severity for remark in volume.source.remarks}


def test_one_grey_picture(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    back = read_scan(tmp_path / "a.png")
    assert np.array_equal(back.voxels, GREY[np.newaxis])
    assert (back.intensity, back.geometry, back.source.kind) == (
        Intensity.DISPLAY8,
        Geometry.ASSUMED,
        "pictures",
    )
    assert not back.has_ml
    assert set(codes(back)) == {"eight-bit", "geometry-assumed"}


def test_upright_by_convention(tmp_path: Path) -> None:
    """First slice nearest the head; rows go to the back, columns to the patient's left."""
    Image.fromarray(GREY).save(tmp_path / "a.png")
    back = read_scan(tmp_path / "a.png")
    assert np.array_equal(back.affine[:3, :3], [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    assert orientation_of(back).flips == (True, False, False)
    feet = read_scan(tmp_path / "a.png", feet_first=True)
    assert orientation_of(feet).flips == (False, False, False)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "gif", "webp", "jp2", "pgm", "jpg"])
def test_formats_by_content(tmp_path: Path, ending: str) -> None:
    Image.fromarray(GREY).save(tmp_path / f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
    (tmp_path / f"a.{ending}").rename(tmp_path / "a.dcm")
    back = read_scan(tmp_path / "a.dcm")
    assert np.abs(back.voxels[0].astype(int) - GREY).max() <= (60 if ending == "jpg" else 0)


def test_modes(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    alpha[0] = 0
    rgb = np.stack([GREY] * 3, axis=-1)
    expected = {
        "1": (Image.fromarray(GREY > 99), np.where(GREY > 99, 255, 0)),
        "L": (Image.fromarray(GREY), GREY),
        "P": (Image.fromarray(GREY).convert("RGB").quantize(256), None),
        "LA": (Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]), np.where(alpha, GREY, 0)),
        "RGB": (Image.fromarray(rgb), GREY),
        "RGBA": (Image.fromarray(np.dstack([rgb, alpha])), np.where(alpha, GREY, 0)),
    }
    for mode, (image, wanted) in expected.items():
        assert image.mode == mode
        image.save(tmp_path / f"{mode}.png")
        back = read_scan(tmp_path / f"{mode}.png")
        if wanted is None:
            wanted = np.asarray(image.convert("L"))
        assert np.array_equal(back.voxels[0], wanted), mode
        assert ("alpha" in codes(back)) == (mode in ("LA", "RGBA"))
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "c.tif")
    assert np.array_equal(read_scan(tmp_path / "c.tif").voxels[0], GREY)


@pytest.mark.parametrize(
    ("dtype", "ending"), [("<u2", "png"), ("<u2", "tif"), ("<i4", "tif"), ("<f4", "tif")]
)
def test_deep_pictures_are_stretched_together(tmp_path: Path, dtype: str, ending: str) -> None:
    for n, top in enumerate((1000, 4000)):
        values = np.linspace(0, top, 12 * 17).reshape(12, 17).astype(dtype)
        Image.fromarray(values).save(tmp_path / f"{n}.{ending}")
    back = read_scan(tmp_path)
    assert codes(back)["scaled-to-8-bit"] is Severity.WARN
    assert (back.voxels[0].max(), back.voxels[1].max()) == (64, 255)  # 1000 of 4000 is a quarter of the range


def test_pages_of_a_tiff_are_slices(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.roll(GREY, n)) for n in range(4)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    back = read_scan(tmp_path / "a.tif")
    assert np.array_equal(back.voxels, [np.roll(GREY, n) for n in range(4)])
    Image.fromarray(GREY).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"a.tif: has 4 pages"):
        read_scan(tmp_path)


def test_natural_order(tmp_path: Path) -> None:
    names = ["IM-9.png", "IM-10.png", "IM-101.png", "im-11.png", "IM-2.png"]
    for n, name in enumerate(names):
        Image.fromarray(np.full((4, 5), n, np.uint8)).save(tmp_path / name)
    assert read_scan(tmp_path).voxels[:, 0, 0].tolist() == [4, 0, 1, 3, 2]


def test_sizes_differ(tmp_path: Path) -> None:
    sizes = [(4, 9), (8, 5), (5, 6)]
    pictures = [np.full(size, 100 + n, np.uint8) for n, size in enumerate(sizes)]
    for n, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{n}.png")
    back = read_scan(tmp_path)
    assert back.shape == (3, 8, 9)
    assert codes(back)["sizes-differ"] is Severity.WARN
    assert np.array_equal(back.voxels[0, 2:6], pictures[0])
    assert back.voxels.sum() == sum(int(p.sum()) for p in pictures)


def test_masks_go_back_to_each_pictures_own_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "img").mkdir()
    truth = [rng.integers(0, 4, size).astype(np.uint8) for size in [(4, 9), (8, 5), (5, 6)]]
    for n, labels in enumerate(truth):
        Image.fromarray(labels * 60).save(tmp_path / "img" / f"{n + 1:03d}.png")
    volume = read_scan(tmp_path / "img")
    mask = volume.voxels // 60
    write_mask(mask, volume, tmp_path / "mask")
    for n, labels in enumerate(truth):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "mask" / f"{n + 1:03d}.png")), labels)
    assert np.array_equal(read_mask(tmp_path / "mask", volume), mask)
    write_mask(mask, volume, tmp_path / "mask.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz", volume), mask)
    (tmp_path / "mask" / "003.png").unlink()
    with pytest.raises(ShapeError, match="2 mask slices"):
        read_mask(tmp_path / "mask", volume)
    Image.fromarray(truth[1]).save(tmp_path / "mask" / "003.png")
    with pytest.raises(ShapeError, match=r"\(8, 5\).*\(5, 6\)"):
        read_mask(tmp_path / "mask", volume)


def test_volumes_of_pictures_are_written_as_pictures(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    volume = read_scan(tmp_path / "a.png")
    write_volume(volume, tmp_path / "out")
    assert np.array_equal(read_scan(tmp_path / "out").voxels, volume.voxels)
    write_volume(volume, tmp_path / "out.nii.gz")
    back = read_scan(tmp_path / "out.nii.gz")
    assert np.array_equal(back.voxels, volume.voxels)
    assert np.allclose(back.affine, volume.affine)


def test_a_cat_is_no_scan(tmp_path: Path) -> None:
    """A warm picture of something: hues all over."""
    y, x = np.mgrid[0:90, 0:120] / 100
    fur = 128 + 90 * np.sin(9 * x) * np.cos(7 * y)
    cat = np.dstack([np.clip(fur + 40, 0, 255), np.clip(fur, 0, 255), np.clip(fur - 60, 0, 255)]).astype(
        np.uint8
    )
    Image.fromarray(cat).save(tmp_path / "cat.png")
    assert codes(read_scan(tmp_path / "cat.png"))["coloured-picture"] is Severity.REFUSE


def test_arrows_are_only_noted(tmp_path: Path) -> None:
    rgb = np.stack([np.tile(GREY, (5, 5))] * 3, axis=-1)
    rgb[10:20, 10:13] = (255, 0, 0)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    found = codes(read_scan(tmp_path / "a.png"))
    assert found["coloured-marks"] is Severity.NOTE
    assert "coloured-picture" not in found


def test_picture_and_mask_in_one_folder(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "1.png")
    Image.fromarray(GREY).save(tmp_path / "1.jpg")
    with pytest.raises(DataError, match="picture and mask"):
        read_scan(tmp_path)
    for name in ("img", "mask"):
        (tmp_path / "f" / name).mkdir(parents=True)
        Image.fromarray(GREY).save(tmp_path / "f" / name / "1.png")
    with pytest.raises(DataError, match="pictures in 2 folders") as caught:
        read_scan(tmp_path / "f")
    assert f"pass one of them: {tmp_path}/f/img (1) or {tmp_path}/f/mask (1)" in str(caught.value)
    assert read_scan(tmp_path / "f" / "img").shape[0] == 1
    Image.fromarray(GREY).save(tmp_path / "f" / "1.png")  # beside the folders: no path leads to it alone
    with pytest.raises(DataError, match=r"in 3 folders; pass one of them: [^ ]*/img \(1\) or [^ ]*/mask"):
        read_scan(tmp_path / "f")


def test_two_stacks_in_a_zip_are_named_without_the_temporary_folder(tmp_path: Path) -> None:
    for name in ("img", "mask"):
        (tmp_path / "f" / name).mkdir(parents=True)
        Image.fromarray(GREY).save(tmp_path / "f" / name / "1.png")
    shutil.make_archive(str(tmp_path / "both"), "zip", tmp_path / "f")
    with pytest.raises(DataError, match=r"^both.zip: the zip: .*: img \(1\) or mask \(1\)$"):
        read_scan(tmp_path / "both.zip")
    with pytest.raises(UsageError, match=r"both.zip: the zip: is picture.*leave --series away"):
        (tmp_path / "f" / "mask" / "1.png").unlink()
        shutil.make_archive(str(tmp_path / "both"), "zip", tmp_path / "f")
        read_scan(tmp_path / "both.zip", series="1")


def test_turned_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(DataError, match=r"a.jpg.*EXIF"):
        read_scan(tmp_path / "a.jpg")


def test_bombs_and_damage(tmp_path: Path) -> None:
    Image.new("1", (20000, 10000)).save(tmp_path / "bomb.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "big.png")
    Image.fromarray(GREY).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(GREY).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "two.png").write_bytes(b"\x89P")
    for name in ("bomb.png", "big.png", "cut.png", "cut.jpg", "two.png"):
        with pytest.raises(DataError, match=name):
            read_scan(tmp_path / name)


def test_options_that_do_not_apply(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="no series"):
        read_scan(tmp_path / "a.png", series="1")
    with pytest.raises(DataError, match="never HU"):
        read_scan(tmp_path / "a.png", intensity=Intensity.HU)
    write_volume(Volume(np.full((3, 3, 3), -900, np.int16), np.eye(4), Intensity.HU), tmp_path / "a.nii.gz")
    with pytest.raises(UsageError, match="feet_first"):
        read_scan(tmp_path / "a.nii.gz", feet_first=True)


@pytest.mark.real
def test_real_pictures(real: Path) -> None:
    whole = read_scan(real / "covid_volume_8bit")
    assert (whole.shape, whole.source.files[0].name) == ((50, 512, 512), "IMG-0001-00007.jpg")
    case = sorted((real / "covid_semiseg" / "series").iterdir())[0]
    stack = read_scan(case / "img")
    mask = read_mask(case / "pseudo", stack)
    assert stack.voxels[mask > 127].mean() > stack.voxels.mean()  # lesions are denser than lung and air
    files = sorted((real / "ucsd_covid_ct").glob("CT_*/*"))[::6]
    refused = [f.name for f in files if Severity.REFUSE in codes(read_scan(f)).values()]
    assert refused == []
    marked = read_scan(real / "ucsd_covid_ct" / "CT_COVID" / "2020.02.25.20021568-p24-111%0.png")
    assert "coloured-marks" in codes(marked)
