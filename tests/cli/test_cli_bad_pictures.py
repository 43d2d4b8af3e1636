"""Bad pictures through the verbs that train on them: one line for each mistake, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from verb_process import glasslung_here, one_line

COUNT = 24
SMALL = ("--size", 16, "--set", "width=8", "--batch", 4, "--steps", 2, "--checkpoint-every", 2)


def disc(number: int, height: int = 24, width: int = 24) -> np.ndarray:
    """A bright disc on black, somewhere, (H, W) uint8."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:height, :width]
    y, x = rng.uniform(0.35, 0.65, 2) * (height, width)
    inside = (rows - y) ** 2 + (columns - x) ** 2 < height * width / 8
    return (inside * rng.uniform(120, 230)).astype(np.uint8)


def write_kind(number: int, folder: Path) -> None:
    """One picture of a size and a kind of its own, of all that there are in turn."""
    grey = disc(number, 24 + number, 60 - number)
    alpha = np.full_like(grey, 255)
    rgb = np.repeat(grey[..., None], 3, 2)
    kinds = {
        "l.png": Image.fromarray(grey),
        "la.png": Image.fromarray(np.dstack([grey, alpha])),
        "rgb.png": Image.fromarray(rgb),
        "rgba.png": Image.fromarray(np.dstack([rgb, alpha])),
        "p.png": Image.fromarray(grey).convert("P"),
        "1.png": Image.fromarray(grey > 60),
        "i16.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "i16.tif": Image.fromarray(grey.astype(np.uint16) * 257),
        "f.tif": Image.fromarray(grey.astype(np.float32) / 255),
        "l.jpg": Image.fromarray(grey),
        "rgb.jpg": Image.fromarray(rgb),
        "rgb.bmp": Image.fromarray(rgb),
    }
    name = list(kinds)[number % len(kinds)]
    kinds[name].save(folder / f"{number:02d}-{name}")


def folder_of(place: Path, count: int = COUNT) -> Path:
    place.mkdir()
    for number in range(count):
        write_kind(number, place)
    return place


def train(folder: Path, out: Path):
    return glasslung_here("train", "leangan", "--cohort", folder, "--out", out, "--device", "cpu", *SMALL)


def study(folder: Path, out: Path):
    return glasslung_here("study", "synthesis", "--cohort", folder, "--out", out, "--quick", "--size", 16)


def test_sizes_modes_depths_and_alpha_may_be_mixed(tmp_path):
    done = train(folder_of(tmp_path / "mixed"), tmp_path / "run")
    assert done.returncode == 0, done.stderr
    look = json.loads((tmp_path / "run" / "watchdog.jsonl").read_text().splitlines()[0])
    assert look["fed"] == pytest.approx(look["real_bright"], abs=0.02) and look["real_bright"] > 0.4


def two_in_all(folder: Path) -> str:
    for file in sorted(folder.iterdir())[2:]:
        file.unlink()
    return "has 2 picture(s)"


def damaged_in_the_middle(folder: Path) -> str:
    file = sorted(folder.iterdir())[COUNT // 2]
    file.write_bytes(file.read_bytes()[:40])
    return file.name


def without_a_pixel(folder: Path) -> str:
    file = sorted(folder.iterdir())[3]
    file.write_bytes(b"")
    return file.name


def twelve_bits_in_sixteen(folder: Path) -> str:
    for number, file in enumerate(sorted(folder.iterdir())):
        file.unlink()
        Image.fromarray(disc(number).astype(np.uint16) * 16).save(folder / f"{number}.png")
    return "as good as black"


def beyond_white(folder: Path) -> str:
    Image.fromarray(disc(3).astype(np.float32)).save(folder / "zz-wide.tif")
    return "zz-wide.tif"


def all_alike(folder: Path) -> str:
    for number, file in enumerate(sorted(folder.iterdir())):
        file.unlink()
        Image.fromarray(np.full((20, 20), 90, np.uint8)).save(folder / f"{number}.png")
    return "constant"


def no_picture(folder: Path) -> str:
    for file in folder.iterdir():
        file.unlink()
    (folder / "notes.txt").write_text("nothing here")
    return "folder with pictures"


BAD = [
    two_in_all,
    damaged_in_the_middle,
    without_a_pixel,
    twelve_bits_in_sixteen,
    beyond_white,
    all_alike,
    no_picture,
]


@pytest.mark.parametrize("spoil", BAD, ids=lambda one: one.__name__)
@pytest.mark.parametrize("verb", [train, study], ids=["train", "study"])
def test_bad_pictures_are_named_in_one_line_and_nothing_is_left_behind(verb, spoil, tmp_path):
    folder = folder_of(tmp_path / "pictures")
    named = spoil(folder)
    before = sorted(file.read_bytes() for file in folder.iterdir())
    assert named in one_line(verb(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert sorted(file.read_bytes() for file in folder.iterdir()) == before
