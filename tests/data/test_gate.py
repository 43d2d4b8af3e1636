"""The input gate: every fault is told by its own line, and a good scan passes without a word."""

from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.gate import inspect, inspect_lungs, parenchyma_level_hu, refuse
from glasslung.errors import RefusedError, ShapeError
from glasslung.types import Geometry, Intensity, Lung, Lungs, MaskQuality, Remark, Severity, Source, Volume

GOOD = MaskQuality(True, 1.0)
PICTURE_AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


def chest_hu(slices: int = 60, size: int = 96) -> np.ndarray:
    """(Z, Y, X) upright HU of a crude chest: body, two lungs, spine at the back; noise of 10 HU."""
    z, y, x = np.mgrid[-1 : 1 : slices * 1j, -1 : 1 : size * 1j, -1 : 1 : size * 1j]
    hu = np.full(z.shape, -1000.0)
    hu[(x / 0.9) ** 2 + (y / 0.65) ** 2 < 1] = 40
    hu[(x**2 + (y - 0.42) ** 2) < 0.016] = 400
    hu[lung_mask(slices, size) > 0] = -840
    return hu + np.random.default_rng(0).normal(0, 10, hu.shape)


def lung_mask(slices: int = 60, size: int = 96) -> np.ndarray:
    z, y, x = np.mgrid[-1 : 1 : slices * 1j, -1 : 1 : size * 1j, -1 : 1 : size * 1j]
    mask = np.zeros(z.shape, np.uint8)
    for side, lung in ((-1, Lung.RIGHT), (1, Lung.LEFT)):
        mask[((x - side * 0.45) / 0.27) ** 2 + (y / 0.45) ** 2 + (z / 0.85) ** 2 < 1] = lung
    return mask


def volume_of(hu: np.ndarray, spacing=(4.0, 3.8, 3.8), **source) -> Volume:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = (*spacing, 1.0)
    return Volume(np.round(hu).astype(np.int16), affine, Intensity.HU, Source("nifti", **source))


def picture_of(grey: np.ndarray) -> Volume:
    return Volume(
        np.uint8(grey)[None], PICTURE_AFFINE, Intensity.DISPLAY8, Source("pictures"), Geometry.ASSUMED
    )


def codes(remarks: tuple[Remark, ...]) -> dict[str, Severity]:
    return {remark.code: remark.severity for remark in remarks}


FINE = (2.0, 1.4, 1.4)  # mm: nothing to say about thickness, pixels or field


@pytest.fixture(scope="module")
def fine() -> np.ndarray:
    return chest_hu(100, 200)


def consolidated(hu: np.ndarray, rows: int) -> np.ndarray:
    """The left lung without air, the right one with air only behind the given row."""
    mask = lung_mask(*hu.shape[:2])
    return np.where((mask == Lung.LEFT) | ((mask > 0) & (np.arange(hu.shape[1])[:, None] < rows)), 30, hu)


def test_a_good_scan_passes_without_a_word(fine):
    good = volume_of(fine, FINE, modality="CT", body_part="CHEST")
    assert inspect(good) == ()
    refuse(inspect(good))


@pytest.mark.parametrize(
    ("code", "broken"),
    [
        ("unsigned-raw", lambda hu: hu + 1024),
        ("inverted", lambda hu: -hu),
        ("grey-values", lambda hu: np.interp(hu, (-1000, 400), (0, 255))),
        ("grey-values", lambda hu: hu > 0),
        ("narrow-range", lambda hu: np.clip(hu, -160, 240)),
        ("no-air", lambda hu: np.clip(hu, -450, 1000)),
        ("no-soft-tissue", lambda hu: np.where(abs(hu) < 250, 900, hu)),
        ("constant", lambda hu: hu * 0 - 1000),
        ("noise", lambda hu: np.random.default_rng(1).uniform(-1000, 1000, hu.shape)),
        ("no-lungs", lambda hu: np.where((hu > -900) & (hu < -700), 30, hu)),
        ("too-small", lambda hu: hu[:2, :2, :2]),
        ("too-small", lambda hu: hu[:, :, 40:50]),
    ],
)
def test_a_wrong_answer_that_would_look_right_is_refused(fine, code, broken):
    remarks = inspect(volume_of(broken(fine), FINE))
    assert codes(remarks).get(code) is Severity.REFUSE
    assert remarks[0].severity is Severity.REFUSE
    assert all(remark.remedy for remark in remarks if remark.severity is Severity.REFUSE)
    with pytest.raises(RefusedError) as error:
        refuse(remarks)
    assert "\n" not in str(error.value)
    assert next(r.text for r in remarks if r.code == code) in str(error.value)


@pytest.mark.parametrize(
    ("code", "severity", "doubtful"),
    [
        ("clipped-high", Severity.WARN, lambda hu: np.clip(hu, -1350, 100)),
        ("clipped-low", Severity.WARN, lambda hu: np.clip(hu, -900, 3000)),
        ("air-off", Severity.WARN, lambda hu: hu + 80),
        ("noisy", Severity.NOTE, lambda hu: hu + np.random.default_rng(2).normal(0, 90, hu.shape)),
        ("noisy", Severity.WARN, lambda hu: hu + np.random.default_rng(2).normal(0, 180, hu.shape)),
        ("front-back", Severity.WARN, lambda hu: hu[:, ::-1]),
        ("duplicate-slices", Severity.WARN, lambda hu: np.repeat(hu[::2], 2, axis=0)),
        ("padding", Severity.NOTE, lambda hu: np.where(hu < -900, -2048, hu)),
        ("metal", Severity.NOTE, lambda hu: np.where(hu > 400, 3071, hu)),
        ("little-lung", Severity.WARN, lambda hu: consolidated(hu, rows=115)),
        ("little-lung", Severity.WARN, lambda hu: hu[:, :, 60:-60]),  # the field of view cuts both lungs
    ],
)
def test_what_makes_an_answer_less_certain_is_said(fine, code, severity, doubtful):
    remarks = inspect(volume_of(doubtful(fine), FINE))
    assert codes(remarks).get(code) is severity
    refuse(remarks)


def test_header(fine):
    assert codes(inspect(volume_of(fine, modality="MR")))["not-ct"] is Severity.REFUSE
    assert codes(inspect(volume_of(fine, modality="OT")))["modality-unusual"] is Severity.WARN
    assert codes(inspect(volume_of(fine, body_part="HEAD")))["body-part"] is Severity.WARN
    assert "body-part" not in codes(inspect(volume_of(fine, body_part="Thorax")))


@pytest.mark.parametrize(
    ("spacing", "code", "severity"),
    [
        ((2.0, 0.01, 0.01), "absurd-spacing", Severity.REFUSE),
        ((2.0, 20.0, 20.0), "absurd-spacing", Severity.REFUSE),
        ((7.0, 1.4, 1.4), "thick-slices", Severity.WARN),
        ((4.9, 0.6, 0.6), "anisotropic", Severity.NOTE),
        ((2.0, 2.0, 2.0), "coarse-pixels", Severity.NOTE),
        ((4.0, 3.5, 3.5), "coarse-pixels", Severity.WARN),
        ((2.0, 0.5, 0.5), "small-field", Severity.WARN),
        ((4.0, 3.8, 3.8), "large-field", Severity.WARN),
        ((0.9, 1.4, 1.4), "slab-only", Severity.WARN),
    ],
)
def test_spacing(fine, spacing, code, severity):
    assert codes(inspect(volume_of(fine, spacing))).get(code) is severity


def test_two_slices_are_called_a_two_slice_scan(fine):
    remarks = inspect(volume_of(fine[50:52], (2.5, 1.4, 1.4)))
    assert codes(remarks)["few-slices"] is Severity.WARN
    text = next(remark.text for remark in remarks if remark.code == "few-slices")
    assert "2 slices" in text
    assert "5 mm" in text
    assert "severity" in text
    refuse(remarks)


def test_missing_slices_are_counted_and_placed(fine):
    positions = tuple(2.0 * n for n in range(103) if n not in (20, 21, 60))
    remark = next(
        r for r in inspect(volume_of(fine, FINE, slice_positions_mm=positions)) if r.code == "missing-slices"
    )
    assert remark.severity is Severity.WARN
    for words in ("3 of 103", "6.0 mm after slice 20", "4.0 mm after slice 58", "off by 3 %"):
        assert words in remark.text
    third = tuple(2.0 * n for n in range(160) if n < 2 or n > 60)
    assert (
        codes(inspect(volume_of(fine, FINE, slice_positions_mm=third)))["missing-slices"] is Severity.REFUSE
    )
    backwards = inspect(volume_of(fine, FINE, slice_positions_mm=positions[::-1]))
    assert next(r for r in backwards if r.code == "missing-slices").text == remark.text


def text_of(remarks: tuple[Remark, ...], code: str) -> str:
    return next(remark.text for remark in remarks if remark.code == code)


def test_one_slice_is_told_in_the_singular(fine):
    twice, more = fine.copy(), fine.copy()
    twice[31] = twice[30]
    more[31] = more[30]
    more[11] = more[10]
    one = text_of(inspect(volume_of(twice, FINE)), "duplicate-slices")
    assert one.startswith("One slice, number 31, is equal to its neighbour voxel by voxel: volumes")
    assert text_of(inspect(volume_of(more, FINE)), "duplicate-slices").startswith(
        "2 slices are equal to their neighbours voxel by voxel, the first at slice 11: volumes"
    )
    gap = tuple(2.0 * n for n in range(101) if n != 40)
    assert text_of(inspect(volume_of(fine, FINE, slice_positions_mm=gap)), "missing-slices").startswith(
        "1 of 101 slices is missing (gap of 4.0 mm after slice 40;"
    )
    doubled = (*(2.0 * n for n in range(99)), 40.0)
    assert text_of(
        inspect(volume_of(fine, FINE, slice_positions_mm=doubled)), "duplicate-positions"
    ).startswith("One slice lies where another slice lies")


def test_doubled_and_uneven_positions(fine):
    doubled = (*(2.0 * n for n in range(99)), 40.0)
    assert (
        codes(inspect(volume_of(fine, FINE, slice_positions_mm=doubled)))["duplicate-positions"]
        is Severity.WARN
    )
    uneven = tuple(np.cumsum(np.tile([1.8, 2.2], 50)))
    assert codes(inspect(volume_of(fine, FINE, slice_positions_mm=uneven)))["uneven-slices"] is Severity.WARN
    even = tuple(np.round(np.arange(100) * 2.0 + 0.3, 1))
    assert not {"missing-slices", "uneven-slices"} & set(
        codes(inspect(volume_of(fine, FINE, slice_positions_mm=even)))
    )


def test_tilt_and_coronal_slices_are_noted_and_a_left_handed_file_is_not(fine):
    assert codes(inspect(volume_of(fine, FINE, tilt_deg=12.0)))["gantry-tilt"] is Severity.NOTE
    coronal = volume_of(fine, (1.0, 3.0, 1.0))
    assert codes(inspect(coronal))["not-axial"] is Severity.NOTE
    plain = volume_of(fine, FINE)
    mirrored = replace(plain, voxels=plain.voxels[:, :, ::-1], affine=plain.affine @ np.diag([1, 1, -1, 1.0]))
    assert inspect(mirrored) == inspect(plain)


def test_what_the_reader_noticed_comes_first_and_is_not_said_twice(fine):
    told = (
        Remark("coloured-picture", Severity.REFUSE, "a photo"),
        Remark("gantry-tilt", Severity.NOTE, "tilted"),
    )
    remarks = inspect(volume_of(fine, FINE, tilt_deg=12.0, remarks=told))
    assert remarks[0] == told[0]
    assert [remark.text for remark in remarks if remark.code == "gantry-tilt"] == ["tilted"]


def test_remarks_are_most_serious_first(fine):
    remarks = inspect(volume_of(fine + 1024, (7.0, 1.4, 1.4), tilt_deg=9.0))
    ranks = [list(Severity).index(remark.severity) for remark in remarks]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3


def slice_grey() -> np.ndarray:
    return np.interp(chest_hu(9, 200)[4], (-1350, 150), (0, 255))


def test_a_picture_of_a_ct_is_let_through_with_a_note():
    remarks = inspect(picture_of(slice_grey()))
    assert codes(remarks) == {
        "few-slices": Severity.WARN,
        "geometry-assumed": Severity.NOTE,
        "eight-bit": Severity.NOTE,
    }
    cut_out = np.where(lung_mask(9, 200)[4] > 0, slice_grey(), 0)
    assert "no-lung-like" not in codes(inspect(picture_of(cut_out)))


def test_pictures_of_something_else():
    page = np.full((200, 200), 255)
    for row in range(10, 190, 12):
        for column in range(15, 180, 14):
            page[row : row + 4, column : column + 10] = 0  # words
    assert codes(inspect(picture_of(page)))["page"] is Severity.REFUSE
    noise = np.random.default_rng(0).integers(0, 256, (200, 200))
    assert codes(inspect(picture_of(noise)))["noise"] is Severity.REFUSE
    assert codes(inspect(picture_of(np.full((200, 200), 7))))["constant"] is Severity.REFUSE
    ramp = np.tile(np.linspace(90, 250, 200), (200, 1))
    assert codes(inspect(picture_of(ramp)))["no-lung-like"] is Severity.WARN


def test_lungs_that_are_whole_pass():
    assert inspect_lungs(volume_of(chest_hu()), Lungs(lung_mask(), GOOD)) == ()


def test_lungs_that_are_cut_off_are_told_where():
    hu, mask = chest_hu()[30:], lung_mask()[30:]
    remarks = inspect_lungs(volume_of(hu), Lungs(mask, GOOD))
    assert codes(remarks) == {"lungs-cut-off": Severity.WARN}
    assert "below" in remarks[0].text
    assert "above" not in remarks[0].text
    turned = volume_of(hu)
    turned = replace(turned, voxels=turned.voxels[::-1], affine=turned.affine @ np.diag([-1, 1, 1, 1.0]))
    assert inspect_lungs(turned, Lungs(mask[::-1], GOOD)) == remarks


def test_lungs_at_the_border_of_the_picture():
    hu, mask = chest_hu()[:, :, 20:], lung_mask()[:, :, 20:]
    assert "lungs-at-edge" in codes(inspect_lungs(volume_of(hu), Lungs(mask, GOOD)))


def test_implausible_lungs():
    hu, mask = chest_hu(), lung_mask()
    none = inspect_lungs(volume_of(hu), Lungs(mask * 0, GOOD))
    assert codes(none) == {"no-lungs-found": Severity.REFUSE}
    one = np.where(mask == Lung.LEFT, 0, mask)
    assert "left lung is 0 %" in next(
        r.text for r in inspect_lungs(volume_of(hu), Lungs(one, GOOD)) if r.code == "one-lung"
    )
    unsided = inspect_lungs(volume_of(hu), Lungs(np.where(mask > 0, 3, 0).astype(np.uint8), GOOD))
    assert codes(unsided) == {"sides-unknown": Severity.NOTE}
    doubt = inspect_lungs(volume_of(hu), Lungs(mask, MaskQuality(False, 0.1, ("they leak into the gut",))))
    assert "they leak into the gut" in doubt[0].text
    small = inspect_lungs(volume_of(hu, (2.0, 1.5, 1.5)), Lungs(mask, GOOD))
    assert codes(small) == {"lung-volume": Severity.WARN}
    with pytest.raises(ShapeError, match="own mask"):
        inspect_lungs(volume_of(hu), Lungs(mask[1:], GOOD))


def test_breath_and_density():
    hu, mask = chest_hu(), lung_mask()
    expired = inspect_lungs(volume_of(np.where(mask > 0, hu + 190, hu)), Lungs(mask, GOOD))
    assert codes(expired) == {"breathed-out": Severity.WARN}
    dense = inspect_lungs(volume_of(np.where(mask > 0, hu + 500, hu)), Lungs(mask, GOOD))
    assert codes(dense) == {"dense-lungs": Severity.WARN}


def test_parenchyma_level_is_the_peak_of_the_histogram():
    rng = np.random.default_rng(0)
    lung = np.concatenate([rng.normal(-850, 40, 20_000), rng.normal(-100, 200, 8_000)]).astype(np.int16)
    assert parenchyma_level_hu(lung) == pytest.approx(-850, abs=10)


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("lung1-001_ct.nii.gz", set()),
        ("lidc-idri-0314_ct.nii.gz", set()),
        ("cip_ct-64.nrrd", {"coarse-pixels"}),
    ],
)
def test_real_scans_pass(real, file, expected):
    import SimpleITK as sitk

    image = sitk.ReadImage(str(real / "chest_ct_hu" / file))
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing()))[:, ::-1]
    volume = Volume(sitk.GetArrayFromImage(image).astype(np.int16), affine, Intensity.HU, Source("nifti"))
    assert set(codes(inspect(volume))) == expected


@pytest.mark.real
def test_no_picture_of_a_chest_is_refused(real):
    from PIL import Image

    files = sorted((real / "ucsd_covid_ct").glob("CT_*/*"))[::12]
    assert len(files) > 30
    for file in files:
        with Image.open(file) as picture:
            refuse(inspect(picture_of(np.asarray(picture.convert("L")))))
