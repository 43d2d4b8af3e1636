"""Adapters: on the real folders, on parts of them, and where the collection's own table is missing."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasslung.data.cohort import read_cohort, split_by_patient, write_cohort
from glasslung.data.sources import LAYOUTS, SOURCES, cage, covid_semiseg, detect_source, ucsd_covid_ct
from glasslung.errors import DataError
from glasslung.types import Intensity

CAGE_TABLE = (
    "path,group,days,patient,scan,slice,scan_slices,label,critical_illness,age,sex,progression_days\n"
    "healthy/7/70/0029.jpg,t0,,7,70,29,60,Normal,,,,\n"
    "healthy/7/71/0031.jpg,t0,,7,71,31,62,Normal,,,,\n"
    "ncp/day11/9/90/0040.jpg,t3,11,9,90,40,80,NCP,0,0,1,10.8\n"
    "ncp/day0/8/80/0012.jpg,t1,0,8,80,12,24,NCP,1,61,2,0.2\n"
    "ncp/day3/6/60/0012.jpg,t1,3,6,60,12,24,NCP,,,,\n"
)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def cage_folder(tmp_path):
    (tmp_path / "labels.csv").write_text(CAGE_TABLE)
    return touch(tmp_path, *(line.split(",")[0] for line in CAGE_TABLE.splitlines()[1:]))


def test_cage_reads_its_table(cage_folder):
    cohort = cage(cage_folder)
    assert [(c.patient, c.scan, c.label, c.day, c.event, c.extra["age"]) for c in cohort.cases] == [
        ("7", "70", "healthy", None, None, ""),
        ("7", "71", "healthy", None, None, ""),
        ("9", "90", "covid", 11.0, False, ""),
        ("8", "80", "covid", 0.0, True, "61"),
        ("6", "60", "covid", 3.0, None, ""),
    ]
    assert {c.intensity for c in cohort.cases} == {Intensity.DISPLAY8}
    assert {c.site for c in cohort.cases} == {""}
    assert "confounded" in cohort.note


def test_cage_without_its_table_says_what_the_names_tell(cage_folder):
    with_table = {c.image: c for c in cage(cage_folder).cases}
    (cage_folder / "labels.csv").unlink()
    (cage_folder / "cc_ccii_clinical.csv").write_text(
        "patient_id,scan_id,Age,Sex,Critical_illness,Liver_function,Lung_function,Progression (Days)\n"
        "80,8,61,2,1,0,3,0.2\n8,80,33,1,0,0,0,9\n"
    )
    for case in cage(cage_folder).cases:
        before = with_table[case.image]
        for name in ("patient", "scan", "label", "day"):
            assert getattr(case, name) == getattr(before, name)
        assert case.extra["group"] == before.extra["group"]
        assert case.extra["slice"] == before.extra["slice"]
        if case.patient == "8":
            assert (case.event, case.extra["age"], case.extra["progression_days"]) == (True, "61", "0.2")
        else:
            assert case.event is None


def test_files_that_are_not_there_are_counted_out_loud(cage_folder):
    (cage_folder / "healthy/7/70/0029.jpg").unlink()
    cohort = cage(cage_folder)
    assert len(cohort.cases) == 4
    assert "1 of 5 scans" in cohort.note
    assert "left out" not in cohort.note
    touch(cage_folder, "healthy/7/72/0001.jpg")
    assert len(cage(cage_folder).cases) == 4
    assert "1 pictures of the folder are left out" in cage(cage_folder).note
    shutil.rmtree(cage_folder / "healthy")
    shutil.rmtree(cage_folder / "ncp")
    with pytest.raises(DataError, match="lists 5 scans, none of them there"):
        cage(cage_folder)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("path,patient\nhealthy/7/70/0029.jpg,7\n", "no column 'scan'"),
        (CAGE_TABLE.replace("t3,11,", "t3,eleven,"), "days 'eleven'"),
        (CAGE_TABLE.replace("t0", '"t0', 1), "cannot be read"),
    ],
)
def test_a_damaged_table_is_told(cage_folder, table, told):
    (cage_folder / "labels.csv").write_text(table)
    with pytest.raises(DataError, match=told):
        cage(cage_folder)


def test_semiseg_slices_and_stacks(tmp_path):
    touch(
        tmp_path,
        *("labelled/test/img/4.jpg", "labelled/test/multiclass/4.png", "labelled/test/lesion/4.png"),
        *("labelled/train/img/4.jpg", "labelled/train/lesion/4.png"),
        *(f"series/{name}/img/00{n}.jpg" for n in (1, 2) for name in STACKS),
        *(f"series/{name}/pseudo/001.png" for name in STACKS[:2]),
    )
    cohort = covid_semiseg(tmp_path)
    by_scan = {c.scan: c for c in cohort.cases}
    assert by_scan["slice-test-4"].split == "test"
    assert by_scan["slice-test-4"].lesions == Path("labelled/test/multiclass/4.png")
    assert by_scan["slice-train-4"].lesions is None
    assert by_scan["slice-train-4"].extra["lesion_path"] == "labelled/train/lesion/4.png"
    patients = {scan: by_scan[scan].patient for scan in STACKS}
    assert patients["radiopaedia-29_86490_1"] == patients["radiopaedia-29_86491_1"]
    assert patients["radiopaedia-10_85902_1"] == patients["radiopaedia-10_85902_3"]
    assert len(set(patients.values())) == 4
    stack = by_scan["coronacases_001"]
    assert stack.image == Path("series/coronacases_001/img")
    assert stack.extra == {"kind": "stack", "slices": "2", "pseudo_path": "series/coronacases_001/pseudo"}
    assert stack.lesions is None
    for told in (
        "stand-in patient",
        "several may share one",
        "10 and 43",
        "5 and 46",
        "cannot see such leaks",
    ):
        assert told in cohort.note


STACKS = (
    *("coronacases_001", "coronacases_010"),
    *("radiopaedia-29_86490_1", "radiopaedia-29_86491_1"),
    *("radiopaedia-10_85902_1", "radiopaedia-10_85902_3"),
)


def test_ucsd_merges_one_patient_and_leaves_out_what_is_not_included(tmp_path):
    names = ("CT_COVID/a.png", "CT_COVID/b.png", "CT_NonCOVID/a.png", "CT_COVID/gone.png")
    touch(tmp_path, *names)
    (tmp_path / "labels.csv").write_text(
        "path,label,split,patient,day,day_reference,included\n"
        "CT_COVID/a.png,COVID,train,covid_131,9,onset,1\n"
        "CT_COVID/b.png,COVID,val,covid_139,17,onset,1\n"
        "CT_NonCOVID/a.png,NonCOVID,val,non_1,,,1\n"
        "CT_COVID/gone.png,COVID,train,covid_1,,,0\n"
    )
    cases = ucsd_covid_ct(tmp_path).cases
    assert [(c.patient, c.label, c.day, c.split) for c in cases] == [
        ("covid_128", "covid", 9.0, "train"),
        ("covid_128", "covid", 17.0, "val"),
        ("non_1", "other", None, "val"),
    ]
    assert cases[0].extra["day_reference"] == "onset"


def test_ucsd_without_its_table(tmp_path):
    touch(
        tmp_path,
        *("CT_COVID/2020.02.10.20021584-p6-52%0.png", "CT_COVID/2020.02.10.20021584-p7-53%1.png"),
        *("CT_NonCOVID/91%0.jpg", "CT_NonCOVID/91%1.jpg", "CT_NonCOVID/921.png"),
        *("splits/testCT_NonCOVID.txt", "splits/trainCT_COVID.txt"),
    )
    (tmp_path / "splits/testCT_NonCOVID.txt").write_text("921.png\n91%0.jpg\n91%1.jpg\n")
    cases = ucsd_covid_ct(tmp_path).cases
    assert Counter(c.patient for c in cases) == {
        "CT_COVID-2020.02.10.20021584": 2,
        "CT_NonCOVID-91": 2,
        "CT_NonCOVID-921": 1,
    }
    assert [c.split for c in cases] == ["", "", "test", "test", "test"]


def test_an_unknown_folder_is_told(tmp_path):
    with pytest.raises(DataError, match=r"none of the known layouts.*patient,scan,image,intensity"):
        detect_source(tmp_path)
    for name, adapter in SOURCES.items():
        with pytest.raises(DataError, match=f"no scan in the layout of {name}"):
            adapter(tmp_path)


@pytest.mark.parametrize("read", [detect_source, *SOURCES.values()])
def test_a_path_that_is_no_folder_is_told(tmp_path, read):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        read(tmp_path / "nowhere")
    (tmp_path / "scan.nii.gz").touch()
    with pytest.raises(DataError, match=r"scan\.nii\.gz is a file; name the folder"):
        read(tmp_path / "scan.nii.gz")


def test_another_collection_is_told_by_its_layout_not_by_its_table(cage_folder):
    with pytest.raises(DataError, match=r"does not look like ucsd_covid_ct .*looks like cage") as told:
        ucsd_covid_ct(cage_folder)
    assert "or delete it" not in str(told.value)
    with pytest.raises(DataError, match=r"does not look like covid_semiseg .*looks like cage"):
        covid_semiseg(cage_folder)


@pytest.mark.parametrize("text", ["name,age\nx,1\n", 'a,b\n"x", 1" 2\n'])
def test_a_table_of_somebody_else_is_not_called_damaged(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match="no scan in the layout of cage") as told:
        cage(tmp_path)
    assert "or delete it" not in str(told.value)


@pytest.mark.real
@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"stories"}))  # of which none is public
def test_real_folders(real, tmp_path, name):
    folder = real / name
    assert detect_source(folder) == name
    cohort = SOURCES[name](folder)
    assert all(cohort.path(c.image).exists() for c in cohort.cases)
    assert all(cohort.path(c.lesions).is_file() for c in cohort.cases if c.lesions)
    back = read_cohort(write_cohort(cohort, tmp_path / "out"))
    assert [(c.patient, c.scan, c.day, c.event) for c in back.cases] == [
        (c.patient, c.scan, c.day, c.event) for c in cohort.cases
    ]
    assert back.path(back.cases[0].image).samefile(cohort.path(cohort.cases[0].image))
    split_by_patient(cohort)


@pytest.mark.real
def test_real_counts_are_those_of_the_collections(real):
    cases = cage(real / "cage").cases
    assert Counter(c.label for c in cases) == {"healthy": 828, "covid": 240}
    assert Counter((c.extra["group"], c.event) for c in cases if c.extra["group"] == "t1") == {
        ("t1", True): 88,
        ("t1", False): 4,
        ("t1", None): 2,
    }
    semiseg = covid_semiseg(real / "covid_semiseg")
    assert len(semiseg.cases) == 70
    assert len({c.patient for c in semiseg.cases if c.extra["kind"] == "stack"}) == 18
    assert sum(c.lesions is not None for c in semiseg.cases) == 50


@pytest.mark.real
@pytest.mark.parametrize("name", ["cage", "ucsd_covid_ct"])
def test_real_folders_without_their_tables(real, tmp_path, name):
    """A folder of links to the same files, its own table left out: the same scans, labels and days."""
    for part in sorted((real / name).iterdir()):
        if part.name not in ("labels.csv", "README.md"):
            (tmp_path / part.name).symlink_to(part.resolve())
    told = {c.image: c for c in SOURCES[name](real / name).cases}
    walked = {c.image: c for c in SOURCES[name](tmp_path).cases}
    assert walked.keys() == told.keys()
    for image, case in walked.items():
        assert (case.label, case.split) == (told[image].label, told[image].split)
        if name == "cage":
            assert (case.patient, case.scan, case.day) == (
                told[image].patient,
                told[image].scan,
                told[image].day,
            )
            assert case.event == told[image].event


@pytest.mark.real
def test_real_slices_that_the_note_calls_near_copies_are(real):
    cohort = covid_semiseg(real / "covid_semiseg")
    by_scan = {c.scan: c for c in cohort.cases}

    def grey(number: int) -> np.ndarray:
        path = cohort.path(by_scan[f"slice-train-{number}"].image)
        return np.asarray(Image.open(path).convert("L").resize((64, 64)), float).ravel()

    for one, other in ((10, 43), (5, 46)):
        assert np.corrcoef(grey(one), grey(other))[0, 1] > 0.95
        assert by_scan[f"slice-train-{one}"].patient != by_scan[f"slice-train-{other}"].patient
    assert np.corrcoef(grey(10), grey(5))[0, 1] < 0.95
