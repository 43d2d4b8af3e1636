"""Everything the explorer's page shows, as plain values: places, facts, neighbours, outliers, what sources
give away.

The page computes nothing but pictures on the screen; each figure on it was made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glasslung import __version__
from glasslung.data.slices import GROUP_NAMES
from glasslung.errors import DataError
from glasslung.measure.nearby import LEAST_UNITS, Neighbours, Telling, nearest, told_by_neighbours
from glasslung.types import DISCLAIMER, Progress
from glasslung.web.explorer.atlas import Atlases, make_atlases
from glasslung.web.explorer.codes import Codes
from glasslung.web.explorer.layout import Layout, lay_out
from glasslung.web.explorer.listing import STAGES
from glasslung.web.explorer.pagedecoder import packed
from glasslung.web.explorer.pictures import Collection

KEPT_NEIGHBOURS = 12  # shown for a picture that is clicked
OUTLIERS = 40  # listed, the farthest first
TELLING_NEIGHBOURS = 10
MOST_GROUPS = 11  # colours and marks that can be told apart; what is rarer is "other"
LEAST_NUMBERS = 5  # different numbers that make a scale of a column
FIRST_COLUMNS = ("label", "stage", "severity", "source", "split", "kind", "folder")
KIND, REAL, MADE = "kind", "real", "made"
NAMES = ("patient", "scan", "image", "file")  # columns of names, which no colour can show


@dataclass(frozen=True, eq=False)
class Scene:
    """What a page needs, and what the server keeps for it."""

    collection: Collection
    codes: Codes
    layout: Layout
    near: Neighbours
    tellings: tuple[tuple[str, Telling | str], ...]
    atlases: Atlases


def make_scene(
    collection: Collection,
    codes: Codes,
    layout: str = "pca",
    seed: int = 0,
    progress: Progress | None = None,
) -> Scene:
    """Lay out, find neighbours, and ask which groups can be told from the codes."""
    values = codes.values
    if values.shape[0] != len(collection) or not np.isfinite(values).all():
        raise DataError(
            f"{len(collection)} pictures and codes {values.shape} do not go together, or hold NaN"
        )
    told = progress or (lambda text, done: None)
    told("laying the pictures out", 0.0)
    placed = lay_out(values, layout, seed)
    told("finding neighbours", 0.4)
    near = nearest(values, min(KEPT_NEIGHBOURS, len(collection) - 1))
    told("asking what sources give away", 0.6)
    return Scene(
        collection, codes, placed, near, tellings(collection, values, seed), make_atlases(collection.thumbs)
    )


def tellings(collection: Collection, values: np.ndarray, seed: int) -> tuple[tuple[str, Telling | str], ...]:
    """For every column of groups: how well it is told by neighbours, or why that was not asked.

    Groups of fewer than five patients are left out of the question: nothing could be said of them.
    """
    found: list[tuple[str, Telling | str]] = []
    for name, texts in collection.columns.items():
        if kind_of(name, texts) != "groups":
            continue
        groups, owners = np.array(texts), collection.patients
        often = [group for group in set(texts) - {""} if len(set(owners[groups == group])) >= LEAST_UNITS]
        asked = np.isin(groups, often)
        if len(often) < 2:
            found.append((name, f"Not asked: it needs two groups of {LEAST_UNITS} patients or more."))
            continue
        k = min(TELLING_NEIGHBOURS, len(set(owners[asked])) - 1)
        rng = np.random.default_rng([seed, len(found)])
        found.append((name, told_by_neighbours(values[asked], groups[asked], owners[asked], rng=rng, k=k)))
    return tuple(found)


def kind_of(name: str, texts: Sequence[str]) -> str:
    """How a column can be shown: 'groups', 'numbers', or 'text' (names, and what is the same everywhere)."""
    there = [text for text in texts if text]
    values = set(there)
    if name in NAMES or len(values) < 2:
        return "text"
    if len(values) >= LEAST_NUMBERS and all(_is_number(text) for text in values):
        return "numbers"
    often = Counter(there).most_common(MOST_GROUPS)
    covered = sum(count for _, count in often) / len(there)
    return "groups" if covered >= 0.8 or len(values) <= MOST_GROUPS else "text"


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def as_json(scene: Scene, live: bool, names: bool) -> dict[str, Any]:
    """The scene as plain values.

    live   a server stands behind the page: whole pictures and walks come from it
    names  files' names are told; without, pictures have numbers, since a name may be a patient's
    """
    collection, codes, near = scene.collection, scene.codes, scene.near
    order = sorted(collection.columns, key=lambda name: (_rank(name), list(collection.columns).index(name)))
    apart = near.apart
    farthest = np.argsort(-apart, kind="stable")[:OUTLIERS]
    decoder = None if live or codes.decoder is None else codes.decoder.as_json()
    left = [{"name": one.name if names else "", "why": one.why} for one in collection.left_out]
    return {
        "version": __version__,
        "disclaimer": DISCLAIMER,
        "name": collection.name,
        "count": len(collection),
        "live": live,
        "codes": {"name": codes.name, "told": codes.told, "width": int(codes.values.shape[1])},
        "layout": {"name": scene.layout.name, "told": scene.layout.told},
        "places": packed(scene.layout.places),
        "path": path_of(scene),
        "atlas": _atlas_json(scene.atlases),
        "columns": [column_json(name, collection.columns[name]) for name in order],
        "names": [entry.name for entry in collection.entries] if names else None,
        "sizes": [list(size) for size in collection.sizes],
        "neighbours": {
            "count": int(near.rows.shape[1]),
            "rows": near.rows.reshape(-1).tolist(),
            "distances": [round(float(one), 4) for one in near.distances.reshape(-1)],
        },
        "outliers": {
            "rows": farthest.tolist(),
            "ratios": [round(float(apart[row] / max(np.median(apart), 1e-12)), 2) for row in farthest],
            "neighbours": int(near.rows.shape[1]),
        },
        "tellings": [telling_json(name, one) for name, one in scene.tellings],
        "walks": {
            "live": live and codes.walker is not None,
            "decoder": decoder,
            "stages": stages_of(collection),
        },
        "left_out": left,
        "notes": list(collection.notes),
    }


def _rank(name: str) -> int:
    return FIRST_COLUMNS.index(name) if name in FIRST_COLUMNS else len(FIRST_COLUMNS)


def _atlas_json(atlases: Atlases) -> dict[str, Any]:
    return {
        "columns": atlases.columns,
        "rows": list(atlases.rows),
        "cell": atlases.cell,
        "urls": [f"atlas/{number}.png" for number in range(len(atlases.pngs))],
    }


def column_json(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """One column: its values once, and for each picture which of them it has; -1 unknown."""
    kind = kind_of(name, texts)
    often = Counter(text for text in texts if text)
    values = sorted(often, key=lambda text: (-often[text], text)) if kind == "groups" else sorted(often)
    if set(values) <= set(STAGES.values()):
        values = [stage for stage in STAGES.values() if stage in often]
    place = {text: number for number, text in enumerate(values)}
    return {
        "name": name,
        "kind": kind,
        "values": values,
        "of": [place.get(text, -1) for text in texts],
        "most": MOST_GROUPS,
    }


def stages_of(collection: Collection) -> list[int] | None:
    """Index of the labelled stage of each picture, -1 unknown; None where no picture has one."""
    texts = collection.columns.get("stage")
    if texts is None:
        return None
    names = [*STAGES.values()]
    known = [
        names.index(text) if text in names else GROUP_NAMES.index(text) if text in GROUP_NAMES else -1
        for text in texts
    ]
    return known if max(known) >= 0 else None


def path_of(scene: Scene) -> dict[str, Any] | None:
    """The map from codes to places, so that the way between two pictures is drawn where it runs."""
    layout, decoder = scene.layout, scene.codes.decoder
    if layout.matrix is None or decoder is None or decoder.codes.shape[1] != len(layout.matrix):
        return None
    assert layout.offset is not None
    return {"matrix": packed(layout.matrix), "offset": packed(layout.offset), "codes": packed(decoder.codes)}


def telling_json(name: str, one: Telling | str) -> dict[str, Any]:
    """One line of the page's table of what can be told by neighbours."""
    if isinstance(one, str):
        return {"column": name, "why": one}
    told = asdict(one)
    interval = told.pop("accuracy")
    return {
        "column": name,
        "accuracy": round(interval["value"], 3),
        "low": round(interval["low"], 3),
        "high": round(interval["high"], 3),
        "chance": round(told["chance"], 3),
        "chance_low": round(told["chance_low"], 3),
        "chance_high": round(told["chance_high"], 3),
        "p": told["p"],
        "permutations": told["permutations"],
        "neighbours": told["neighbours"],
        "groups": list(told["groups"]),
        "counts": list(told["counts"]),
        "units": told["units"],
        "shuffled": told["shuffled"],
    }
