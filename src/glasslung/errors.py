"""Everything this package raises on purpose.

GlasslungError
├── UsageError        the command or a setting is wrong; the message names the right ones
├── DataError         a file, scan or table is not what it should be; the message names it
│   ├── ShapeError    arrays that belong together do not fit
│   ├── RefusedError  a scan was read, and the input gate will not let it through
│   └── LeakError     one patient stands on both sides of a split
└── TrainingError     a run cannot go on; the message says what to lower or look at

Each message states the fact and then the remedy. The command line prints it as one line and ends with
exit code 2. Anything else that is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class GlasslungError(Exception):
    """The root: catch this to catch every error that glasslung raises on purpose."""


class UsageError(GlasslungError):
    """The command or a setting is wrong; the message names what would be right."""


class DataError(GlasslungError):
    """A file, scan or table is not what it should be; the message names it and the remedy."""


class ShapeError(DataError):
    """Arrays that belong together do not fit; the message gives both shapes."""


class RefusedError(DataError):
    """The scan can be read, but an answer drawn from it would be wrong; the message says why."""


class LeakError(DataError):
    """One patient stands on both sides of a split, so every score would be too good."""

    def __init__(self, patients: Sequence[str], left: str, right: str) -> None:
        super().__init__(
            f"{len(patients)} patient(s) are in both {left} and {right}, first {patients[0]!r}: "
            "scores would be too good. Split again by patient: `glasslung split COHORT`."
        )
        self.patients = tuple(patients)


class TrainingError(GlasslungError):
    """A run cannot go on; the message says what to lower or look at."""
