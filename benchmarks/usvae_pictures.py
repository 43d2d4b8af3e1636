"""Draw what the shipped U-SVAE makes: samples from its prior, and phantom slices as it sees them.

    python benchmarks/usvae_pictures.py docs/images/usvae_samples.png

Real slices are not shown: the collection they come from does not say that pictures may be passed on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.lung_slices import slices
from glasslung.models.shipped import load_shipped

COLUMNS = 10
SAMPLE_ROWS = 3


def main(target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model, _ = load_shipped("usvae")
    rng = torch.Generator().manual_seed(0)
    made = model.sample(COLUMNS * SAMPLE_ROWS, rng).pixels.mean()[:, 0].numpy()
    patients = [draw_patient(seed, severity=0.6) for seed in range(COLUMNS)]
    phantom = slices(patients, [6.0]).grey.astype(np.float32) / 255
    seen = model.reconstruct(torch.from_numpy(phantom)[:, None], rng).pixels.mean()[:, 0].numpy()
    rows = [*made.reshape(SAMPLE_ROWS, COLUMNS, 64, 64), phantom, seen]
    names = [*["drawn from\nthe prior"] * SAMPLE_ROWS, "phantom", "phantom,\nreconstructed"]
    figure, axes = plt.subplots(len(rows), COLUMNS, figsize=(COLUMNS * 1.1, len(rows) * 1.15))
    for row, name, line in zip(rows, names, axes, strict=True):
        for picture, axis in zip(row, line, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=0.8, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    figure.subplots_adjust(left=0.1, right=0.995, top=0.995, bottom=0.005, wspace=0.03, hspace=0.03)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
