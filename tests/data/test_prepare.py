"""Preparing: one square lung slice for every scan, and a reason for each that has none."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasslung.data.cohort import Cohort, read_cohort
from glasslung.data.lung_field import FieldSettings, UnfitError, check_square, cut_slice, middle_level
from glasslung.data.prepare import PrepareSettings, are_cut_out, prepare_cohort, read_prepared
from glasslung.data.slices import read_picture, read_slices, square_slice
from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, UsageError
from glasslung.types import Case, Geometry, Intensity, Volume

SIZE = 32


def lungs_picture(seed: int, shape: tuple[int, int] = (60, 90)) -> np.ndarray:
    """Two grey ellipses on black, as cut-out lungs look."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, bool)
    for middle in (0.25, 0.75):
        inside |= ((y / shape[0] - 0.5) / 0.48) ** 2 + ((x / shape[1] - middle) / 0.22) ** 2 < 1
    return np.where(inside, rng.integers(60, 120, shape), 0).astype(np.uint8)


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def toy(folder: Path, count: int = 8) -> Cohort:
    """Cut-out pictures of all four ages, one patient each."""
    cases = []
    for number in range(count):
        write(folder / f"{number}.png", lungs_picture(number))
        age = number % 4
        day, label = (None, "healthy") if age == 0 else (5.0 * age - 3, "covid")
        cases.append(
            Case(f"p{number}", f"s{number}", Path(f"{number}.png"), Intensity.DISPLAY8, day, label=label)
        )
    return Cohort("toy", folder, tuple(cases))


def reasons(out: Path) -> dict[str, str]:
    with (out / "exclusions.csv").open(newline="") as file:
        return {row["scan"]: row["reason"] for row in csv.DictReader(file)}


def contents(out: Path) -> dict[str, bytes]:
    """Every file but the lock, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_cut_out_pictures_stay_as_they_are(tmp_path):
    cohort = toy(tmp_path / "in")
    done = prepare_cohort(cohort, tmp_path / "out", PrepareSettings(size=SIZE))
    assert np.array_equal(done.slices.images, read_slices(cohort, SIZE).images)
    assert done.slices.group.tolist() == [0, 1, 2, 3] * 2
    assert done.excluded == {}
    table = read_cohort(tmp_path / "out")
    assert [case.day for case in table.cases] == [case.day for case in cohort.cases]
    assert {case.extra["lungs_by"] for case in table.cases} == {"cut-out"}
    assert Path(table.cases[3].extra["source_path"]).samefile(tmp_path / "in" / "3.png")
    assert np.array_equal(read_slices(table, SIZE).images, done.slices.images)
    assert np.array_equal(read_prepared(tmp_path / "out")[1].images, done.slices.images)


def test_everything_left_out_has_its_reason(tmp_path):
    folder = tmp_path / "in"
    cohort = toy(folder)
    fragment = np.zeros((60, 90), np.uint8)
    fragment[5:12, 5:12] = 90
    strand = np.zeros((90, 90), np.uint8)
    strand[:, 5:11] = strand[:, 40:46] = strand[:, 75:81] = strand[60:66, 5:81] = 90
    write(folder / "1.png", fragment)
    write(folder / "2.png", strand)
    write(folder / "6.png", lungs_picture(3))
    (folder / "5.png").write_bytes(b"no picture")
    cases = list(cohort.cases)
    cases[0] = replace(cases[0], label="bacterial")
    cases[7] = replace(cases[7], day=18.0)
    done = prepare_cohort(replace(cohort, cases=tuple(cases)), tmp_path / "out", PrepareSettings(size=SIZE))
    assert reasons(tmp_path / "out") == {
        "s0": "other-label",
        "s1": "too-little-lung",
        "s2": "fragment",
        "s5": "unreadable",
        "s6": "duplicate",
        "s7": "no-age",
    }
    assert "duplicate of s3 of another patient" in (tmp_path / "out" / "exclusions.csv").read_text()
    assert done.slices.scans == ("s3", "s4")
    manifest = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert (manifest["scans"], manifest["kept"], sum(manifest["excluded"].values())) == (8, 2, 6)
    assert len(list((tmp_path / "out" / "slices").iterdir())) == 2


def test_a_repeat_does_nothing_and_a_changed_picture_is_cut_again(tmp_path, monkeypatch):
    cohort, out = toy(tmp_path / "in"), tmp_path / "out"
    prepare_cohort(cohort, out, PrepareSettings(size=SIZE))
    before = contents(out)
    told = []
    with monkeypatch.context() as patch:
        patch.setattr("glasslung.data.prepare.prepare_scan", lambda *_: pytest.fail("it was cut again"))
        prepare_cohort(cohort, out, PrepareSettings(size=SIZE), lambda what, done: told.append(done))
    assert contents(out) == before
    assert told == [number / 8 for number in range(8)]
    write(tmp_path / "in" / "2.png", lungs_picture(77))
    prepare_cohort(cohort, out, PrepareSettings(size=SIZE))
    changed = {name for name, content in contents(out).items() if before.get(name) != content}
    assert sum(name.startswith("slices/") for name in changed) == 1
    assert np.array_equal(
        read_prepared(out)[1].images[2], square_slice(read_picture(tmp_path / "in" / "2.png"), SIZE)
    )


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import test_prepare as here
    from glasslung.data.prepare import PrepareSettings, prepare_cohort
    def progress(what, done):
        if done >= 0.5:
            os.kill(os.getpid(), signal.SIGKILL)
    cohort = here.open_cohort(Path({cohort!r}))
    prepare_cohort(cohort, Path({out!r}), PrepareSettings(size=here.SIZE), progress)
"""


def test_a_killed_preparation_goes_on_to_the_same_files(tmp_path):
    from glasslung.data.cohort import write_cohort

    write_cohort(toy(tmp_path / "in"), tmp_path / "in")
    words = {"tests": str(Path(__file__).parent), "cohort": str(tmp_path / "in"), "out": str(tmp_path / "a")}
    source = textwrap.dedent(KILLED).format(**words)
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "a" / "cohort.csv").exists()
    assert len(list((tmp_path / "a" / "slices").iterdir())) == 4
    with (tmp_path / "a" / "journal.jsonl").open("a") as journal:
        journal.write('{"key": "cut sh')
    cohort = open_cohort(tmp_path / "in")
    for out in ("a", "b"):
        prepare_cohort(cohort, tmp_path / out, PrepareSettings(size=SIZE))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_nothing_fit_is_an_error_that_names_the_list(tmp_path):
    cohort = toy(tmp_path / "in", 2)
    for number in range(2):
        write(tmp_path / "in" / f"{number}.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match=r"no scan of toy is fit \(2 too-little-lung\); read .*exclusions"):
        prepare_cohort(cohort, tmp_path / "out", PrepareSettings(size=SIZE, lungs="cut-out"))
    assert len(reasons(tmp_path / "out")) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["exclusions.csv"]
    write(tmp_path / "in" / "1.png", lungs_picture(1))
    done = prepare_cohort(cohort, tmp_path / "out", PrepareSettings(size=SIZE, lungs="cut-out"))
    assert (len(done.slices), len(reasons(tmp_path / "out"))) == (1, 1)
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match=r"no scan of toy is fit \(2 no-mask\)"):
        prepare_cohort(cohort, tmp_path / "out", PrepareSettings(size=SIZE, lungs="table"))
    assert set(reasons(tmp_path / "out").values()) == {"no-mask"}
    for name in before.keys() - {"exclusions.csv", "journal.jsonl"}:  # the older preparation stays whole
        assert contents(tmp_path / "out")[name] == before[name]
    assert len(read_prepared(tmp_path / "out")[1]) == 1


def test_slices_that_are_not_those_prepared_are_refused_and_preparing_again_mends_them(tmp_path):
    from glasslung.data.cohort import write_cohort

    cohort, out = toy(tmp_path / "in"), tmp_path / "out"
    prepare_cohort(cohort, out, PrepareSettings(size=SIZE))
    before = contents(out)

    def images() -> None:
        array = np.load(out / "arrays" / "images.npy")
        array[3, 16, 8] = 0.5
        np.save(out / "arrays" / "images.npy", array)

    def patient() -> None:
        text = (out / "arrays" / "slices.csv").read_text()
        (out / "arrays" / "slices.csv").write_text(text.replace("p3", "p4"))

    def day() -> None:
        table = read_cohort(out)
        write_cohort(replace(table, cases=(*table.cases[:-1], replace(table.cases[-1], day=13.0))), out)

    def picture() -> None:
        write(next(iter(sorted((out / "slices").iterdir()))), lungs_picture(99, (SIZE, SIZE)))

    def manifest() -> None:
        (out / "prepared.json").write_text(before["prepared.json"].decode()[:-90])

    def hashes() -> None:
        (out / "prepared.json").write_text('{"sha256": []}')

    changes = {
        images: "arrays/images.npy differ",
        patient: "arrays/slices.csv differ",
        day: "arrays/slices.csv differ",
        picture: "arrays/images.npy differ",
        manifest: "prepared.json is missing or damaged",
        hashes: "prepared.json is missing or damaged",
    }
    for change, said in changes.items():
        change()
        for _ in range(2):  # reading them has made nothing right
            with pytest.raises(DataError, match=f"{said}.*`glasslung prepare` again, or name .*cohort.csv"):
                read_prepared(out)
        prepare_cohort(cohort, out, PrepareSettings(size=SIZE))
        assert contents(out) == before, change.__name__
        assert len(read_prepared(out)[1]) == 8


def test_a_split_written_into_the_table_changes_no_slice(tmp_path):
    from glasslung.data.cohort import split_by_patient, write_cohort

    prepare_cohort(toy(tmp_path / "in"), tmp_path / "out", PrepareSettings(size=SIZE))
    whole, slices = read_prepared(tmp_path / "out")
    write_cohort(split_by_patient(whole, {"train": 0.5, "test": 0.5}, 0), tmp_path / "out")
    again, same = read_prepared(tmp_path / "out")
    assert {case.split for case in again.cases} == {"train", "test"}
    assert np.array_equal(same.images, slices.images)


def test_places_and_settings_that_cannot_be_are_refused(tmp_path):
    cohort = toy(tmp_path / "in", 4)
    with pytest.raises(UsageError, match="holds something else"):
        prepare_cohort(cohort, tmp_path / "in")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        prepare_cohort(cohort, tmp_path / "file" / "out")
    with pytest.raises(DataError, match="no scan"):
        prepare_cohort(replace(cohort, cases=()), tmp_path / "out")
    for wrong in ({"size": 8}, {"lungs": "guess"}, {"fields": FieldSettings(middle="top")}):
        with pytest.raises(UsageError):
            PrepareSettings(**wrong)
    assert not (tmp_path / "out").exists()


# --- scans -------------------------------------------------------------------------------------------------


def scan(lungs: np.ndarray, hu: int = -850, spacing: tuple[float, float, float] = (5, 2, 2)) -> Volume:
    """A body of 40 HU with lungs; slices from the feet to the head."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[3, 3] = 1
    return Volume(np.where(lungs > 0, hu, 40).astype(np.int16), affine, Intensity.HU)


def two_lungs(slices: int = 6, shape: tuple[int, int] = (100, 160)) -> np.ndarray:
    mask = np.zeros((slices, *shape), np.uint8)
    mask[:, 20:80, 20:60], mask[:, 20:80, 100:140] = 1, 2
    return mask


def test_a_scan_becomes_its_lung_field_in_the_lung_window():
    mask = two_lungs()
    grey = cut_slice(scan(mask), mask, FieldSettings())
    assert grey.shape == (60, 120)
    assert np.unique(grey).tolist() == [0, round(1 + 254 * 500 / 1500)]
    assert grey[30, 60] == 0
    turned = Volume(
        scan(mask).voxels[:, ::-1, ::-1], scan(mask).affine @ np.diag([1, -1, -1, 1]), Intensity.HU
    )
    assert np.array_equal(cut_slice(turned, mask[:, ::-1, ::-1], FieldSettings()), grey)


def test_opening_takes_specks_and_closing_gives_vessels_back():
    clean = two_lungs()
    noisy = clean.copy()
    noisy[:, 5, 5] = noisy[:, 90:93, 150:153] = 1  # specks far out would widen the crop
    noisy[:, 40:42, 20:24] = 0  # a vessel at the lung's edge
    made = cut_slice(scan(clean), noisy, FieldSettings())
    assert made.shape == (60, 120)
    assert (made[20:22, 1:4] > 0).all()
    untouched = cut_slice(scan(clean), noisy, FieldSettings(closing_mm=0.1))
    assert (untouched[20:22, :4] == 0).all()


def test_closing_does_not_bridge_the_two_lungs():
    mask = two_lungs()
    mask[:, 20:80, 60:99] = 1  # a gap of one pixel, 2 mm, between the lungs
    grey = cut_slice(scan(mask), mask, FieldSettings())
    assert (grey[:, 79] == 0).all()
    assert (grey[5:-5, [78, 80]] > 0).all()


def test_the_middle_is_that_of_the_scan_numbered_from_the_head():
    mask = np.zeros((7, 4, 4), np.uint8)
    mask[1:3] = 1
    assert middle_level(mask, "scan") == 3
    assert middle_level(mask[:6], "scan") == 3  # numbers 0 to 5 from the head: floor(2.5) = 2 is index 3
    assert middle_level(mask, "lungs") == 2
    with pytest.raises(UnfitError):
        middle_level(np.zeros((3, 4, 4), bool), "lungs")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m * 0, "no-lung"),
        (lambda m: np.where(np.arange(160) < 30, m, 0) * (np.arange(100) < 60)[:, None], "too-little-lung"),
        (lambda m: np.roll(m, -20, axis=1), "cut-off"),
    ],
)
def test_a_slice_without_whole_lungs_is_unfit(change, reason):
    mask = change(two_lungs()).astype(np.uint8)
    with pytest.raises(UnfitError) as told:
        cut_slice(scan(mask), mask, FieldSettings())
    assert told.value.reason == reason


def test_oblong_pixels_are_no_axial_slice_and_unknown_spacing_is_no_area():
    mask = two_lungs()
    with pytest.raises(UnfitError, match="3 x 1 mm"):
        cut_slice(scan(mask, spacing=(1, 3, 1)), mask, FieldSettings())
    small = replace(scan(mask, spacing=(1, 0.1, 0.1)), geometry=Geometry.ASSUMED)
    with pytest.raises(UnfitError, match="cm2"):
        cut_slice(replace(small, geometry=Geometry.MEASURED), mask, FieldSettings(opening_mm=0.1))
    assert cut_slice(small, mask, FieldSettings(opening_mm=0.1)).any()


def test_a_volume_goes_from_file_to_slice_with_the_tables_mask_or_a_found_one(course, tmp_path):
    from glasslung.data.formats import read_scan, write_mask
    from glasslung.data.lungs import segment_lungs

    volume = read_scan(course / "day09.nii.gz")
    mask = segment_lungs(volume).mask
    write_mask(mask, volume, tmp_path / "mask.nii.gz")
    case = Case("p", "s", course / "day09.nii.gz", Intensity.HU, 9.0, label="covid")
    for lungs in (None, tmp_path / "mask.nii.gz"):
        cohort = Cohort("one", tmp_path, (replace(case, lungs=lungs),))
        done = prepare_cohort(cohort, tmp_path / f"out{lungs is None}", PrepareSettings(size=SIZE))
        assert done.cohort.cases[0].extra["lungs_by"] == ("found" if lungs is None else "table")
        expected = square_slice(cut_slice(volume, mask, FieldSettings()), SIZE)
        assert np.array_equal(done.slices.images[0], expected)
        assert 0.45 < (expected == 0).mean() < 0.75
    with pytest.raises(DataError, match="1 no-mask"):
        prepare_cohort(Cohort("one", tmp_path, (case,)), tmp_path / "c", PrepareSettings(lungs="table"))


def test_whole_pictures_are_not_taken_for_cut_out_ones(tmp_path):
    cohort = toy(tmp_path)
    assert are_cut_out(cohort)
    y, x = np.mgrid[:90, :90]
    body = np.where((y - 45) ** 2 + (x - 45) ** 2 < 44**2, 150, 0).astype(np.uint8)
    for number in range(5):
        write(tmp_path / f"{number}.png", body)
    assert not are_cut_out(cohort)


@pytest.mark.real
def test_the_released_slices_lose_their_four_fragments(real, tmp_path):
    """Looked at one by one: four of the 1068 show no pair of lungs, and the rules name these four alone."""
    cohort = open_cohort(real / "cage")
    names = {("1740", "1049"), ("1740", "1050"), ("1760", "1122"), ("828", "2341")}
    some = [case for n, case in enumerate(cohort.cases) if n % 20 == 0 or (case.patient, case.scan) in names]
    done = prepare_cohort(replace(cohort, cases=tuple(some)), tmp_path)
    with (tmp_path / "exclusions.csv").open(newline="") as file:
        assert {(row["patient"], row["scan"]) for row in csv.DictReader(file)} == names
    assert len(done.slices) == len(some) - 4


def test_a_square_of_whole_lungs_passes():
    check_square(np.rint(square_slice(lungs_picture(0), SIZE) * 255).astype(np.uint8))
