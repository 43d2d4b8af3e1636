"""What a lung would look like wholly healthy, hazy or consolidated: pictures of a StichNet's styles.

styles-1.png, ...        a row for each slice: the slice, its labels, the slice in each of three styles
pictures/NAME-healthy.png, NAME-ground-glass.png, NAME-consolidation.png, NAME-labels.png    each by itself
styles.json              shares of the labels slice by slice, and whether the styles have collapsed

All pictures are upright. The model paints at the size it was trained at; what it changes is added to the
slice at the slice's own size, so vessels stay as sharp as they were.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glasslung.data.labelbatches import SquareSlices, from_square
from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, join, unknown_like
from glasslung.data.slices import read_picture
from glasslung.data.sliceviews import tell_view, upright
from glasslung.data.slicewindows import alike, tell_window
from glasslung.errors import DataError, UsageError
from glasslung.files import whole_folder, write_json, write_whole
from glasslung.predict.trained import TRAINING, open_trained
from glasslung.studies.segmentation.sheet import file_name
from glasslung.types import DISCLAIMER, Progress

if TYPE_CHECKING:
    from glasslung.measure.styles import StyleReport

SIDE = 192  # pixels at which a model sees slices, where its run does not say
AT_ONCE = 8
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
STYLES = {"healthy": 3, "ground glass": 1, "consolidation": 2}  # as shown, by their index in `nn.stitch`
TINTS = {1: (240, 165, 0), 2: (170, 51, 160)}  # ground glass, consolidation: the lesions' colours of reports
TINTED = 0.55  # of a colour where the model is sure
CELL, GAP, HEAD, NAME, MARGIN, ROWS = 264, 8, 92, 38, 16, 5  # pixels; rows of one sheet
INK, FAINT, PAPER = (235, 235, 235), (170, 170, 170), (18, 18, 18)


@dataclass(frozen=True, eq=False)
class Styled:
    """One slice in every style, upright.

    picture  (H, W) uint8, as the model was shown it
    labels   (4, H, W) probabilities: outside, ground glass, consolidation, healthy lung
    made     style -> (H, W) uint8
    """

    name: str
    picture: np.ndarray
    labels: np.ndarray
    made: dict[str, np.ndarray]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the lungs that is of each kind."""
        lung = float(self.labels[1:].sum())
        return {name: float(self.labels[index].sum()) / max(lung, 1e-6) for name, index in STYLES.items()}


def draw_styles(model: str | Path, pictures: Path, out: Path, progress: Progress | None = None) -> list[Path]:
    """Draw slices in the styles of a trained StichNet, into a new folder `out`; returns the sheets.

    model     folder of a run of `glasslung train stichnet`, or the name of shipped weights
    pictures  an 8-bit picture of one axial slice, or a folder of such pictures
    UsageError for a model without styles or an `out` in use, DataError for what is no picture.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already and not empty; choose a new folder or remove it")
    trained = open_trained(model)
    if not hasattr(trained.model, "restyle"):
        raise UsageError(f"{trained.name} is a {trained.method}, which has no styles; train a stichnet")
    training = trained.about["settings"].get(TRAINING, {})
    slices = read_pictures(pictures)
    shown = one_window(slices) if training.get("one_window", True) else slices
    styled, report = style_slices(trained.model, shown, int(training.get("size", SIDE)), progress)
    sheets = draw_sheets(styled)
    with whole_folder(out) as part:
        (part / "pictures").mkdir()
        for one in styled:
            for name, picture in {**one.made, "labels": tinted(one)}.items():
                file = f"{file_name(one.name)}-{name.replace(' ', '-')}.png"
                write_whole(part / "pictures" / file, _png(Image.fromarray(picture)))
        for number, sheet in enumerate(sheets, start=1):
            write_whole(part / f"styles-{number}.png", _png(sheet))
        write_json(part / "styles.json", _told(trained.name, styled, report))
    return [out / f"styles-{number}.png" for number in range(1, len(sheets) + 1)]


# -------------------------------------------------------------------------------------------- to the model


def read_pictures(path: Path) -> LabelledSlices:
    """A picture, or all pictures of a folder (or of its img/), upright; nothing is known of them."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} is not there; give a picture of a slice, or a folder of pictures")
    folder = path / "img" if (path / "img").is_dir() else path
    files = sorted(
        (one for one in (folder.iterdir() if folder.is_dir() else [path]) if one.suffix.lower() in SUFFIXES),
        key=lambda one: (len(one.stem), one.name),
    )
    if not files:
        raise DataError(f"{path} holds no picture; give {', '.join(SUFFIXES)} of axial slices")
    found = [read_picture(file) for file in files]
    view = tell_view(found)
    stand = tuple(np.ascontiguousarray(upright(picture, view)) for picture in found)
    unknown = tuple(unknown_like(picture) for picture in stand)
    names = [file.name if len({f.stem for f in files}) < len(files) else file.stem for file in files]
    origins = tuple(
        SliceOrigin(name, name, Kind.UNLABELLED, tell_window([picture]), view)
        for name, picture in zip(names, stand, strict=True)
    )
    return LabelledSlices(stand, unknown, unknown, origins)


def one_window(slices: LabelledSlices) -> LabelledSlices:
    """As models were shown their slices; each picture is taken to have a window of its own."""
    return join(*(alike(slices.take([row])) for row in range(len(slices))))


def style_slices(
    model: Any, slices: LabelledSlices, size: int, progress: Progress | None = None
) -> tuple[list[Styled], StyleReport | None]:
    """Every slice in every style, and whether the styles have collapsed (None: one slice cannot tell).

    model  with `labels`, `styles` and `restyle`, as `models.stichnet`
    """
    from glasslung.measure.styles import examine_styles

    squares, found = SquareSlices(slices, size), []
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(slices), AT_ONCE):
        if progress:
            progress("painting styles", start / len(slices))
        rows = np.arange(start, min(start + AT_ONCE, len(slices)))
        image = squares.batch(rows).image
        labels, styles = model.labels(image).numpy(), model.styles(image).numpy()
        plain = image[:, 0].numpy()
        seen.append((plain, styles, labels))
        changes = {name: model.restyle(image, index)[:, 0].numpy() - plain for name, index in STYLES.items()}
        for n, row in enumerate(rows):
            picture = slices.pictures[row]
            made = {name: _changed(picture, change[n]) for name, change in changes.items()}
            where = from_square(labels[n], *picture.shape)
            found.append(Styled(slices.names[row], picture, where, made))
    if len(slices) < 2:
        return found, None
    plain, styles, labels = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    return found, examine_styles(plain, styles, labels)


def style_rows(model: Any, squares: SquareSlices, rows: np.ndarray, side: int = 128) -> np.ndarray | None:
    """Slices as on a sheet, small: the slice, its labels, three styles, uint8 (rows, 5, side, side, 3).

    None for a model without styles.
    """
    if not hasattr(model, "restyle"):
        return None
    found, _ = style_slices(model, squares.slices.take(rows), squares.size)
    cells = [(one.picture, tinted(one), *(one.made[name] for name in STYLES)) for one in found]
    return np.stack([np.stack([np.asarray(_fitted(cell, side)) for cell in row]) for row in cells])


def _changed(picture: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(H, W) uint8 with a change of the framed slice (S, S), on the scale of 1, brought to its own size."""
    own = from_square(change, *picture.shape)
    return np.rint(picture + 255 * own).clip(0, 255).astype(np.uint8)


def _told(model: str, styled: Sequence[Styled], report: StyleReport | None) -> dict[str, Any]:
    shares = {one.name: {name: round(share, 4) for name, share in one.shares.items()} for one in styled}
    told: dict[str, Any] = {"model": model, "share of the lungs": shares}
    if report is not None:
        told["styles"] = {"collapsed": report.collapsed, "verdict": report.verdict}
    return {**told, "disclaimer": DISCLAIMER}


# --------------------------------------------------------------------------------------------- to the eye


def tinted(one: Styled) -> np.ndarray:
    """The slice with ground glass and consolidation coloured as far as they are believed, (H, W, 3) uint8."""
    grey = np.repeat(one.picture[..., None], 3, 2).astype(np.float32)
    for index, colour in TINTS.items():
        share = TINTED * one.labels[index][..., None]
        grey = (1 - share) * grey + share * np.array(colour, np.float32)
    return np.rint(grey).clip(0, 255).astype(np.uint8)


def draw_sheets(styled: Sequence[Styled]) -> list[Image.Image]:
    """Sheets with a row for each slice."""
    parts = [styled[start : start + ROWS] for start in range(0, len(styled), ROWS)]
    return [_sheet(part, f"sheet {n} of {len(parts)}") for n, part in enumerate(parts, start=1)]


def _sheet(part: Sequence[Styled], number: str) -> Image.Image:
    heads = ("the slice", "what is seen in it", *(f"wholly {name}" for name in ("healthy", "ground glass")))
    heads = (*heads, "wholly consolidated")
    width = 2 * MARGIN + len(heads) * (CELL + GAP) - GAP
    sheet = Image.new("RGB", (width, HEAD + len(part) * (CELL + NAME) + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 8), "The same lung in other states, as a model imagines it", INK, _font(18))
    words = f"Painted, not scanned. {DISCLAIMER} {number}"
    pen.text((MARGIN, 34), words, FAINT, _font(13))
    for column, head in enumerate(heads):
        pen.text((MARGIN + column * (CELL + GAP), 66), head, INK, _font(15))
    _legend(pen, width - MARGIN)
    for row, one in enumerate(part):
        top = HEAD + row * (CELL + NAME)
        cells = (one.picture, tinted(one), *(one.made[name] for name in STYLES))
        for column, picture in enumerate(cells):
            sheet.paste(_fitted(picture), (MARGIN + column * (CELL + GAP), top))
        shares = ", ".join(f"{name} {share:.0%}" for name, share in one.shares.items())
        pen.text((MARGIN, top + CELL + 4), f"{one.name}: of the lungs {shares}", FAINT, _font(14))
    return sheet


def _legend(pen: ImageDraw.ImageDraw, right: int) -> None:
    """The two colours, in the corner above the pictures."""
    for name, index in (("consolidation", 2), ("ground glass", 1)):
        right -= int(pen.textlength(name, _font(15)))
        pen.text((right, 8), name, TINTS[index], _font(15))
        pen.rectangle((right - 20, 11, right - 6, 25), TINTS[index])
        right -= 36


def _fitted(picture: np.ndarray, side: int = CELL) -> Image.Image:
    """A picture in a square, in proportion, black around it."""
    drawn = Image.fromarray(picture).convert("RGB")
    scale = side / max(drawn.size)
    width, height = (max(1, round(length * scale)) for length in drawn.size)
    square = Image.new("RGB", (side, side))
    small = drawn.resize((width, height), Image.Resampling.BILINEAR)
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    return square


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _png(picture: Image.Image) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    return kept.getvalue()
