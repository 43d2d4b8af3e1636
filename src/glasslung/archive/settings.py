"""What a user may choose about a cohort's analysis: what decides its results, what workers may use up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from glasslung.errors import UsageError

EVERYTHING, REPORTS, FIGURES = "everything", "reports", "figures"
KEPT = (EVERYTHING, REPORTS, FIGURES)
MOST_WORKERS = 1024  # of one driver: each has a thread and two pipes
LEAST_GB = 0.05


@dataclass(frozen=True)
class ArchiveSettings:
    """What decides the results. A folder that was begun with other ones is refused.

    segmenter, classifier, prognosis  a run's folder, a shipped name, 'none', or '' for what ships
    given_masks  whether the table's lungs and lesions are used in place of ours
    keep         'everything': each patient's story with masks and report; 'reports': story and report without
                 masks; 'figures': the table alone
    threads      of each worker. They are part of the result: sums over threads differ in the last bits
    """

    segmenter: str = ""
    classifier: str = ""
    prognosis: str = ""
    given_masks: bool = False
    keep: str = EVERYTHING
    threads: int = 1  # two workers of one thread do more than one worker of two

    def __post_init__(self) -> None:
        if self.keep not in KEPT:
            raise UsageError(f"--keep {self.keep!r}: choose one of {', '.join(KEPT)}")
        if self.threads < 1:
            raise UsageError(f"--threads {self.threads}: a worker needs 1 or more")

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """What the workers may use; nothing of it changes a result.

    workers    how many cases are analysed at a time
    memory_gb  of one worker: one that grows beyond is ended, and its case set aside
    minutes    for one case, all scans of a patient: likewise
    """

    workers: int = 1
    memory_gb: float = 8.0  # one with full-size scans takes about 2: see docs/scale.md
    minutes: float = 60.0  # a full-size scan takes one to three on one thread, a patient may have many

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UsageError(f"--workers {self.workers}: choose 1 to {MOST_WORKERS}")
        if not self.memory_gb >= LEAST_GB:
            raise UsageError(f"--memory {self.memory_gb:g}: a worker needs {LEAST_GB:g} GB or more")
        if not self.minutes > 0:
            raise UsageError(f"--minutes {self.minutes:g}: give the minutes that one patient may take")
