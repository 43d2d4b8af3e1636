"""Header words: makers' and the standard's names pass, everything else is unknown."""

from __future__ import annotations

import pytest

from glasslung.data.formats.header_words import (
    is_sharp,
    known_body_part,
    known_kernel,
    known_modality,
    known_number,
)


@pytest.mark.parametrize(
    ("kernel", "sharp"),
    [("STANDARD", False), ("SOFT", False), ("LUNG", True), ("BONE", True), ("BONEPLUS", True),
     ("B31f", False), ("B70f", True), ("Br40d/3", False), ("Bl57d", True), ("FC08", False), ("FC51", True),
     ("FC13-H", False), ("B", False), ("L", True), ("YA", False), (None, False)],
)  # fmt: skip
def test_kernels(kernel: str | None, sharp: bool) -> None:
    assert is_sharp(kernel) is sharp


@pytest.mark.parametrize(
    "kernel",
    ["STANDARD", "LUNG", "BONE+", "HD LUNG", "B31f/2", "Br40d/3", "Qr36d", "T20s", "FC51", "FC13-H", "B",
     "YA", "B_SOFT_B", "IMR1/Body Soft", "iDose (3)", "LUNG70"],
)  # fmt: skip
def test_kernels_as_makers_write_them_pass(kernel: str) -> None:
    assert known_kernel(kernel) == kernel


@pytest.mark.parametrize(
    "kernel",
    ["B70 DOE", "DOE", "Doe^John", "B70f/Doe", "STANDARD for Mr. Doe", "JD", "19640812", "12/08/64", "123",
     "LUNGDOE", "B70\u00e9", "B C D E F L", "B70, room", ""],
)  # fmt: skip
def test_anything_else_is_no_kernel(kernel: str) -> None:
    assert known_kernel(kernel) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [("CHEST", "CHEST"), ("Thorax", "THORAX"), ("whole body", "WHOLEBODY"), ("HEAD DOE", "HEAD"),
     ("CHEST/ABD", "CHEST"), ("ABDOMEN CHEST", "CHEST"), ("CHEST^DOE", "CHEST"), ("DOE", None), ("", None)],
)  # fmt: skip
def test_body_parts(text: str, part: str | None) -> None:
    assert known_body_part(text) == part


def test_modalities_and_numbers() -> None:
    assert [known_modality(text) for text in ("ct ", "MR", "DOE", "")] == ["CT", "MR", "OT", None]
    assert [known_number(text) for text in ("12", "-1", "0", "Doe 3", "1.5", "\u00b2", "")] == [
        "12", "-1", "0", "", "", "", "",
    ]  # fmt: skip
