"""What a cohort of slices cannot teach: days that follow the outcome, groups that differ beyond disease.

Four questions, each with intervals over patients: does the day tell the outcome; do the groups differ in
brightness and crop; how well can a plain classifier tell them apart, which no score on made slices should be
read without; and does making the greys alike take the difference between healthy and ill away. What is said
in words is put together from the figures by `verdict`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from glasslung.audit.borders import DARK_8BIT, joined_to_rim, straight_share
from glasslung.data.cohort import Cohort
from glasslung.data.slices import GROUP_NAMES, SliceSet, read_picture
from glasslung.errors import DataError
from glasslung.measure.lungfeatures import FRINGE_GREY, plain_features
from glasslung.measure.ranking import auc_interval
from glasslung.studies.progression.limits.days import day_limits
from glasslung.studies.progression.limits.groups import (
    OUTLINE,
    about_task,
    tasks_of,
    told_by_outcome,
    told_groups,
)
from glasslung.studies.progression.limits.summaries import LimitSettings, as_json, median_of
from glasslung.studies.progression.limits.verdict import conclude
from glasslung.types import Progress

WHITE = 254.5 / 255  # the lightest grey level: what the window cut off
NATIVE = ("picture height, px", "picture width, px", "straight share of the crop's outline")
PANEL_SHARE = 0.1  # of a group at most: the panel must not eat a small group


def measure_limits(
    slices: SliceSet,
    rng: np.random.Generator,
    cohort: Cohort | None = None,
    settings: LimitSettings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What these slices can and cannot teach about ages of a disease: figures ready for JSON.

    cohort  that the slices were read from: brings outcome, site and the files' own size; None: unknown
    Keys: slices, patients, groups, settings, day, looks, tasks, told (one row per treatment of greys, kind
    of features, task and classifier), by_outcome, conclusions, ... A part that the data do not allow holds
    {"missing": why}. Takes about 50 s of one core for 1000 slices,
    half of it without a second classifier. DataError when the slices are not of the
    cohort.
    """
    settings = settings or LimitSettings()
    day_rng, look_rng, panel_rng, task_rng = rng.spawn(4)
    known = case_facts(slices, cohort)
    panel = reference_panel(slices, settings, panel_rng)
    plain = plain_features(slices.images)
    tasks, lacking = tasks_of(slices, ~panel, settings, task_rng)
    told, raw = told_groups(slices, plain, known["native"], panel, tasks, settings, progress)
    found: dict[str, Any] = {
        "slices": len(slices),
        "patients": len(np.unique(slices.patient)),
        "patients_on_two_days": _seen_twice(slices),
        "groups": _sizes(slices),
        "panel_patients": len(np.unique(slices.patient[panel])),
        "sites": known["sites"],
        "settings": asdict(settings),
        "day": day_limits(slices, known["event"], plain, day_rng, settings),
        "looks": group_looks(slices, plain, known["native"], look_rng, settings),
        "tasks": {task.name: about_task(task) for task in tasks} | lacking,
        "told": told,
        "by_outcome": told_by_outcome(tasks, raw, known["event"], settings),
    }
    return found | {"conclusions": conclude(found)}


def case_facts(slices: SliceSet, cohort: Cohort | None) -> dict[str, Any]:
    """What the cohort knows of each slice: event (N,) 1, 0 or NaN; native (N, 3) or None; sites in words.

    native are height and width of the stored picture and how straight its crop runs, where the cohort has
    single pictures. Each picture is read once.
    """
    if cohort is None:
        return {"event": np.full(len(slices), np.nan), "native": None, "sites": "unknown"}
    at = {(case.patient, case.scan): case for case in cohort.cases}
    wanted = [(slices.patients[who], scan) for who, scan in zip(slices.patient, slices.scans, strict=True)]
    if absent := sum(key not in at for key in wanted):
        raise DataError(
            f"{absent} of {len(wanted)} slices are not in the cohort; give the one that they were read from"
        )
    cases = [at[key] for key in wanted]
    event = np.array([np.nan if case.event is None else float(case.event) for case in cases])
    native = np.zeros((len(cases), len(NATIVE)))
    for row, case in enumerate(cases):
        picture = read_picture(cohort.path(case.image))
        outside = joined_to_rim(picture <= int(picture.min()) + DARK_8BIT)
        native[row] = (*picture.shape, straight_share(outside))
    return {
        "event": event,
        "native": native,
        "sites": _site_overlap([case.site for case in cases], slices.group),
    }


def _site_overlap(sites: list[str], group: np.ndarray) -> str:
    """'unknown', 'apart' (no site has both healthy and ill) or 'shared'."""
    if not all(sites):
        return "unknown"
    healthy = {site for site, one in zip(sites, group, strict=True) if one == 0}
    ill = {site for site, one in zip(sites, group, strict=True) if one > 0}
    return "shared" if healthy & ill else "apart"


def reference_panel(slices: SliceSet, settings: LimitSettings, rng: np.random.Generator) -> np.ndarray:
    """Which slices (N,) bool belong to the few patients whose greys are the standard: some of each group."""
    chosen: list[int] = []
    for group in np.unique(slices.group):
        members = np.unique(slices.patient[slices.group == group])
        count = min(settings.panel, int(PANEL_SHARE * len(members)))
        chosen += rng.choice(members, count, replace=False).tolist()
    return np.isin(slices.patient, chosen)


def _seen_twice(slices: SliceSet) -> int:
    """How many patients have slices of two days or two groups."""
    day = np.nan_to_num(slices.day, nan=-1.0)
    visits = np.unique(np.stack([slices.patient, slices.group, day], axis=1), axis=0)
    return int((np.unique(visits[:, 0], return_counts=True)[1] > 1).sum())


def _sizes(slices: SliceSet) -> dict[str, dict[str, int]]:
    return {
        GROUP_NAMES[group]: {
            "slices": int((slices.group == group).sum()),
            "patients": len(np.unique(slices.patient[slices.group == group])),
        }
        for group in np.unique(slices.group)
    }


def group_looks(
    slices: SliceSet,
    plain: np.ndarray,
    native: np.ndarray | None,
    rng: np.random.Generator,
    settings: LimitSettings,
) -> dict[str, Any]:
    """Median, quartiles and interval of each quantity in each group, and how well it alone tells healthy."""
    lung = slices.images > FRINGE_GREY
    pixels = np.maximum(lung.sum((1, 2)), 1)
    columns = {
        "lung mean grey, of 255": 255 * plain[:, 0],
        "grey of the darkest twentieth of the lung, of 255": 255 * plain[:, 2],
        "white share of the lung, %": 100 * (slices.images > WHITE).sum((1, 2)) / pixels,
        "lung share of the picture, %": 100 * plain[:, OUTLINE[0]],
        "black share of the picture, %": 100 * (slices.images == 0).mean((1, 2)),
        "height over width of the lungs' box": plain[:, OUTLINE[1]] / np.maximum(plain[:, OUTLINE[2]], 1e-6),
    }
    if native is not None:
        columns |= dict(zip(NATIVE, native.T, strict=True))
    looks: dict[str, Any] = {}
    for name, values in columns.items():
        looks[name] = {
            "groups": {
                GROUP_NAMES[group]: median_of(
                    values[slices.group == group], slices.patient[slices.group == group], rng, settings
                )
                for group in np.unique(slices.group)
            },
            "told_healthy": _single_auc(slices, values, rng, settings),
        }
    return looks


def _single_auc(
    slices: SliceSet, values: np.ndarray, rng: np.random.Generator, settings: LimitSettings
) -> dict[str, Any] | None:
    ill = slices.group > 0
    if min(len(np.unique(slices.patient[ill])), len(np.unique(slices.patient[~ill]))) < 2:
        return None
    return as_json(
        auc_interval(ill, values, slices.patient, rng=rng, draws=settings.draws, level=settings.level)
    )
