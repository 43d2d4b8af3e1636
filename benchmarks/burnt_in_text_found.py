"""How often text burnt into CT slices is found, and how often none is where it is said to be.

    python benchmarks/burnt_in_text_found.py [--scans PATH...] [--pictures FOLDER...] [--phantoms 2]

Slices of phantoms, and of the scans and pictures given, are looked at as they are (false alarms) and with
a name and a date drawn into them (found): white or at 800 HU (grey 200 in pictures), with hard or smooth
edges, in a corner or over the body, letters of 9 to 24 pixels, one to each slice in turn. Intervals are
Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glasslung.data.deidentification.burntin import has_burnt_in_text
from glasslung.data.formats import read_scan
from glasslung.data.formats.pictures import read_grey
from glasslung.data.phantom import draw_patient, render
from glasslung.errors import DataError

TEXT = "MUELLER ANNA 12.03.1945"
SIZES, GREYS, EDGES, PLACES = (9, 12, 16, 24), ("white", "middle"), ("hard", "smooth"), ("corner", "body")


def drawn(pixels: np.ndarray, size: int, grey: str, edge: str, place: str) -> np.ndarray:
    """A slice with the text in it."""
    picture = Image.new("L", pixels.shape[::-1])
    pen = ImageDraw.Draw(picture)
    pen.fontmode = "1" if edge == "hard" else "L"
    at = (4, 4) if place == "corner" else (pixels.shape[1] // 5, pixels.shape[0] // 2)
    pen.text(at, TEXT, fill=255, font=ImageFont.load_default(size))
    share = np.asarray(picture) / 255.0
    middle = 200 if pixels.dtype == np.uint8 else 800
    value = float(pixels.max()) if grey == "white" else middle
    return (pixels * (1 - share) + value * share).astype(pixels.dtype)


def wilson(hits: int, of: int) -> str:
    """'12/14, 86 % (60 to 96)'."""
    if not of:
        return "none looked at"
    z, share = 1.96, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    low, high = 100 * max(0.0, middle - half), 100 * (middle + half)
    return f"{hits}/{of}, {100 * share:.1f} % ({low:.1f} to {high:.1f})"


def stacks(asked: argparse.Namespace) -> Iterator[tuple[str, list[np.ndarray]]]:
    phantoms = [
        render(draw_patient(seed), 5, shape=(24, 256, 256)).volume.voxels for seed in range(asked.phantoms)
    ]
    yield "phantoms", [pixels for voxels in phantoms for pixels in voxels]
    for path in asked.scans:
        yield path.name, list(read_scan(path).voxels)
    for folder in asked.pictures:
        files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".png", ".jpg")]
        yield folder.name, list(_readable(files))


def _readable(files: list[Path]) -> Iterator[np.ndarray]:
    for path in files:
        try:
            yield read_grey(path)
        except DataError as problem:
            print(f"left out: {problem}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", nargs="*", type=Path, default=[])
    parser.add_argument("--pictures", nargs="*", type=Path, default=[])
    parser.add_argument("--phantoms", type=int, default=2)
    parser.add_argument("--slices", type=int, default=24, help="slices of each set that get a text")
    asked = parser.parse_args()
    for name, slices in stacks(asked):
        alarms = sum(has_burnt_in_text(pixels) for pixels in slices)
        print(f"{name}: false alarms {wilson(alarms, len(slices))}")
        step = max(1, len(slices) // asked.slices)
        for grey, edge, place in product(GREYS, EDGES, PLACES):
            marked = [
                drawn(pixels, size, grey, edge, place)
                for pixels, size in zip(slices[::step], cycle(SIZES), strict=False)
            ]
            found = sum(map(has_burnt_in_text, marked))
            print(f"  {grey:6} {edge:6} {place:6} found {wilson(found, len(marked))}")


if __name__ == "__main__":
    main()
