"""What DICOM results of a large scan cost: time, peak memory and sizes, beside highdicom by its manual.

    python benchmarks/dicom_results.py [--times 4]

The scan is a phantom of 75 x 128 x 128, each voxel repeated along each axis (--times 4: 300 x 512 x 512),
with noise, written as a CT series; its masks are the phantom's own, the map is smooth about the lesions.
Each way runs in a process of its own: `ours` is write_dicom_results, hashing of the source files, checks of
geometry and both reports included; `plain` reads the whole series with pydicom and passes it and the masks to
highdicom's Segmentation and ParametricMap with their defaults, every slice of the map included, and writes no
report. Peak memory is the process's own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from glasslung.data.formats import DicomLabel, read_scan, write_mask, write_volume
from glasslung.data.phantom import draw_patient, render
from glasslung.types import Amount, Lesion, RegionMeasures, Volume

SMALL = (75, 128, 128)
SEGMENTS = 5  # both lungs, two classes of lesion, opacities


def make_case(root: Path, times: int) -> None:
    """`scan/` as DICOM and `story/` with masks, map and findings, in the folder `root`."""
    from glasslung.data.story import STORY_SCHEMA, write_story
    from glasslung.explain.heatmaps import write_relevance
    from glasslung.types import DISCLAIMER, Findings, MaskOrigin, MaskQuality, Provenance, Story

    drawn = render(draw_patient(4, severity=0.7), 9, shape=SMALL)
    voxels = _larger(drawn.volume.voxels, times)
    voxels += np.random.default_rng(0).integers(-15, 16, voxels.shape, dtype=np.int16)
    affine = drawn.volume.affine @ np.diag([1 / times] * 3 + [1.0])
    write_volume(Volume(voxels, affine, drawn.volume.intensity), root / "scan", DicomLabel("P001"))
    scan = read_scan(root / "scan")
    lesions = _larger(drawn.lesions, times)
    home = root / "story" / "masks" / "scan-01"
    home.mkdir(parents=True)
    masks = {"lungs": _larger(drawn.lungs, times), "lesions": lesions, "opacities": lesions}
    for name, mask in masks.items():
        write_mask(mask, scan, home / f"{name}.nii.gz")
    heat = ndimage.gaussian_filter((drawn.lesions > 0).astype(np.float32), 3)
    write_relevance(_larger(np.where(heat > 1e-4, heat, 0), times), scan, home / "relevance.nii.gz")
    amounts = {kind.words: Amount(100.0, 2.0) for kind in (Lesion.GROUND_GLASS, Lesion.CONSOLIDATION)}
    regions = tuple(
        RegionMeasures(name, 5000.0, 1, None, Amount(200.0, 4.0), amounts)
        for name in ("both lungs", "right lung", "left lung")
    )
    found = Findings(
        *("scan-01", 0.0, "dicom", scan.source.sha256, scan.intensity, scan.geometry, scan.shape),
        *(scan.spacing_mm, (), MaskQuality(True, 0.9), regions, None, 4.0),
        masks={name: f"masks/scan-01/{name}.nii.gz" for name in masks},
        origin=MaskOrigin("rules", "given"),
        diagnosis=_told(),
    )
    made = Provenance("0.1.0", "3.11", "Linux", {}, "benchmark", "2026-01-15T09:30:00+00:00", {})
    write_story(Story(STORY_SCHEMA, DISCLAIMER, "given", (found,), (), made), root / "story")


def _larger(array: np.ndarray, times: int) -> np.ndarray:
    """Every voxel so many times along each axis."""
    for axis in range(3):
        array = np.repeat(array, times, axis)
    return array


def _told():
    """A diagnosis nobody made, so that there is a map to write."""
    from glasslung.types import Answer, Diagnosis, Explanation, Standing, Validation

    figure = (0.9, 0.8, 0.95)
    reasons = Explanation("made", (), None, "masks/scan-01/relevance.nii.gz")
    return Diagnosis(
        *("COVID-19", 1.0, 0.7, 0.7, 1.0, 0.0, Answer.LIKELY, 0.5, "made", Standing.FINDING, 0.9, (0.5, 0.1)),
        *(None, (), "made", "made", "0", Validation(10, 10, figure, 0.1, figure, figure), "", ""),
        explanation=reasons,
    )


def ours(root: Path) -> dict[str, float]:
    """Our way, as a user's process runs it."""
    from glasslung.report.dicom import write_dicom_results

    files = sorted((root / "scan").iterdir())
    return _measured(
        root / "ours", lambda: write_dicom_results(root / "story", {"scan-01": files}, root / "ours")
    )


def plain(root: Path) -> dict[str, float]:
    """As the manual of highdicom shows it."""
    return _measured(root / "plain", lambda: _written_plainly(root))


def _written_plainly(root: Path) -> None:
    import highdicom
    import nibabel
    import pydicom
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    (root / "plain").mkdir()
    source = sorted(
        (pydicom.dcmread(file) for file in (root / "scan").iterdir()), key=lambda d: d.ImagePositionPatient[2]
    )
    home = root / "story" / "masks" / "scan-01"
    lungs, lesions, heat = (
        np.asarray(nibabel.load(home / f"{name}.nii.gz").dataobj).T
        for name in ("lungs", "lesions", "relevance")
    )
    masks = np.stack([lungs == 1, lungs == 2, lesions == 1, lesions == 2, lesions > 0], axis=-1)
    algorithm = highdicom.AlgorithmIdentificationSequence("plain", codes.DCM.ArtificialIntelligence, "1")
    told = [
        SegmentDescription(n, str(n), codes.SCT.Tissue, codes.SCT.Lung, "AUTOMATIC", algorithm)
        for n in range(1, SEGMENTS + 1)
    ]
    who = {"manufacturer": "x", "manufacturer_model_name": "x", "software_versions": "1"}
    names = [highdicom.UID() for _ in range(4)]
    seg = Segmentation(
        *(source, masks, "BINARY", told, names[0], 1, names[1], 1), device_serial_number="1", **who
    )
    seg.save_as(root / "plain" / "seg.dcm")
    heat = heat.astype(np.float32)
    top = float(heat.max())
    meaning = RealWorldValueMapping("1", "relevance", codes.UCUM.NoUnits, (0.0, top), 1.0, 0.0)
    window = highdicom.VOILUTTransformation(window_center=top / 2, window_width=top)
    made = ParametricMap(
        *(source, heat, names[2], 2, names[3], 1),
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[meaning],
        voi_lut_transformations=[window],
        **who,
    )
    made.save_as(root / "plain" / "relevance.dcm")


def _measured(out: Path, work) -> dict[str, float]:
    before = time.process_time()
    work()
    told = {"cpu_s": time.process_time() - before}
    told["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return told | {file.name: file.stat().st_size / 1e6 for file in sorted(out.iterdir())}


def main() -> None:
    """Make the case, run both ways in processes of their own, print what they took."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--times", type=int, default=4)
    asked.add_argument("--way", help=argparse.SUPPRESS)
    asked.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    words = asked.parse_args()
    if words.way:
        print(json.dumps({"ours": ours, "plain": plain}[words.way](words.root)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_case(Path(folder), words.times)
        for way in ("ours", "plain"):
            command = [sys.executable, __file__, "--way", way, "--root", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            told = json.loads(done.stdout.splitlines()[-1])
            sizes = ", ".join(f"{name} {size:.1f} MB" for name, size in told.items() if "." in name)
            print(f"{way}: {told['cpu_s']:.1f} s of CPU, peak {told['peak_gb']:.2f} GB; {sizes}")


if __name__ == "__main__":
    main()
