"""One analysis at a time, in a process of its own, so that what goes wrong there cannot take the node down.

Run as `python -m glasslung.node.working JOB` it is the child: it reads what to do from a file, sets itself a
bound of memory, and writes how it ended beside the file. It ends with the node: its input is a pipe from
there, and when that closes, the node has stopped or was killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.errors import GlasslungError, UsageError
from glasslung.files import read_json, write_json
from glasslung.node.settings import GIB, Work

LOOKING_SECONDS = 0.2
CHILD = ("-m", "glasslung.node.working")
ENDED = "ended.json"
TRACE = "trace.txt"


class LostWork(GlasslungError):
    """An analysis that crashed, took too long or wanted too much memory. It may be tried again."""


class RefusedWork(GlasslungError):
    """A study that cannot be analysed, whatever the number of tries; the message says why."""


class StoppedWork(GlasslungError):
    """The node stops."""


@dataclass(frozen=True)
class Job:
    """What is to be done.

    scans    folders of DICOM files, one per study in order of days; the last is the one that is told
    story    folder for the story
    results  folder for the DICOM results of the last scan
    """

    scans: tuple[Path, ...]
    story: Path
    results: Path


@dataclass(frozen=True)
class Done:
    """What came of it: DICOM files, and what a person should know of the way ('' if nothing)."""

    files: tuple[Path, ...]
    remark: str


def run_apart(job: Job, work: Work, folder: Path, stopping: Callable[[], bool]) -> Done:
    """Run an analysis in a child within its bounds of time and memory.

    folder    for the job's own files; removed by the caller
    stopping  asked now and then; the child is ended when it says so
    Raises RefusedWork, LostWork, StoppedWork.
    """
    asked = folder / "job.json"
    write_json(asked, _as_json(job, work))
    command = [sys.executable, "-X", "faulthandler", *CHILD, str(asked)]
    paths = os.pathsep.join(path for path in sys.path if path)  # the child finds this package where we did
    with (folder / TRACE).open("wb") as trace:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=trace,
            stderr=trace,
            env={**os.environ, "PYTHONPATH": paths},
        )
        try:
            _watch(child, work.minutes, stopping)
        finally:
            child.kill()
            child.communicate()
    return _ended(folder, child.returncode)


def _watch(child: subprocess.Popen[bytes], minutes: float, stopping: Callable[[], bool]) -> None:
    end = time.monotonic() + 60 * minutes
    while True:
        try:
            child.wait(LOOKING_SECONDS)
        except subprocess.TimeoutExpired:
            if stopping():
                raise StoppedWork("the node stops") from None
            if time.monotonic() > end:
                raise LostWork(f"the analysis took longer than {minutes:g} minutes") from None
        else:
            return


def _ended(folder: Path, status: int) -> Done:
    if not (folder / ENDED).is_file():
        how = f"was ended by signal {-status}" if status < 0 else "broke"
        raise LostWork(f"the analysis {how}{_last_words(folder / TRACE)}")
    ended = read_json(folder / ENDED)
    if ended["problem"]:
        raise (LostWork if ended["again"] else RefusedWork)(ended["problem"])
    return Done(tuple(Path(file) for file in ended["files"]), ended["remark"])


def _last_words(trace: Path) -> str:
    """The kind of the exception that ended it; not its words, which may quote a header."""
    lines = trace.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    kind = lines[-1].partition(":")[0] if lines else ""
    return f" ({kind})" if kind.isidentifier() or kind.replace(".", "").isidentifier() else ""


# --- the child ---------------------------------------------------------------------------------------------


def main(asked: Path) -> None:
    """Do one job and write how it ended."""
    _end_with_the_node()
    task = read_json(asked)
    _bound_memory(float(task["memory_gib"]))
    job = Job(tuple(Path(scan) for scan in task["scans"]), Path(task["story"]), Path(task["results"]))
    ended: dict[str, Any] = {"problem": "", "again": False, "files": [], "remark": ""}
    try:
        remark = _tell(job, task)
        ended |= {"files": [str(path) for path in _write(job)], "remark": remark}
    except MemoryError:
        ended |= {"problem": "the analysis wanted more memory than memory_gib allows", "again": True}
    except GlasslungError as problem:
        # A usage error may pass: another analysis may still be writing, one that a killed node left behind.
        ended |= {"problem": " ".join(str(problem).split()), "again": isinstance(problem, UsageError)}
    write_json(asked.parent / ENDED, ended)


def _tell(job: Job, task: dict[str, Any]) -> str:
    """The story of all scans, or of the last alone where an earlier one cannot be used; what was left out."""
    from glasslung.analyze import MaskMaking, PrognosisSettings, Settings, analyze
    from glasslung.errors import DataError
    from glasslung.report.page import write_report

    settings = Settings(
        masks=MaskMaking(task["segmenter"]),
        classifier=task["classifier"],
        prognosis=PrognosisSettings(task["prognosis"]),
    )
    if len(job.scans) > 1:
        try:
            analyze(job.scans, job.story, settings, then=write_report)
        except DataError as problem:
            remark = f"told without the earlier scans: {' '.join(str(problem).split())}"
        else:
            return ""
    else:
        remark = ""
    analyze(job.scans[-1:], job.story, settings, then=write_report)
    return remark


def _write(job: Job) -> list[Path]:
    """The DICOM results of the scan that came last: earlier ones had theirs when they came."""
    from glasslung.report.dicom import match_sources, write_dicom_results

    with match_sources(job.story, job.scans[-1:]) as sources:
        return write_dicom_results(job.story, sources, job.results)


def _end_with_the_node() -> None:
    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock would break the interpreter at its end
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _bound_memory(gib: float) -> None:
    """Bound what the process may write to; address space alone is no measure, torch reserves much of it."""
    import resource

    most = int(gib * GIB)
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))


def _as_json(job: Job, work: Work) -> dict[str, Any]:
    def absolute(paths: Sequence[Path]) -> list[str]:
        return [str(path.absolute()) for path in paths]

    return {
        "scans": absolute(job.scans),
        "story": absolute([job.story])[0],
        "results": absolute([job.results])[0],
        "memory_gib": work.memory_gib,
        "segmenter": work.segmenter,
        "classifier": work.classifier,
        "prognosis": work.prognosis,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
