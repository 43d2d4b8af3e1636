"""A walk through the codes of a model, as a strip and as a film: between two codes, two pictures, or stages.

What lies between two codes or two pictures is called an interpolation, whatever it looks like. Only a walk
through labelled ages of the disease, by a model that was told them, may be called a progression, and only
if the affected lung that it shows was measured and grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.greyranges import read_unit_grey
from glasslung.data.pictureset import square_unit
from glasslung.data.picturesheet import as_film, as_png, grid
from glasslung.errors import UsageError
from glasslung.files import whole_folder, write_json
from glasslung.measure.lesionload import GLASS_GREY, opacity_share
from glasslung.measure.monotony import Monotony, measure_monotony
from glasslung.nn.generators import draw_codes
from glasslung.nn.making import checked_groups, maker_of
from glasslung.nn.walks import WAYS, Search, find_codes, show_stages, show_walk, walk
from glasslung.predict.trained import Trained, open_trained
from glasslung.studies.synthesis.training import MAKERS
from glasslung.types import DISCLAIMER

INTERPOLATION, PROGRESSION = "interpolation", "progression"
STAGE_STRIPS = 8  # walks of a sheet through stages


@dataclass(frozen=True)
class Walk:
    """Where a walk leads and how it is drawn."""

    steps: int = 12
    way: str = "spherical"
    seed: int = 0
    group: int = 0
    stages: bool = False
    """Through all ages of a conditional model, with the code standing still."""
    walks: int = 32
    """Through stages: codes whose affected lung is measured; eight are drawn."""
    optimise: bool = False
    """Look for the codes of pictures by descent, also where the model has a reconstructor."""

    def __post_init__(self) -> None:
        if self.way not in WAYS or self.steps < 3 or self.walks < 2:
            raise UsageError(
                f"a walk is one of {', '.join(WAYS)}, of 3 steps or more; walks must be 2 or more"
            )


def draw_walk(which: str | Path, out: Path, wanted: Walk, pictures: Sequence[Path] = ()) -> dict[str, Any]:
    """Draw a walk into a new folder: strip.png, film.gif and walk.json, whose content comes back.

    pictures  two files, to walk between real pictures; none: between two codes drawn by `seed`
    UsageError for one picture or three, for stages of a model that knows none, or for stages and pictures.
    """
    run = open_trained(which, _refuse_others)
    if wanted.stages:
        if pictures:
            raise UsageError("a walk through stages begins at a code; leave the pictures away, or the stages")
        return _through_stages(run, out, wanted)
    codes, ends = _ends(run, wanted, pictures)
    images = show_walk(run.model, walk(codes[0], codes[1], wanted.steps, wanted.way), wanted.group)
    told = _told(run, wanted, INTERPOLATION, "no stage is labelled along it", images[None]) | ends
    _write(out, images, images, told)
    return told


def _refuse_others(method: str) -> None:
    if method not in MAKERS:
        raise UsageError(f"{method} makes no lungs from codes; give a run of {', '.join(MAKERS)}")


def _ends(run: Trained, wanted: Walk, pictures: Sequence[Path]) -> tuple[np.ndarray, dict[str, Any]]:
    """The codes at both ends, (2, Z), and how they were found."""
    import torch

    if not pictures:
        rng = torch.Generator().manual_seed(wanted.seed)
        return draw_codes(2, maker_of(run.model).code_width, rng).numpy(), {"ends": "drawn"}
    if len(pictures) != 2:
        raise UsageError(f"a walk leads from one picture to another: give two, not {len(pictures)}")
    framing = run.about["settings"].get("training", {}).get("framing", "stretch")
    size = int(run.about["settings"]["size"])
    images = np.stack([square_unit(read_unit_grey(path), size, framing) for path in pictures])
    group = checked_groups(maker_of(run.model), 2, np.full(2, wanted.group))
    found = find_codes(run.model, images, group, Search(seed=wanted.seed) if wanted.optimise else None)
    return found.codes, {"ends": found.how, "error_at_ends": [float(one) for one in found.error]}


def _through_stages(run: Trained, out: Path, wanted: Walk) -> dict[str, Any]:
    """Many codes through all stages, the affected lung along each, and what the walk may be called."""
    import torch

    if run.about["settings"].get("condition") != "age":
        raise UsageError(
            f"{run.name} was not told the ages of the disease; a walk through it is an interpolation"
        )
    rng = torch.Generator().manual_seed(wanted.seed)
    codes = draw_codes(wanted.walks, maker_of(run.model).code_width, rng).numpy()
    walks = np.stack([show_stages(run.model, code, wanted.steps) for code in codes])
    found = measure_monotony(walks, rng=np.random.default_rng(wanted.seed), load=affected_share)
    called, why = name_of(found)
    told = _told(run, wanted, called, why, walks) | {"monotony": _figures(found)}
    _write(out, walks[:STAGE_STRIPS].reshape(-1, *walks.shape[2:]), walks[0], told)
    return told


def affected_share(images: np.ndarray) -> np.ndarray:
    """Share of each slice's lung that is as dense as ground glass, or denser: (N, S, S) -> (N,)."""
    return opacity_share(images, GLASS_GREY)


def name_of(found: Monotony) -> tuple[str, str]:
    """What a walk through labelled stages may be called, and why."""
    share = f"affected lung grows along {100 * found.rising.value:.0f} % of the walks"
    if found.may_be_called_progression:
        return PROGRESSION, f"the stages are labelled, and {share}"
    return INTERPOLATION, f"the stages are labelled, but {share} only, or not beyond doubt"


def _figures(found: Monotony) -> dict[str, Any]:
    figures = {"rising": found.rising, "rank": found.rank, "change": found.change}
    return {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in figures.items()}


def _told(run: Trained, wanted: Walk, called: str, why: str, walks: np.ndarray) -> dict[str, Any]:
    """What is told of walks (W, T, S, S); shares of lung are means over them, step by step."""
    affected, dense = (np.mean([load(one) for one in walks], 0) for load in (affected_share, opacity_share))
    return {
        "called": called,
        "why": why,
        "note": f"Made pictures, not patients. {DISCLAIMER}",
        "run": run.name,
        "model": run.method,
        "walk": asdict(wanted),
        "affected_share_of_lung": affected.tolist(),
        "dense_share_of_lung": dense.tolist(),
    }


def _write(out: Path, strip: np.ndarray, film: np.ndarray, told: Mapping[str, Any]) -> None:
    facts = {"Title": f"SYNTHETIC, NOT A PATIENT: {told['called']}", "Disclaimer": DISCLAIMER}
    with whole_folder(out) as part:
        (part / "strip.png").write_bytes(as_png(grid(strip, told["walk"]["steps"]), facts))
        (part / "film.gif").write_bytes(as_film(film))
        write_json(part / "walk.json", told)
