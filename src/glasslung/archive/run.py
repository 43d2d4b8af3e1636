"""A cohort analysed: every patient's story, one table, and a folder that can be stopped at any time.

What lies in the output folder
    cases/<ab>/<key>/   a patient's story, as `glasslung analyze` writes it; <key> is one-way
    ledger.sqlite       what became of each case; nothing that is written there is done again
    scans.csv, scans.parquet, set-aside.csv, manifest.json, summary.txt   see `tables`

A killed run leaves finished cases finished, and goes on inside the case it was at, scan by scan. One process
writes to a folder at a time. A cohort may grow: new patients are added, changed rows analysed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung import __version__
from glasslung.archive.cases import Job, PatientCase, cases_of
from glasslung.archive.crew import Crew, local_crew
from glasslung.archive.keeper import Keeper
from glasslung.archive.ledger import ASIDE, DONE, LEDGER, STOP, Ledger, open_ledger
from glasslung.archive.settings import FIGURES, ArchiveSettings, Limits
from glasslung.archive.tables import FILES, write_tables
from glasslung.data.cohort import Cohort
from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder
from glasslung.types import Intensity, Progress

LOCK = ".lock"
OWN = {LOCK, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", f"{LEDGER}-journal", "cases", *FILES}


@dataclass(frozen=True)
class Done:
    """What a run left: its folder, scans by state, patients, patients set aside, patients done just now."""

    out: Path
    scans: Mapping[str, int]
    patients: int
    aside: int
    now: int


def analyze_cohort(
    cohort: Cohort,
    out: Path,
    settings: ArchiveSettings,
    limits: Limits,
    ray: str = "",
    retry: bool = False,
    progress: Progress | None = None,
) -> Done:
    """Analyse every patient of a cohort that is not done yet, and write the table.

    ray    address of a Ray cluster, or 'auto'; '' has the work done on this machine
    retry  whether cases that were set aside get another try
    Raises UsageError for a folder that is not ours, was begun otherwise, or that another process fills;
    DataError where the place fails: finished cases are kept, and the same call goes on.
    """
    check_output(cohort, out)
    cases, asked = cases_of(cohort), what_is_asked(settings)
    crew = _crew(ray, settings, limits, out / LEDGER)
    make_folder(out)
    with hold(out), open_ledger(out) as ledger:
        _claim(ledger, asked, out, cases)
        left = _left(cases, ledger, out, settings, retry)
        _work(cohort, cases, left, ledger, crew, (out, settings.given_masks), progress)
        scans = write_tables(cohort, cases, ledger, out)
        aside = [key for key, (_, state) in ledger.states().items() if state == ASIDE]
    return Done(out, scans, len(cases), len({case.key for case in cases} & set(aside)), len(left))


def what_is_asked(settings: ArchiveSettings) -> dict[str, Any]:
    """All that decides a result, as plain values: version, settings, and who is asked.

    UsageError or DataError at once where a named network or model is not there, or of another kind.
    """
    from glasslung.analyze.diagnosing import Classifiers
    from glasslung.analyze.foreseeing import check_prognosis
    from glasslung.analyze.masks import Segmenters
    from glasslung.analyze.settings import PrognosisSettings

    segmenters, classifiers = Segmenters(settings.segmenter), Classifiers(settings.classifier)
    for named in (segmenters, classifiers):
        named.check()
    check_prognosis(PrognosisSettings(settings.prognosis))
    return {
        "glasslung": __version__,
        **settings.plain(),
        "networks for lesions": segmenters.identity(),
        "networks for diagnoses": classifiers.identity(),
        "models of stays": _prognosis_identity(settings.prognosis),
    }


def _prognosis_identity(named: str) -> str:
    from glasslung.analyze.masks import NOBODY
    from glasslung.predict.prognosis import open_prognosis, shipped_prognosis

    if named == NOBODY:
        return NOBODY
    names = [named] if named else [shipped_prognosis(intensity) for intensity in Intensity]
    models = [open_prognosis(name) for name in names if name]
    return "; ".join(f"{model.name} {model.digest}" for model in models) or NOBODY


# --- the folder -------------------------------------------------------------------------------------------


def check_output(cohort: Cohort, out: Path) -> None:
    """UsageError for a folder that would mix with the cohort's scans or with somebody else's files."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: choose a folder")
    others = {path.name for path in out.iterdir()} - OWN if out.is_dir() else set()
    strange = {name for name in others if not _is_part(name)}
    if strange:
        raise UsageError(f"--out {out} holds other files: choose an empty or a new folder")
    above = {str(folder) for path in (out.absolute(), out.resolve()) for folder in (path, *path.parents)}
    if any(str(cohort.path(row.image).absolute()) in above for row in cohort.cases):
        raise UsageError(f"--out {out} lies inside a scan of the cohort: choose a folder outside it")


def _is_part(name: str) -> bool:
    """Whether a name is that of a file of ours that a kill left half-written."""
    return name.startswith(".") and any(name.endswith(f".part.{own}") for own in FILES)


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Keep other runs out of the folder, and sweep what a killed one left half-written.

    The lock is the operating system's: it goes when its process goes, however it went, and a lock file that
    is left behind locks nothing.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as problem:
        raise UsageError(
            f"another analyze-cohort is writing to {out}: wait for it, or choose another --out"
        ) from problem
    try:
        for left in out.iterdir():
            if _is_part(left.name):
                left.unlink()
        yield
    finally:
        lock.release()


def _claim(ledger: Ledger, asked: dict[str, Any], out: Path, cases: Sequence[PatientCase]) -> None:
    """Say whose the folder is; UsageError where it was begun otherwise, or for other patients."""
    before = ledger.asked()
    if before is None:
        ledger.begin(asked)
        return
    for name, now in asked.items():
        if before.get(name) != now:
            raise UsageError(
                f"{out} was begun with {name} {_short(before.get(name))}, asked for is {_short(now)}: use "
                "the settings it was begun with, or another --out"
            )
    there = set(ledger.states())
    if there and not there & {case.key for case in cases}:
        raise UsageError(f"{out} holds the results of other patients: choose another --out")


def _short(value: Any, most: int = 60) -> str:
    text = "" if value is None else str(value)
    text = text if len(text) <= most else f"{text[: most - 3]}..."
    return f"{text!r}"


def _left(
    cases: Sequence[PatientCase], ledger: Ledger, out: Path, settings: ArchiveSettings, retry: bool
) -> list[PatientCase]:
    """The cases that are to be done: new, changed, without their story, or to be tried again."""
    states = ledger.states()

    def is_left(case: PatientCase) -> bool:
        signature, state = states.get(case.key, ("", ""))
        if signature != case.signature():
            return True
        if state == ASIDE:
            return retry
        return settings.keep != FIGURES and not (out / case.folder / "story.json").is_file()

    return [case for case in cases if is_left(case)]


# --- the work ---------------------------------------------------------------------------------------------


def _crew(ray: str, settings: ArchiveSettings, limits: Limits, marker: Path) -> Crew:
    if ray:
        from glasslung.archive.cluster import ray_crew

        return ray_crew(ray, settings, limits, marker)
    return local_crew(limits.workers, lambda stopped: Keeper(settings, limits, stopped))


def _work(
    cohort: Cohort,
    cases: Sequence[PatientCase],
    left: Sequence[PatientCase],
    ledger: Ledger,
    crew: Crew,
    place: tuple[Path, bool],
    progress: Progress | None,
) -> None:
    """Every case that is left goes to the crew, and what became of it into the ledger."""
    out, given_masks = place
    tell = progress or (lambda what, done: None)
    signatures = {case.key: case.signature() for case in left}
    done, aside = len(cases) - len(left), 0

    def jobs() -> Iterator[Job]:
        for case in left:
            yield case.job(cohort, out, given_masks)

    def say() -> None:
        tell(f"patients: {done} of {len(cases)}, {aside} set aside", done / len(cases))

    if not left:
        return
    say()
    with closing(crew(jobs())) as outcomes:
        for outcome in outcomes:
            if outcome.state == STOP:
                raise DataError(
                    f"stopped: {outcome.reason}; finished cases are kept, the same command goes on"
                )
            ledger.write(outcome, signatures[outcome.key])
            done, aside = done + 1, aside + (outcome.state != DONE)
            say()
