"""Every scan of a patient read, let through by the gate, and put in order of time.

What a story cannot be told of is refused here, before anything is written: scans of two patients, one scan
twice, parts of one series, a scan the gate will not let through. Days are those given, or whole days between
the dates of DICOM headers; where one of several scans has no date, no day is known and the order given
stands. Of two scans on one day the one that was taken first comes first, where the clock is known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glasslung.analyze.examining import Asked
from glasslung.analyze.masks import GivenPaths, check_given
from glasslung.analyze.settings import Settings
from glasslung.errors import DataError
from glasslung.types import Progress, Remark, Volume

# Scans up to this many bytes in all stay in memory between the gate and the examination; past it they are
# read again, so that memory does not grow with the number of scans.
KEPT_BYTES = 400_000_000


@dataclass(frozen=True, eq=False)
class Admitted:
    """A scan that passed the gate. `volume` is None where it must be read again because memory was short.

    age, male  what the header says of the patient; None where it does not
    """

    path: Path
    key: str
    gate: tuple[Remark, ...]
    volume: Volume | None
    sha256: str
    given: GivenPaths
    name: str = ""
    day: float | None = None
    age: float | None = None
    male: bool | None = None

    def read(self, settings: Settings) -> Volume:
        """The scan, from memory or from its file."""
        return self.volume if self.volume is not None else read_as(self.path, settings)


def admit(
    scans: Sequence[Path], keys: list[str], settings: Settings, asked: Asked, tell: Progress
) -> list[Admitted]:
    """Every scan read and let through by the gate, named in order of time.

    tell  hears 0 to 1 while scans are read
    """
    from glasslung.data.gate import inspect, refuse

    admitted, sources, held = [], [], 0
    for n, (path, key) in enumerate(zip(scans, keys, strict=True)):
        tell(f"reading {path.name}", n / len(scans))
        volume = read_as(path, settings)
        remarks = inspect(volume)
        refuse(remarks, path.name)
        given = settings.masks.given(n)
        check_given(volume, given, settings.masks.labels)
        drawn = given.lesions is not None or asked.segmenters.fitting(volume.intensity) is not None
        asked.classifiers.fitting(volume.intensity, drawn)
        held += volume.voxels.nbytes
        sources.append(volume.source)
        kept, source = volume if held <= KEPT_BYTES else None, volume.source
        admitted.append(
            Admitted(path, key, remarks, kept, source.sha256, given, age=source.age_years, male=source.male)
        )
    _check_one_patient(scans, [source.patient_key for source in sources])
    _check_different(scans, [source.sha256 for source in sources])
    _check_not_parts(scans, [source.series_key for source in sources])
    moments = [source.acquired for source in sources]
    return _in_order(admitted, list(settings.days) or _days_from(moments), moments)


def read_as(path: Path, settings: Settings) -> Volume:
    from glasslung.data.formats import read_scan

    return read_scan(path, series=settings.series, intensity=settings.intensity)


def _check_one_patient(scans: Sequence[Path], patients: list[str | None]) -> None:
    known = [(path.name, patient) for path, patient in zip(scans, patients, strict=True) if patient]
    for name, patient in known[1:]:
        if patient != known[0][1]:
            raise DataError(
                f"{known[0][0]} and {name} are scans of two patients: "
                "a story is one patient's. Analyse them one by one"
            )


def _check_different(scans: Sequence[Path], hashes: list[str]) -> None:
    for n, digest in enumerate(hashes):
        if digest and digest in hashes[:n]:
            twin = scans[hashes.index(digest)]
            raise DataError(f"{twin.name} and {scans[n].name} hold the same scan: give each scan once")


def _check_not_parts(scans: Sequence[Path], series: list[str | None]) -> None:
    for n, key in enumerate(series):
        if key and key in series[:n]:
            twin = scans[series.index(key)]
            raise DataError(
                f"{twin.name} and {scans[n].name} are parts of one series, not two scans: "
                "pass the folder they lie in"
            )


def _days_from(moments: list[dt.datetime | None]) -> list[float | None]:
    """Whole days since the first scan; unknown for all if one of several scans carries no date."""
    known = [moment.date() for moment in moments if moment is not None]
    if len(known) < len(moments):
        return [None] * len(moments)
    return [float((day - min(known)).days) for day in known]


def _in_order(
    admitted: list[Admitted], days: Sequence[float | None], moments: Sequence[dt.datetime | None]
) -> list[Admitted]:
    """Scans by day, or as given where the days are not known, with names that say the order."""
    triples = list(zip(admitted, days, moments, strict=True))
    if None not in days:
        clock = dt.datetime.min
        triples.sort(key=lambda one: (one[1] or 0.0, one[2] or clock))
    return [replace(scan, name=f"scan-{n:02d}", day=day) for n, (scan, day, _) in enumerate(triples, start=1)]
