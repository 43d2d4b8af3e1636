"""Make and measure the segmenters that come with the package: lesions-hu and lesions-8bit.

    S=benchmarks/train_shipped_segmenters.py; DATA=../shared/data
    python $S draw --out scans.npz                                        phantom scans to learn from
    python $S train hu --scans scans.npz --data $DATA --out first-hu --steps 2500
    python $S train hu --scans scans.npz --data $DATA --out run-hu --steps 500 --start first-hu
    python $S validate --scans scans.npz --data $DATA --out cv            what phantoms and others add
    python $S train 8bit --scans scans.npz --data $DATA --out one-8bit --steps 800
    python $S train 8bit --scans scans.npz --data $DATA --out two-8bit --steps 700 --start one-8bit
    python $S train 8bit --scans scans.npz --data $DATA --out three-8bit --steps 900 --start two-8bit
    python $S train 8bit --scans scans.npz --data $DATA --out run-8bit --steps 3000 --start three-8bit
    python benchmarks/ship_run.py run-hu --half --classes 3 --out src/glasslung/weights/lesions-hu
    python $S measure hu --weights lesions-hu --data $DATA --out pictures

One core is enough: set OMP_NUM_THREADS=1. Everything is drawn from seeds; DATA holds covid_semiseg, cage,
chest_ct_hu and dicom. Of what `measure` judges, lung1-001 and phantoms of site d are not learned from.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats import read_mask, read_scan
from glasslung.data.labelbatches import LabelledBatches, SquareSlices
from glasslung.data.labelfolders import read_labelled_cohort, read_labelled_folder
from glasslung.data.labelled import Kind, LabelledSlices, folds, join
from glasslung.data.pairaugment import POLICIES, Pairs, Policy, apply_views, draw_views
from glasslung.data.phantom import draw_patient, render
from glasslung.data.phantom.scanner import site_named
from glasslung.data.retouch import Retouch, retouch
from glasslung.data.scanslices import (
    PICTURE_WINDOW,
    MixedBatches,
    ScanSliceBatches,
    Settings,
    SliceStack,
    hazed,
    in_window,
    placed,
    stack_of_scan,
    stack_of_volume,
    stack_with_lungs,
)
from glasslung.data.slicelungs import with_lungs
from glasslung.data.slicewindows import alike
from glasslung.data.sources import open_cohort
from glasslung.data.volumebatches import Scan, draw_scan, on_grid, vary
from glasslung.data.volumebatches import Settings as ScanSettings
from glasslung.errors import GlasslungError
from glasslung.files import whole_file, write_json
from glasslung.measure.overlap import BothEmpty
from glasslung.models import build, entry_for
from glasslung.studies.evaluation import segmented
from glasslung.studies.segmentation.contest import ask, keep_averages
from glasslung.studies.segmentation.scores import (
    SegmentationScores,
    figures_of,
    paired_gain,
    score_segmentations,
)
from glasslung.studies.segmentation.training import SegmentJob, SegmentTraining, read_healthy, settings_of
from glasslung.studies.training import config_of, play
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir
from shipped_segmenters_measured import measure_hu, measure_pictures

SITES = "abc"  # the fourth is for judging
ORDINARY, HEAVY = 60, 140  # scans as they come; scans at the height of the disease
HEAVY_SEED = 560_000
EVERY = 8  # slice of the stacks without labels
HU = Settings(size=160, slices=4)  # a square of 32 cm: slices are cut, anywhere, where they are wider
PICTURES = Settings(slices=2, pictures=True)
ALL = 99
REAL_HU = {
    "chest_ct_hu/lidc-idri-0314_ct.nii.gz": 22,
    "dicom/lidc_small": ALL,
    "dicom/lungmask_testdata": ALL,
}
"""Scans without a mask: on how many slices, from the feet, no part of the lungs is dense, to the eye."""
HEALTHY_HU = "chest_ct_hu/cip_ct-64.nrrd", "chest_ct_hu/cip_wholeLung-64.nrrd"
"""The one healthy scan with drawn lungs, from the neck to the kidneys."""
STREAM = 3
HEARD = 0.7  # power of a picture's own greys at the answer; `validate` tells what it changes
SIZE, FRAMED = 192, 160  # FRAMED: at which cropped pictures have about 1.8 mm to the pixel

CALM = Policy(
    mirror=0.5,
    turn_deg=15.0,
    scale=0.2,
    shear=0.1,
    shift=0.05,
    bend=0.015,
    gamma=0.08,
    contrast=0.05,
    brightness=0.02,
    blur=0.25,
    noise=0.06,  # 84 HU: more than low-dose scans have
    cutout=0.15,
    cutout_sides=(1 / 16, 1 / 8),
)
"""Of Hounsfield units, which mean the same everywhere."""
MODERATE = POLICIES["moderate"]
WIDE = replace(MODERATE, scale=0.45, noise=0.04)  # phantoms fill less of the square than cropped pictures


# --------------------------------------------------------------------------------------------- phantoms


def draw(out: Path) -> None:
    """Phantom scans on a grid of 2 mm, as they come and with much consolidation, into one file."""
    arrays = dict[str, np.ndarray]()
    for number in range(ORDINARY + HEAVY):
        began = time.process_time()
        scan = draw_scan(number, SITES, ScanSettings()) if number < ORDINARY else heavy(number - ORDINARY)
        arrays |= {f"hu{number}": scan.hu, f"label{number}": scan.label}
        counts = np.bincount(scan.label.ravel(), minlength=5).tolist()
        print(number, scan.hu.shape, counts, f"{time.process_time() - began:.1f} s", flush=True)
    with whole_file(out) as file:
        np.savez(file, allow_pickle=False, **arrays)


def heavy(number: int) -> Scan:
    """A scan at the height of a pneumonia, two bacterial ones for each two of covid; thick slices."""
    rng = np.random.default_rng([HEAVY_SEED, number])
    disease = ("bacterial", "covid", "bacterial", "covid")[number % 4]
    site = vary(site_named(SITES[number % len(SITES)]), rng)
    apart = float(rng.uniform(3.5, 5.5))
    site = replace(site, slice_mm=apart, thickness_mm=apart)
    severity = float(rng.uniform(0.6, 1.0) if disease == "bacterial" else rng.uniform(0.4, 1.0))
    day = float(rng.uniform(2.5, 7.0) if disease == "bacterial" else rng.uniform(5.0, 16.0))
    patient = draw_patient(HEAVY_SEED + number, disease, site, severity)
    return on_grid(render(patient, day, shape=None, breath=float(rng.uniform(0, 0.7))), ScanSettings())


def read_scans(path: Path) -> list[SliceStack]:
    """What `draw` wrote."""
    spacing = ScanSettings().spacing_mm
    with np.load(path) as arrays:
        count = len(arrays.files) // 2
        return [stack_of_scan(Scan(arrays[f"hu{n}"], arrays[f"label{n}"], spacing)) for n in range(count)]


# ---------------------------------------------------------------------------------------------- streams


@dataclass(frozen=True, eq=False)
class Ground:
    """What both segmenters learn from: slices of pictures, upright and made alike, and scans."""

    labelled: LabelledSlices
    others: LabelledSlices
    healthy: LabelledSlices
    phantoms: list[SliceStack]
    real: list[SliceStack]


def read_ground(data: Path, scans: Path, real_hu: bool = False, calmer: bool = False) -> Ground:
    """Labelled slices with their lungs; stacks without labels where the lungs are told; healthy slices.

    real_hu  real scans in Hounsfield units too
    calmer   with what only the second stage sees of them: slices that are clear in part of a scan, and the
             healthy scan
    """
    semiseg = data / "covid_semiseg"
    labelled = with_lungs(read_labelled_cohort(open_cohort(semiseg), False))
    stacks = read_labelled_cohort(open_cohort(semiseg), True, EVERY)
    others = with_lungs(stacks.take(stacks.of_kind(Kind.UNLABELLED)))
    told = [row for row, lung in enumerate(others.lungs) if (lung >= 0).any()]
    print(f"lungs are told on {len(told)} of {len(others)} slices without labels", flush=True)
    real = []
    for name, clear in REAL_HU.items() if real_hu else ():
        real += real_stacks(data / name, clear if calmer or clear == ALL else 0)
    if real_hu and calmer:
        scan, mask = (data / name for name in HEALTHY_HU)
        volume = read_scan(scan)
        real.append(stack_with_lungs(volume, read_mask(mask, volume), HU))
    healthy = read_healthy(data / "cage")
    return Ground(alike(labelled), alike(others).take(told), healthy, read_scans(scans), real)


def real_stacks(path: Path, clear: int) -> list[SliceStack]:
    """Every scan of a file or folder on which the lungs of some slice are told."""
    files = sorted(part for part in path.iterdir()) if path.is_dir() else [path]
    found = []
    for file in files:
        try:
            volume = read_scan(file)
            stack = stack_of_volume(volume, HU, clear)
        except GlasslungError as problem:
            print(f"{file.name} is left out: {problem}")
            continue
        print(f"{file.name}: {'no lungs told' if stack is None else stack.hu.shape}", flush=True)
        found += [] if stack is None else [stack]
    return found


def views(policy: Policy, touch: Retouch) -> Callable[[Pairs, np.random.Generator], Pairs]:
    """Slices retouched, then seen another way."""

    def augment(pairs: Pairs, rng: np.random.Generator) -> Pairs:
        pairs = retouch(pairs, touch, rng)
        return apply_views(draw_views(policy, len(pairs), rng), pairs)

    return augment


def as_hu(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """Pictures in the window of Hounsfield units, about as large as scans show chests; then other views."""
    pairs = Pairs(in_window(pairs.pictures, HU.window_hu), hazed(pairs.lesions), pairs.lungs)
    pairs = placed(pairs, HU.size, rng)
    return views(CALM, Retouch(dense=0.1, cut=0.05, window_hu=HU.window_hu))(pairs, rng)


def pictures_stream(slices: LabelledSlices, kinds: dict[str, int], size: int, augment: Any, seed: int) -> Any:
    """Batches of some kinds of slices, so many of each."""
    from glasslung.data.labelbatches import BatchPlan

    plan = BatchPlan(**({"labelled": 0} | kinds))
    return LabelledBatches(
        SquareSlices(slices, size), plan, np.random.default_rng([seed, STREAM, size]), augment=augment
    )


def hu_stream(ground: Ground, seed: int, calmer: bool = False) -> MixedBatches:
    """Eight slices: four of phantoms, one real scan's, two labelled pictures and one with its lungs.

    calmer  three, three, one and one, and less dense lung: real organs beside the lungs, to go on with
    """
    rng = np.random.default_rng
    how = replace(HU, slices=3, often=(0.2, 0.35, 0.2, 0.15, 0.1)) if calmer else HU
    touch = Retouch(dense=0.05 if calmer else 0.2, gas=0.1, cut=0.05, crop=0.2, window_hu=HU.window_hu)
    some = replace(HU, slices=3 if calmer else 1, often=(0.3, 0.7, 0, 0, 0))
    slices = join(ground.labelled, ground.others)
    kinds = {"labelled": 1 if calmer else 2, "unlabelled": 1}
    return MixedBatches(
        [
            ScanSliceBatches(ground.phantoms, how, rng([seed, STREAM, 1]), views(CALM, touch)),
            ScanSliceBatches(ground.real, some, rng([seed, STREAM, 2]), views(CALM, touch)),
            pictures_stream(slices, kinds, FRAMED, as_hu, seed),
        ]
    )


def picture_streams(
    ground: Ground, labelled: LabelledSlices, seed: int, calmer: bool = False
) -> MixedBatches:
    """Ten slices: six labelled, one whose lungs are known, a healthy one and two of phantoms.

    calmer  eight, one, one and one: mostly what radiologists drew, to go on with
    """
    real = Retouch(dense=0.05, cut=0.1, window_hu=PICTURE_WINDOW)
    touch = Retouch(dense=0.1, gas=0.1, cut=0.1, crop=0.5, window_hu=PICTURE_WINDOW)
    slices = join(labelled, ground.others, ground.healthy)
    kinds = {"labelled": 8 if calmer else 6, "unlabelled": 1, "healthy": 1}
    shown = replace(PICTURES, slices=1 if calmer else 2)
    return MixedBatches(
        [
            pictures_stream(slices, kinds, SIZE, views(MODERATE, real), seed),
            ScanSliceBatches(
                ground.phantoms, shown, np.random.default_rng([seed, STREAM, 1]), views(WIDE, touch)
            ),
        ]
    )


def plain_stream(labelled: LabelledSlices, seed: int) -> Any:
    """Eight labelled slices, which is the recipe of the study."""
    return pictures_stream(labelled, {"labelled": 8}, SIZE, views(MODERATE, Retouch()), seed)


# --------------------------------------------------------------------------------------------- training


def job_of(kind: str, data: Path, steps: int, seed: int, calmer: bool = False) -> SegmentJob:
    """What the run's folder says of its training."""
    hu = {"labelled": 1 if calmer else 2, "unlabelled": 1}
    plan = hu if kind == "hu" else {"labelled": 8 if calmer else 6, "unlabelled": 1, "healthy": 1}
    size = HU.size if kind == "hu" else SIZE
    training = SegmentTraining(steps, size=size, every=EVERY, checkpoint_every=250, **plan)  # type: ignore[arg-type]
    # four storeys take two thirds of the time
    shape = {"classes": 4} if kind == "hu" else {"classes": 3, "storeys": 4, "heard": HEARD}
    settings = {**shape, "lung_weight": 1.0, "steps": steps, **({"lr": 8e-4} if calmer else {})}
    machine = Machine(device="cpu", precision="bf16-mixed")
    return SegmentJob("unet", data / "covid_semiseg", training, None, settings, seed, machine)


TRAINED_ON = {
    "hu": "phantom scans of three made-up scanners, 50 published slices on which radiologists drew COVID-19 "
    "lesions, and lungs of real slices found by rules",
    "8bit": "50 published slices on which radiologists drew COVID-19 lesions, phantoms, healthy slices, "
    "and lungs of real slices found by rules",
}
LIMITS = {
    "hu": "no real scan in Hounsfield units with drawn lesions was there to learn from or to be judged by, "
    "and at the lungs' base spleen, liver or fat may pass for consolidated lung",
    "8bit": "it was judged by cross-validation on the same 50 slices; crazy paving counts as ground glass",
}


def reads_of(kind: str) -> dict[str, Any]:
    """What a reader of the weights must know to show them a scan, and to read their answers."""
    told = {"trained_on": TRAINED_ON[kind], "limits": LIMITS[kind]}
    if kind == "hu":
        shown = {"intensity": "hu", "spacing_mm": list(HU.spacing_mm), "window_hu": list(HU.window_hu)}
        return shown | told
    return {"intensity": "display8", "size": SIZE, "window_hu": list(PICTURE_WINDOW)} | told


def train(asked: argparse.Namespace, ground: Ground) -> None:
    """One run in a folder, or go on with it; `start` is a finished run whose weights it begins with."""
    kind, data, seed, out, calmer = asked.kind, asked.data, asked.seed, asked.out, asked.start is not None
    job = job_of(kind, data, asked.steps, seed, calmer)
    config = config_of(job)  # type: ignore[arg-type]
    stream = (
        hu_stream(ground, seed, calmer)
        if kind == "hu"
        else picture_streams(ground, ground.labelled, seed, calmer)
    )
    model = build("unet", seed, **asdict(config))
    if asked.start is not None:
        RunDir.open(asked.start).load("unet", model)
    game = Game(
        {"unet": model}, entry_for("unet").players(model), stream, seed, job.machine, job.training.ema
    )
    told = settings_of(job, config, read_labelled_folder(data / "covid_semiseg"))
    told["training"] |= {"reads": reads_of(kind), "phantoms": len(ground.phantoms), "real": len(ground.real)}
    if (out / "settings.json").is_file():
        run = RunDir.open(out)
    else:
        inputs = {"cohort": job.cohort, "phantoms": asked.scans}
        inputs |= {"start": asked.start / "weights" / "unet.safetensors"} if calmer else {}
        run = RunDir.create(out, "segmentation", "unet", told, seed, inputs)
    with run.writing():
        play(game, run, job, run.log, None)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------ cross-validation


def validate(ground: Ground, data: Path, out: Path, steps: int, arms: Sequence[str], seed: int) -> None:
    """Both recipes on three folds of the labelled slices; figures, gains and calibration as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    scores, summary = {}, dict[str, Any]()
    for arm in arms:
        maps = cross_validated(arm, ground, data, out / f"{arm}-{steps}-{seed}.npz", steps, seed)
        scores[arm] = score_segmentations(segmented(ground.labelled, maps))
        summary[arm] = told(scores[arm]) | {
            "temperature": calibrated(ground.labelled, maps),
            "heard": greys_heard(ground.labelled, maps),
        }
        print(arm, json.dumps(summary[arm], indent=1), flush=True)
    if len(scores) > 1:
        summary["gains"] = gains(*scores.values())
        print(json.dumps(summary["gains"], indent=1))
    write_json(out / f"figures-{steps}-{seed}.json", summary)


def cross_validated(
    arm: str, ground: Ground, data: Path, path: Path, steps: int, seed: int
) -> dict[int, np.ndarray]:
    """Out-of-fold maps (3, H, W) of every labelled slice; read where they were made before."""
    slices = ground.labelled
    done = dict(np.load(path)) if path.is_file() else {}
    for fold in folds(slices, 3, 0):
        if all(str(row) in done for row in fold.test.tolist()):
            continue
        job = job_of("8bit", data, steps, seed)
        alone = {"lung_weight": 1.0 if arm == "mixed" else 0.0, "heard": 0.0}
        job = replace(job, settings={**job.settings, **alone})
        some = slices.take(fold.train)
        stream = picture_streams(ground, some, seed) if arm == "mixed" else plain_stream(some, seed)
        model = build("unet", seed, **asdict(config_of(job)))  # type: ignore[arg-type]
        game = Game(
            {"unet": model}, entry_for("unet").players(model), stream, seed, job.machine, job.training.ema
        )
        began = time.process_time()
        fit(game, range(steps))
        keep_averages(game)
        print(f"{arm}: {steps} steps in {time.process_time() - began:.0f} s", flush=True)
        found = ask(model.probabilities, SquareSlices(slices, SIZE), fold.test)  # type: ignore[arg-type]
        done |= {str(row): one.astype(np.float16) for row, one in zip(fold.test.tolist(), found, strict=True)}
        with whole_file(path) as file:
            np.savez(file, allow_pickle=False, **done)
    return {int(row): renormalised(one) for row, one in done.items()}


def renormalised(maps: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Class probabilities (C, H, W) as if the logits had been divided by a temperature, float32."""
    sharp = np.maximum(maps.astype(np.float32), 1e-5) ** np.float32(1 / temperature)
    return np.asarray(sharp / sharp.sum(0))


FIGURES = (
    ("infection", "f1"),
    ("infection", "as they are dice"),
    ("infection", "stretched dice"),
    ("ground glass", "f1"),
    ("consolidation", "f1"),
)


def told(scores: SegmentationScores) -> dict[str, Any]:
    """The figures that matter, each with its interval."""
    figures = figures_of(scores, np.random.default_rng(0))
    overlap, maps = figures["overlap"], figures["maps"]["infection"]
    return {
        **{
            target: overlap[target]["perfect"]["f1"]
            for target in ("infection", "ground glass", "consolidation")
        },
        "consolidation, absent scores 0": overlap["consolidation"]["zero"]["f1"],
        "256 thresholds, as they are": maps["as they are"]["dice"],
        "256 thresholds, stretched": maps["stretched"]["dice"],
    }


def gains(first: SegmentationScores, second: SegmentationScores) -> dict[str, Any]:
    """Second minus first, slice by slice."""
    rng = np.random.default_rng(0)
    return {
        f"{target}, {figure}": paired_gain(first, second, target, figure, rng, BothEmpty.PERFECT).as_dict()
        for target, figure in FIGURES
    }


def calibrated(slices: LabelledSlices, maps: dict[int, np.ndarray]) -> dict[str, Any]:
    """The temperature that makes out-of-fold maps likeliest, and what it changes.

    Figures 'after' are nested: every fold is judged at the temperature of the two others.
    """
    each = {fold: part.test.tolist() for fold, part in enumerate(folds(slices, 3, 0))}
    nested = dict[int, np.ndarray]()
    for fold, rows in each.items():
        others = [row for other, some in each.items() if other != fold for row in some]
        best = likeliest(slices, maps, others)
        nested |= {row: renormalised(maps[row], best) for row in rows}
    after = score_segmentations(segmented(slices, nested))
    return {
        "fitted": likeliest(slices, maps, sorted(maps)),
        "calibration error before": calibration_error(slices, maps),
        "calibration error after": calibration_error(slices, nested),
        "after": told(after),
    }


def greys_heard(slices: LabelledSlices, maps: dict[int, np.ndarray]) -> dict[str, Any]:
    """What it changes that the slice's own greys are heard at the answer (`nn.stitchstyles`)."""
    import torch

    from glasslung.nn.stitchstyles import Hearing, hear

    weighed = dict[int, np.ndarray]()
    for row, each in maps.items():
        image = torch.from_numpy(slices.pictures[row].astype(np.float32) / 255)[None, None]
        log_y = torch.from_numpy(each.clip(1e-4)).log()[None]
        _, log_x = hear(log_y, image, Hearing())
        weighed[row] = (log_y + HEARD * log_x).softmax(1)[0].numpy()
    before, after = (score_segmentations(segmented(slices, one)) for one in (maps, weighed))
    return {
        "power": HEARD,
        "after": told(after),
        "gains": gains(before, after),
        "calibration error after": calibration_error(slices, weighed),
    }


def likeliest(slices: LabelledSlices, maps: dict[int, np.ndarray], rows: Sequence[int]) -> float:
    """The temperature of the least mean -log p of the true class, every slice counting alike."""

    def cost(temperature: float) -> float:
        total = 0.0
        for row in rows:
            p, truth = renormalised(maps[row][:, ::2, ::2], temperature), slices.lesions[row][::2, ::2]
            total -= float(np.log(np.take_along_axis(p, truth[None].astype(np.int64), 0)).mean())
        return total

    return float(min(np.geomspace(0.3, 3.0, 24), key=cost))


def calibration_error(slices: LabelledSlices, maps: dict[int, np.ndarray], bins: int = 15) -> float:
    """Mean distance of the said chance of infection from the share infected, over 15 bins of all pixels."""
    p = np.concatenate([1 - maps[row][0].ravel() for row in sorted(maps)])
    truth = np.concatenate([(slices.lesions[row] > 0).ravel() for row in sorted(maps)])
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, p, bins) - np.bincount(place, truth, bins))
    return float(gap.sum() / count.sum())


# ------------------------------------------------------------------------------------------------- verbs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("draw", "train", "validate", "measure"))
    parser.add_argument("kind", choices=("hu", "8bit"), nargs="?", default="8bit")
    parser.add_argument("--data", type=Path, help="the folder that holds covid_semiseg and the others")
    parser.add_argument("--scans", type=Path, help="what draw wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="train: go on from this run, with a calmer mixture")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--arms", nargs="+", choices=("plain", "mixed"), default=("plain", "mixed"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", help="a shipped name, or a run's folder")
    parser.add_argument("--cases", type=int, default=10, help="phantoms to measure")
    asked = parser.parse_args()
    if asked.verb == "draw":
        draw(asked.out)
    elif asked.verb == "measure":
        if asked.kind == "hu":
            measure_hu(asked.weights, asked.data, asked.out, asked.cases)
        else:
            measure_pictures(asked.weights, asked.data, asked.out)
    else:
        hu = asked.verb == "train" and asked.kind == "hu"
        ground = read_ground(asked.data, asked.scans, hu, asked.start is not None)
        if asked.verb == "train":
            train(asked, ground)
        else:
            validate(ground, asked.data, asked.out, asked.steps, asked.arms, asked.seed)


if __name__ == "__main__":
    main()
