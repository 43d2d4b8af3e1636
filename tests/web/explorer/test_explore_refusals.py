"""Bad input to `glasslung explore`: one clear line, exit code 2, no page, and no file touched."""

import sys

import numpy as np
import pytest
from made_pictures import disc, discs, write_codes
from PIL import Image

from glasslung.cli import main

HEAD = ["image", "z0", "z1"]


def rows(count=6):
    return [[f"{n:03d}.png", n, -n] for n in range(count)]


def pictures(folder, count):
    folder.mkdir()
    for number, picture in enumerate(discs(count)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


def a_corrupt_file_in_the_middle(folder):
    pictures(folder, 2)
    (folder / "00-broken.png").write_bytes((folder / "0.png").read_bytes()[:90])
    return [folder]


def alpha_alone(folder):
    """Pictures that nothing but transparency tells apart are all black."""
    folder.mkdir()
    for number in range(4):
        clear = np.zeros((32, 32, 4), np.uint8)
        clear[..., 0] = 40 * number
        Image.fromarray(clear).save(folder / f"{number}.png")
    return [folder, "--model", "pixels"]


def deep_and_even(folder):
    """Sixteen bits, every picture of one value: stretched, all are black."""
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.full((32, 32), 9000 * number, np.uint16)).save(folder / f"{number}.png")
    return [folder, "--model", "pixels"]


def table(folder, head=HEAD, lines=None, *more):
    return [write_codes(folder, lines or rows(), head), *more]


def empty_table(folder):
    folder.mkdir()
    (folder / "codes.csv").write_text("image,z0,z1\n")
    return [folder / "codes.csv"]


def huge_table(folder):
    folder.mkdir()
    Image.fromarray(disc(32, 32, 9)).save(folder / "0.png")
    with (folder / "codes.csv").open("w") as file:
        file.write("image,z0,z1\n" + "0.png,1,2\n" * 20_001)
    return [folder / "codes.csv"]


CASES = {
    "two pictures in all": (lambda f: [pictures(f, 2)], "gives 2 picture"),
    "a corrupt file in the middle": (a_corrupt_file_in_the_middle, "first '00-broken.png'"),
    "alpha": (alpha_alone, "are the same once grey"),
    "16 bits": (deep_and_even, "are the same once grey"),
    "a width that the model does not decode": (
        lambda f: table(f, HEAD, None, "--model", "explorer"),
        "have 2 numbers, and explorer decodes 32",
    ),
    "a row of another width": (lambda f: table(f, HEAD, [*rows(), ["6.png", 1]]), "row 8: 2 fields"),
    "nothing but NaN": (lambda f: table(f, HEAD, [[n, "nan", 1] for n, *_ in rows()]), "not one row"),
    "all codes alike": (lambda f: table(f, HEAD, [[n, 1, 1] for n, *_ in rows()]), "same code"),
    "two columns of one name": (lambda f: table(f, ["image", "z0", "z0"]), "'z0' twice"),
    "an empty table": (empty_table, "no rows"),
    "a huge table": (huge_table, "20,001 pictures"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_line(case, tmp_path, monkeypatch, capsys):
    arrange, said = CASES[case]
    place, *more = arrange(tmp_path / "given")
    before = {path: path.read_bytes() for path in (tmp_path / "given").iterdir()}
    page = tmp_path / "page.html"
    command = ["glasslung", "explore", str(place), *more, "--export", str(page)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    told = [line for line in capsys.readouterr().err.splitlines() if "glasslung: " in line]
    assert ended.value.code == 2
    assert len(told) == 1 and said in told[0], told
    assert not page.exists()
    assert {path: path.read_bytes() for path in (tmp_path / "given").iterdir()} == before
