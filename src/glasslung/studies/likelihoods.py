"""How well a U-SVAE or CAGE explains every slice of a folder, in the paper's units, and what those hide.

Every slice is scored once, in float64 where it matters (`progression.heldout` and its `cagebound`). Where it
can be told which of them the model was trained on, they are told apart from the unseen ones as well: a score
on training slices is no score on new patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glasslung.data.cohort import Cohort
from glasslung.data.slices import GROUP_NAMES, SliceSet
from glasslung.errors import DataError
from glasslung.measure.statistics import bootstrap_by_patient
from glasslung.models.cage import CAGE
from glasslung.models.usvae import USVAE
from glasslung.predict.trained import TRAINING, Trained
from glasslung.report.wording import in_columns
from glasslung.studies.folder import part_of
from glasslung.studies.progression.cagebound import owned, score_owners
from glasslung.studies.progression.heldout import DRAWS, GREY, Scores, figures, score_slices
from glasslung.studies.progression.papertable import PRINTED
from glasslung.studies.trained import input_hashes, told_of
from glasslung.studies.training import PART, dealt, describe, load_slices
from glasslung.types import DISCLAIMER, Progress, Remark, Severity

ALL, SEEN = "all", "trained on"
KEPT_OUT = ("test", "val", "")  # never trained on; settings may have been chosen on val
BY_GROUP = ("as trained", GREY)  # readings whose figures by age stand in the table of text
FIGURES = ("nll", "rec", "kl", "lung", "black")


def evaluate_likelihood(
    trained: Trained, data: Path, seed: int, progress: Progress | None
) -> tuple[dict[str, Any], str, tuple[Remark, ...]]:
    """Score every slice of a folder or cohort with a U-SVAE or CAGE: figures, their table, what to beware of.

    data  a folder with the layout of the CAGE set, a cohort of 8-bit slices, or a folder of `prepare`
    """
    size = int(trained.about["settings"].get("size", 64))
    if progress:
        progress("reading slices", 0.0)
    cohort, slices = load_slices(data, size)
    parts = parts_of(trained, data, cohort, slices)
    slices, kept = _owned(trained.model, slices)
    draws = torch.Generator().manual_seed(seed)
    scores = _score(trained.model, slices, draws, part_of(progress, 0.05, 0.9))
    remarks, slices = _apart_by_age(slices)
    found: dict[str, Any] = {}
    for part, rows in _rows_by_part(None if parts is None else parts[kept], len(slices)).items():
        if progress:
            progress(f"intervals over patients, {part}", 0.9)
        found[part] = part_figures(scores, slices, rows, seed)
    remarks = (*seen_remarks(trained, data, parts), *remarks)
    whole = {
        "about": told_of(trained),
        "data": {"name": cohort.name, **describe(slices)},
        "parts": found,
        "printed": PRINTED,
    }
    return whole, text_of(trained, found, remarks), remarks


def _owned(model: Any, slices: SliceSet) -> tuple[SliceSet, np.ndarray]:
    """The slices a model can be asked about, and their rows: of its single age, or all."""
    if not isinstance(model, CAGE):
        return slices, np.arange(len(slices))
    mine = owned(model, slices)
    age = model.config.single_age
    return mine, np.flatnonzero(slices.group == age) if age is not None else np.arange(len(slices))


def _score(model: Any, slices: SliceSet, draws: torch.Generator, progress: Progress | None) -> Scores:
    if isinstance(model, CAGE):
        return score_owners(model, slices, draws, progress)
    assert isinstance(model, USVAE), type(model)
    return score_slices(model, slices, draws, progress=progress)


# -------------------------------------------------------------------------------------- what was trained on


def parts_of(trained: Trained, data: Path, cohort: Cohort, slices: SliceSet) -> np.ndarray | None:
    """On which side of the model's own split each slice lies, (N,) text: PART is what it was trained on.

    None where that cannot be told. A run keeps a hash of its training slices, and the split by patient can
    be dealt again: where the slices dealt to training have that hash, they are the ones. The shipped U-SVAE
    keeps a hash of its folder.
    """
    training = trained.about["settings"].get(TRAINING, {})
    try:
        split = dealt(cohort, int(training.get("split_seed", 0)))
    except DataError:  # it cannot be split that way, so it never was
        return None
    parts = np.array([case.split for case in split.cases])
    if not (parts == PART).any():
        return None
    told = training.get("slices", {}).get("sha256")
    same = describe(slices.take(parts == PART))["sha256"] == told if told else _is_shipped_on(trained, data)
    return parts if same else None


def _is_shipped_on(trained: Trained, data: Path) -> bool:
    from glasslung.train.rundir import hash_input

    return data.is_dir() and hash_input(data) in input_hashes(trained.about)


def seen_remarks(trained: Trained, data: Path, parts: np.ndarray | None) -> tuple[Remark, ...]:
    """What is known about slices that the model was trained on."""
    if parts is not None:
        text = f"The model was trained on {int((parts == PART).sum())} of these {len(parts)} slices."
        others = [name for name in KEPT_OUT if (parts == name).any()]
        remedy = (
            f"Quote {others[0]!r} alone: {ALL!r} is too good." if others else "Score a folder it never saw."
        )
        return (Remark("trained-on-these", Severity.WARN, text, remedy),)
    if _is_shipped_on(trained, data):
        text = "The model was trained on this folder; which of its slices, cannot be told."
        return (Remark("trained-on-these", Severity.WARN, text, "Score a folder that it never saw."),)
    text = (
        "This is not the folder that the model was trained on; whether it holds some of the same patients is "
        "not known."
    )
    return (Remark("training-unknown", Severity.NOTE, text),)


def _rows_by_part(parts: np.ndarray | None, count: int) -> dict[str, np.ndarray]:
    """What is told apart, the most honest first: name -> rows."""
    whole = {ALL: np.arange(count)}
    if parts is None:
        return whole
    names = {name: name or "in no part" for name in KEPT_OUT} | {PART: SEEN}
    return {
        told: np.flatnonzero(parts == name) for name, told in names.items() if (parts == name).any()
    } | whole


# ------------------------------------------------------------------------------------------------- figures


def _apart_by_age(slices: SliceSet) -> tuple[tuple[Remark, ...], SliceSet]:
    """A patient with slices of two ages counts as one of each: resampling keeps every age's number."""
    pairs = set(zip(slices.patient.tolist(), slices.group.tolist(), strict=True))
    several = len(pairs) - len(set(slices.patient.tolist()))
    if not several:
        return (), slices
    patient = slices.patient * len(GROUP_NAMES) + slices.group
    names = tuple(f"{name} {age}" for name in slices.patients for age in GROUP_NAMES)
    text = (
        f"{several} patient(s) have slices of more than one age; for intervals they count as another patient "
        "at each age."
    )
    return (Remark("patients-at-two-ages", Severity.NOTE, text),), replace(
        slices, patient=patient, patients=names
    )


def part_figures(scores: Scores, slices: SliceSet, rows: np.ndarray, seed: int) -> dict[str, Any]:
    """What `heldout.figures` says of some slices, with an interval for every level's divergence.

    Where an age has a single patient no interval can be given: the figures stand alone.
    """
    some = Scores(
        {name: nats[rows] for name, nats in scores.nats.items()},
        scores.pixels[rows],
        scores.kl[rows],
        [_plain(level) for level in scores.use],
    )
    chosen, rng = slices.take(rows), np.random.default_rng(seed)
    finite = _finite(some)
    if not finite.any() or _least_patients(chosen, finite) < 2:
        return bare_figures(some, chosen)
    found = figures(some, chosen, rng)
    for level, interval in zip(found["levels"], _level_intervals(some, chosen, seed), strict=True):
        level["interval"] = interval
        if len(rows) < len(slices):
            level.pop("active")  # it was counted over all slices
            level.pop("nats")
            level.pop("collapsed")
    return found


def _plain(level: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a level, a number that is not finite being null: JSON knows none."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in level.items()
    }


def _finite(scores: Scores) -> np.ndarray:
    """Slices with a score, (N,) bool: a model that failed on a slice gives it none."""
    finite: np.ndarray = np.isfinite(scores.kl).all(1)
    for nats in scores.nats.values():
        finite = finite & np.isfinite(nats).all(1)
    return finite


def _least_patients(slices: SliceSet, rows: np.ndarray) -> int:
    """Patients of the age that has fewest, among some slices."""
    ages = set(slices.group.tolist())
    return min(len(set(slices.patient[rows & (slices.group == age)].tolist())) for age in ages)


def _level_intervals(scores: Scores, slices: SliceSet, seed: int) -> list[list[float] | None]:
    """Limits of every level's mean divergence, nats per slice, ages counting alike."""
    members = [np.flatnonzero(slices.group == group) for group in sorted(set(slices.group.tolist()))]

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        each = [(weights[:, m] @ values[m]) / weights[:, m].sum(1) for m in members]
        return np.asarray(np.mean(each, axis=0))

    kept = np.isfinite(scores.kl).all(1)
    if not kept.all():
        return [None] * scores.kl.shape[1]
    limits: list[list[float] | None] = []
    for level in scores.kl.T:
        found = bootstrap_by_patient(
            mean,
            slices.patient,
            level,
            rng=np.random.default_rng(seed),
            draws=DRAWS,
            strata=slices.group,
            weighted=True,
        )
        limits.append([round(found.low, 2), round(found.high, 2)])
    return limits


def bare_figures(scores: Scores, slices: SliceSet) -> dict[str, Any]:
    """The same figures without intervals, for data where an age has one patient alone."""
    groups = sorted(set(slices.group.tolist()))
    finite = _finite(scores)
    readings: dict[str, Any] = {}
    for reading, nats in scores.nats.items():
        unit = np.log(2) if reading == GREY else 1.0
        by_group = {
            GROUP_NAMES[g]: _bare_row(scores, nats, finite & (slices.group == g), unit) for g in groups
        }
        means = {
            name: [round(float(np.mean([row[name][0] for row in by_group.values()])), 4), None, None]
            for name in FIGURES
        }
        readings[reading] = means | {"by group": by_group}
    return {
        "slices": len(slices),
        "patients": len(set(slices.patient.tolist())),
        "not finite": int((~finite).sum()),
        "readings": readings,
        "levels": scores.use,
    }


def _bare_row(scores: Scores, nats: np.ndarray, rows: np.ndarray, unit: float) -> dict[str, Any]:
    if not rows.any():
        raise DataError(
            "the model gives no slice of one age a finite score: it has failed on these data; check that "
            "they were prepared as its training slices were, or leave that age out"
        )
    pixels, kl = scores.pixels[rows], scores.kl[rows].sum(1)
    size = pixels[0].sum() * unit
    black, lung = nats[rows].T
    values = {
        "nll": (kl - black - lung).mean() / size,
        "rec": -(black + lung).mean() / size,
        "kl": kl.mean() / size,
        "lung": lung.sum() / (pixels[:, 1].sum() * unit),
        "black": black.sum() / max(pixels[:, 0].sum() * unit, 1),
    }
    return {name: [round(float(value), 4), None, None] for name, value in values.items()}


# --------------------------------------------------------------------------------------------------- text


def text_of(trained: Trained, parts: Mapping[str, Any], remarks: tuple[Remark, ...]) -> str:
    """The table a person reads first."""
    told = "".join(f"{r.severity.value}: {r.text} {r.remedy}".rstrip() + "\n" for r in remarks)
    blocks = [_part_text(name, found) for name, found in parts.items()]
    printed = [["printed, training slices", "nll", "rec", "kl"]]
    printed += [
        [name, *(f"{row[figure]:.2f}" for figure in ("nll", "rec", "kl"))] for name, row in PRINTED.items()
    ]
    head = (
        f"{trained.name} ({trained.method})\n{told}\nnats per pixel (whole grey levels: bits); nll, rec, kl: "
        "lower is better, lung, black: higher; 95 % intervals over patients"
    )
    return "\n\n".join([head, *blocks, in_columns(printed), DISCLAIMER]) + "\n"


def _part_text(name: str, found: Mapping[str, Any]) -> str:
    head = f"{name}: {found['slices']} slices of {found['patients']} patients"
    if found["not finite"]:
        head += f"; {found['not finite']} without a finite score are left out: the model has failed on them"
    rows = [["", *FIGURES]]
    for reading, row in found["readings"].items():
        rows.append([reading, *(_limits(row[figure]) for figure in FIGURES)])
        rows += [
            [f"  {group}", *(_limits(each[figure]) for figure in FIGURES)]
            for group, each in row["by group"].items()
            if reading in BY_GROUP
        ]
    levels = [
        f"{level['level']} {level.get('nats, groups alike', level.get('nats'))}" for level in found["levels"]
    ]
    return f"{head}\n{in_columns(rows)}\ndivergence, nats per slice: {', '.join(levels)}"


def _limits(values: list[float | None]) -> str:
    value, low, high = values
    if low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
