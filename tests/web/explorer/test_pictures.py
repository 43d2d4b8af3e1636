"""Folders of pictures of every kind: what can be read is shown, what cannot is listed, nothing stops the
rest.
"""

from dataclasses import replace

import numpy as np
import pytest
from made_pictures import disc, discs, write_cohort
from PIL import Image

from glasslung.errors import DataError
from glasslung.web.explorer.codes import plain
from glasslung.web.explorer.listing import MOST, list_place, of_folder
from glasslung.web.explorer.pictures import THUMB, read_listing, thumbnail


def every_kind(folder):
    """The same disc in every mode and several sizes, a corrupt file in the middle, and files that are
    none.
    """
    folder.mkdir()
    grey = disc(32, 32, 14)
    wide = np.repeat(grey, 2, axis=1)
    Image.fromarray(grey).save(folder / "a-L.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(folder / "b-RGB.png")
    alpha = np.full_like(grey, 255)
    alpha[:, :10] = 0
    Image.fromarray(np.stack([grey, grey, grey, alpha], -1)).save(folder / "c-RGBA.png")
    Image.fromarray(np.stack([grey, alpha], -1)).save(folder / "d-LA.png")
    whole = (folder / "a-L.png").read_bytes()
    (folder / "e-cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "f-text.png").write_text("no picture at all")
    (folder / "g-empty.png").write_bytes(b"")
    Image.fromarray(grey.astype(np.uint16) * 250).save(folder / "h-16.png")
    Image.fromarray(grey).convert("P").save(folder / "i-P.png")
    Image.fromarray(grey > 100).save(folder / "j-1.png")
    Image.fromarray(wide).save(folder / "k-wide.jpg", quality=98)
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "l-float.tif")
    Image.fromarray(grey).save(folder / "m-pages.tif", save_all=True, append_images=[Image.fromarray(grey)])
    (folder / "notes.txt").write_text("not a picture, and not asked for")
    return folder


def test_every_mode_becomes_the_same_grey_and_the_damaged_are_listed(tmp_path):
    collection = read_listing(list_place(every_kind(tmp_path / "all")), plain(32))
    names = [entry.name for entry in collection.entries]
    assert names == [
        *("a-L.png", "b-RGB.png", "c-RGBA.png", "d-LA.png", "h-16.png", "i-P.png", "j-1.png"),
        *("k-wide.jpg", "l-float.tif"),
    ]
    assert {one.name for one in collection.left_out} == {
        "e-cut.png",
        "f-text.png",
        "g-empty.png",
        "m-pages.tif",
    }
    assert all(one.why for one in collection.left_out)
    first = collection.squares[0]
    for name in ("b-RGB.png", "i-P.png"):
        assert np.array_equal(collection.squares[names.index(name)], first)
    for name in ("h-16.png", "l-float.tif"):  # stretched from lowest to highest: the shape is the same
        assert np.corrcoef(collection.squares[names.index(name)].ravel(), first.ravel())[0, 1] > 0.999
    clear = collection.squares[names.index("c-RGBA.png")]
    assert clear[:, :4].max() == 0  # transparent: outside the picture
    assert 0.7 < collection.squares.reshape(len(names), -1).max(1).min() <= 1  # none of them nearly black


def test_what_was_done_is_told(tmp_path):
    notes = " ".join(read_listing(list_place(every_kind(tmp_path / "all")), plain(32)).notes)
    assert "2 picture(s) had transparent parts" in notes
    assert "2 picture(s) had more than 8 bits" in notes
    assert "2 sizes" in notes


def test_two_pictures_in_all_are_too_few(tmp_path):
    for number, picture in enumerate(discs(2)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 picture\(s\).*1 left out, first 'broken.png'.*Give more"):
        read_listing(list_place(tmp_path), plain(32))


def test_more_pictures_than_can_be_laid_out_are_refused_before_one_is_read(tmp_path):
    Image.fromarray(disc(32, 32, 9)).save(tmp_path / "0.png")
    listing = of_folder(tmp_path)
    many = replace(listing, entries=listing.entries * (MOST + 1))
    with pytest.raises(DataError, match=r"20,001 pictures.*20,000 at most"):
        read_listing(many, plain(32))


def test_a_folder_without_pictures_and_a_place_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        list_place(tmp_path)
    with pytest.raises(DataError, match="there is no"):
        list_place(tmp_path / "nowhere")
    (tmp_path / "scan.nii").write_bytes(b"")
    with pytest.raises(DataError, match="no table"):
        list_place(tmp_path / "scan.nii")


def test_folders_are_labels_and_links_that_lead_out_are_left_out(tmp_path):
    inside = tmp_path / "open"
    for label in ("covid", "healthy"):
        (inside / label).mkdir(parents=True)
        for number, picture in enumerate(discs(3)):
            Image.fromarray(picture).save(inside / label / f"{number}.png")
    Image.fromarray(discs(1)[0]).save(tmp_path / "secret.png")
    (inside / "covid" / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / ".hidden.png").write_bytes(b"")
    listing = of_folder(inside)
    assert [entry.facts["folder"] for entry in listing.entries] == ["covid"] * 3 + ["healthy"] * 3
    assert [(one.name, "outside" in one.why) for one in listing.left_out] == [("covid/link.png", True)]


def test_a_cohort_brings_its_table(tmp_path):
    collection = read_listing(list_place(write_cohort(tmp_path / "cohort", 20, stages=True)), plain(32))
    assert collection.columns["label"][:2] == ("healthy", "covid")
    assert collection.columns["stage"][:4] == ("healthy", "days 0 to 4", "days 5 to 9", "days 10 to 14")
    assert collection.columns["source"][2] == "site 1"
    assert collection.columns["severity"][7] == "7"
    assert len(set(collection.patients)) == 15  # ten pictures of five patients, ten of one each


def test_scans_in_hounsfield_units_are_sent_to_prepare(tmp_path):
    write_cohort(tmp_path / "cohort", 8)
    table = tmp_path / "cohort" / "cohort.csv"
    table.write_text(table.read_text().replace("display8", "hu"))
    with pytest.raises(DataError, match="prepare"):
        list_place(tmp_path / "cohort")


def test_a_thumbnail_keeps_proportions():
    tall = np.full((100, 50), 255, np.uint8)
    small = thumbnail(tall)
    assert small.shape == (THUMB, THUMB)
    assert small[:, 20:44].min() > 250 and small[:, :12].max() < 5
