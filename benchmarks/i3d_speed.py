"""How fast an I3D is on this machine, asked and trained, and what memory it takes.

    python benchmarks/i3d_speed.py                 # two threads, the pass and the table of trainings
    python benchmarks/i3d_speed.py --only passes --threads 1

A pass is over one scan of 64 x 224 x 224 at full width. What a user of the public code would run (32 bit,
plain memory, convolution and normalisation apart) stands beside 32 bit and bfloat16 as the package runs it.
Rounds of all ways take turns, and the least time of each is told, by the clock and by the processor: on a
machine that does other work only the second means something. Each training is a process of its own, so that
its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

EDGES = (64, 224, 224)
TABLE = (  # width, size, depth
    (0.125, 64, 32),
    (0.125, 96, 40),
    (0.25, 64, 32),
    (0.25, 96, 40),
    (0.25, 128, 64),
    (0.5, 96, 40),
    (1.0, 96, 40),
    (1.0, 128, 64),
)
SCANS = 4  # of a step
MIB = 2**20
BAR_S = 1.0


def main() -> None:
    """Print the tables."""
    asked = _arguments()
    if asked.one:
        print(json.dumps(_train(*json.loads(asked.one), asked.threads)))
        return
    import torch

    torch.set_num_threads(asked.threads)
    able = [name for name, has in torch.cpu.get_capabilities().items() if "bf16" in name and has]
    units = ", ".join(able) or "none"
    print(f"{asked.threads} thread(s); units for bfloat16: {units}; torch {torch.__version__}")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}\n")
    if asked.only != "trainings":
        _print_passes(asked.rounds)
    if asked.only != "passes":
        _print_trainings(asked.threads)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("passes", "trainings"), default="")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------------------ passes


def _print_passes(rounds: int) -> None:
    ways = _ways()
    for run in ways.values():  # everything is warm before anything is timed
        run()
    clock, processor = ({name: [] for name in ways} for _ in range(2))
    for _ in range(rounds):
        for name, run in ways.items():
            began, used = time.perf_counter(), time.process_time()
            run()
            clock[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - used)
    first = next(iter(ways))
    print(f"{'one pass over 64 x 224 x 224':<52}{'s, clock':>10}{'s, processor':>14}{'ratio':>8}")
    for name in ways:
        ratio = min(processor[first]) / min(processor[name])
        print(f"{name:<52}{min(clock[name]):>10.2f}{min(processor[name]):>14.2f}{ratio:>8.1f}")
    last = min(clock[list(ways)[-1]])
    print(f"bar {BAR_S:g} s: {'reached' if last < BAR_S else 'not reached'} by the clock ({last:.2f} s)\n")


def _ways() -> dict[str, Callable[[], object]]:
    import torch

    from glasslung.models import build

    model = build("i3d").eval()
    rng = torch.Generator().manual_seed(0)
    image, scan = torch.rand(EDGES[0], 1, *EDGES[1:], generator=rng), torch.zeros(EDGES[0], dtype=torch.long)
    film = 2.0 * image.transpose(0, 1)[None] - 1.0

    def public() -> object:
        with torch.enable_grad():  # the plain way: merged only where no gradients are wanted
            for part in model.parameters():
                part.requires_grad_(False)
            return model.trunk(film)

    def asked(exact: bool) -> object:
        model.exact = exact
        with torch.no_grad():
            return model.features(image, image, scan)

    return {
        "32 bit as public code runs it": public,
        "32 bit, merged, channels last": lambda: asked(True),
        "as asked here (bfloat16 where there are units)": lambda: asked(False),
    }


# --------------------------------------------------------------------------------------------- trainings


def _print_trainings(threads: int) -> None:
    words = ("width", "size", "depth", "scans/s, clock", "scans/s, core", "peak MiB", "told MiB")
    print("".join(f"{word:>{wide}}" for word, wide in zip(words, (6, 6, 7, 16, 15, 10, 10), strict=True)))
    for row in TABLE:
        words = [sys.executable, __file__, "--threads", str(threads), "--one", json.dumps(row)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        head = f"{row[0]:>6g}{row[1]:>6}{row[2]:>7}"
        if done.returncode:
            print(f"{head}  {done.stderr.strip().splitlines()[-1]}")
            continue
        told = json.loads(done.stdout)
        print(
            f"{head}{told['clock']:>16.2f}{told['processor']:>15.2f}{told['peak']:>10.0f}{told['told']:>10.0f}",
            flush=True,
        )


def _train(width: float, size: int, depth: int, threads: int) -> dict[str, float]:
    """Scans a second and the peak of memory of one training; two steps are timed, the third and fourth."""
    import torch

    from glasslung.models import build, i3d
    from glasslung.nn.batches import ExamBatch

    torch.set_num_threads(threads)
    model = build("i3d", width=width, size=size, depth=depth).train()
    (player,) = i3d.players(model)
    optimiser = torch.optim.AdamW(player.parameters, lr=1e-4, fused=True)
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(SCANS * depth, 1, size, size, generator=rng)
    scan = torch.arange(SCANS).repeat_interleave(depth)
    batch = ExamBatch(image, torch.zeros_like(image), scan, torch.tensor([0, 1] * (SCANS // 2)))
    before = _most_bytes()

    def step() -> None:
        player.loss(batch, 0, rng)["total"].backward()
        optimiser.step()
        optimiser.zero_grad()

    for _ in range(2):
        step()
    began, used = time.perf_counter(), time.process_time()
    for _ in range(2):
        step()
    return {
        "clock": 2 * SCANS / (time.perf_counter() - began),
        "processor": 2 * SCANS / (time.process_time() - used),
        "peak": (_most_bytes() - before) / MIB,
        "told": model.needs(SCANS, training=True) / MIB,
    }


def _most_bytes() -> int:
    """The most memory that this process has held; `getrusage` would tell its parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
