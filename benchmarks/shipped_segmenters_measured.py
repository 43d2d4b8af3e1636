"""What the shipped segmenters are worth: phantoms of a site never learned from, real scans, and pictures.

Called by `train_shipped_segmenters.py measure`. Prints markdown tables and draws overlays, which are to be
looked at: cyan the network's lungs, green dashed the classical ones, white those given; yellow ground glass,
red consolidation.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glasslung.data import boxgrid
from glasslung.data.formats import read_mask, read_scan
from glasslung.data.labelbatches import SquareSlices, from_square
from glasslung.data.labelfolders import read_labelled_cohort
from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, unknown_like
from glasslung.data.lungs import segment_lungs
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.data.phantom import draw_patient, render
from glasslung.data.slices import read_picture
from glasslung.data.slicewindows import alike
from glasslung.data.sources import open_cohort
from glasslung.predict.masks import LESION, segment_scan
from glasslung.predict.opening import Segmenter, open_segmenter
from glasslung.predict.reading import read_scan as read_by_network
from glasslung.predict.trained import open_trained
from glasslung.types import Lesion, Lungs, Volume

CASES = (
    (900001, "covid", 0.9, 9.0),
    (900002, "covid", 0.8, 12.0),
    (900003, "bacterial", 0.9, 4.0),
    (900004, "bacterial", 0.7, 3.5),
    (900005, "covid", 0.5, 7.0),
    (900006, "covid", 0.3, 20.0),
    (900007, "healthy", None, 0.0),
    (900008, "covid", 0.95, 14.0),
    (900009, "covid", 0.6, 5.0),
    (900010, "bacterial", 0.9, 6.0),
)
"""Seed, disease, severity, day."""
SITE = "d"  # the site that no training saw
REAL = (
    ("lung1-001", "lung1-001_ct.nii.gz", "lung1-001_mask.nii.gz"),
    ("cip_ct-64", "cip_ct-64.nrrd", "cip_wholeLung-64.nrrd"),
    ("lidc-idri-0314", "lidc-idri-0314_ct.nii.gz", None),
)
TUMOUR = 3  # label in the mask of lung1-001
LESIONS = ("ground glass", "consolidation")  # crazy paving counts as ground glass
STACKS = ("coronacases_001", "coronacases_008", "radiopaedia-10_85902_1", "radiopaedia-29_86490_1")
LEAST_ML = 1.0  # of a class, for its Dice to be told


@dataclass(frozen=True, eq=False)
class Found:
    """What the network alone says, on the scan's grid, and the lungs that stand once the rules were heard.

    lungs    (D, H, W) bool: the network's
    lesions  (D, H, W) uint8, labels of `Lesion`, inside these lungs
    stand    (D, H, W) bool: the lungs that `analyze` goes on with
    told     (D, H, W) uint8: the lesions in them, as `analyze` tells them
    seconds  process time of the network
    """

    lungs: np.ndarray
    lesions: np.ndarray
    stand: np.ndarray
    told: np.ndarray
    seconds: float


def find(segmenter: Segmenter, volume: Volume, classical: Lungs) -> Found:
    """Lungs and lesions, looked for around the classical lungs."""
    orientation = orientation_of(volume)
    near = to_upright(classical.mask, orientation) > 0
    began = time.process_time()
    told = read_by_network(segmenter, volume, near, upright_spacing_mm(volume, orientation))
    lungs, lesions = np.zeros(volume.shape, bool), np.zeros(volume.shape, np.uint8)
    up_lungs, up_lesions = to_upright(lungs, orientation), to_upright(lesions, orientation)
    assert told is not None and told.lung is not None
    for run in boxgrid.slabs(told.grid.size[0], 16):
        rows, columns = told.grid.box[1:]
        first = told.grid.box[0].start
        at = slice(first + run.start, first + run.stop), rows, columns
        lung, ill = boxgrid.maps_from_grid(np.stack([told.lung, told.infection]), told.grid, run)
        kinds = boxgrid.labels_from_grid(told.kinds, told.grid, run)
        up_lungs[at] = lung >= 0.5
        up_lesions[at] = np.where((lung >= 0.5) & (ill >= LESION), kinds, 0)
    seconds = time.process_time() - began
    both = segment_scan(volume, segmenter, classical)
    return Found(lungs, lesions, both.lungs.mask > 0, both.lesions, seconds)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Of two masks; 1 where both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / total if total else 1.0


def row(*cells: object) -> None:
    """A line of a markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


# ------------------------------------------------------------------------------------- Hounsfield units


def measure_hu(weights: str, data: Path | None, out: Path, cases: int) -> None:
    """Phantoms of site d, then real scans with pictures."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    network = open_segmenter(weights)
    if cases:
        phantoms(network, cases, out)
    for name, scan, mask in REAL if data is not None else ():
        real(network, data / "chest_ct_hu", (name, scan, mask), out)  # type: ignore[operator]


def phantoms(network: Segmenter, cases: int, out: Path) -> None:
    """Lung Dice beside the classical one, Dice and millilitres of each class."""
    row(
        "case",
        "lungs",
        "classical",
        "both",
        "dense lung inside",
        "classical",
        *LESIONS,
        "any lesion",
        "ml off",
        "s",
    )
    row(*["---"] * 11)
    kept = []
    for seed, disease, severity, day in CASES[:cases]:
        chest = render(draw_patient(seed, disease, SITE, severity), day, shape=None)
        classical = segment_lungs(chest.volume)
        found = find(network, chest.volume, classical)
        told = case_figures(chest, found, classical)
        kept.append(told)
        classes = [f"{told[name][0]:.2f} ({told[name][1]:.0f} / {told[name][2]:.0f} ml)" for name in LESIONS]
        row(
            f"{disease} {seed} day {day:g}",
            f"{told['lungs']:.3f}",
            f"{told['classical']:.3f}",
            f"{told['both']:.3f}",
            f"{told['dense']:.2f}",
            f"{told['dense classical']:.2f}",
            *classes,
            f"{told['any']:.3f}",
            f"{told['ml off']:+.0f} of {told['ml']:.0f}",
            f"{found.seconds:.1f}",
        )
        draw_scan(chest.volume, found, classical.mask > 0, chest.lungs > 0, f"phantom-{seed}", out)
    mean = {name: float(np.nanmean([one[name] for one in kept])) for name in kept[0] if name not in LESIONS}
    each = {name: float(np.nanmean([one[name][0] for one in kept])) for name in LESIONS}
    least = min(one["lungs"] for one in kept), min(one["classical"] for one in kept)
    print(f"\nmean: {mean}; Dice by class {each}; least lungs, classical {least}")
    print(f"mean of |ml off| {np.mean([abs(one['ml off']) for one in kept]):.0f}\n", flush=True)


def case_figures(chest: Any, found: Found, classical: Lungs) -> dict[str, Any]:
    """Everything of one phantom. Dice of a class with less than a millilitre is undefined."""
    ml, true, dense = chest.volume.voxel_ml, chest.lungs > 0, chest.lesions == Lesion.CONSOLIDATION
    lesions = np.where(chest.lesions == Lesion.CRAZY_PAVING, Lesion.GROUND_GLASS, chest.lesions)
    told: dict[str, Any] = {
        "lungs": dice(found.lungs, true),
        "classical": dice(classical.mask > 0, true),
        "both": dice(found.stand, true),
        "dense": float(found.lungs[dense].mean()) if dense.any() else np.nan,
        "dense classical": float((classical.mask > 0)[dense].mean()) if dense.any() else np.nan,
        "any": dice(found.lesions > 0, chest.lesions > 0) if (chest.lesions > 0).any() else np.nan,
        "ml": float((chest.lesions > 0).sum() * ml),
    }
    told["ml off"] = float((found.lesions > 0).sum() * ml - told["ml"])
    for label, name in enumerate(LESIONS, 1):
        there, seen = lesions == label, found.lesions == label
        amount = float(there.sum() * ml)
        told[name] = (dice(there, seen) if amount >= LEAST_ML else np.nan, amount, float(seen.sum() * ml))
    return told


def real(network: Segmenter, folder: Path, names: tuple[str, str, str | None], out: Path) -> None:
    """One real scan: lungs beside the classical and the given ones, lesions in ml, and a picture."""
    name, scan, mask = names
    volume = read_scan(folder / scan)
    by_rules = segment_lungs(volume)
    classical, found = by_rules.mask, find(network, volume, by_rules)
    given = None if mask is None else read_mask(folder / mask, volume)
    ml = [round(float((found.lesions == label).sum() * volume.voxel_ml)) for label in (1, 2)]
    lungs = round(float(found.lungs.sum() * volume.voxel_ml))
    print(f"{name}: lungs {lungs} ml, {dict(zip(LESIONS, ml, strict=True))}; {found.seconds:.1f} s")
    ml = [round(float((found.told == label).sum() * volume.voxel_ml)) for label in (1, 2)]
    print(f"  with the rules' lungs: {dict(zip(LESIONS, ml, strict=True))}")
    print(f"  Dice with the classical lungs {dice(found.lungs, classical > 0):.4f}")
    if given is not None:
        ours, theirs, both = (dice(one > 0, given > 0) for one in (found.lungs, classical, found.stand))
        print(f"  Dice with the given lungs {ours:.4f}, the classical {theirs:.4f}, both {both:.4f}")
    if given is not None and name.startswith("lung1"):
        tumour = given == TUMOUR
        counts = np.bincount(found.lesions[tumour], minlength=3) / np.count_nonzero(tumour)
        inside = found.lungs[tumour].mean(), (classical > 0)[tumour].mean()
        print(
            f"  of the tumour in the lungs {inside[0]:.2f}, classical {inside[1]:.2f}; as {counts.round(2)}"
        )
    draw_scan(volume, found, classical > 0, None if given is None else given > 0, name, out)


def draw_scan(
    volume: Volume, found: Found, classical: np.ndarray, given: np.ndarray | None, name: str, out: Path
) -> None:
    """Six slices from top to bottom."""
    orientation = orientation_of(volume)
    hu, lungs, lesions, old = (
        to_upright(part, orientation) for part in (volume.voxels, found.lungs, found.lesions, classical)
    )
    truth = None if given is None else to_upright(given, orientation)
    seen = np.flatnonzero(lungs.any((1, 2)) | old.any((1, 2)))
    rows = seen[np.linspace(0.06 * len(seen), 0.94 * len(seen) - 1, 6).astype(int)]
    grey = np.clip((hu[rows].astype(np.float32) + 1250) / 1500, 0, 1)
    sheet(
        grey, lesions[rows], [(lungs[rows], "c"), (old[rows], "lime")],
        None if truth is None else truth[rows], [f"{name} {row}" for row in rows], out / f"{name}.png",
    )  # fmt: skip


def sheet(
    pictures: Any, lesions: Any, lungs: list[tuple[Any, str]], given: Any, titles: list[str], path: Path
) -> None:
    """Six pictures with outlines and lesions laid over them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    colours = ListedColormap([(0, 0, 0, 0), (1, 0.85, 0, 0.45), (1, 0.1, 0.1, 0.5), (0.8, 0, 1, 0.5)])
    figure, axes = plt.subplots(2, 3, figsize=(15, 10.5))
    for n, axis in enumerate(axes.ravel()[: len(titles)]):
        axis.imshow(pictures[n], cmap="gray", vmin=0, vmax=1)
        axis.imshow(lesions[n], cmap=colours, vmin=0, vmax=3, interpolation="nearest")
        for masks, colour in lungs:
            if masks[n].any():
                style = "dashed" if colour == "lime" else "solid"
                axis.contour(masks[n], [0.5], colors=colour, linewidths=0.8, linestyles=style)
        if given is not None and given[n].any():
            axis.contour(given[n], [0.5], colors="w", linewidths=0.5)
        axis.set_title(titles[n], fontsize=9)
    for axis in axes.ravel():
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=65)
    plt.close(figure)


# ------------------------------------------------------------------------------------------ 8-bit slices


def measure_pictures(weights: str, data: Path, out: Path) -> None:
    """Shares of the lungs that are lesion, and overlays, of stacks that nobody labelled."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    model: Any = open_trained(weights).model
    stacks = read_labelled_cohort(open_cohort(data / "covid_semiseg"), True, 4)
    sets = {"covid_volume_8bit": read_volume(data / "covid_volume_8bit")}
    for name in STACKS:
        rows = [n for n, one in enumerate(stacks.names) if one.rpartition("-")[0] == name]
        if not rows:
            raise SystemExit(
                f"no stack {name}; there are {sorted({n.rpartition('-')[0] for n in stacks.names})}"
            )
        sets[name] = stacks.take(rows)
    for name, slices in sets.items():
        show_stack(model, alike(slices), name, out)


def read_volume(folder: Path) -> LabelledSlices:
    """A folder of pictures as slices of one stack without labels."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    pictures = tuple(read_picture(path) for path in files)
    unknown = tuple(unknown_like(picture) for picture in pictures)
    origins = tuple(SliceOrigin(f"{folder.name}-{path.stem}", folder.name, Kind.UNLABELLED) for path in files)
    return LabelledSlices(pictures, unknown, unknown, origins)


def show_stack(model: Any, slices: LabelledSlices, name: str, out: Path) -> None:
    """Lungs and lesions of a stack: shares, and six overlays."""
    side = 192
    squares, masks = SquareSlices(slices, side), []
    for start in range(0, len(slices), 8):
        rows = np.arange(start, min(start + 8, len(slices)))
        maps = model.chest_probabilities(squares.batch(rows).image).numpy()
        for row_, each in zip(rows, maps, strict=True):
            whole = from_square(each, *slices.pictures[row_].shape)
            lungs = whole[0] < 0.5
            masks.append((lungs, np.where(lungs, whole[1:].argmax(0), 0)))
    lung = sum(int(m.sum()) for m, _ in masks)
    haze, dense = (sum(int((found == kind).sum()) for _, found in masks) / max(lung, 1) for kind in (1, 2))
    none = sum(not m.any() for m, _ in masks)
    print(f"{name}: {len(slices)} slices, {none} without lungs; ", end="")
    print(f"ground glass {haze:.1%}, consolidation {dense:.1%} of the lungs", flush=True)
    rows = np.linspace(0, len(slices) - 1, 8).astype(int)[1:-1]
    shown = [slices.pictures[row] / 255 for row in rows]
    lungs_shown, lesions = zip(*(masks[row] for row in rows), strict=True)
    sheet(
        shown, lesions, [(lungs_shown, "c")], None, [slices.names[row] for row in rows], out / f"{name}.png"
    )
