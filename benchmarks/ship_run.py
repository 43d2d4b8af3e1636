"""Put a run of `glasslung train` where the package finds it: weights, settings, reference; no slices.

glasslung train agetransport --cohort CAGE --out RUN --steps 2400 --set ...
python benchmarks/ship_run.py RUN --out src/glasslung/weights/agetransport
python benchmarks/ship_run.py RUN --half --classes 3 --out src/glasslung/weights/lesions-hu
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, cat

from glasslung.files import write_json, write_whole
from glasslung.forecast.familiarity import ABOUT, TENSORS
from glasslung.models import build
from glasslung.models.shipped import memories_of
from glasslung.train.checkpoint import load_tensors, save_tensors
from glasslung.train.rundir import RunDir


def ship(
    folder: Path,
    out: Path,
    half: bool = False,
    changed: Mapping[str, Any] | None = None,
    classes: int | None = None,
) -> None:
    """Copy what a reader needs to use the run and to make it again.

    half     weights of layers in 16 bit: half the size; statistics of batch normalisation stay in 32
    changed  settings of the model that were fitted after its training
    classes  of a U-Net: leaves out what tells later classes, which it did not learn
    """
    run = RunDir.open(folder)
    about = run.about
    name, settings = about["model"], {**about["settings"], **(changed or {})}
    model = build(name, about["seed"], **{k: v for k, v in settings.items() if k != "training"})
    weights = load_tensors(folder / "weights" / f"{name}.safetensors")
    kept = {key: part for key, part in weights.items() if key not in memories_of(model)}
    if classes is not None:
        kept, settings = without_classes(kept, settings["classes"], classes), {**settings, "classes": classes}
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(
        out / "model.safetensors", {key: halved(part) for key, part in kept.items()} if half else kept
    )
    told = {
        "name": name,
        "settings": settings,
        "seed": about["seed"],
        "created": about["created"],
        "versions": {key: version for key, version in about["versions"].items() if key != "platform"},
        "input sha256": about["inputs"]["cohort"]["sha256"],
    }
    write_json(out / "settings.json", told)
    for part in (TENSORS, ABOUT):  # of runs that forecast
        if (folder / part).is_file():
            write_whole(out / part, (folder / part).read_bytes())
    print(f"{out}: {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.1f} MB")


def halved(part: Tensor) -> Tensor:
    """Weights with two axes or more in 16 bit, others as they are."""
    return part.half() if part.is_floating_point() and part.ndim > 1 else part


def without_classes(weights: Mapping[str, Tensor], had: int, kept: int) -> dict[str, Tensor]:
    """The weights of a U-Net whose last convolution tells fewer classes; a lung output behind them stays."""
    shorter = {key: part for key, part in weights.items() if key.startswith("unet.head.")}
    return {**weights, **{key: cat([part[:kept], part[had:]]) for key, part in shorter.items()}}


def settings_typed(pairs: list[str]) -> dict[str, Any]:
    """['temperature=0.8'] -> {'temperature': 0.8}"""
    return {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in pairs)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", action="store_true", help="weights in 16 bit")
    parser.add_argument(
        "--classes", type=int, help="of a U-Net: leave out later ones, which it did not learn"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings fitted since")
    args = parser.parse_args()
    ship(args.run, args.out, args.half, settings_typed(args.set), args.classes)
