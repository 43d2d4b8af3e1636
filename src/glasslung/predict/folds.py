"""A folder of folds: classifiers that were trained on parts of one cohort, and answer as one.

folds.json      method, names of the folds' folders, which of them is the best, what each did on its fold
operating.json  how the mean of their log-odds is read, fitted on the scans that each had not seen
fold-00, ...    runs of `glasslung train`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.errors import DataError
from glasslung.files import read_json

FOLDS = "folds.json"
FORMAT = "glasslung-folds/1"


@dataclass(frozen=True)
class FoldsFolder:
    """What a folder of folds tells.

    method  the name that each is built by
    runs    the folders of the folds, in order
    best    the one with the highest AUC on its own fold, as the COVID3D paper chooses
    about   all that folds.json holds
    """

    folder: Path
    method: str
    runs: tuple[Path, ...]
    best: Path
    about: dict[str, Any]


def is_folds(folder: Path) -> bool:
    """Whether a folder holds folds whose training has ended."""
    return (folder / FOLDS).is_file()


def read_folds(folder: Path) -> FoldsFolder:
    """The folds of a folder; DataError where it is damaged, or a fold is missing."""
    told = read_json(folder / FOLDS)
    try:
        names = [Path(str(one["folder"])).name for one in told["folds"]]
        best, method, known = str(told["best"]), str(told["model"]), told["format"] == FORMAT
    except (KeyError, TypeError) as problem:
        raise DataError(f"{folder / FOLDS} is damaged ({problem}); run the training again") from problem
    if not known or best not in names:
        raise DataError(f"{folder / FOLDS} is damaged, or of another version; run the training again")
    for name in names:
        if not (folder / name / "settings.json").is_file():
            raise DataError(f"{folder} lacks {name}; run the training again, it makes that fold anew")
    return FoldsFolder(folder, method, tuple(folder / name for name in names), folder / best, told)
