"""Phantoms beside real scans: the picture that shows whether a slice says "a chest CT".

    python benchmarks/phantom_beside_real.py DATA [docs/images/phantom_beside_real.png]

DATA is the folder of real scans. Only those that may be shown are used: LIDC-IDRI slices (CC BY 3.0) and the
64 x 64 scan of the Chest Imaging Platform (BSD style licence).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from glasslung.data.formats import read_scan
from glasslung.data.orientation import orientation_of, to_upright
from glasslung.data.phantom import Grid, draw_patient, render
from glasslung.files import whole_file
from glasslung.types import Volume

LUNG, SOFT = (-600.0, 1500.0), (40.0, 400.0)
FINE_MM = 0.75
# (seed, disease, site, severity, day, height in mm above the carina)
AXIAL = (
    (31, "healthy", "b", None, 0, -14),
    (32, "healthy", "a", None, 0, 38),
    (45, "covid", "b", 0.5, 9, -40),
    (52, "bacterial", "a", 0.6, 4, -58),
)


def windowed(hu: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """HU to 0..1 grey."""
    return np.clip((hu - window[0]) / window[1] + 0.5, 0, 1)


def upright(volume: Volume) -> np.ndarray:
    """(Z, Y, X), feet to head, front to back, right to left."""
    return np.asarray(to_upright(volume.voxels, orientation_of(volume)))


def real_pictures(data: Path) -> list[tuple[str, np.ndarray]]:
    """Axial LIDC slices and one coronal view of the 64 x 64 scan."""
    found = sorted((data / "dicom" / "lidc_small").iterdir())
    slices = [upright(read_scan(folder))[0][70:450] for folder in found if folder.is_dir()][:3]
    whole = read_scan(data / "dicom" / "cip_ct64_series")
    coronal = upright(whole)[::-1, 30]
    pictures = [(f"LIDC-IDRI {n + 1}", windowed(hu, LUNG)) for n, hu in enumerate(slices)]
    pictures.append(("LIDC-IDRI 1, soft tissue", windowed(slices[0], SOFT)))
    return [*pictures, ("CIP 64 x 64, coronal", windowed(coronal, LUNG))]


def phantom_pictures() -> list[tuple[str, np.ndarray]]:
    """The same kinds of view of phantoms."""
    pictures = []
    for seed, disease, site, severity, day, height in AXIAL:
        patient = draw_patient(seed, disease, site, severity)
        z = height * patient.body.scale[0]
        grid = Grid(
            (1, 380, 512), (z, 12 - 190 * FINE_MM, -256 * FINE_MM), (patient.site.slice_mm, FINE_MM, FINE_MM)
        )
        hu = render(patient, day, grid=grid).volume.voxels[0]
        pictures.append((f"phantom, {disease}" + (f" day {day}" if disease != "healthy" else ""), hu))
    shown = [(title, windowed(hu, LUNG)) for title, hu in pictures]
    shown.insert(3, ("phantom, soft tissue", windowed(pictures[0][1], SOFT)))
    small = render(draw_patient(31, "healthy", "b"), 0, shape=(79, 64, 64), spacing=(4.0, 4.2, 4.2)).volume
    return [*shown[:4], ("phantom 64 x 64, coronal", windowed(upright(small)[::-1, 32], LUNG)), *shown[4:]]


def draw(data: Path, out: Path) -> None:
    """Two rows: real above, phantoms below."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = real_pictures(data), phantom_pictures()
    columns = max(len(row) for row in rows)
    figure, axes = plt.subplots(2, columns, figsize=(3.1 * columns, 5.4), facecolor="black")
    for line, row in zip(axes, rows, strict=True):
        for axis in line:
            axis.axis("off")
        for axis, (title, picture) in zip(line, row, strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect="equal", interpolation="bilinear")
            axis.set_title(title, color="white", fontsize=9)
    figure.tight_layout(pad=0.3)
    with whole_file(out) as part:
        figure.savefig(part, dpi=72, facecolor="black", pil_kwargs={"optimize": True})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/images/phantom_beside_real.png"))
    wanted = parser.parse_args()
    draw(wanted.data, wanted.out)
    print(f"{wanted.out}: {wanted.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
