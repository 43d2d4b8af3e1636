"""A cohort of small phantoms analysed by one worker, by two, and by two on a Ray cluster of this machine.

    python benchmarks/cohort_scale.py FOLDER [--scans 40] [--shape 16,48,48]

Drawn by rules alone (no network is asked), so that what is timed is the machinery around it. Prints wall
time, processor time of all processes, most memory of all of them together (resident sets summed: what they
share counts in each), and whether the tables are equal, byte by byte. On a busy machine trust processor time.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from faults import TICK, family
from glasslung.archive.keeper import memory_bytes
from glasslung.data.formats import write_volume
from glasslung.data.phantom import draw_patient, render

WAYS = {
    "1 worker": ("--workers", "1"),
    "2 workers": ("--workers", "2"),
    "2 workers, Ray": ("--workers", "2", "--ray", "auto"),
}
NO_NETWORK = ("--segmenter", "none", "--classifier", "none", "--prognosis", "none")
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Taken:
    """What one way took: wall and processor seconds, bytes, and the hashes of its tables."""

    wall: float
    cpu: float
    memory: float
    tables: tuple[str, ...]


def draw(folder: Path, scans: int, shape: tuple[int, int, int]) -> None:
    """A cohort whose patients have one scan and two by turns."""
    folder.mkdir(parents=True)
    rows, number = ["patient,scan,image,intensity,day"], 0
    while len(rows) <= scans:
        for day in (4,) if number % 2 else (0, 9):
            if len(rows) <= scans:
                name = f"p{number}-{day}.nii.gz"
                drawn = render(draw_patient(number, severity=0.6), day, shape=shape)
                write_volume(drawn.volume, folder / name)
                rows.append(f"p{number},{number}-{day},{name},hu,{day}")
        number += 1
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")


def timed(words: list[str], log: Path) -> tuple[float, float, float]:
    """Run a command: wall seconds, processor seconds and most memory of it and all it started."""
    begun, cpu, memory = time.monotonic(), {}, 0.0
    with log.open("w") as said:
        running = subprocess.Popen(words, stdout=said, stderr=said)
        while running.poll() is None:
            for process in set(family(running.pid)):
                cpu[process] = max(cpu.get(process, 0.0), own_cpu_seconds(process))
            memory = max(memory, memory_bytes(running.pid))
            time.sleep(LOOK_SECONDS)
    if running.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {running.returncode}: {log.read_text()[-500:]}")
    return time.monotonic() - begun, sum(cpu.values()), memory


def own_cpu_seconds(process: int) -> float:
    """Processor time of one process alone; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(word) for word in fields[11:13]) / TICK


def take(folder: Path, name: str, words: tuple[str, ...]) -> Taken:
    """Analyse the cohort one way, in an empty folder."""
    out = folder / name.replace(" ", "-").replace(",", "")
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "glasslung", "analyze-cohort", str(folder / "cohort"), "--out", str(out)]
    wall, cpu, memory = timed([*command, *words, *NO_NETWORK], folder / "said.log")
    tables = tuple(
        hashlib.sha256((out / file).read_bytes()).hexdigest() for file in ("scans.csv", "scans.parquet")
    )
    return Taken(wall, cpu, memory, tables)


def main() -> None:
    """Draw the cohort where it is not there, analyse it every way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--shape", default="16,48,48", help="slices, rows, columns")
    asked = parser.parse_args()
    shape = tuple(map(int, asked.shape.split(",")))
    if not (asked.folder / "cohort").is_dir():
        draw(asked.folder / "cohort", asked.scans, shape)
    print(f"{asked.scans} scans of {asked.shape.replace(',', ' x ')}")
    print(
        f"{'':16} {'wall s':>8} {'CPU s':>8} {'memory MB':>10} {'wall ratio':>11} {'CPU ratio':>10}  tables"
    )
    first: Taken | None = None
    for name, words in WAYS.items():
        found = take(asked.folder.absolute(), name, words)
        first = first or found
        print(
            f"{name:16} {found.wall:8.1f} {found.cpu:8.1f} {found.memory / 1e6:10.0f} "
            f"{found.wall / first.wall:11.2f} {found.cpu / first.cpu:10.2f}  "
            f"{'equal' if found.tables == first.tables else 'DIFFERENT'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
