"""Train the reader whose features made lungs are measured on, and show what it sees and what it does not.

    python benchmarks/train_shipped_realism.py CAGE UCSD_COVID_CT --compare    choose, on training patients
    python benchmarks/train_shipped_realism.py CAGE UCSD_COVID_CT --out src/glasslung/weights/realism
    python benchmarks/train_shipped_realism.py CAGE UCSD_COVID_CT --check      on held-out ones, once

It learns from the training parts alone, dealt as `data.pictureset.picture_parts` deals them with seed 0; of
cage, only from patients who are in the training part of all slices and of the COVID slices alone, so that
nobody held out by either is seen. Phantoms come beside them.

Figures are of inner folds: a reader learns from two thirds of these training patients and is asked about the
last third, source by source. `strength` is a kernel distance of flawed pictures from real ones of other
patients over the highest one that halves of real ones reach by chance; above 1 it sees the flaw. `learned` is
the same for pictures it learned from: it should not stand out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.data.batches import GroupBalancedBatches, mirror
from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.lung_slices import slices as phantom_slices
from glasslung.data.pictureset import picture_parts
from glasslung.data.slices import SliceSet
from glasslung.files import write_json
from glasslung.measure.discrepancy import kid_interval, noise_floor
from glasslung.measure.featuresets import FeatureSet, feature_set
from glasslung.measure.lungfeatures import read_features
from glasslung.measure.twosample import two_sample_test
from glasslung.models import build, entry_for, slicenet
from glasslung.nn.batches import SliceBatch
from glasslung.predict.realism import open_reader
from glasslung.studies.folder import one_thread
from glasslung.train.checkpoint import save_tensors
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.rundir import library_versions

SOURCES = ("ucsd", "cage", "phantom")
SIZES = (64, 128)
TURNS = (64, 128, 64, 32)  # sizes of the batches, in turn: 32 is what quick studies take
PHANTOM_STREAM, PHANTOMS, PHANTOM_DAYS = 20_211, 150, (0.0, 14.0)
DRAWN = 128  # pixels: smaller ones are means of these
FOLDS = 3
DRAWS = 300
SEED = 0
STOPS, EACH = (700,), 8
CHOSEN: dict[str, Any] = {"groups": 1, "whole": True}
CHOSEN_STEPS = 700
CANDIDATES: dict[str, dict[str, Any]] = {
    "sources not told": {"groups": 1},
    "sources told, weight 0.1": {"groups": 3},
    "flaws of the whole": {"groups": 1, "whole": True},
    "flaws of the whole, sources told": {"groups": 3, "whole": True},
    "flaws of the whole, width 24": {"groups": 1, "whole": True, "width": 24},
}


# ------------------------------------------------------------------------------------------- pictures


def cage_part(folder: Path, size: int) -> SliceSet:
    """Slices of the patients who are in the training part of both deals."""
    whole = picture_parts(folder, size)["train"]
    other = picture_parts(folder, size, labels=("covid",))
    unseen = {one.patients[n] for name, one in other.items() if name != "train" for n in one.patient}
    return whole.take(np.array([whole.patients[n] not in unseen for n in whole.patient]))


@cache
def phantoms() -> SliceSet:
    """Every phantom once, on some day; drawn from a stream that no study draws from."""
    rng = np.random.default_rng(PHANTOM_STREAM)
    patients = [draw_patient(int(one)) for one in rng.choice(2**40, PHANTOMS, replace=False)]
    days = rng.uniform(*PHANTOM_DAYS, PHANTOMS)
    drawn = [
        phantom_slices([one], [float(day)], DRAWN).grey[0] for one, day in zip(patients, days, strict=True)
    ]
    names = tuple(one.name for one in patients)
    rows = np.arange(PHANTOMS)
    images = np.stack(drawn).astype(np.float32) / np.float32(255)
    return SliceSet(images, np.zeros(PHANTOMS, np.int64), days.astype(np.float32), rows, names, names)


def phantom_part(size: int) -> SliceSet:
    """The phantoms at another size."""
    whole = phantoms()
    small = F.adaptive_avg_pool2d(torch.from_numpy(whole.images[:, None]), size)[:, 0].numpy()
    return replace(whole, images=small)


def parts_of(cage: Path, ucsd: Path, size: int) -> dict[str, SliceSet]:
    """Training pictures of each source."""
    return {
        "ucsd": picture_parts(ucsd, size)["train"],
        "cage": cage_part(cage, size),
        "phantom": phantom_part(size),
    }


def held_out_of(cage: Path, ucsd: Path, size: int) -> dict[str, tuple[SliceSet, SliceSet]]:
    """Pictures that it learned from, and patients that nobody learned or chose by."""
    ucsd_parts = picture_parts(ucsd, size)
    return {
        "ucsd": (ucsd_parts["train"], ucsd_parts["val"]),
        "cage": (cage_part(cage, size), picture_parts(cage, size)["test"]),
    }


def dealt(parts: Mapping[str, SliceSet], fold: int) -> dict[str, tuple[SliceSet, SliceSet]]:
    """Each source in two: to learn from, and this fold's patients; the same patients at every size."""
    found = {}
    for name, one in parts.items():
        there = np.unique(one.patient)
        order = np.random.default_rng(SEED).permutation(there)
        inside = np.isin(one.patient, order[fold::FOLDS])
        found[name] = one.take(~inside), one.take(inside)
    return found


def joined(parts: Mapping[str, SliceSet]) -> SliceSet:
    """All sources as one set; the group of a picture is its source."""
    offset, patients = 0, []
    for one in parts.values():
        patients.append(one.patient + offset)
        offset += len(one.patients)
    sets = list(parts.values())
    return SliceSet(
        np.concatenate([one.images for one in sets]),
        np.repeat(np.arange(len(sets)), [len(one) for one in sets]),
        np.concatenate([one.day for one in sets]),
        np.concatenate(patients),
        tuple(name for one in sets for name in one.patients),
        tuple(name for one in sets for name in one.scans),
    )


# ------------------------------------------------------------------------------------------- training


class InTurns:
    """Batches of several sizes, one after another; with one group the sources are balanced and not told."""

    def __init__(self, streams: list[GroupBalancedBatches], told: bool) -> None:
        self.streams, self.told, self.number = streams, told, 0

    def __iter__(self) -> InTurns:
        return self

    def __next__(self) -> SliceBatch:
        batch = next(self.streams[self.number % len(self.streams)])
        self.number += 1
        return batch if self.told else replace(batch, group=torch.zeros_like(batch.group))

    def state(self) -> dict[str, Any]:
        """Where it stands."""
        return {"number": self.number, "streams": [one.state() for one in self.streams]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken."""
        self.number = state["number"]
        for one, there in zip(self.streams, state["streams"], strict=True):
            one.restore(there)


def train(
    by_size: Mapping[int, SliceSet], settings: Mapping[str, Any], stops: Sequence[int]
) -> Iterator[tuple[int, nn.Module]]:
    """A reader that learns to tell real pictures of every size from flawed ones, at every stop."""
    model = build("slicenet", SEED, **settings)
    streams = [
        GroupBalancedBatches(by_size[size], EACH, np.random.default_rng([SEED, number]), augment=mirror)
        for number, size in enumerate(TURNS)
    ]
    stream = InTurns(streams, settings["groups"] > 1)
    game = Game({"slicenet": model}, entry_for("slicenet").players(model), stream, SEED)
    for stop in stops:
        fit(game, range(game.step, stop))
        yield stop, model


# -------------------------------------------------------------------------------------------- figures


def _blurred(sigma: float) -> Callable[[Tensor], Tensor]:
    return lambda image: slicenet.blur(image, torch.full((len(image),), sigma))


def _noised(image: Tensor) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(SEED))
    return torch.where(image > 0, (image + 0.04 * noise).clamp(0, 1), image)


def _mixed(image: Tensor) -> Tensor:
    return 0.7 * image + 0.3 * image.roll(len(image) // 2, 0)


def _enlarged(image: Tensor) -> Tensor:
    half = F.avg_pool2d(image, 2)
    return F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)


def _chequered(image: Tensor) -> Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in image.shape[2:]), indexing="ij")
    pattern = ((rows + columns) % 2).float() * 2 - 1
    return torch.where(image > 0, (image + 0.03 * pattern).clamp(0, 1), image)


def _paler(image: Tensor) -> Tensor:
    return 0.5 + 0.8 * (image - 0.5)


def _patched(image: Tensor) -> Tensor:
    """The lower right quarter is another picture's: parts that are right, a whole that is not."""
    half = image.shape[-1] // 2
    made = image.clone()
    made[..., half:, half:] = image.roll(len(image) // 2, 0)[..., half:, half:]
    return made


def _few(image: Tensor) -> Tensor:
    """A tenth of the pictures, over and over: a collapse."""
    return image[torch.arange(len(image)) % max(2, len(image) // 10)]


FLAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "blurred, 0.6 px": _blurred(0.6),
    "noised, 0.04": _noised,
    "mixed, 0.3": _mixed,
    "made at half the size": _enlarged,  # never taught as such, nor are "paler" and "a tenth"
    "chequered, 0.03": _chequered,
    "paler, by a fifth": _paler,
    "a quarter of another": _patched,
    "a tenth, repeated": _few,
}


def seen(read: Callable[[np.ndarray], np.ndarray], one: SliceSet) -> FeatureSet:
    """Features of a set, patient by patient."""
    return feature_set(read_features(one.images, read), one.patient)


def figures(read: Callable[[np.ndarray], np.ndarray], known: SliceSet, unseen: SliceSet) -> dict[str, float]:
    """Strength of every flaw on pictures of unseen patients, and of having been learned from."""
    rng = np.random.default_rng(SEED)
    order = np.random.default_rng(SEED).permutation(np.unique(unseen.patient))
    inside = np.isin(unseen.patient, order[: len(order) // 2])
    first, second = unseen.take(inside), unseen.take(~inside)
    high = noise_floor(seen(read, unseen), rng=rng, splits=DRAWS).high
    found = {}
    for name, spoil in FLAWS.items():
        flawed = spoil(torch.from_numpy(second.images[:, None]))[:, 0].numpy()
        made = feature_set(read_features(flawed, read))
        found[name] = kid_interval(seen(read, first), made, rng=rng, draws=2).value / high
    some = known.take(np.sort(rng.permutation(len(known))[: 2 * len(unseen)]))
    learned = kid_interval(seen(read, unseen), seen(read, some), rng=rng, draws=DRAWS)
    found["learned"] = learned.value / high
    found["learned, lower limit"] = learned.low / high
    told = two_sample_test(seen(read, unseen), seen(read, some), rng=rng, kind="linear", draws=DRAWS)
    found["learned, AUC"], found["learned, AUC lower limit"] = told.area.value, told.area.low
    return found


Found = dict[tuple[int, str, int], dict[str, list[float]]]
"""(steps, source, size) -> figure -> one value of each fold."""


def folded(
    parts: Mapping[int, Mapping[str, SliceSet]],
    settings: Mapping[str, Any],
    folds: Sequence[int],
    stops: Sequence[int],
) -> Found:
    """Figures of one candidate."""
    found: Found = {}
    for fold in folds:
        deals = {size: dealt(one, fold) for size, one in parts.items()}
        known = {size: joined({name: two[0] for name, two in deal.items()}) for size, deal in deals.items()}
        for steps, model in train(known, settings, stops):
            for size in SIZES:
                for name, (taught, unseen) in deals[size].items():
                    read = slicenet.reader(model)  # type: ignore[arg-type]
                    for key, value in figures(read, taught, unseen).items():
                        found.setdefault((steps, name, size), {}).setdefault(key, []).append(value)
    return found


def told(found: Found) -> str:
    """Means over the folds, one line for each stop, source and size."""
    return "\n".join(
        f"  {steps} steps, {name} {size}: "
        + ", ".join(f"{key} {np.mean(values):.2f}" for key, values in one.items())
        for (steps, name, size), one in found.items()
    )


def plain(found: Found) -> dict[str, Any]:
    """As JSON values."""
    return {
        f"{steps} steps, {name}, {size} px": {
            key: [round(one, 4) for one in values] for key, values in rows.items()
        }
        for (steps, name, size), rows in found.items()
    }


def ship(model: nn.Module, steps: int, out: Path) -> None:
    """Weights and settings, as `models.shipped` reads them."""
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / "model.safetensors", dict(model.state_dict()))
    versions = {name: one for name, one in library_versions().items() if name != "platform"}
    settings = {name: getattr(model.config, name) for name in model.config.__dataclass_fields__}  # type: ignore[union-attr,arg-type]
    training = {"steps": steps, "each": EACH, "sizes": list(TURNS)}
    about = {"name": "slicenet", "settings": {**settings, "training": training}, "seed": SEED}
    write_json(out / "settings.json", {**about, "versions": versions})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cage", type=Path)
    parser.add_argument("ucsd", type=Path)
    parser.add_argument("--compare", action="store_true", help="all candidates, in folds; nothing is shipped")
    parser.add_argument("--only", type=int, nargs="*", help="only these candidates, by number")
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(FOLDS)), help="only these folds")
    parser.add_argument("--stops", type=int, nargs="*", default=list(STOPS), help="steps to be measured at")
    parser.add_argument("--numbers", type=Path, help="where figures go, as JSON")
    parser.add_argument("--check", action="store_true", help="measure what ships on held-out pictures")
    parser.add_argument("--out", type=Path, help="train the chosen one on all training patients, and ship it")
    wanted = parser.parse_args()
    if wanted.check:
        with one_thread():
            check(wanted.cage, wanted.ucsd, wanted.numbers)
        return
    parts = {size: parts_of(wanted.cage, wanted.ucsd, size) for size in sorted(set(TURNS))}
    print({name: len(one) for name, one in parts[64].items()}, flush=True)
    with one_thread():
        if wanted.compare:
            compare(parts, wanted)
        if wanted.out:
            by_size = {size: joined(one) for size, one in parts.items()}
            ((steps, model),) = train(by_size, CHOSEN, (CHOSEN_STEPS,))
            ship(model, steps, wanted.out)


def compare(parts: Mapping[int, Mapping[str, SliceSet]], wanted: argparse.Namespace) -> None:
    """Every candidate in folds, printed and written."""
    found = {}
    for number, (name, settings) in enumerate(CANDIDATES.items()):
        if wanted.only and number not in wanted.only:
            continue
        began = time.process_time()
        one = folded(parts, settings, wanted.folds, wanted.stops)
        print(f"{name}, {time.process_time() - began:.0f} s\n{told(one)}", flush=True)
        found[name] = plain(one)
        if wanted.numbers:
            write_json(wanted.numbers, found)


def check(cage: Path, ucsd: Path, numbers: Path | None) -> None:
    """What ships, asked about patients that nobody learned or chose by."""
    read, found = open_reader(), {}
    for size in SIZES:
        for name, (known, unseen) in held_out_of(cage, ucsd, size).items():
            one = found[f"{name}, {size} px"] = figures(read, known, unseen)
            told = ", ".join(f"{key} {value:.2f}" for key, value in one.items())
            print(f"{name}, {size} px, {len(unseen)} pictures: {told}", flush=True)
    if numbers:
        write_json(numbers, {"reader": str(read), "held out": found})


if __name__ == "__main__":
    main()
