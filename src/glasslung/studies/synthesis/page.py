"""The page of the study of made lungs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.report.markup import Html
from glasslung.report.studycharts import Panel, draw_rows
from glasslung.report.studypage import (
    Chapter,
    StudyPage,
    drawing,
    figures_table,
    interval,
    note,
    strips,
    write_study_page,
)
from glasslung.report.trainingcharts import draw_training
from glasslung.studies.jobs import Done
from glasslung.studies.synthesis.contest import AS_RELEASED, PUT_RIGHT, RECIPE, read_made
from glasslung.studies.synthesis.facts import facts
from glasslung.studies.synthesis.verdict import cautions_of, sentences_of

SHOWN = 8  # pictures in a strip
TITLE = "Made lungs: stable, diverse, audited"
LEAD = (
    "Models that make CT slices of lungs, trained on the same pictures for the same time, and judged by "
    "pictures of "
    "patients that none of them saw."
)
DISTANCES = (
    ("kid", "kernel distance", 3),
    ("precision", "precision", 2),
    ("recall", "recall", 2),
    ("density", "density", 2),
    ("coverage", "coverage", 2),
)
VARIETY = (
    ("likeness", "MS-SSIM of two made", 3),
    ("told_apart", "told from real, AUC", 2),
    ("copies", "copies, share", 3),
)


def write_page(
    path: Path, numbers: Mapping[str, Any], done: Sequence[Done], train: SliceSet, held_out: SliceSet
) -> Path:
    """Draw the page from the numbers and the outcomes; returns its path."""
    methods, about = numbers["methods"], numbers["about"]
    page = StudyPage(
        title=TITLE,
        lead=LEAD,
        verdicts=sentences_of(methods, numbers["together"]),
        cautions=cautions_of(methods, about["plan"]["quick"], len(held_out)),
        chapters=[
            Chapter("real", "How real", _how_real(methods, numbers["together"], numbers["reader"])),
            Chapter("pictures", "Pictures", (_pictures(done, held_out),)),
            Chapter("new", "How diverse, how new", (*_how_new(methods), *_nearest(done, methods, train))),
            Chapter("training", "Training", _training(done, methods)),
        ],
        methods=_methods(about, train, held_out),
        provenance=_provenance(about),
        facts=facts(about, methods),
    )
    return write_study_page(page, path)


def _rows(methods: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(name, figures) of every training."""
    return [
        (name if len(seeds) == 1 else f"{name}, seed {seed}", one)
        for name, seeds in methods.items()
        for seed, one in seeds.items()
    ]


def _table(caption: str, methods: Mapping[str, Any], columns: Sequence[tuple[str, str, int]]) -> Html:
    rows = [
        (name, [interval(one[key], digits) for key, _, digits in columns]) for name, one in _rows(methods)
    ]
    strong = [number for number, (name, _) in enumerate(rows) if name.partition(",")[0] == RECIPE]
    return figures_table(caption, ["model", *(told for _, told, _ in columns)], rows, strong)


def _how_real(methods: Mapping[str, Any], together: Mapping[str, Any], reader: str) -> tuple[Html, ...]:
    rows = _rows(methods)
    floor = rows[0][1]["kid_floor"]["high"]
    kid = {name: _limits(one["kid"]) for name, one in rows}
    recall = {name: _limits(one["recall"]) for name, one in rows}
    panels = [
        Panel("kernel distance, less is better", {"kid": kid}, [(floor, "real halves")]),
        Panel(
            "recall, more is better",
            {"kid": recall},
            [(rows[0][1]["real_recall"]["value"], "training pictures")],
        ),
    ]
    svg = draw_rows(panels, [name for name, _ in rows], "with 95 % intervals over patients and samples")
    whole = {name: {"": one} for name, one in together.items()}
    counts = next(iter(together.values()))["counts"]
    told = "; ".join(f"{name} {one['frechet']:.3g}" for name, one in together.items())
    own = "Each training, on features of a reader that learned within the study"
    return (
        drawing(svg, "Kernel distance and recall of every model, with intervals"),
        _table(f"All trainings of a model together, on the features that ship: {reader}", whole, DISTANCES),
        note(
            f"Fréchet distance, to be compared at these counts only ({counts['made']} made, "
            f"{counts['real']} real, {counts['features']} features): {told}."
        ),
        _table("Each training, on the features that ship", methods, DISTANCES),
        _table(own, _own(methods), DISTANCES),
    )


def _own(methods: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {seed: one["own"] for seed, one in seeds.items()} for name, seeds in methods.items()}


def _limits(found: Mapping[str, float]) -> tuple[float, float, float]:
    return found["value"], found["low"], found["high"]


def _pictures(done: Sequence[Done], held_out: SliceSet) -> Html:
    rows = [("real, held out", held_out.images[:SHOWN])]
    rows += [
        (one.name, read_made(one.answer)[:SHOWN]) for one in done if one.seed == 0 and one.answer is not None
    ]
    return strips("The first pictures, not chosen", rows, "Greys as they are: what is black is shown black.")


def _how_new(methods: Mapping[str, Any]) -> tuple[Html, ...]:
    first = next(iter(next(iter(methods.values())).values()))
    real, expected = first["real_likeness"]["value"], first["copies_expected"]
    return (
        _table("Variety and copies", methods, VARIETY),
        note(
            f"Two real held-out pictures have an MS-SSIM of {real:.3f}: far above it a set is less "
            "diverse. An AUC of "
            f"0.5 cannot be told from real. {100 * expected:.2g} % of unseen real pictures lie as near to "
            "a training "
            "picture as what counts as a copy."
        ),
    )


def _nearest(done: Sequence[Done], methods: Mapping[str, Any], train: SliceSet) -> tuple[Html, ...]:
    """Made pictures over their nearest training pictures: the recipe's, and those of whoever copies most."""
    first = {one.name: one for one in done if one.seed == 0 and one.answer is not None}
    if not first:
        return ()
    worst = max(first, key=lambda name: methods[name]["0"]["copies"]["value"])
    both = np.concatenate([train.images, train.images[:, :, ::-1]])
    rows: list[tuple[str, np.ndarray]] = []
    for name in dict.fromkeys([RECIPE, worst]):
        if name not in first:
            continue
        answer, pairs = first[name].answer, methods[name]["0"]["nearest"]
        assert answer is not None
        rows.append((f"{name}, made", read_made(answer)[[made for made, _ in pairs]]))
        rows.append(("nearest training picture", both[[real for _, real in pairs]]))
    words = "Of all made pictures those nearest to a training picture or its mirror image, the nearest first."
    return (strips("Nearest to training pictures", rows, words),)


def _training(done: Sequence[Done], methods: Mapping[str, Any]) -> tuple[Html, ...]:
    curves = {
        one.name: one.manifest["told"]["curves"]
        for one in done
        if one.seed == 0 and one.name in (AS_RELEASED, PUT_RIGHT, RECIPE) and one.manifest["told"]["curves"]
    }
    rows = [
        (name, [str(one["steps"]), f"{one['black_looks']} of {one['looks']}", _signs(one["first_alarms"])])
        for name, one in _rows(methods)
    ]
    table = figures_table(
        "What the watchdog saw", ["model", "steps", "black looks", "signs, first step"], rows
    )
    if not curves:
        return (table,)
    words = "Losses and accuracies of both players over the steps"
    return drawing(draw_training(curves), words, "As the paper's figures 6 and 7; running means."), table


def _signs(first: Mapping[str, int]) -> str:
    return ", ".join(f"{sign} ({step})" for sign, step in first.items()) or "none"


def _methods(about: Mapping[str, Any], train: SliceSet, held_out: SliceSet) -> list[tuple[str, str]]:
    budget = about["plan"]["budget"]
    return [
        (
            "Pictures",
            (
                f"{len(train)} to train on and {len(held_out)} of other patients to judge by, "
                f"{budget['size']} x "
                f"{budget['size']} pixels, every file scaled by its own depth; turned left to right by "
                "chance."
            ),
        ),
        (
            "Contest",
            (
                f"Every model had {budget['seconds']:.0f} s of processor time on one thread, batches of "
                f"{budget['batch']}, networks of width {budget['width']} (the paper's is 64). "
                f"'{AS_RELEASED}' has the "
                "paper's last dense layer, separate steps on real and made pictures, and the code's "
                "scaling, which "
                "feeds it black."
            ),
        ),
        (
            "Figures",
            (
                f"On {budget['samples']} made pictures, seen through the features that ship, and through "
                "those of a network that learned on this training part to tell real slices from blurred, "
                "noised and mixed ones. Recall and coverage at equal counts, over subsets. Copies: greys of "
                "16 x 16 fields, and their pattern in 32 x 32, moved, cropped and mirrored as well. "
                "Intervals resample patients and samples."
            ),
        ),
        (
            "Watchdog",
            f"Looked every {budget['look_every']} steps at 64 pictures and only told; nobody was helped.",
        ),
    ]


def _provenance(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = about["versions"]
    return [
        ("Command", about["command"]),
        ("Made", about["created"]),
        ("Pictures", f"train {about['pictures']['train']['sha256'][:16]}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
