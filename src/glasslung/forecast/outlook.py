"""What is likely next for one scan: the forecast as files, and everything needed to judge it.

forecast.json   which run, on what trained; the day of illness and how it is known; how familiar the
                slice is; dense lung by day with ranges; what cannot be concluded
forecast.png    the strip, see `forecast.strip`
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung import __version__
from glasslung.errors import DataError, UsageError
from glasslung.files import replace_folder, whole_folder, write_json, write_whole
from glasslung.forecast.course import (
    LAST_DAY,
    LUNG_ABOVE,
    Course,
    Dating,
    Moment,
    Range,
    check_days,
    check_reach,
    foresee,
    within_reach,
)
from glasslung.forecast.familiarity import Familiarity, Trust, Votes, familiarity, votes_on_day
from glasslung.types import DISCLAIMER

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from glasslung.forecast.opening import Run
    from glasslung.forecast.sight import Sight

SCHEMA = "glasslung-forecast/1"
RECORD_FILE, STRIP_FILE = "forecast.json", "forecast.png"
FILES = frozenset({RECORD_FILE, STRIP_FILE})
UNASKED = ((0.0, 5.0, 10.0), (5.0, 10.0))
"""Days that `forecast` and `analyze` take where none are given: nobody insists on each of them."""
MISSED_POINTS = 3.0  # of dense lung: a model that misses more of the scan forecasts another lung
CAVEATS = (
    (
        "The training data show every patient once. Who becomes whom is not in such data: the couplings "
        "between ages are the method's assumption and are not identified by cross-sectional data. Read the "
        "pictures as lungs that are usual on such a day, not as what will happen to this patient."
    ),
    (
        "Ranges and maps show how far draws of one model disagree. That another model, or other training "
        "patients, would say something else is not in them."
    ),
    "Days are those of the training set's own axis; its card says what day 0 is.",
    "Dense lung is counted by grey value in one small slice; vessels count, so a healthy slice is not at 0.",
)


@dataclass(frozen=True)
class OutlookSettings:
    """What is asked of a run."""

    days: tuple[float, ...] = UNASKED[0]
    """After the scan, ascending. Those beyond what the model knows are left out, and named."""
    seen_day: float | None = None
    """Day of illness on which the scan was made; None estimates it from the training slices."""
    healthy: bool = False
    """The lung was never ill: the illness begins on the day of the scan."""
    draws: int = 64
    """A range of 80 % then stands on six draws at each end; 64 take seconds."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_days(self.days, self.seen_day, self.healthy)
        if self.seen_day is not None and self.days not in UNASKED:
            check_reach(self.days, self.seen_day)  # both are told: one of them is a mistake
        if not 2 <= self.draws <= 4096:
            raise UsageError(f"draws {self.draws}: choose 2 to 4096")


@dataclass(frozen=True)
class RunTold:
    """Which run was asked. slices: how many of each age it was trained on; {} where its folder is silent."""

    name: str
    method: str
    slices: dict[str, int]


@dataclass(frozen=True)
class MomentTold:
    """One day in numbers.

    spread  mean over the lung of the draws' standard deviation, per cent of white
    held    share of the draws that reach the last day the model knows before, and stay there
    """

    days: float
    dense: Range
    change: Range
    spread: float
    held: float


@dataclass(frozen=True)
class Forecast:
    """What forecast.json holds.

    scan         its name in a story; '' where it stands alone
    slice_sha256 of the slice's grey values; lungs: 'found' or 'cut-out'; doubts about them
    dating       how the day of illness is known; day_error, blind_error: what the estimate misses by on
                 unseen patients, days, and what the same day for all would
    dense, now   share of the scan's lung that is dense, per cent; the same on the model's picture of it
    moments      the days that were forecast; left_out: those wanted that lie beyond what the model knows
    familiarity  None where the run keeps no reference: then nothing says whether it knows such a lung
    picture_sha256  of forecast.png
    """

    schema: str
    disclaimer: str
    glasslung: str
    created: str
    run: RunTold
    scan: str
    slice_sha256: str
    lungs: str
    doubts: tuple[str, ...]
    dating: Dating
    day_error: float | None
    blind_error: float | None
    familiarity: Familiarity | None
    dense: float
    now: Range
    moments: tuple[MomentTold, ...]
    left_out: tuple[float, ...]
    draws: int
    seed: int
    caveats: tuple[str, ...]
    picture_sha256: str


@dataclass(frozen=True, eq=False)
class Outlook:
    """A forecast with its pictures. `strip` is the PNG."""

    course: Course
    record: Forecast
    strip: bytes = field(repr=False)


def foretell(
    run: Run, sight: Sight, settings: OutlookSettings, scan: str = "", since: float = 0.0
) -> Outlook:
    """Ask a run for the course of one slice; equal seeds give equal answers.

    since  days since the patient's first scan: the illness is not estimated to have begun after it
    """
    from glasslung.forecast.strip import draw_strip

    reference = run.reference
    estimate = settings.seen_day is None and not settings.healthy and reference is not None
    votes = votes_on_day(reference, sight.image).not_before(since) if estimate and reference else None
    course = foresee(
        run.voice(settings.seed),
        sight.image,
        _days_for(settings, votes),
        settings.draws,
        np.random.default_rng(settings.seed),
        settings.seen_day,
        settings.healthy,
        votes,
    )
    near = familiarity(reference, sight.image) if reference is not None else None
    strip = draw_strip(course, _cautions(course, near, sight))
    record = Forecast(
        schema=SCHEMA,
        disclaimer=DISCLAIMER,
        glasslung=__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        run=RunTold(run.name, run.method, trained_on(run)),
        scan=scan,
        slice_sha256=sight.sha256,
        lungs=sight.lungs,
        doubts=sight.doubts,
        dating=course.dating,
        day_error=reference.day_error if estimate and reference else None,
        blind_error=reference.blind_error if estimate and reference else None,
        familiarity=near,
        dense=course.seen_dense,
        now=course.now,
        moments=tuple(_told(moment) for moment in course.moments),
        left_out=course.left_out,
        draws=settings.draws,
        seed=settings.seed,
        caveats=CAVEATS,
        picture_sha256=hashlib.sha256(strip).hexdigest(),
    )
    return Outlook(course, record, strip)


def _days_for(settings: OutlookSettings, votes: Votes | None) -> tuple[float, ...]:
    """The days wanted, and the last within reach where nobody asked for any and all to come are beyond it."""
    middle = votes.middle if votes is not None else settings.seen_day or 0.0
    if settings.days not in UNASKED or any(within_reach(settings.days, middle)) or middle > LAST_DAY:
        return settings.days
    return tuple(sorted({float(math.floor(LAST_DAY - middle)), *settings.days}))


def _told(moment: Moment) -> MomentTold:
    spread = _mean_spread(moment.mean, moment.spread)
    return MomentTold(moment.days, moment.dense, moment.change, spread, moment.held)


def seen_badly(dense: float, now: Range) -> bool:
    """Whether the model's own picture of the scan lacks, or adds, dense lung."""
    return abs(dense - now.mean) > MISSED_POINTS


def _cautions(course: Course, near: Familiarity | None, sight: Sight) -> list[str]:
    """What a person who has only the strip must know."""
    from glasslung.forecast.strip import after_words

    told = ["familiarity not known" if near is None else near.trust.value]
    if near is not None and near.trust is Trust.FAMILIAR:
        told.clear()
    if seen_badly(course.seen_dense, course.now):
        told.append("not seen well")
    told += ["lung outline not trusted"] * bool(sight.doubts)
    return told + [f"left out: {after_words(days).lower()}" for days in course.left_out]


def trained_on(run: Run) -> dict[str, int]:
    """{'t0': 596, ...}: slices of each age, from the reference or the run's settings."""
    if run.reference is not None:
        groups, counts = np.unique(run.reference.groups, return_counts=True)
        return {f"t{group}": int(count) for group, count in zip(groups, counts, strict=True)}
    told: Mapping[str, Any] = run.about["settings"].get("training", {}).get("slices", {})
    return {name: int(told[name]) for name in ("t0", "t1", "t2", "t3") if name in told}


def _mean_spread(mean: np.ndarray, spread: np.ndarray) -> float:
    lung = mean > LUNG_ABOVE
    return 100 * float(spread[lung].mean()) if lung.any() else 0.0


# ---------------------------------------------------------------------------------------------- as files


def check_place(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier forecast, before any work (UsageError)."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; choose a folder")
    if out.is_dir() and {path.name for path in out.iterdir()} - FILES:
        raise UsageError(f"--out {out} holds other files; choose an empty or a new folder")


def write_outlook(outlook: Outlook, out: Path) -> None:
    """Write both files into a folder of their own; an earlier forecast there is replaced, whole or not."""
    out = Path(out)
    check_place(out)
    beside = out.with_name(f".{out.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    with whole_folder(beside) as part:
        _write_files(outlook, part)
    replace_folder(beside, out)


def add_outlook(outlook: Outlook, story: Path) -> None:
    """Write both files into the folder of a story; the record, which vouches for the strip, comes last."""
    remove_outlook(story)
    _write_files(outlook, story)


def remove_outlook(story: Path) -> None:
    """Take an earlier forecast out of a story's folder, its record first."""
    for name in (RECORD_FILE, STRIP_FILE):
        (story / name).unlink(missing_ok=True)


def _write_files(outlook: Outlook, folder: Path) -> None:
    write_whole(folder / STRIP_FILE, outlook.strip)
    write_json(folder / RECORD_FILE, _adapter().dump_python(outlook.record, mode="json"))


def read_outlook(folder: Path) -> tuple[Forecast, bytes] | None:
    """The forecast in a folder and its strip; None where there is none, DataError when it is damaged."""
    from pydantic import ValidationError

    path = Path(folder) / RECORD_FILE
    if not path.is_file():
        return None
    try:
        record = _adapter().validate_json(path.read_bytes(), strict=True)
        strip = (path.parent / STRIP_FILE).read_bytes()
    except (OSError, ValidationError) as problem:
        raise DataError(f"{path} is damaged ({_first(problem)}); make the forecast again") from problem
    if record.schema != SCHEMA or hashlib.sha256(strip).hexdigest() != record.picture_sha256:
        raise DataError(f"{path} does not fit this version or its picture; make the forecast again")
    return record, strip


def _first(problem: Exception) -> str:
    return str(problem).splitlines()[0]


@cache
def _adapter() -> TypeAdapter[Forecast]:
    from pydantic import TypeAdapter

    return TypeAdapter(Forecast)


def forecast_schema() -> dict[str, Any]:
    """The JSON Schema of forecast.json (draft 2020-12), made from the types."""
    schema = _adapter().json_schema(mode="serialization")
    schema["properties"]["schema"]["const"] = SCHEMA
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "glasslung forecast",
        **schema,
    }


if __name__ == "__main__":  # python -m glasslung.forecast.outlook > docs/forecast.schema.json
    import sys

    sys.stdout.write(json.dumps(forecast_schema(), indent=2, ensure_ascii=False) + "\n")
