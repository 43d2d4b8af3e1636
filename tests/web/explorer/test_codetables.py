"""Tables of codes: what is read, and what of a bad one is refused or left out by name."""

import numpy as np
import pytest
from made_pictures import write_codes

from glasslung.errors import DataError
from glasslung.web.explorer.codetables import code_columns, read_codes

HEAD = ["image", "z0", "z1", "z10", "z2", "label"]


def rows(count=6):
    return [[f"{n:03d}.png", n, n / 2, -n, 0.25, "ab"[n % 2]] for n in range(count)]


def test_columns_stand_in_the_order_of_their_numbers():
    assert code_columns(HEAD) == ("z0", "z1", "z2", "z10")
    assert code_columns(["image", "code_00", "code_01", "age", "z0"]) == ("code_00", "code_01")
    assert code_columns(["image", "day1", "day2", "age"]) == ()  # facts that end in numbers are no codes


def test_a_csv_gives_codes_names_and_facts(tmp_path):
    table = read_codes(write_codes(tmp_path, rows(), HEAD))
    assert table.codes.shape == (6, 4) and table.codes.dtype == np.float32
    assert table.codes[3].tolist() == [3, 1.5, 0.25, -3]
    assert table.names[:2] == ("000.png", "001.png")
    assert table.facts == {"label": ("a", "b", "a", "b", "a", "b")}


@pytest.mark.parametrize("wrong", ["nan", "", "inf", "-1e60", "three"])
def test_rows_that_are_no_numbers_are_left_out_by_name(tmp_path, wrong):
    bad = rows()
    bad[2][3] = wrong
    table = read_codes(write_codes(tmp_path, bad, HEAD))
    assert len(table.codes) == 5
    assert [name for name, _ in table.left_out] == ["002.png"]
    assert "NaN" in table.left_out[0][1]


def test_a_row_of_another_width_stops_the_reading(tmp_path):
    bad = rows()
    del bad[4][1]
    with pytest.raises(DataError, match="row 6: 5 fields, and the head names 6"):
        read_codes(write_codes(tmp_path, bad, HEAD))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (["scan", "z0", "z1", "z2", "z3", "label"], "no column 'image'"),
        (["image", "a", "b", "c", "d", "label"], "no columns of codes"),
        (["image", "z0", "z0", "z1", "z2", "label"], "'z0' twice"),
    ],
)
def test_a_table_without_pictures_or_codes_is_refused(tmp_path, head, said):
    with pytest.raises(DataError, match=said):
        read_codes(write_codes(tmp_path, rows(), head))


def test_nothing_but_nan_is_refused(tmp_path):
    bad = [[one[0], "nan", *one[2:]] for one in rows()]
    with pytest.raises(DataError, match="not one row"):
        read_codes(write_codes(tmp_path, bad, HEAD))


def test_an_empty_or_damaged_table_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("image,z0,z1\n")
    with pytest.raises(DataError, match="no rows"):
        read_codes(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"image,z0,z1\n\xff\xfe,1,2\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_codes(tmp_path / "b.csv")
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(DataError, match="cannot be read"):
        read_codes(tmp_path / "c.npz")
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="Parquet"):
        read_codes(tmp_path / "d.parquet")


def test_arrays_with_their_pictures(tmp_path):
    codes = np.random.default_rng(0).normal(size=(7, 3))
    codes[1, 1] = np.nan
    images = np.random.default_rng(1).random((7, 20, 30))
    images[5, 0, 0] = np.inf
    np.savez(tmp_path / "codes.npz", codes=codes, images=images, label=np.arange(7), day=np.linspace(0, 1, 7))
    table = read_codes(tmp_path / "codes.npz")
    assert table.names == ("row 0", "row 2", "row 3", "row 4", "row 6")
    assert {name for name, _ in table.left_out} == {"row 1", "row 5"}
    assert table.images is not None and table.images.shape == (5, 20, 30)
    assert table.facts["label"] == ("0", "2", "3", "4", "6")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": np.zeros((4, 8, 8))}, "no array 'codes'"),
        ({"codes": np.zeros((4, 2))}, "neither 'images'"),
        ({"codes": np.zeros(4), "images": np.zeros((4, 8, 8))}, "must be numbers"),
        ({"codes": np.zeros((4, 2)), "images": np.zeros((5, 8, 8))}, "do not go together"),
        ({"codes": np.zeros((4, 2)), "images": np.zeros((4, 8, 8, 3))}, r"\(N, H, W\)"),
        ({"codes": np.zeros((4, 2)), "paths": np.array(["a"] * 3)}, "do not go together"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "codes.npz", **arrays)
    with pytest.raises(DataError, match=said):
        read_codes(tmp_path / "codes.npz")


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "codes.npz", codes=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        read_codes(tmp_path / "codes.npz")
