"""Cohort tables come back as written, mistakes are told by row and column, splits keep patients whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.cohort import (
    Cohort,
    check_disjoint,
    folds_by_patient,
    read_cohort,
    split_by_patient,
    write_cohort,
)
from glasslung.errors import DataError, LeakError, UsageError
from glasslung.types import Case, Intensity


def case(patient: str, scan: str = "s1", **fields) -> Case:
    return Case(patient, scan, Path(f"{patient}-{scan}.nii.gz"), Intensity.HU, **fields)


def cohort_of(kinds: list[tuple[str, str]], scans: int = 1) -> Cohort:
    """One patient for each (label, site)."""
    return Cohort(
        "made",
        Path(),
        tuple(
            case(f"p{number:03d}", f"s{scan}", label=label, site=site)
            for number, (label, site) in enumerate(kinds)
            for scan in range(scans)
        ),
    )


FULL = Case(
    patient="p1",
    scan="day 3, repeat",
    image=Path("scans/p1.nii.gz"),
    intensity=Intensity.DISPLAY8,
    day=-2.5,
    site="Köln",
    label="covid",
    event=False,
    event_day=14.0,
    split="val",
    lungs=Path("masks/p1.png"),
    lesions=Path("/elsewhere/p1.png"),
    extra={"age": "70", "remark": 'says "no"\nsecond line', "pseudo_path": "masks/p1-pseudo.png"},
)


def test_what_is_written_comes_back(tmp_path):
    cohort = Cohort("study", tmp_path.absolute(), (FULL, case("p2", event=True)), note="mine; ask first")
    table = write_cohort(cohort, tmp_path)
    assert table == tmp_path / "cohort.csv"
    back = read_cohort(tmp_path)
    assert (back.name, back.note, back.folder) == (cohort.name, cohort.note, tmp_path)
    assert back.cases[0] == FULL
    assert back.cases[1] == replace(cohort.cases[1], extra={"age": "", "remark": "", "pseudo_path": ""})
    assert read_cohort(table) == back
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cohort.csv", "cohort.source.json"]


def test_paths_still_point_to_the_files_from_another_folder(tmp_path):
    cohort = Cohort("study", tmp_path / "data", (FULL,))
    inside = read_cohort(write_cohort(cohort, tmp_path / "all.csv"))
    assert inside.cases[0].image == Path("data/scans/p1.nii.gz")
    outside = read_cohort(write_cohort(cohort, tmp_path / "run" / "cohort.csv"))
    for back in (inside, outside):
        assert back.path(back.cases[0].image) == tmp_path / "data/scans/p1.nii.gz"
        assert back.path(Path(back.cases[0].extra["pseudo_path"])) == tmp_path / "data/masks/p1-pseudo.png"
        assert back.cases[0].lesions == Path("/elsewhere/p1.png")


texts = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
numbers = st.none() | st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: float(f"{x:.6g}"))


@given(
    st.lists(
        st.builds(
            Case,
            patient=texts,
            scan=texts,
            image=texts.filter(lambda t: t.strip(".") and "/" not in t).map(Path),
            intensity=st.sampled_from(Intensity),
            day=numbers,
            site=texts,
            label=texts,
            event=st.none() | st.booleans(),
            event_day=numbers,
            split=st.sampled_from(["", "train", "val", "test"]),
            extra=st.fixed_dictionaries({"a,b": texts}),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda c: (c.patient, c.scan),
    )
)
@settings(deadline=None, max_examples=40)
def test_any_cohort_comes_back(tmp_path_factory, cases):
    folder = tmp_path_factory.mktemp("any")
    cohort = Cohort("any", folder, tuple(cases))
    assert read_cohort(write_cohort(cohort, folder)).cases == cohort.cases


HEADER = "patient,scan,image,intensity,day,event,split\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        (HEADER, "no rows"),
        ("patient,scan,intensity\np,s,hu\n", "no column 'image'"),
        ("patient,scan,image,intensity,day,day\np,s,i,hu,1,1\n", "'day' twice"),
        ("patient;scan;image;intensity\np;s;i;hu\n", "commas"),
        (HEADER + "p,s,i,HUs,,,\n", "row 2, column intensity: 'HUs'.*hu or display8"),
        (HEADER + "p,s,i,hu,,,\np,t,i,hu,three,,\n", "row 3, column day: 'three'"),
        (HEADER + "p,s,i,hu,inf,,\n", "row 2, column day: 'inf'"),
        (HEADER + "p,s,i,hu,nan,,\n", "row 2, column day: 'nan'"),
        (HEADER + "p,s,i,hu,,maybe,\n", "row 2, column event: 'maybe'"),
        (HEADER + "p,s,i,hu,,,training\n", "row 2, column split: 'training'"),
        (HEADER + "p,s,,hu,,,\n", "row 2, column image: is empty"),
        (HEADER + "p,s,i,hu,,,\nq,s,i,hu,,,\np,s,j,hu,,,\n", "rows 2 and 4: both are scan 's'"),
        (HEADER + "p,s,i,hu\n", "row 2 has 4 fields for 7 columns"),
        (HEADER + "p,s,i,hu,,,\n\nq,s,i,hu,,,\n", "row 3 has 0 fields"),
        (HEADER + 'p,"s,i,hu,,,\n', "cannot be read as a csv"),
    ],
)
def test_what_is_wrong_is_told_by_row_and_column(tmp_path, text, told):
    (tmp_path / "cohort.csv").write_text(text)
    with pytest.raises(DataError, match=told) as problem:
        read_cohort(tmp_path)
    assert "cohort.csv" in str(problem.value)


def test_encodings(tmp_path):
    table = tmp_path / "cohort.csv"
    text = HEADER + "Müller,s,i,hu,1,yes,train\n\n\n"
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_cohort(table).cases[0].patient == "Müller"
    assert read_cohort(table).cases[0].event is True
    for encoding in ("latin-1", "utf-16"):
        table.write_bytes(text.encode(encoding))
        with pytest.raises(DataError, match="not UTF-8"):
            read_cohort(table)
    with pytest.raises(DataError, match="no cohort table"):
        read_cohort(tmp_path / "nowhere.csv")


def test_a_damaged_origin_file_is_told(tmp_path):
    table = write_cohort(Cohort("c", tmp_path, (case("p"),)), tmp_path)
    (tmp_path / "cohort.source.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_cohort(table)
    (tmp_path / "cohort.source.json").unlink()
    assert read_cohort(table).name == tmp_path.name


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    for path in (Path("/dev/null/x.csv"), tmp_path / "file" / "x.csv", tmp_path / "file" / "folder"):
        with pytest.raises(DataError, match=r"\.csv: cannot be written"):
            write_cohort(Cohort("c", tmp_path, (case("p"),)), path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_parts_and_leaks():
    cohort = Cohort(
        "c", Path(), (case("a", split="train"), case("b", split="test"), case("a", "s2", split="test"))
    )
    assert [c.patient for c in cohort.part("test").cases] == ["b", "a"]
    with pytest.raises(DataError, match="no scan in split 'val'"):
        cohort.part("val")
    with pytest.raises(LeakError) as leak:
        check_disjoint({name: cohort.part(name).cases for name in ("train", "test")})
    assert leak.value.patients == ("a",)
    check_disjoint({"train": cohort.cases[:1], "test": cohort.cases[1:2]})


kinds = st.lists(
    st.tuples(st.sampled_from(["covid", "healthy"]), st.sampled_from(["A", "B", "C"])),
    min_size=12,
    max_size=60,
).filter(lambda ks: min(Counter(["covid", "healthy"] + [k[0] for k in ks]).values()) > 3)


@given(kinds, st.integers(0, 2**32), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_a_split_keeps_patients_whole_in_any_row_order(made, seed, random):
    cohort = cohort_of(made, scans=3)
    split = split_by_patient(cohort, seed=seed)
    sides = {c.patient: c.split for c in split.cases}
    assert all(sides[c.patient] == c.split for c in split.cases)
    shuffled = list(cohort.cases)
    random.shuffle(shuffled)
    again = split_by_patient(replace(cohort, cases=tuple(shuffled)), seed=seed)
    assert {c.patient: c.split for c in again.cases} == sides
    labels = Counter(label for label, _ in made)
    for part, share in {"train": 0.7, "val": 0.1, "test": 0.2}.items():
        for label, count in labels.items():
            here = {c.patient for c in split.cases if c.split == part and c.label == label}
            assert here
            assert abs(len(here) - share * count) <= 2


def test_sites_are_spread_and_seeds_differ():
    cohort = cohort_of([(label, site) for label in ("covid", "healthy") for site in "AB" for _ in range(50)])
    split = split_by_patient(cohort, {"train": 0.8, "test": 0.2}, seed=1)
    counts = Counter((c.label, c.site, c.split) for c in split.cases)
    assert {counts[label, site, "test"] for label in ("covid", "healthy") for site in "AB"} == {10}
    assert split != split_by_patient(cohort, {"train": 0.8, "test": 0.2}, seed=2)
    assert split == split_by_patient(cohort, {"test": 0.2, "train": 0.8, "val": 1 - 0.8 - 0.2}, seed=1)


def test_the_lot_is_fair():
    """Over many seeds, each patient is in the test part about as often as any other."""
    cohort = cohort_of([("covid", "A")] * 20)
    tested = Counter(
        c.patient
        for seed in range(300)
        for c in split_by_patient(cohort, {"train": 0.75, "test": 0.25}, seed=seed).part("test").cases
    )
    assert min(tested.values()) > 45
    assert max(tested.values()) < 105


@given(kinds, st.integers(2, 4), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_every_patient_is_tested_once(made, k, seed):
    folds = folds_by_patient(cohort_of(made, scans=2), k, seed)
    assert len(folds) == k
    tested = Counter(patient for fold in folds for patient in fold.part("test").patients)
    assert set(tested.values()) == {1}
    assert len(tested) == len(made)
    for fold in folds:
        check_disjoint({name: fold.part(name).cases for name in ("train", "test")})
        assert {c.label for c in fold.part("test").cases} == {label for label, _ in made}


def test_a_patient_with_two_labels_counts_as_the_rarer():
    turned = tuple(case("turned", f"s{n}", label=label) for n, label in enumerate(["healthy", "covid"]))
    cohort = cohort_of([("covid", "A")] * 8 + [("healthy", "A")] * 2)
    split = split_by_patient(replace(cohort, cases=cohort.cases + turned))
    assert {c.split for c in split.cases if c.label == "healthy"} == {"train", "val", "test"}


def test_what_cannot_be_split_is_told():
    cohort = cohort_of([("covid", "A")] * 9 + [("healthy", "B")] * 2)
    with pytest.raises(DataError, match=r"'healthy' has 2 patient\(s\), too few for 3 parts"):
        split_by_patient(cohort)
    with pytest.raises(DataError, match="same split; there is nothing to stratify"):
        split_by_patient(cohort, stratify=("split",))
    with pytest.raises(DataError, match=r"there are 2 patient\(s\), too few for 3"):
        folds_by_patient(cohort_of([("covid", "A")] * 2), 3)
    with pytest.raises(UsageError, match="at least 2 folds"):
        folds_by_patient(cohort, 1)
    with pytest.raises(UsageError, match="no column 'hospital'"):
        split_by_patient(cohort, stratify=("hospital",))
    with pytest.raises(UsageError, match="sum to 1"):
        split_by_patient(cohort, {"train": 0.8, "test": 0.3})
    with pytest.raises(UsageError, match=r"more than 1: train 0\.8 \+ val 0\.3 = 1\.1; lower one"):
        split_by_patient(cohort, {"train": 0.8, "val": 0.3, "test": 1 - 0.8 - 0.3})
    with pytest.raises(UsageError, match=r"sum to 1, got 0\.9"):
        split_by_patient(cohort, {"train": 0.8, "test": 0.1})
    with pytest.raises(UsageError, match=r"fraction of val .* got -0\.2"):
        split_by_patient(cohort, {"train": 0.5, "val": -0.2, "test": 0.7})
    with pytest.raises(UsageError, match=r"fraction of test .* got -0\.2"):
        split_by_patient(cohort, {"train": 0.5, "test": -0.2})
    for share in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match="fraction of train must lie between 0 and 1"):
            split_by_patient(cohort, {"train": share, "test": 1 - share})
        with pytest.raises(UsageError, match="fraction of test must lie between 0 and 1"):
            split_by_patient(cohort, {"train": 0.5, "test": share})
    with pytest.raises(UsageError, match="not 'dev'"):
        split_by_patient(cohort, {"train": 0.8, "dev": 0.2})
    with pytest.raises(UsageError, match="between 0 and 1"):
        split_by_patient(cohort, {"train": 1.2, "test": -0.2})
