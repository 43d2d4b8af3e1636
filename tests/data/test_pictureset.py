"""Pictures of all sizes and kinds as squares to train on; what cannot be read is named, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasslung.data.pictureset import (
    group_names,
    open_pictures,
    picture_parts,
    read_picture_set,
    square_unit,
    without_shared_patients,
)
from glasslung.errors import DataError, UsageError


def draw(folder: Path, count: int = 12, first: int = 0) -> None:
    """Pictures of mixed sizes and modes, each a bright disc on black."""
    folder.mkdir(exist_ok=True)
    modes = ("L", "RGB", "RGBA", "LA", "P", "I;16")
    for number in range(first, first + count):
        height, width = 40 + 7 * number, 90 - 3 * number
        rows, columns = np.mgrid[:height, :width]
        disc = ((rows / height - 0.5) ** 2 + (columns / width - 0.5) ** 2 < 0.15) * np.uint8(200)
        mode = modes[number % len(modes)]
        if mode == "I;16":
            picture = Image.fromarray(disc.astype(np.uint16) * 257)
        else:
            picture = Image.fromarray(disc).convert(mode)
        picture.save(folder / f"{number:02d}.png")


def test_mixed_sizes_and_modes_become_the_same_picture(tmp_path):
    draw(tmp_path / "mixed")
    slices = read_picture_set(open_pictures(tmp_path / "mixed"), 32)
    assert slices.images.shape == (12, 32, 32) and slices.images.dtype == np.float32
    spread = slices.images.std(0)
    assert spread.mean() < 0.02  # one disc, whatever the kind of file
    assert slices.images.max() == pytest.approx(200 / 255, abs=0.06)


def test_a_folder_without_a_table_is_split_and_nobody_is_lost(tmp_path):
    draw(tmp_path / "plain", 20)
    parts = picture_parts(tmp_path / "plain", 16)
    assert {"train", "val", "test"} == parts.keys()
    assert sum(len(part) for part in parts.values()) == 20


def test_a_corrupt_file_in_the_middle_is_named_and_counted(tmp_path):
    draw(tmp_path / "some")
    (tmp_path / "some" / "05.png").write_bytes((tmp_path / "some" / "05.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"1 of 12 pictures .*05\.png"):
        read_picture_set(open_pictures(tmp_path / "some"), 16)


def test_two_pictures_in_all_are_too_few(tmp_path):
    draw(tmp_path / "two", 2)
    with pytest.raises(DataError, match=r"2 picture\(s\)"):
        picture_parts(tmp_path / "two", 16)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="neither"):
        open_pictures(tmp_path / "none")


def test_a_black_set_is_refused(tmp_path):
    folder = tmp_path / "dark"
    folder.mkdir()
    for number in range(9):
        Image.fromarray(np.full((20, 20), number, np.uint16)).save(folder / f"{number}.png")
    with pytest.raises(DataError, match="as good as black"):
        picture_parts(folder, 16)


def test_framing_pads_or_stretches():
    wide = np.ones((10, 40), np.float32)
    assert square_unit(wide, 20, "stretch").min() > 0.99
    padded = square_unit(wide, 20, "pad")
    assert padded[0].max() < 0.01 and padded[10].min() > 0.99
    with pytest.raises(UsageError, match="framing"):
        square_unit(wide, 20, "crop")


def test_conditions_are_named():
    assert group_names("class") == ("other", "covid") and group_names("age")[0] == "t0"
    with pytest.raises(UsageError, match="condition"):
        group_names("severity")


@pytest.mark.real
def test_covid_of_the_collection(real):
    parts = picture_parts(real / "ucsd_covid_ct", 32, "class", ("covid",))
    assert set(parts) == {"train", "val"} and len(parts["train"]) > 150
    assert set(parts["train"].group.tolist()) == {1}
    mine = {parts["train"].patients[one] for one in parts["train"].patient}
    theirs = {parts["val"].patients[one] for one in parts["val"].patient}
    assert mine and theirs and not mine & theirs
    whole = open_pictures(real / "ucsd_covid_ct")
    assert "2 training picture(s) are left out" in without_shared_patients(whole).note
    with pytest.raises(DataError, match="no picture labelled"):
        picture_parts(real / "ucsd_covid_ct", 32, "class", ("measles",))
