"""Exams in a folder: what took minutes to make is made once.

    exams.json       settings, and a line for each scan: its file, label, patient, site, split, ...
    scans/KEY.npz    one scan's slices; KEY is a hash of the settings and of what the scan was made from

A scan that is there under its key is kept, so making a set can stop and go on, and a scan made with other
settings is never taken for it. Files are there whole or not at all, and nothing pickled is loaded.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import FRAMES, LUNGS, Exam, ExamSet
from glasslung.data.sliceviews import View
from glasslung.errors import DataError, ShapeError
from glasslung.files import make_folder, read_json, whole_file, write_json
from glasslung.types import Intensity

FORMAT = "glasslung-exams/1"
MANIFEST, SCANS = "exams.json", "scans"
COLUMNS = ("words", "patients", "sites", "scans", "split")


class ExamStore:
    """A folder of exams made with some settings; None as folder keeps nothing.

    settings  plain values of JSON that decide what an exam looks like
    """

    def __init__(self, folder: Path | None, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, json.loads(json.dumps(settings))
        if folder is not None:
            make_folder(folder / SCANS)

    def key(self, made_from: str) -> str:
        """The name of a scan's file: of these settings and what the scan was made from (a hash, a seed)."""
        told = json.dumps([FORMAT, self.settings, made_from], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:24]

    def kept(self, made_from: str) -> Exam | None:
        """The exam that is there; None where there is none, or its file is damaged."""
        if self.folder is None:
            return None
        try:
            return read_exam(self._file(made_from))
        except DataError:
            return None

    def note(self, made_from: str) -> str:
        """What was noted of an exam that is there."""
        assert self.folder is not None
        with np.load(self._file(made_from), allow_pickle=False) as kept:
            return str(kept["told"][2])

    def keep(self, made_from: str, exam: Exam, note: str = "") -> None:
        """Write an exam and a note about it, whole or not at all."""
        if self.folder is not None:
            write_exam(exam, self._file(made_from), note)

    def finish(self, exams: ExamSet, made_from: list[str]) -> None:
        """Write the list of all scans, by which `read_exam_set` finds them."""
        if self.folder is None:
            return
        lines = [
            {"file": self._file(source).name, "label": int(exams.label[row])}
            | {name: getattr(exams, name)[row] for name in COLUMNS}
            | {"extra": {name: column[row] for name, column in exams.extra.items()}}
            for row, source in enumerate(made_from)
        ]
        manifest = {"format": FORMAT, "settings": self.settings, "scans": lines}
        write_json(self.folder / MANIFEST, manifest)

    def _file(self, made_from: str) -> Path:
        assert self.folder is not None
        return self.folder / SCANS / f"{self.key(made_from)}.npz"


def write_exam_set(exams: ExamSet, folder: Path, settings: Mapping[str, Any]) -> None:
    """Write a whole set; `read_exam_set` reads it back."""
    store = ExamStore(folder, settings)
    names = [f"{row}: {patient} {scan}" for row, (patient, scan) in enumerate(_who(exams))]
    for name, exam in zip(names, exams.exams, strict=True):
        store.keep(name, exam)
    store.finish(exams, names)


def read_exam_set(folder: Path) -> ExamSet:
    """Read a folder of exams; DataError where it is none, or a file of it is missing or damaged."""
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise DataError(f"{folder} holds no exams of this version ({FORMAT}); make them again")
    try:
        lines = manifest["scans"]
        exams = tuple(read_exam(folder / SCANS / line["file"]) for line in lines)
        words, patients, sites, scans, split = (tuple(str(line[name]) for line in lines) for name in COLUMNS)
        names = sorted({name for line in lines for name in line["extra"]})
        extra = {name: tuple(line["extra"].get(name, "") for line in lines) for name in names}
        label = np.array([line["label"] for line in lines], np.int64)
    except (KeyError, TypeError, AttributeError) as problem:
        raise DataError(f"{folder / MANIFEST} is damaged ({problem!r}); make the exams again") from None
    return ExamSet(exams, label, words, patients, sites, scans, split, extra)


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that a folder's exams were made with."""
    return dict(read_json(folder / MANIFEST).get("settings", {}))


def write_exam(exam: Exam, file: Path, note: str = "") -> None:
    """One exam as a compressed file of arrays."""
    arrays: dict[str, np.ndarray] = {
        "image": exam.image,
        "lungs": exam.lungs,
        "lesions": exam.lesions,
        "spacing_mm": np.array(exam.spacing_mm, np.float64),
        "box": np.array([[part.start, part.stop] for part in exam.grid.box], np.int64),
        "told": np.array([exam.intensity.value, exam.view.value, note, exam.frame.name]),
    }
    with whole_file(file) as part:
        np.savez_compressed(part, allow_pickle=False, **arrays)


def read_exam(file: Path) -> Exam:
    """One exam; DataError where the file is missing or damaged."""
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as kept:
            image = kept["image"]
            z, y, x = (slice(int(start), int(stop)) for start, stop in kept["box"])
            mm_z, mm_y, mm_x = (float(mm) for mm in kept["spacing_mm"])
            intensity, view, _, *frame = (str(word) for word in kept["told"])
            return Exam(
                image,
                kept["lungs"],
                kept["lesions"],
                (mm_z, mm_y, mm_x),
                BoxGrid((z, y, x), (image.shape[0], image.shape[1], image.shape[2])),
                Intensity(intensity),
                View(view),
                FRAMES[frame[0]] if frame else LUNGS,  # earlier versions knew no other
            )
    except (OSError, KeyError, ValueError, IndexError, EOFError, zipfile.BadZipFile, ShapeError) as problem:
        raise DataError(f"{file} is missing or damaged ({problem}); make the exams again") from None


def _who(exams: ExamSet) -> list[tuple[str, str]]:
    return list(zip(exams.patients, exams.scans, strict=True))
