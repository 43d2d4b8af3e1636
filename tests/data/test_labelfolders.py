"""Reading labelled slices: every way a folder can be wrong ends in a line that says which file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from made_slices import chest, write_slice
from PIL import Image

from glasslung.data.cohort import Cohort
from glasslung.data.labelfolders import read_label_picture, read_labelled_cohort, read_labelled_folder
from glasslung.data.labelled import Kind, Window
from glasslung.data.sliceviews import View, as_it_lay
from glasslung.errors import DataError, ShapeError
from glasslung.types import Case, Intensity, Severity

LYING = View.FRONT_LEFT


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four lying slices, of different sizes."""
    for n in range(4):
        picture, lesion, _ = chest((110 + 3 * n, 150 - 5 * n), n)
        write_slice(tmp_path / "set", str(n + 8), as_it_lay(picture, LYING), as_it_lay(lesion, LYING))
    return tmp_path / "set"


def save(path: Path, values: np.ndarray) -> None:
    Image.fromarray(np.ascontiguousarray(values)).save(path)


def palette(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_slices_stand_upright_with_their_masks_in_the_order_of_their_numbers(folder):
    slices = read_labelled_folder(folder)
    assert slices.names == ("set-8", "set-9", "set-10", "set-11")
    for n, (picture, lesion, lung, origin) in enumerate(slices.rows()):
        wanted, mask, _ = chest((110 + 3 * n, 150 - 5 * n), n)
        assert np.array_equal(picture, wanted) and np.array_equal(lesion, mask)
        assert (lung == -1).all()
        assert (origin.kind, origin.view, origin.window) == (Kind.LABELLED, LYING, Window.LUNG)
        assert np.array_equal(slices.native(lesion, n), palette(folder / "multiclass" / f"{n + 8}.png"))
    assert slices.remarks == ()


def test_the_folder_may_lie_below_labelled(folder, tmp_path):
    whole = tmp_path / "whole" / "labelled"
    whole.mkdir(parents=True)
    folder.rename(whole / "test")
    assert read_labelled_folder(tmp_path / "whole").names[0] == "test-8"
    assert len(read_labelled_folder(whole / "test")) == 4
    (whole / "train" / "img").mkdir(parents=True)
    with pytest.raises(DataError, match="give one of these two folders"):
        read_labelled_folder(tmp_path / "whole")


def test_the_lesion_pictures_may_be_left_out_and_the_view_given(folder):
    for path in (folder / "lesion").iterdir():
        path.unlink()
    slices = read_labelled_folder(folder, View.UPRIGHT)
    assert slices.pictures[0].shape == (150, 110)


def test_a_mask_of_another_shape(folder):
    save(folder / "multiclass" / "9.png", palette(folder / "multiclass" / "9.png")[:-2])
    with pytest.raises(ShapeError, match=r"9\.png has .* pixels and its picture"):
        read_labelled_folder(folder)


def test_an_unknown_label_value(folder):
    values = palette(folder / "multiclass" / "9.png").copy()
    values[0, 0] = 7
    save(folder / "multiclass" / "9.png", values)
    with pytest.raises(DataError, match=r"9\.png holds the label\(s\) 7; known are 0 none, 1 ground glass"):
        read_labelled_folder(folder)


def test_a_palette_that_was_turned_into_grey_or_colour(folder):
    path = folder / "multiclass" / "9.png"
    with Image.open(path) as picture:
        colour, grey = picture.convert("RGB"), picture.convert("L")
    colour.save(path)
    with pytest.raises(DataError, match="has mode RGB; a mask needs one channel"):
        read_labelled_folder(folder)
    grey.save(path)
    with pytest.raises(DataError, match="Save the class numbers themselves"):
        read_labelled_folder(folder)


def test_a_lesion_picture_of_another_slice(folder):
    drawn = palette(folder / "lesion" / "9.png")
    save(folder / "lesion" / "9.png", drawn[::-1])
    with pytest.raises(DataError, match=r"disagree on .* labels may be swapped"):
        read_labelled_folder(folder)


def test_a_soft_lesion_picture(folder):
    drawn = palette(folder / "lesion" / "9.png").copy()
    drawn[5, 5] = 130
    save(folder / "lesion" / "9.png", drawn)
    with pytest.raises(DataError, match="is this a soft map"):
        read_labelled_folder(folder)


def test_classes_that_are_exchanged_are_warned_of(folder):
    for path in (folder / "multiclass").iterdir():
        save(path, np.array([0, 2, 1], np.uint8)[palette(path)])
    (remark,) = read_labelled_folder(folder).remarks
    assert remark.code == "labels-swapped" and remark.severity is Severity.WARN
    assert "darker than ground glass on 4 of the 4 slices" in remark.text


def test_an_absent_class_is_said_and_allowed(folder):
    for path in (folder / "multiclass").iterdir():
        save(path, np.minimum(palette(path), 1))
    slices = read_labelled_folder(folder)
    assert [remark.code for remark in slices.remarks] == ["class-absent"]
    assert "consolidation" in slices.remarks[0].text and max(mask.max() for mask in slices.lesions) == 1


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("multiclass/9.png", r"9\.png in .* has no mask multiclass/9\.png"),
        ("img/9.png", r"9\.png has no picture in img/"),
    ],
)
def test_a_picture_or_mask_without_its_partner(folder, gone, told):
    (folder / gone).unlink()
    with pytest.raises(DataError, match=told):
        read_labelled_folder(folder)


def test_no_labelled_slice(folder, tmp_path):
    for path in (folder / "multiclass").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="no slice is labelled"):
        read_labelled_folder(folder)
    for path in (folder / "img").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="holds no picture"):
        read_labelled_folder(folder)
    with pytest.raises(DataError, match="it needs img/ and multiclass/"):
        read_labelled_folder(tmp_path / "elsewhere")


def test_a_damaged_mask_and_one_slice_twice(folder):
    (folder / "multiclass" / "9.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read as a mask"):
        read_label_picture(folder / "multiclass" / "9.png")
    save(folder / "img" / "9.bmp", np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match="one slice twice"):
        read_labelled_folder(folder)


# ------------------------------------------------------------------------------------------------ cohorts


def semiseg(tmp_path: Path) -> Path:
    """The published layout with two labelled slices and a stack whose pseudo masks are nonsense."""
    for n in (3, 4):
        picture, lesion, _ = chest(seed=n)
        write_slice(
            tmp_path / "labelled" / "train", str(n), as_it_lay(picture, LYING), as_it_lay(lesion, LYING)
        )
    for part in ("img", "pseudo"):
        (tmp_path / "series" / "case_1" / part).mkdir(parents=True)
    for n in range(6):
        picture = as_it_lay(chest((100 + n, 130), 20 + n)[0] // 2, View.FRONT_RIGHT)
        save(tmp_path / "series" / "case_1" / "img" / f"{n + 1:03d}.jpg", picture)
        save(
            tmp_path / "series" / "case_1" / "pseudo" / f"{n + 1:03d}.png",
            np.full(picture.shape, 255, np.uint8),
        )
    return tmp_path


def test_a_published_set_has_labelled_slices_and_stacks_without_labels(tmp_path):
    from glasslung.data.sources import covid_semiseg

    slices = read_labelled_cohort(covid_semiseg(semiseg(tmp_path)))
    kinds = [origin.kind for origin in slices.origins]
    assert kinds == [Kind.LABELLED] * 2 + [Kind.UNLABELLED] * 6
    assert all((mask == -1).all() for mask in slices.lesions[2:])  # pseudo masks are nobody's truth
    assert {origin.view for origin in slices.origins[2:]} == {View.FRONT_RIGHT}
    assert {origin.window for origin in slices.origins[2:]} == {Window.WIDE}
    assert len(set(slices.cases[2:])) == 1 and slices.pictures[2].shape == (100, 130)
    assert len({picture.shape for picture in slices.pictures}) > 3  # each slice keeps its size
    some = read_labelled_cohort(covid_semiseg(tmp_path), every=2)
    assert some.names[2:] == ("case_1-001", "case_1-003", "case_1-005")
    assert len(read_labelled_cohort(covid_semiseg(tmp_path), unlabelled=False)) == 2


def test_healthy_slices_have_no_lesion_and_lungs_where_they_are_not_black(tmp_path):
    picture, _, lung = chest()
    save(tmp_path / "a.png", np.where(lung > 0, np.maximum(picture, 20), 0).astype(np.uint8))
    save(tmp_path / "b.png", picture)
    cases = tuple(
        Case(name, name, Path(f"{name}.png"), Intensity.DISPLAY8, label="healthy") for name in ("a", "b")
    )
    slices = read_labelled_cohort(Cohort("healthy", tmp_path, cases))
    assert all((mask == 0).all() for mask in slices.lesions)
    assert np.mean((slices.lungs[0] > 0) == (lung > 0)) > 0.99
    assert (slices.lungs[1] == -1).all()  # a whole picture's lungs have to be found first
    assert [origin.window for origin in slices.origins] == [
        Window.CUT_OUT,
        Window.LUNG,
    ]  # one of two: no vote


def test_where_most_slices_were_cut_out_all_were(tmp_path):
    picture, _, lung = chest()
    cut = np.where(lung > 0, np.maximum(picture, 20), 0).astype(np.uint8)
    for name in "abc":
        save(tmp_path / f"{name}.png", cut)
    touching = np.zeros((100, 100), np.uint8)
    touching[20:80, 15:85] = 60  # as solid as a body
    save(tmp_path / "c.png", touching)
    cases = tuple(Case(name, name, Path(f"{name}.png"), Intensity.DISPLAY8) for name in "abc")
    slices = read_labelled_cohort(Cohort("cut", tmp_path, cases))
    assert {origin.window for origin in slices.origins} == {Window.CUT_OUT}
    assert np.array_equal(slices.lungs[2], touching > 0)
    assert all((mask == -1).all() for mask in slices.lesions)


def test_single_slices_of_a_site_vote_together_on_how_they_lie(tmp_path):
    """One of seven shows no spine: alone it would be read the other way round."""
    cases = []
    for n in range(14):
        picture = chest(seed=n)[0]
        view = View.FRONT_RIGHT if n < 7 else View.UPRIGHT
        if n % 7 == 3:
            picture[-30:] = 90
            picture[:14, 60:90] = 250
        save(tmp_path / f"{n}.png", as_it_lay(picture, view))
        cases.append(Case(f"p{n}", "scan", Path(f"{n}.png"), Intensity.DISPLAY8, site="ab"[n // 7]))
    slices = read_labelled_cohort(Cohort("two sites", tmp_path, tuple(cases)))
    assert [origin.view for origin in slices.origins] == [View.FRONT_RIGHT] * 7 + [View.UPRIGHT] * 7
    assert slices.names[0] == "p0-scan"  # every patient has a scan of that name
    assert {picture.shape for picture in slices.pictures} == {(120, 150)}


def test_scans_in_hounsfield_units_are_no_slices(tmp_path):
    case = Case("p", "s", Path("scan.nii.gz"), Intensity.HU)
    with pytest.raises(DataError, match="not 8-bit pictures, first 's'"):
        read_labelled_cohort(Cohort("hu", tmp_path, (case,)))


@pytest.mark.real
def test_the_published_slices_are_read_whole(real):
    slices = read_labelled_folder(real / "covid_semiseg")
    assert len(slices) == 50 and slices.remarks == ()
    assert {origin.view for origin in slices.origins} == {View.FRONT_LEFT}
    with (real / "covid_semiseg" / "index.csv").open(encoding="utf-8") as file:
        table = {Path(row["image"]).stem: row for row in csv.DictReader(file) if row["split"] == "train"}
    for name, mask in zip(slices.names, slices.lesions, strict=True):
        row = table[name.removeprefix("train-")]
        assert (mask == 1).mean() == pytest.approx(float(row["ggo_frac"]), abs=1e-4)
        assert (mask == 2).mean() == pytest.approx(float(row["consolidation_frac"]), abs=1e-4)
