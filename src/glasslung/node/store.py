"""Objects on the node's disk: each a file that is there whole or not at all, under names that name nobody.

    studies/<study>/<object>.dcm   as received; names are one-way keys of DICOM's identifiers, and a content
    jobs/<study>/                  what an analysis reads: links to the objects of one moment
    stories/<study>-<revision>/    its story
    results/<study>-<revision>/    the DICOM objects that are sent
    traces/<study>.txt             what an analysis that was lost wrote at its end
    queue.sqlite                   what is known of them: see `queue`

The queue is the truth: an object counts when its row is written, and a file without a row is swept away
when the node starts, because whoever sent it was never told that it had arrived.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from glasslung.files import make_folder

PRIVATE = 0o700


class Store:
    """The folder of a node."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, for the node's own user alone; DataError where nothing can be written."""
        self.folder = folder
        for part in (folder, self.studies, self.jobs, self.stories, self.results, self.traces):
            make_folder(part)
            part.chmod(PRIVATE)

    @property
    def studies(self) -> Path:
        """Objects as they came."""
        return self.folder / "studies"

    @property
    def jobs(self) -> Path:
        """What analyses read."""
        return self.folder / "jobs"

    @property
    def stories(self) -> Path:
        """What analyses told."""
        return self.folder / "stories"

    @property
    def results(self) -> Path:
        """What is sent."""
        return self.folder / "results"

    @property
    def traces(self) -> Path:
        """Last words of analyses that were lost."""
        return self.folder / "traces"

    def free_bytes(self) -> int:
        """Free space on the folder's disk."""
        return shutil.disk_usage(self.folder).free

    def object_path(self, study: str, name: str) -> Path:
        """Where an object lies, by the keys of its study and its own."""
        return self.studies / study / name

    def keep(self, part: Path, study: str, name: str) -> Path:
        """Move a whole file into its study, so that it is there after a power cut too."""
        place = self.object_path(study, name)
        place.parent.mkdir(mode=PRIVATE, exist_ok=True)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(place)
        _name_to_disk(place.parent)
        return place

    def incoming(self) -> Path:
        """A folder on the same disk for files that are not whole yet."""
        place = self.folder / "incoming"
        place.mkdir(mode=PRIVATE, exist_ok=True)
        return place

    def link(self, job: str, study: str, names: Iterable[str]) -> Path:
        """A folder with exactly these objects of a study: what arrives meanwhile does not change it."""
        place = self.jobs / job / study
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=PRIVATE)
        for name in names:
            os.link(self.object_path(study, name), place / name)
        return place

    def end_job(self, job: str) -> None:
        """Take the links of an analysis away."""
        shutil.rmtree(self.jobs / job, ignore_errors=True)

    def drop_revisions(self, study: str, keep: str = "") -> None:
        """Remove stories and results of a study, except those of one revision."""
        for room in (self.stories, self.results, self.traces):
            for folder in room.glob(f"{study}-*"):
                if folder.name != keep:
                    shutil.rmtree(folder, ignore_errors=True)

    def drop(self, study: str) -> None:
        """Remove all there is of a study."""
        shutil.rmtree(self.studies / study, ignore_errors=True)
        self.end_job(study)
        (self.traces / f"{study}.txt").unlink(missing_ok=True)
        self.drop_revisions(study)

    def sweep(self, known: Sequence[tuple[str, str]]) -> int:
        """Remove what no row knows and what was never finished; how many objects went."""
        shutil.rmtree(self.folder / "incoming", ignore_errors=True)
        for left in self.jobs.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        rows: dict[str, set[str]] = {}
        for study, name in known:
            rows.setdefault(study, set()).add(name)
        for left in (*self.stories.iterdir(), *self.results.iterdir(), *self.traces.iterdir()):
            if _study_of(left) not in rows:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        return sum(self.sweep_study(one.name, rows.get(one.name, set())) for one in self.studies.iterdir())

    def sweep_study(self, study: str, known: Collection[str]) -> int:
        """Remove a study's files that no row names, and its folder where it is empty; how many files went."""
        folder = self.studies / study
        strays = [file for file in folder.iterdir() if file.name not in known]
        for file in strays:
            file.unlink()
        with suppress(OSError):  # not empty
            folder.rmdir()
        return len(strays)


def write_incoming(store: Store, pieces: Iterable[bytes | memoryview]) -> Path:
    """Bytes as a file in the incoming folder, under a name of its own; the caller keeps it or removes it."""
    handle, name = tempfile.mkstemp(dir=store.incoming())
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _study_of(path: Path) -> str:
    """Whose story, results or last words these are: '<study>-<revision>', '<study>.txt'."""
    return path.stem.partition("-")[0]


def _name_to_disk(folder: Path) -> None:
    """Push a folder's list of names out of the system's memory."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
