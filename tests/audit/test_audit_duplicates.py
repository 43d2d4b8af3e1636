"""Copies are found however they were stored or turned; different people are not called copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_scans import clean_cohort, lungs, save
from PIL import Image

from glasslung.audit.duplicates import TURNS, audit_duplicates, near_pairs, turn
from glasslung.audit.record import AuditSettings
from glasslung.audit.scans import ScanFacts, read_facts, scan_facts
from glasslung.data.cohort import Cohort
from glasslung.types import Case, Intensity

SETTINGS = AuditSettings()


def pairs_of(cohort: Cohort):
    return audit_duplicates(cohort.cases, read_facts(cohort, 15), SETTINGS).pairs


def changed(grey: np.ndarray, how: str) -> np.ndarray:
    size = grey.shape[0]
    return {
        "brighter": lambda: np.clip(grey * 1.2 + 10, 0, 255).astype(np.uint8),
        "smaller": lambda: np.asarray(Image.fromarray(grey).resize((size * 3 // 4,) * 2)),
        "larger": lambda: np.asarray(Image.fromarray(grey).resize((size * 2, size * 2))),
        "framed": lambda: np.pad(grey, 12),
        "mirrored": lambda: grey[:, ::-1],
        "upside down": lambda: grey[::-1],
        "on its side": lambda: np.rot90(grey),
        "colour": lambda: np.stack([grey] * 3, axis=-1),
    }[how]()


@pytest.mark.parametrize(
    "how",
    ["brighter", "smaller", "larger", "framed", "mirrored", "upside down", "on its side", "colour"],
)
def test_a_copy_is_found_in_any_dress(tmp_path, how):
    cohort = clean_cohort(tmp_path, patients=10)
    grey = np.asarray(Image.open(tmp_path / "p03.png"))
    save(changed(grey, how), tmp_path / "p07.jpg", quality=60)
    cases = list(cohort.cases)
    cases[7] = replace(cases[7], image=Path("p07.jpg"))
    found = pairs_of(replace(cohort, cases=tuple(cases)))
    assert [(pair.first_row, pair.second_row) for pair in found] == [(5, 9)]
    assert not found[0].exact
    assert (found[0].turned == "as it is") == (how not in ("mirrored", "upside down", "on its side"))


def test_the_same_pixels_in_another_format_are_exact(tmp_path):
    cohort = clean_cohort(tmp_path, patients=6)
    grey = np.asarray(Image.open(tmp_path / "p01.png"))
    save(grey, tmp_path / "p04.bmp")
    save(np.stack([grey] * 3, axis=-1), tmp_path / "p05.tiff")
    cases = list(cohort.cases)
    cases[4] = replace(cases[4], image=Path("p04.bmp"))
    cases[5] = replace(cases[5], image=Path("p05.tiff"), patient="p01", split=cases[1].split)
    found = {(p.first_row, p.second_row): p for p in pairs_of(replace(cohort, cases=tuple(cases)))}
    assert found.keys() >= {(3, 6), (3, 7)}
    assert found[3, 6].exact
    assert found[3, 7].exact
    assert not found[3, 6].same_patient
    assert found[3, 7].same_patient


def test_what_a_copy_spoils_depends_on_where_it_stands(tmp_path):
    def remarks(**second):
        first = Case("a", "1", Path("x.png"), Intensity.DISPLAY8, label="covid", split="train")
        cases = (first, replace(first, **{"patient": "b", "scan": "2"} | second))
        facts = [scan_facts(Cohort("c", tmp_path, cases), case, 15) for case in cases]
        return {remark.code for remark in audit_duplicates(cases, facts, SETTINGS).remarks}

    save(lungs(np.random.default_rng(0)), tmp_path / "x.png")
    assert remarks(split="test") == {"duplicates-across-splits"}
    assert remarks() == {"duplicates-across-patients"}
    assert remarks(patient="a") == {"duplicates-within-patient"}
    assert remarks(label="healthy") == {"duplicates-across-patients", "duplicates-labels-differ"}


def test_a_volume_and_one_of_its_slices(tmp_path):
    """A slice that was cut out of a stack is found, under whatever name."""
    rng = np.random.default_rng(1)
    stack = [lungs(rng) for _ in range(5)]
    for number, one in enumerate(stack):
        save(one, tmp_path / "stack" / f"{number}.png")
    save(stack[3][:, ::-1], tmp_path / "slice.jpg", quality=80)
    cases = tuple(Case(name, name, Path(name), Intensity.DISPLAY8) for name in ("stack", "slice.jpg"))
    found = pairs_of(Cohort("c", tmp_path, cases))
    assert [(p.first_row, p.second_row, p.turned) for p in found] == [(2, 3, "mirrored")]


def slow_pairs(thumbs: list[np.ndarray]) -> set[tuple[int, int]]:
    """Every pair in every position, straight from the definition of the coarse step."""

    def small(view):
        blocks = view.reshape(16, 4, 16, 4).mean((1, 3)).ravel()
        return (blocks - blocks.mean()) / np.linalg.norm(blocks - blocks.mean())

    return {
        (i, j)
        for i in range(len(thumbs))
        for j in range(i + 1, len(thumbs))
        for _, flip, quarter in TURNS
        if small(thumbs[i]) @ small(turn(thumbs[j][None], flip, quarter)[0]) >= SETTINGS.coarse
    }


def test_the_tree_misses_no_pair_that_comparing_all_finds():
    rng = np.random.default_rng(2)
    thumbs = [lungs(rng, 64) for _ in range(25)]
    facts = [ScanFacts(thumbs=thumb[None]) for thumb in thumbs]
    slow = slow_pairs(thumbs)
    assert len(slow) > 20
    assert near_pairs(facts, SETTINGS).keys() == slow


def test_flat_and_unreadable_scans_are_left_out():
    flat = ScanFacts(thumbs=np.zeros((1, 64, 64), np.uint8))
    assert near_pairs([flat, flat, ScanFacts(problem="is missing")], SETTINGS) == {}


def test_a_volume_stored_anew_is_found_and_one_like_slice_is_not_enough(tmp_path):
    rng = np.random.default_rng(3)
    shared = lungs(rng)
    for number in range(9):
        one = lungs(rng)
        save(one, tmp_path / "a" / f"{number}.png")
        save(one[:, ::-1], tmp_path / "b" / f"{number}.jpg", quality=60)
        save(shared if number == 4 else lungs(rng), tmp_path / "c" / f"{number}.png")
        save(shared if number == 4 else lungs(rng), tmp_path / "d" / f"{number}.png")
    cases = tuple(Case(name, name, Path(name), Intensity.DISPLAY8) for name in "abcd")
    found = pairs_of(Cohort("c", tmp_path, cases))
    assert [(p.first_row, p.second_row, p.turned) for p in found] == [(2, 3, "mirrored")]
