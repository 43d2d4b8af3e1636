"""A cohort of small scans with and without lesions, split by patient, for classifiers to learn from."""

from __future__ import annotations

from pathlib import Path

from made_volumes import write_scan

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
