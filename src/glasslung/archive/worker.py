"""The process that analyses one case after the other: `python -m glasslung.archive.worker PARENT`.

It is started fresh, is told the settings once and then a case at a time, as lines of JSON, and answers each
with a line. Networks are opened once. It ends when its keeper does, however that ended.

What goes wrong is told by what must follow from it: something about the case sets that aside, something about
the place (a full or read-only disk, a vanished folder) stops the run, for every other case would fail too.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from glasslung.archive.cases import Job
from glasslung.archive.ledger import ASIDE, DONE, STOP
from glasslung.archive.settings import EVERYTHING, FIGURES, ArchiveSettings
from glasslung.errors import GlasslungError, UsageError

if TYPE_CHECKING:
    from glasslung.analyze import Settings
    from glasslung.analyze.examining import Asked
    from glasslung.types import Story

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_PROBE_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1

Answer = dict[str, Any]


class Analyst:
    """Analyses cases with networks that stay open."""

    def __init__(self, settings: ArchiveSettings) -> None:
        from glasslung.analyze.diagnosing import Classifiers
        from glasslung.analyze.examining import Asked
        from glasslung.analyze.masks import Segmenters

        self.settings = settings
        self.asked: Asked = Asked(Segmenters(settings.segmenter), Classifiers(settings.classifier))

    def answer(self, job: Job) -> Answer:
        """Analyse a case: its state and rows, or why there are none."""
        try:
            return {"state": DONE, "rows": self._analyse(job)}
        except GlasslungError as problem:
            return _place_at_fault(job, problem) or _aside("data", " ".join(str(problem).split()))
        except MemoryError as problem:
            return _place_at_fault(job, problem) or _aside("memory", "the system had no memory left for it")
        except Exception as problem:  # a bug of ours must not end the run of a whole archive
            said = f"{type(problem).__name__} in glasslung itself: report it, with the trace in the ledger"
            trace = "".join(traceback.format_exception(problem))
            return _place_at_fault(job, problem) or _aside("bug", said) | {"trace": trace}

    def _analyse(self, job: Job) -> list[dict[str, Any]]:
        from glasslung.archive.rows import rows_of

        folder = Path(job["folder"])
        rows = rows_of(self._story(job, folder), folder)
        if self.settings.keep != EVERYTHING:
            shutil.rmtree(folder if self.settings.keep == FIGURES else folder / "masks")
        return rows

    def _story(self, job: Job, folder: Path) -> Story:
        """The patient's story, in its folder."""
        from glasslung.analyze import analyze
        from glasslung.files import remove_whole
        from glasslung.report.page import write_report

        then = None if self.settings.keep == FIGURES else write_report
        scans, settings = [Path(scan) for scan in job["scans"]], self._settings_for(job)
        try:
            return analyze(scans, folder, settings, then=then, asked=self.asked)
        except UsageError:
            if not (folder / "story.json").is_file():
                raise
        remove_whole(folder)  # the table once gave this patient other scans
        return analyze(scans, folder, settings, then=then, asked=self.asked)

    def _settings_for(self, job: Job) -> Settings:
        from glasslung.analyze import MaskMaking, PrognosisSettings, Settings
        from glasslung.types import Intensity

        masks = MaskMaking(
            self.settings.segmenter, tuple(map(Path, job["lungs"])), tuple(map(Path, job["lesions"]))
        )
        return Settings(
            days=tuple(job["days"]),
            intensity=None if job["intensity"] is None else Intensity(job["intensity"]),
            masks=masks,
            classifier=self.settings.classifier,
            prognosis=PrognosisSettings(self.settings.prognosis, job["age"], job["male"]),
        )


def _aside(kind: str, reason: str) -> Answer:
    return {"state": ASIDE, "kind": kind, "reason": reason}


def _place_at_fault(job: Job, problem: BaseException) -> Answer | None:
    """What stops the whole run, where not the case failed but the place it lies or is written in."""
    for place in (job["root"], job["out"]):
        if not Path(place).is_dir():
            return {"state": STOP, "reason": f"{place} is gone: bring that folder back"}
    full = next((e for e in _causes(problem) if isinstance(e, OSError) and e.errno in NO_ROOM), None)
    full = full or _unwritable(Path(job["out"]))
    if full is None:
        return None
    return {"state": STOP, "reason": f"the output folder cannot be written ({full.strerror}): mend that"}


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _unwritable(folder: Path) -> OSError | None:
    """What stands against writing into a folder: libraries do not always say why they failed."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as problem:
        return problem
    return None


# --- the process ------------------------------------------------------------------------------------------


def main() -> None:
    """Read settings and cases from standard input, answer on standard output, until either ends."""
    _end_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the keeper's to hear
    answers = _private_stdout()
    analyst = Analyst(ArchiveSettings(**json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        cpu = time.process_time()
        answer = analyst.answer(json.loads(line))
        answer["cpu_seconds"] = time.process_time() - cpu
        answers.write(json.dumps(answer, allow_nan=False) + "\n")
        answers.flush()


def _private_stdout() -> TextIO:
    """Where answers go; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _end_with(parent: int) -> None:
    """Be ended by the system when the keeper's process ends, kill -9 included; elsewhere a pipe tells."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        raise SystemExit(1)


if __name__ == "__main__":
    main()
