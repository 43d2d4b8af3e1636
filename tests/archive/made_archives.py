"""Small cohorts, and workers that do as they are told, for tests of an archive's analysis."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from glasslung.archive.cases import Job
from glasslung.archive.crew import Crew
from glasslung.archive.ledger import Outcome
from glasslung.archive.settings import ArchiveSettings

RULES = ArchiveSettings("none", "none", "none")  # nobody is asked, so nothing heavy is loaded
SMALL = (16, 48, 48)


def write_table(folder: Path, rows: Iterable[str]) -> Path:
    """A cohort's table with an empty file for every scan: 'patient,scan,day'."""
    lines = ["patient,scan,day,image,intensity"]
    for row in rows:
        patient, scan, day = row.split(",")
        (folder / f"{scan}.nii.gz").touch()
        lines.append(f"{patient},{scan},{day},{scan}.nii.gz,hu")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_phantoms(folder: Path) -> Path:
    """Two phantom patients with three scans, and one whose file is damaged."""
    from glasslung.data.formats import write_volume
    from glasslung.data.phantom import draw_patient, render

    rows = ["patient,scan,image,intensity,day,site"]
    for patient, days in ((1, (9, 0)), (2, (5,))):
        for day in days:
            name = f"p{patient}-{day}.nii.gz"
            scan = render(draw_patient(patient, severity=0.6), day, shape=SMALL)
            write_volume(scan.volume, folder / name)
            rows.append(f"p{patient},s{day},{name},hu,{day},north")
    (folder / "bad.nii.gz").write_bytes(b"no scan")
    (folder / "cohort.csv").write_text("\n".join([*rows, "p3,s0,bad.nii.gz,hu,0,south"]) + "\n")
    return folder


def crew_of(do: Callable[[Job], dict[str, Any]]) -> Crew:
    """A crew of one in this process, which answers as `do` says."""

    def outcomes(jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        for job in jobs:
            answer = do(job)
            yield Outcome(job["key"], **{**answer, "rows": tuple(answer.get("rows", ()))})

    return outcomes


def measured(job: Job) -> dict[str, Any]:
    """What a worker might answer: a figure for every scan, and a story's file in the folder."""
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "story.json").write_text("{}")
    rows = [{"both_lungs_ml": 10.0 * n, "lungs_trusted": True} for n in range(len(job["scans"]))]
    return {"state": "done", "rows": rows}


def script(body: str) -> tuple[str, ...]:
    """The command of a worker that runs these lines: `job` is the case, `answer(dict)` answers."""
    head = (
        "import json, os, signal, sys, time\n"
        "settings = json.loads(sys.stdin.readline())\n"
        "def answer(told): print(json.dumps(told), flush=True)\n"
        "for line in sys.stdin:\n"
        "    job = json.loads(line)\n"
    )
    return (sys.executable, "-S", "-c", head + "".join(f"    {line}\n" for line in body.splitlines()))
