from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from glasslung.data.cohort import Cohort
from glasslung.data.cohort import read_cohort as read_table
from glasslung.data.formats import read_scan, write_mask, write_volume
from glasslung.data.formats.geometry import assumed_affine
from glasslung.data.orientation import from_upright, orientation_of, to_upright
from glasslung.data.phantom import draw_cohort, draw_patient, render, write_cohort
from glasslung.data.sliceviews import View
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.predict.exams import BODY, LUNGS, OUTLINE, ExamMaking, exam_map_to_scan, make_exam, read_exams
from glasslung.types import Case, Geometry, Intensity, Volume

SHAPE = (24, 64, 64)


@pytest.fixture(scope="module")
def chest():
    return render(draw_patient(5, "covid", severity=0.8), 9, shape=SHAPE)


@pytest.fixture(scope="module")
def exam(chest):
    return make_exam(chest.volume, chest.lungs, chest.lesions, 64)


def test_an_exam_holds_lungs_alone_in_the_papers_window(chest, exam):
    assert exam.image.shape == (len(exam), 64, 64) and exam.intensity is Intensity.HU
    assert exam.image[exam.lungs == 0].max() == 0
    assert not exam.lesions[exam.lungs == 0].any() and set(np.unique(exam.lesions)) <= {0, 1, 2, 3}
    hu = chest.volume.voxels[chest.lungs > 0].clip(-1000, 400).mean()
    assert abs(exam.image[exam.lungs > 0].mean() / 255 * 1400 - 1000 - hu) < 25
    share = (exam.lesions > 0).sum() / (exam.lungs > 0).sum()
    assert abs(share - chest.involvement()) < 0.02


def test_lungs_fill_the_square_and_pixels_are_square_in_millimetres(exam):
    seen = np.argwhere(exam.lungs.any(0))
    high, wide = np.ptp(seen, axis=0) + 1
    assert 0.85 * 64 <= max(high, wide) <= 64
    assert exam.spacing_mm[1] == exam.spacing_mm[2]


def test_thin_slices_are_brought_to_3_mm_and_thick_ones_are_kept():
    patient = draw_patient(5, "covid", severity=0.8)
    for slice_mm, wanted in ((1.0, 3.0), (4.0, 4.0)):
        count = round(200 / slice_mm)
        chest = render(patient, 9, shape=(count, 40, 40), spacing=(slice_mm, 8.0, 8.0))
        exam = make_exam(chest.volume, chest.lungs, chest.lesions, 32)
        assert abs(exam.spacing_mm[0] - wanted) < 0.1


def test_a_map_on_the_exam_comes_back_to_its_place_in_the_scan(chest, exam):
    back = exam_map_to_scan((exam.lesions > 0).astype(np.float32), exam, chest.volume)
    assert back.shape == chest.volume.shape and back.dtype == np.float32
    found, true = back > 0.5, chest.lesions > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.85
    assert not exam_map_to_scan(np.zeros(exam.image.shape), exam, chest.volume).any()


def test_any_order_of_axes_gives_the_same_exam_and_maps_in_its_own_order(chest, exam):
    def turned(array):
        return np.ascontiguousarray(array.transpose(2, 0, 1)[:, ::-1])

    affine = chest.volume.affine[:, [2, 0, 1, 3]].copy()
    affine[:, 3] += affine[:, 1] * (SHAPE[0] - 1)
    affine[:, 1] *= -1
    volume = replace(chest.volume, voxels=turned(chest.volume.voxels), affine=affine)
    other = make_exam(volume, turned(chest.lungs), turned(chest.lesions), 64)
    np.testing.assert_array_equal(other.image, exam.image)
    back = exam_map_to_scan(exam.image.astype(np.float32), exam, chest.volume)
    np.testing.assert_allclose(
        exam_map_to_scan(other.image.astype(np.float32), other, volume), turned(back), atol=1e-3
    )


def test_lungs_at_the_edge_of_a_scan_keep_their_square(chest):
    orientation = orientation_of(chest.volume)
    lungs = to_upright(chest.lungs, orientation)
    columns = np.flatnonzero(lungs.any(axis=(0, 1)))
    inside = slice(columns[0] + 3, columns[-1] + 1)  # cut through the right lung
    cut = [
        np.ascontiguousarray(from_upright(to_upright(one, orientation)[:, :, inside], orientation))
        for one in (chest.volume.voxels, chest.lungs, chest.lesions)
    ]
    volume = replace(chest.volume, voxels=cut[0])
    exam = make_exam(volume, cut[1], cut[2], 64)
    assert exam.grid.box[2].start < 0 or exam.grid.box[2].stop > cut[0].shape[2]
    back = exam_map_to_scan((exam.lungs > 0).astype(np.float32), exam, volume) > 0.5
    assert 2 * (back & (cut[1] > 0)).sum() / (back.sum() + (cut[1] > 0).sum()) > 0.9


def test_a_volume_of_one_slice_gives_an_exam_of_one_slice(chest):
    z = int(np.argmax((chest.lungs > 0).sum((1, 2))))
    volume = replace(chest.volume, voxels=chest.volume.voxels[z : z + 1])
    exam = make_exam(volume, chest.lungs[z : z + 1], chest.lesions[z : z + 1], 48)
    assert exam.image.shape == (1, 48, 48) and exam.lungs.any()


def test_no_lesion_is_an_answer(chest):
    exam = make_exam(chest.volume, chest.lungs, np.zeros_like(chest.lesions), 32)
    assert not exam.lesions.any() and exam.image.any()


def test_masks_that_cannot_be_of_this_scan_are_refused(chest):
    empty = np.zeros_like(chest.lungs)
    with pytest.raises(DataError, match="no lung was found"):
        make_exam(chest.volume, empty, empty)
    with pytest.raises(ShapeError, match=r"mask of lesions is \(24, 64, 63\)"):
        make_exam(chest.volume, chest.lungs, chest.lesions[..., 1:])
    with pytest.raises(DataError, match="whole numbers"):
        make_exam(chest.volume, np.where(chest.lungs > 0, 1.0, np.nan), chest.lesions)
    with pytest.raises(UsageError, match="16 pixels or more"):
        make_exam(chest.volume, chest.lungs, chest.lesions, 8)


def test_a_map_of_another_exam_or_scan_is_refused(chest, exam):
    with pytest.raises(ShapeError, match="one for each slice"):
        exam_map_to_scan(exam.image[1:], exam, chest.volume)
    small = replace(chest.volume, voxels=chest.volume.voxels[:4])
    with pytest.raises(ShapeError, match="not made of this scan"):
        exam_map_to_scan(exam.image, exam, small)


# ------------------------------------------------------------------------------------------ the whole body


@pytest.fixture(scope="module")
def whole(chest):
    return make_exam(chest.volume, chest.lungs, chest.lesions, 64, BODY)


def test_a_body_shows_what_lies_around_the_lungs_in_its_own_window(chest, whole, exam):
    assert exam.frame == LUNGS and whole.frame == BODY
    hu = chest.volume.voxels
    tissue = (chest.lungs == 0) & (hu > -200) & (hu < 100)
    assert (whole.image[whole.lungs == 0] > 200).mean() > 0.1
    assert abs(np.median(whole.image[(whole.lungs == 0) & (whole.image > 180)]) / 255 * 1500 - 1350) < 150
    lung_hu = hu[chest.lungs > 0].clip(-1350, 150).mean()
    assert abs(whole.image[whole.lungs > 0].mean() / 255 * 1500 - 1350 - lung_hu) < 40
    assert tissue.any() and whole.told_slices.tolist() == list(range(len(whole)))


def test_a_bodys_box_holds_all_tissue_and_its_masks_stand_beside_it(chest, whole):
    share = (whole.lesions > 0).sum() / (whole.lungs > 0).sum()
    assert abs(share - chest.involvement()) < 0.03
    back = exam_map_to_scan((whole.lesions > 0).astype(np.float32), whole, chest.volume)
    found, true = back > 0.5, chest.lesions > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.75
    seen = exam_map_to_scan(np.ones(whole.image.shape, np.float32), whole, chest.volume) > 0
    tissue = chest.volume.voxels > -100
    assert seen[tissue].mean() > 0.98


def test_a_bodys_slices_are_2_mm_and_all_of_them():
    patient = draw_patient(5, "covid", severity=0.8)
    chest = render(patient, 9, shape=(200, 40, 40), spacing=(1.0, 8.0, 8.0))
    lungs = chest.lungs.copy()
    lungs[:40] = 0
    exam = make_exam(chest.volume, lungs, chest.lesions, 32, BODY)
    assert exam.spacing_mm[0] == pytest.approx(2.0, abs=0.05) and len(exam) == 100
    assert len(exam.lung_slices) < 85


def test_a_picture_has_no_body(chest):
    grey = as_picture(chest, 12, -1000, 400)
    volume = picture_volume(grey)
    with pytest.raises(UsageError, match="Hounsfield"):
        make_exam(volume, chest.lungs[12:13], chest.lesions[12:13], 64, BODY)


def test_the_usual_frame_keeps_the_names_of_exams_made_before():
    assert "frame" not in ExamMaking(48).told()
    assert ExamMaking(48, frame=BODY).told()["frame"]["name"] == "body"


# ---------------------------------------------------------------------------------------------- pictures


def as_picture(chest, z: int, low: float, high: float) -> np.ndarray:
    grey = (chest.volume.voxels[z].astype(float) - low) / (high - low) * 255
    return grey.clip(0, 255).astype(np.uint8)


def picture_volume(grey: np.ndarray) -> Volume:
    return Volume(grey[None], assumed_affine(), Intensity.DISPLAY8, geometry=Geometry.ASSUMED)


@pytest.fixture(scope="module")
def large():
    return render(draw_patient(5, "covid", severity=0.8), 9, shape=(16, 160, 160))


def test_window_frame_and_place_in_the_picture_vanish(large):
    z = int(np.argmax((large.lungs > 0).sum((1, 2))))
    masks = large.lungs[z], large.lesions[z]
    plain = as_picture(large, z, -1100, 270)
    wide = np.pad(as_picture(large, z, -1200, 500), ((9, 30), (4, 17)), constant_values=255)
    one = make_exam(picture_volume(plain), *(mask[None] for mask in masks), 64)
    padded = [np.pad(mask, ((9, 30), (4, 17)))[None] for mask in masks]
    two = make_exam(picture_volume(wide), *padded, 64)
    np.testing.assert_array_equal(one.lungs, two.lungs)
    inside = one.lungs > 0
    assert np.abs(one.image[inside].astype(int) - two.image[inside]).mean() < 8
    assert two.image[~inside].max() == 0
    assert one.intensity is Intensity.DISPLAY8


def test_a_picture_on_its_side_is_turned_and_its_maps_are_turned_back(large):
    z = int(np.argmax((large.lungs > 0).sum((1, 2))))
    lying = [np.ascontiguousarray(one[z].T) for one in (large.lungs, large.lesions)]
    volume = picture_volume(np.ascontiguousarray(as_picture(large, z, -1100, 270).T))
    exam = make_exam(volume, lying[0][None], lying[1][None], 64)
    assert exam.view in (View.FRONT_LEFT, View.FRONT_RIGHT)
    high, wide = (np.ptp(np.flatnonzero(exam.lungs[0].any(axis))) for axis in (1, 0))
    assert wide > high
    back = exam_map_to_scan((exam.lungs > 0).astype(np.float32), exam, volume)[0] > 0.5
    assert 2 * (back & (lying[0] > 0)).sum() / (back.sum() + (lying[0] > 0).sum()) > 0.93


# ----------------------------------------------------------------------------------------------- cohorts


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Cohort:
    folder = tmp_path_factory.mktemp("phantoms")
    cohort = draw_cohort(4, seed=3, mix={"covid": 0.5, "healthy": 0.5}, sites=("a",))
    return read_table(write_cohort(cohort, folder, days=(8.0,), shape=SHAPE))


def test_drawn_masks_of_a_cohort_become_exams_and_are_kept(table, tmp_path):
    making = ExamMaking(size=48, drawn=True)
    told = []
    exams = read_exams(table, tmp_path, making, lambda what, share: told.append(what))
    assert exams.label.tolist() == [int(case.label == "covid") for case in table.cases]
    assert exams.patients == tuple(case.patient for case in table.cases) and len(told) == 4
    assert set(exams.extra[OUTLINE]) == {"drawn"}
    sick = [exam.lesions.any() for exam in exams.exams]
    assert sick == [bool(label) for label in exams.label]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "scans").iterdir()}
    again = read_exams(table, tmp_path, making)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "scans").iterdir()} == before
    np.testing.assert_array_equal(again.exams[0].image, exams.exams[0].image)
    assert again.extra == exams.extra


def test_the_products_own_masks_are_the_default(table, tmp_path):
    one = replace(table, cases=table.cases[:1])
    exams = read_exams(one, None, ExamMaking(size=48))
    assert exams.extra[OUTLINE] == ("rules and network",) and exams.exams[0].lungs.any()
    bare = read_exams(one, None, ExamMaking(size=48, segmenter="none"))
    assert not bare.exams[0].lesions.any()


def test_a_scan_that_is_missing_or_has_no_lung_is_named(table, tmp_path):
    gone = replace(table, cases=(replace(table.cases[0], image=tmp_path / "gone.nii.gz"),))
    with pytest.raises(DataError, match="is not there"):
        read_exams(gone)
    water = Volume(np.zeros((12, 32, 32), np.int16), np.diag([4.0, 8.0, 8.0, 1.0]), Intensity.HU)
    write_volume(water, tmp_path / "water.nii.gz")
    case = Case("p", "flat", tmp_path / "water.nii.gz", Intensity.HU, label="healthy")
    with pytest.raises(DataError, match="scan 'flat': no lung was found"):
        read_exams(Cohort("c", tmp_path, (case,)), None, ExamMaking(segmenter="none"))
    with pytest.raises(DataError, match="names no mask"):
        read_exams(Cohort("c", tmp_path, (case,)), None, ExamMaking(drawn=True))


def test_a_drawn_mask_of_another_grid_is_refused(table, tmp_path):
    scan = read_scan(table.path(table.cases[0].image))
    other = replace(
        scan, affine=scan.affine + np.diag([0, 0, 0, 0]) + np.array([[0, 0, 0, 900.0]] * 3 + [[0] * 4])
    )
    write_mask(np.ones(scan.shape, np.uint8), other, tmp_path / "far.nii.gz")
    case = replace(table.cases[0], lungs=tmp_path / "far.nii.gz")
    with pytest.raises(ShapeError, match="scan"):
        read_exams(replace(table, cases=(case,)), None, ExamMaking(drawn=True))


def test_voxels_that_are_not_numbers_are_refused_with_the_scan_and_the_remedy(table, tmp_path):
    import nibabel

    whole = nibabel.load(table.path(table.cases[0].image))
    values = np.asarray(whole.dataobj, np.float32)
    values[:4, :4] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, whole.affine), tmp_path / "nan.nii.gz")
    case = replace(table.cases[0], image=tmp_path / "nan.nii.gz")
    with pytest.raises(DataError, match=rf"scan '{case.scan}': nan.nii.gz: .*NaN.* fill them with -1024"):
        read_exams(replace(table, cases=(case,)), None, ExamMaking(size=48, drawn=True))


def test_a_picture_without_a_lung_gets_a_stand_in_that_says_so(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(150, 160, (90, 120), dtype=np.uint8)).save(tmp_path / "a.png")
    case = Case("p", "a", tmp_path / "a.png", Intensity.DISPLAY8, label="covid")
    exams = read_exams(Cohort("c", tmp_path, (case,)), None, ExamMaking(size=32))
    assert exams.extra[OUTLINE] == ("stand-in",) and exams.exams[0].lungs.any()
    assert not exams.exams[0].lesions.any()
