"""Dates move by a patient's secret number of days; clock times are told from a study's begin.

Days between studies stay true to the day. A study begins at noon, and what follows in it keeps its distance,
so nobody learns at what hour a patient was scanned.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

DAY_SECONDS = 86_400
NOON = DAY_SECONDS // 2
_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
_MOMENT = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?(?:[+-]\d{4})?")


@dataclass(frozen=True)
class Clock:
    """How the dates and times of one study are told.

    days_back  whole days by which all dates of the patient move into the past
    begin      seconds since midnight at which the study began; None where nobody knows, and no time is told
    """

    days_back: int
    begin: float | None

    def date(self, text: str) -> str | None:
        """'20200131' moved; None for a text that is no date."""
        day = read_date(text)
        if day is None or day.toordinal() <= self.days_back:
            return None
        return (day - dt.timedelta(days=self.days_back)).strftime("%Y%m%d")

    def time(self, text: str) -> str | None:
        """'093012.5' told from the study's begin; None for a text that is no time."""
        seconds = read_time(text)
        if seconds is None or self.begin is None:
            return None
        moved = (seconds - self.begin + NOON) % DAY_SECONDS
        whole, parts = divmod(round(moved * 1_000_000) % (DAY_SECONDS * 1_000_000), 1_000_000)
        told = f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"
        return f"{told}.{parts:06d}" if parts else told

    def moment(self, text: str) -> str | None:
        """A DICOM date-time, both parts told as above, without its time zone."""
        found = _MOMENT.fullmatch(text.strip())
        day = self.date(found[1]) if found else None
        if found is None or day is None:
            return None
        return day + ((self.time(found[2]) or "") if found[2] else "")


def read_date(text: str) -> dt.date | None:
    """A DICOM date, also as old files write it (2020.01.31)."""
    found = _DATE.fullmatch(text.strip())
    try:
        return dt.date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def read_time(text: str) -> float | None:
    """Seconds since midnight of a DICOM time, also as old files write it (09:30:12)."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{found[4]}") if found[4] else 0.0)
