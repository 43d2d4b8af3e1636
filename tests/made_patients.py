"""A cohort of small scans with and without lesions, split by patient, for classifiers to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from made_volumes import chest, eight_bit, write_scan

PARTS = ("train", "train", "val", "test")


def write_patients(folder: Path, count: int = 16, parts: tuple[str, ...] = PARTS) -> Path:
    """cohort.csv with `count` scans, each second of them of covid, in parts that take turns by pairs."""
    rows = ["patient,scan,image,intensity,label,site,split,lungs,lesions"]
    for n in range(count):
        ill = n % 2 == 0
        write_scan(folder, n, ill=ill)
        part = parts[n // 2 % len(parts)] if parts else ""
        word = "covid" if ill else ("healthy", "bacterial")[n // 2 % 2]
        files = ",".join(f"s{n}/{name}.nii.gz" for name in ("lungs", "lesions"))
        rows.append(f"p{n},s{n},s{n}/image.nii.gz,hu,{word},{'ab'[n % 3 == 0]},{part},{files}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_pictures(folder: Path, count: int = 16) -> Path:
    """The same as one-slice pictures in the layout of UCSD COVID-CT, of both labels in every part."""
    lines = ["path,label,split,patient,day,included"]
    for n in range(count):
        ill = n % 2 == 0
        hu, _, _ = chest(n, ill)
        grey = np.kron(eight_bit(hu)[10], np.ones((3, 3), np.uint8))
        path = Path("CT_COVID" if ill else "CT_NonCOVID", f"{n}.png")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(folder / path)
        part = PARTS[n // 2 % len(PARTS)]
        lines.append(f"{path},{'COVID' if ill else 'NonCOVID'},{part},patient_{n},,1")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
