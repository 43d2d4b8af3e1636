"""Kill what runs long, at random points, and compare what it ends with to a run that nobody disturbed.

    python benchmarks/faults.py FOLDER [--only analyze-cohort,train] [--kills 50] [--seed 0]

Each program works on phantoms of a few voxels. It is started, killed (SIGKILL: nothing can be caught) when it
has used up a random part of the processor time that an undisturbed run takes, and started again, until it
ends by itself; then all results are compared, byte by byte, times of day left out. Then it begins anew in an
empty folder, until it was killed often enough. Points are drawn in processor time, so a busy machine changes
nothing. FOLDER keeps every round: the same command goes on where it was stopped.

A start is a fork of this process, which has the libraries already: half a life would be imports otherwise.
What a program starts itself (the workers of analyze-cohort) is started fresh as ever. The node, which needs
peers that speak DICOM, is killed by `node_killed.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

TICK = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.1
NO_NETWORK = ("--segmenter", "none", "--classifier", "none", "--prognosis", "none")
WHEN = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?( UTC)?")


@dataclass(frozen=True)
class Program:
    """Something to kill.

    command  what is run, given where its inputs lie and its output folder
    inputs   makes the inputs in a folder
    results  what is compared: name -> hash, given the output folder
    whole    what else must hold at the end: sentences of what is lost or doubled, given the output folder
    children whether a process it started may be killed in its place, once a life
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    inputs: Callable[[Path], None]
    results: Callable[[Path], dict[str, str]]
    whole: Callable[[Path], list[str]]
    children: bool = False


# --- processes ---------------------------------------------------------------------


def family(process: int) -> Iterator[int]:
    """A process and all that it started, as long as they live."""
    yield process
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(word) for one in threads for word in (one / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from family(child)


def cpu_seconds(process: int) -> float:
    """Processor time of one process, with that of its children that have ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(word) for word in fields[11:15]) / TICK


@dataclass(frozen=True)
class Life:
    """One start of a program: whether it was killed, its exit code, processor seconds, last words."""

    killed: int
    code: int
    seconds: float
    said: str


def live(words: list[str], folder: Path, points: list[float], children: bool) -> Life:
    """Start a program and kill it at the last of the points, a child of it at those before (CPU seconds)."""
    log = folder / "life.log"
    running = os.fork()
    if running == 0:
        become(words, folder, log)
    killed, used, left = 0, 0.0, list(points)
    while (ended := os.waitpid(running, os.WNOHANG))[0] == 0:
        used = max(used, sum(map(cpu_seconds, set(family(running)))))
        if left and used >= left[0]:
            others = [one for one in family(running) if one != running]
            left.pop(0)
            os.kill(others[0] if children and left and others else running, signal.SIGKILL)
            killed += 1
        time.sleep(LOOK_SECONDS)
    return Life(killed, os.waitstatus_to_exitcode(ended[1]), used, log.read_text().strip()[-400:])


def become(words: list[str], folder: Path, log: Path) -> NoReturn:
    """This process is `glasslung` with these words from now on."""
    from glasslung.cli import main

    code = 70
    try:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        os.chdir(folder)
        sys.argv = ["glasslung", *words]
        code = 0
        main()
    except SystemExit as left:
        code = int(left.code or 0)
    except BaseException:
        code = 70
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


# --- results ---------------------------------------------------------------------


def hashes(folder: Path, names: list[str], skip: str = "") -> dict[str, str]:
    """Name -> hash of every file below a folder that one of the patterns names, times of day left out."""
    found = sorted({path for name in names for path in folder.glob(name) if path.is_file()})
    return {
        str(path.relative_to(folder)): hashlib.sha256(WHEN.sub(b"", path.read_bytes())).hexdigest()
        for path in found
        if not (skip and re.search(skip, str(path.relative_to(folder))))
    }


def leftovers(folder: Path) -> list[str]:
    """Files that a kill left half-written and nobody swept."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    return [f"left over: {name}" for name in names if re.search(r"\.part\b|partial-|\.old$", name)]


def make_archive(folder: Path) -> None:
    """Six phantom patients with nine scans of 16 x 48 x 48 voxels, one damaged file among them."""
    from glasslung.data.formats import write_volume
    from glasslung.data.phantom import draw_patient, render

    rows = ["patient,scan,image,intensity,day"]
    for n in range(6):
        for day in (0, 9) if n % 2 else (4,):
            name = f"p{n}-{day}.nii.gz"
            write_volume(render(draw_patient(n, severity=0.6), day, shape=(16, 48, 48)).volume, folder / name)
            rows.append(f"p{n},{n}-{day},{name},hu,{day}")
    (folder / "bad.nii.gz").write_bytes(b"no scan")
    (folder / "cohort.csv").write_text("\n".join([*rows, "bad,bad,bad.nii.gz,hu,0"]) + "\n")


def archive_whole(out: Path) -> list[str]:
    """Every case once in the ledger and its folder, every scan once in the table."""
    import csv
    import sqlite3

    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        states = dict(ledger.execute("SELECT state, count(*) FROM outcomes GROUP BY state").fetchall())
    rows = [(row["patient"], row["scan"]) for row in csv.DictReader((out / "scans.csv").open())]
    told = [] if states == {"done": 6, "set aside": 1} else [f"cases by state: {states}"]
    told += (
        [] if len(rows) == len(set(rows)) == 10 else [f"{len(rows)} rows, {len(set(rows))} of them different"]
    )
    return told + leftovers(out)


def make_slices(folder: Path) -> None:
    """Six slices with a disc of two classes."""
    from PIL import Image

    for n in range(6):
        rng = np.random.default_rng(n)
        rows, columns = np.mgrid[:40, :40]
        away = np.hypot(rows - rng.integers(15, 25), columns - rng.integers(15, 25))
        lesion = np.where(away < 4, 2, np.where(away < 10, 1, 0)).astype(np.uint8)
        grey = np.array([50, 140, 230])[lesion] + rng.normal(0, 8, lesion.shape)
        for kind, array in (("img", grey.clip(0, 255).astype(np.uint8)), ("multiclass", lesion)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{n}.png")


def run_results(out: Path) -> dict[str, str]:
    """Weights, the log of the losses, and the settings without when and how often it was begun."""
    found = hashes(out, ["weights/*", "metrics.jsonl"])
    settings = json.loads((out / "settings.json").read_text())
    kept = {name: settings[name] for name in ("study", "model", "seed", "settings")}
    return found | {"settings.json": hashlib.sha256(json.dumps(kept).encode()).hexdigest()}


def run_whole(out: Path) -> list[str]:
    """Every logged step once, in order, and the run finished."""
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    told = [] if steps == sorted(set(steps)) else ["a step is logged twice, or out of order"]
    status = json.loads((out / "status.json").read_text())["state"]
    return told + ([] if status == "finished" else [f"the run is {status}"]) + leftovers(out)


PROGRAMS = (
    Program(
        "analyze-cohort",
        lambda inputs, out: [
            *("analyze-cohort", str(inputs), "--out", str(out), *NO_NETWORK),
        ],
        make_archive,
        lambda out: hashes(out, ["scans.*", "set-aside.csv", "cases/**/*"], r"\.lock$"),
        archive_whole,
        children=True,
    ),
    Program(
        "train",
        lambda inputs, out: [
            *("train", "unet", "--cohort", str(inputs), "--out", str(out), "--steps", "60"),
            *(
                "--checkpoint-every",
                "5",
                "--size",
                "32",
                "--batch",
                "2",
                "--set",
                "width=4",
                "--device",
                "cpu",
            ),
        ],
        make_slices,
        run_results,
        run_whole,
    ),
)


# --- rounds ---------------------------------------------------------------------


def undisturbed(program: Program, folder: Path) -> dict:
    """The run that nobody disturbs: its results and how much processor time it takes; kept in FOLDER."""
    told = folder / "undisturbed.json"
    if told.is_file():
        return json.loads(told.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "inputs").mkdir(parents=True)
    program.inputs(folder / "inputs")
    out = folder / "undisturbed"
    life = live(program.command(folder / "inputs", out), folder, [], False)
    wrong = program.whole(out)
    if life.code not in (0, 1) or wrong:
        raise SystemExit(f"{program.name} fails undisturbed: {life.said} {wrong}")
    found = {"results": program.results(out), "seconds": life.seconds, "code": life.code}
    told.write_text(json.dumps(found, indent=1))
    return found


def play_round(program: Program, folder: Path, number: int, wanted: dict, rng: np.random.Generator) -> dict:
    """From an empty folder to the end, killed again and again; what is different from the undisturbed run."""
    out = folder / f"round-{number:02d}"
    shutil.rmtree(out, ignore_errors=True)
    command = program.command(folder / "inputs", out)
    kills = lives = 0
    while True:
        lives += 1
        count = 2 if program.children and rng.random() < 0.3 else 1
        # the middle of a life, not only its beginning: most of a short run is its start
        points = sorted(rng.uniform(0.1, 1.0, count) * wanted["seconds"])
        life = live(command, folder, points, program.children)
        kills += life.killed
        if life.code >= 0 and life.code == wanted["code"]:
            break
        if life.code >= 0 or lives > 100:
            return {"kills": kills, "lives": lives, "different": [f"ends with {life.code}: {life.said}"]}
    found = program.results(out)
    names = sorted({*found, *wanted["results"]})
    different = [name for name in names if found.get(name) != wanted["results"].get(name)]
    different += program.whole(out)
    if not different:
        shutil.rmtree(out)
    return {"kills": kills, "lives": lives, "different": different, "files": len(names)}


def play(program: Program, folder: Path, kills: int, seed: int) -> list[dict]:
    """Rounds until there were so many kills; those of an earlier call count."""
    wanted, log = undisturbed(program, folder), folder / "rounds.jsonl"
    rounds = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    while sum(one["kills"] for one in rounds) < kills:
        rng = np.random.default_rng([seed, len(rounds)])
        rounds.append(play_round(program, folder, len(rounds), wanted, rng))
        with log.open("a") as file:
            file.write(json.dumps(rounds[-1]) + "\n")
        print(f"{program.name}: round {len(rounds)}: {rounds[-1]}", flush=True)
    return rounds


def tell(program: Program, rounds: list[dict]) -> str:
    """One line of the table."""
    kills, lives = (sum(one[name] for one in rounds) for name in ("kills", "lives"))
    bad = [one for one in rounds if one["different"]]
    files = max(one.get("files", 0) for one in rounds)
    return (
        f"{program.name:16} {kills:6} {lives:7} {len(rounds):7} {files:9} "
        f"{len(rounds) - len(bad):6} of {len(rounds)}"
    )


def preload() -> None:
    """Import what the programs need, so that every fork has it; one thread, for threads do not fork."""
    os.environ.update(OMP_NUM_THREADS="1", MPLBACKEND="Agg")
    import lightning_fabric  # noqa: F401
    import torch

    import glasslung.archive.tables
    import glasslung.data.labelbatches
    import glasslung.studies.segmentation.training  # noqa: F401

    torch.set_num_threads(1)


def main() -> None:
    """Play all rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(program.name for program in PROGRAMS))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    preload()
    chosen = [program for program in PROGRAMS if program.name in asked.only.split(",")]
    lines = []
    for program in chosen:
        rounds = play(program, asked.folder.absolute() / program.name, asked.kills, asked.seed)
        lines.append(tell(program, rounds))
    print(f"{'program':16} {'kills':>6} {'starts':>7} {'rounds':>7} {'files':>9} {'equal':>6}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
