"""Made lungs as files that say where they come from, and are refused where they are copies.

    pictures/0001.png ...   8-bit grey, with their provenance in the file's text fields; or .dcm on request
    cohort.csv              one row each: file, group, seed, row, and the score of the copy check: the lower,
                            the nearer to a training picture
    codes.csv               the code of each, for walks and for the latent explorer
    provenance.json         run, weights, training pictures (hashes), seed, the copy check's figures

Before anything is written, all made pictures are compared with the pictures that the run was trained on
(`measure.copycheck`): as they are, mirrored, moved, cropped, in other greys. As near as hardly any unseen
real picture lies counts as a copy; above a stated share of copies nothing is written, below it the copies are
left out.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung import __version__
from glasslung.data.formats.dicom_secondary import write_secondary_capture
from glasslung.data.pictureset import group_names, picture_parts
from glasslung.data.picturesheet import as_png, beside_nearest
from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.files import whole_folder, write_json
from glasslung.measure.copies import Copies
from glasslung.measure.copycheck import CopyCheck, check_copies
from glasslung.nn.making import sample_pictures
from glasslung.predict.trained import Trained, open_trained
from glasslung.studies.synthesis.training import MAKERS, TRAIN, unseen_of
from glasslung.train.rundir import hash_input
from glasslung.types import DISCLAIMER, Progress

KINDS = ("png", "dicom")
CHECK = "greys of 16 x 16 fields, and patterns of 32 x 32 moved and cropped; mirror images as well"
SHOWN = 16  # made pictures beside their nearest training picture, the nearest ones first


@dataclass(frozen=True)
class Export:
    """What is to be made, and when it is refused."""

    count: int = 64
    seed: int = 0
    group: int | None = None
    """Which kind, of a conditional model; None: all in turn."""
    kind: str = "png"
    most_copies: float = 0.05
    """Share of made pictures that may be copies; unseen real ones reach 0.01 to 0.02 by nature."""
    show_neighbours: bool = False
    """Write `neighbours.png` as well: it shows training pictures, which may be patients'."""

    def __post_init__(self) -> None:
        if self.count < 2 or self.kind not in KINDS or not 0 <= self.most_copies < 1:
            raise UsageError(
                f"count must be 2 or more, kind one of {', '.join(KINDS)}, most_copies from 0 to below 1"
            )


def export_pictures(
    which: str | Path, out: Path, wanted: Export, cohort: Path | None = None, progress: Progress | None = None
) -> Path:
    """Make pictures by a run, check them for copies, and write them into a new folder, whole or not at all.

    cohort  the pictures that the run was trained on; None: where they were then. They are known by their
            hash: others are refused, for a check against them would prove nothing
    DataError where the share of copies is above the threshold, with the share.
    """
    run = open_trained(which, _refuse_others)
    parts = training_parts(run, cohort, progress)
    codes, group, images = sample_pictures(run.model, wanted.count, wanted.seed, wanted.group)
    copies = copies_among(images, parts, wanted.seed)
    if copies.rate.value > wanted.most_copies:
        raise DataError(
            f"{100 * copies.rate.value:.0f} % of {wanted.count} made pictures are as near to a training "
            f"picture as {100 * copies.expected:.0f} % of unseen real ones; with more than "
            f"{100 * wanted.most_copies:.0f} % nothing is written. Train with more pictures, more "
            "distortion, or fewer steps"
        )
    kept = np.flatnonzero(copies.distance > copies.threshold)
    facts = provenance(run, wanted, copies, len(kept))
    with whole_folder(out) as part:
        (part / "pictures").mkdir()
        rows = [
            _write(images[row], part, number, int(row), facts) for number, row in enumerate(kept, start=1)
        ]
        _write_table(part / "cohort.csv", rows, kept, group, copies, run, wanted.seed)
        _write_codes(part / "codes.csv", rows, codes[kept])
        if wanted.show_neighbours:
            (part / "neighbours.png").write_bytes(neighbours(images, parts[TRAIN], copies))
        write_json(part / "provenance.json", facts)
    return out


def _refuse_others(method: str) -> None:
    if method not in MAKERS:
        raise UsageError(f"{method} makes no lungs from codes; give a run of {', '.join(MAKERS)}")


def training_parts(run: Trained, cohort: Path | None, progress: Progress | None) -> dict[str, SliceSet]:
    """The pictures the run was trained on, and those it never saw, by their hash the very same."""
    told = run.about.get("inputs", {}).get("cohort")
    if told is None:
        raise DataError(
            f"{run.name} does not tell what it was trained on, so nothing can be checked for copies"
        )
    path = Path(told["path"]) if cohort is None else Path(cohort)
    if not path.exists():
        raise UsageError(f"{path} is not there; give the pictures that the run was trained on with --cohort")
    if hash_input(path) != told["sha256"]:
        raise DataError(
            f"{path} is not what the run was trained on: its hash differs; give the same pictures"
        )
    settings = run.about["settings"]
    training = settings["training"]
    return picture_parts(
        path,
        settings["size"],
        settings.get("condition", "none"),
        training["labels"],
        training["split_seed"],
        training["framing"],
        progress,
    )


def copies_among(images: np.ndarray, parts: Mapping[str, SliceSet], seed: int) -> CopyCheck:
    """How many made pictures are copies of training pictures."""
    unseen = unseen_of(parts)
    if unseen is None:
        raise DataError(
            "no picture was held out, so nobody knows how near a new one would lie; train with a split"
        )
    rng = np.random.default_rng(seed)
    return check_copies(images, parts[TRAIN].images, unseen.images, unseen.patient, rng=rng)


def neighbours(images: np.ndarray, train: SliceSet, copies: Copies) -> bytes:
    """The made pictures nearest to a training picture, each over that picture, as a PNG."""
    rows = np.argsort(copies.distance)[:SHOWN]
    both = np.concatenate([train.images, train.images[:, :, ::-1]])
    return as_png(beside_nearest(images[rows], both[copies.nearest[rows]]))


def provenance(run: Trained, wanted: Export, copies: CopyCheck, kept: int) -> dict[str, Any]:
    """Where the pictures come from, as JSON values."""
    rate = copies.rate
    return {
        "synthetic": True,
        "note": f"Made pictures, not patients. {DISCLAIMER}",
        "made_by": f"glasslung {__version__}",
        "made_on": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "run": run.name,
        "model": run.method,
        "run_seed": run.about["seed"],
        "weights_sha256": hash_input(run.weights),
        "training_pictures_sha256": run.about["inputs"]["cohort"]["sha256"],
        "export": asdict(wanted),
        "copy_check": {
            "sights": list(copies.sights),
            "told": CHECK,
            "rate": rate.value,
            "low": rate.low,
            "high": rate.high,
            "of_unseen_real_pictures": copies.expected,
            "threshold_score": copies.threshold,
            "refused_above": wanted.most_copies,
            "left_out": wanted.count - kept,
        },
        "written": kept,
    }


def _write(image: np.ndarray, part: Path, number: int, row: int, facts: Mapping[str, Any]) -> Path:
    """One picture with its story; its path in the folder."""
    wanted = facts["export"]
    name = f"synthetic-{number:04d}"
    story = (
        f"Made by {facts['model']} of run {facts['run']}, weights {facts['weights_sha256'][:16]}, seed "
        f"{wanted['seed']}, code {row}; no copy of a training picture by the check in provenance.json."
    )
    grey = np.rint(image * 255).astype(np.uint8)
    if wanted["kind"] == "dicom":
        path = Path("pictures") / f"{name}.dcm"
        write_secondary_capture(grey, part / path, name, story)
        return path
    path = Path("pictures") / f"{name}.png"
    told = {"Title": "SYNTHETIC, NOT A PATIENT", "Description": story, "Disclaimer": DISCLAIMER}
    (part / path).write_bytes(as_png(grey, told))
    return path


def _write_table(
    path: Path,
    rows: list[Path],
    kept: np.ndarray,
    group: np.ndarray,
    copies: Copies,
    run: Trained,
    seed: int,
) -> None:
    """A cohort of the pictures, which the other verbs read; a DICOM secondary capture is no scan for them."""
    names = group_names(run.about["settings"].get("condition", "none"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = [
        "patient",
        "scan",
        "image",
        "intensity",
        "site",
        "label",
        "synthetic",
        "seed",
        "code",
        "copy_score",
    ]
    writer.writerow(head)
    for place, row in zip(rows, kept, strict=True):
        name = place.stem
        label, distance = names[int(group[row])], f"{copies.distance[row]:.5f}"
        writer.writerow(
            [name, name, place.as_posix(), "display8", "synthetic", label, "1", seed, row, distance]
        )
    path.write_text(text.getvalue(), encoding="utf-8")


def _write_codes(path: Path, rows: list[Path], codes: np.ndarray) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", *(f"z{n + 1}" for n in range(codes.shape[1]))])
    for place, code in zip(rows, codes, strict=True):
        writer.writerow([place.stem, *(f"{value:.6g}" for value in code)])
    path.write_text(text.getvalue(), encoding="utf-8")
