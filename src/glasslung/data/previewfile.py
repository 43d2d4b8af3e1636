"""A preview as one .npz of plain arrays: written whole or not at all, read without unpickling anything."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.preview import Plane, Preview, Profile, View, Window
from glasslung.errors import DataError
from glasslung.files import write_whole
from glasslung.types import Geometry, Intensity

_FORMAT = "glasslung.preview/1"
_LAYERS = ("grey", "lungs", "opacities", "lesions", "heat", "change")


def write_preview(preview: Preview, path: Path) -> None:
    """Keep a preview as one .npz of plain arrays, written whole or not at all."""
    arrays: dict[str, Any] = {"meta": np.array(json.dumps(_meta(preview)))}
    for n, view in enumerate((*preview.views, *preview.reasons)):
        for name in _LAYERS:
            layer = getattr(view, name)
            if layer is not None:
                arrays[f"{name}_{n:03d}"] = layer
    if preview.profile is not None:
        for name, values in vars(preview.profile).items():
            if values is not None:
                arrays[f"profile_{name}"] = values
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, written.getvalue())


def _meta(preview: Preview) -> dict[str, object]:
    """Everything of a preview that is not an array."""
    return {
        "format": _FORMAT,
        "intensity": preview.intensity.value,
        "geometry": preview.geometry.value,
        "windows": [asdict(window) for window in preview.windows],
        "views": [_plain(view) for view in (*preview.views, *preview.reasons)],
        "reasons": len(preview.reasons),
    }


def _plain(view: View) -> dict[str, object]:
    return {key: value for key, value in vars(view).items() if key not in _LAYERS}


def read_preview(path: Path) -> Preview:
    """Read back what `write_preview` kept; DataError when the file is missing, damaged or of another kind."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return _preview_from(arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
        raise DataError(
            f"the pictures in {path} cannot be read ({problem}): run `glasslung analyze` anew"
        ) from problem


def _preview_from(arrays: dict[str, np.ndarray]) -> Preview:
    """Rebuild a preview from its arrays."""
    meta = json.loads(str(arrays["meta"]))
    if meta["format"] != _FORMAT:
        raise ValueError(f"format {meta['format']!r}, expected {_FORMAT!r}")
    views = tuple(
        View(
            **(row | {"plane": Plane(row["plane"])}),
            grey=arrays[f"grey_{n:03d}"],
            lungs=arrays[f"lungs_{n:03d}"],
            opacities=arrays.get(f"opacities_{n:03d}"),
            lesions=arrays.get(f"lesions_{n:03d}"),
            heat=arrays.get(f"heat_{n:03d}"),
            change=arrays.get(f"change_{n:03d}"),
        )
        for n, row in enumerate(meta["views"])
    )
    shown = len(views) - int(meta.get("reasons", 0))
    profile = None
    if "profile_lung" in arrays:
        profile = Profile(
            arrays["profile_position_mm"], arrays["profile_lung"], arrays.get("profile_affected")
        )
    windows = tuple(Window(**window) for window in meta["windows"])
    return Preview(
        Intensity(meta["intensity"]),
        Geometry(meta["geometry"]),
        windows,
        views[:shown],
        profile,
        views[shown:],
    )
