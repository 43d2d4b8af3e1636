"""How fast models train and draw: images a second, where a step's time goes, and what pays.

    python benchmarks/training_throughput.py                                    U-SVAE and CAGE, this machine
    python benchmarks/training_throughput.py --models usvae:net=paper,likelihood=beta,kl_schedule=warm-up

Every row is the same model with the same batches; the first is the plain loop (contiguous memory, 32 bit, one
thread), and ratios are to it. Times are medians over steps after a warm-up, by the wall clock: let nothing
else run, or take `--clock processor` with one thread, which leaves out the time that others had. The plain
loop is timed again at the end; how far it drifted says how far to trust the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from glasslung.data.batches import GroupBalancedBatches
from glasslung.data.slices import SliceSet
from glasslung.models import build, entry_for
from glasslung.nn.borrow import evaluating
from glasslung.studies.settings import parse_settings, typed_settings
from glasslung.train.game import Game
from glasslung.train.loop import clip, differentiate, move, read_terms
from glasslung.train.machine import Machine, resolve_device

PARTS = ("data", "forward", "backward", "optimiser")
GROUPS = 4
EACH_IN_MEMORY = 64  # made slices of each group: drawing a batch is an indexing, whatever their number


@dataclass(frozen=True)
class Variant:
    """One way to run the same training."""

    name: str
    channels_last: bool
    precision: str
    threads: int


@dataclass(frozen=True)
class Timing:
    """Seconds a step by part, and images a second when drawing nothing but reconstructions."""

    parts: dict[str, float]
    step: float
    inference: float


def variants(device: str, threads: list[int]) -> Iterator[Variant]:
    """The plain loop, then what may be faster; threads are a matter of the CPU alone."""
    for count in threads if device == "cpu" else [max(threads)]:
        told = f", {count} thread{'s' * (count > 1)}" if device == "cpu" else ""
        for precision in ("32-true", "bf16-mixed"):
            for channels_last in (False, True):
                words = ["channels last"] * channels_last + ["bf16"] * (precision != "32-true")
                name = " + ".join(words) or "plain"
                yield Variant(name + told, channels_last, precision, count)


def made_slices(size: int) -> SliceSet:
    """Two grey ellipses on black, as far as a stopwatch can tell a lung."""
    count = EACH_IN_MEMORY * GROUPS
    y, x = np.mgrid[:size, :size] / size
    lungs = np.minimum(*(((y - 0.5) / 0.4) ** 2 + ((x - at) / 0.2) ** 2 for at in (0.27, 0.73))) < 1
    grey = np.random.default_rng(0).integers(40, 160, (count, size, size)) * lungs
    rows = np.arange(count)
    names = tuple(map(str, rows))
    images = (grey / 255).astype(np.float32)
    return SliceSet(images, rows % GROUPS, rows.astype(np.float32), rows, names, names)


def new_game(name: str, settings: dict[str, Any], variant: Variant, device: str, batch: int) -> Game:
    """A fresh model with its players and batches."""
    model = build(name, 0, **settings)
    slices = made_slices(getattr(entry_for(name).config(**settings), "size", 64))
    stream = GroupBalancedBatches(slices, batch // GROUPS, np.random.default_rng(0))
    machine = Machine(device, variant.precision, channels_last=variant.channels_last)
    return Game({name: model}, entry_for(name).players(model), stream, 0, machine)


class Stopwatch:
    """Laps between calls; on a GPU each waits for the work before it."""

    clock = staticmethod(time.perf_counter)

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.laps: dict[str, list[float]] = {part: [] for part in PARTS}
        self.at = 0.0

    def start(self) -> None:
        """From here."""
        if self.cuda:
            torch.cuda.synchronize()
        self.at = self.clock()

    def lap(self, part: str) -> None:
        """What has passed since the last call belongs to this part."""
        before = self.at
        self.start()
        self.laps[part].append(self.at - before)


def one_step(game: Game, watch: Stopwatch) -> None:
    """What `train.loop.take_turn` does, with a watch in hand."""
    for place, player in enumerate(game.players):
        watch.start()
        batch = next(game.batches).to(game.device, game.machine.channels_last)
        watch.lap("data")
        with game.fabric.autocast():
            terms = player.loss(batch, game.step, game.draws(game.step, place, 0, 0))
        read_terms(player, game.step, terms)
        watch.lap("forward")
        gradients = differentiate(player, terms["total"], game.names[player.name])
        watch.lap("backward")
        clip(player, gradients, game.step, game.names[player.name])
        move(game.optimisers[player.name], player, gradients, player.lr_at(game.step))
        watch.lap("optimiser")
    game.step += 1


def infer(game: Game, batch: int, repeats: int) -> float:
    """Images a second through the whole network in evaluation mode, without gradients."""
    (model,) = game.modules.values()
    watch = Stopwatch(game.device)
    images = next(game.batches).to(game.device, game.machine.channels_last)
    times = []
    for repeat in range(repeats + 1):
        rng = torch.Generator(game.device).manual_seed(repeat)
        watch.start()
        with evaluating(model), game.fabric.autocast():
            game.players[0].loss(images, 0, rng)
        watch.lap("forward")
        times.append(watch.laps["forward"][-1])
    return batch / statistics.median(times[1:])


def measure(
    name: str, settings: dict[str, Any], variant: Variant, device: str, batch: int, steps: int
) -> Timing:
    """Warm up, then take the median of each part over the steps."""
    torch.set_num_threads(variant.threads)
    game = new_game(name, settings, variant, device, batch)
    watch = Stopwatch(game.device)
    for _ in range(2):
        one_step(game, watch)
    watch = Stopwatch(game.device)
    for _ in range(steps):
        one_step(game, watch)
    players = len(game.players)
    parts = {part: players * statistics.median(laps) for part, laps in watch.laps.items()}
    return Timing(parts, sum(parts.values()), infer(game, batch, max(3, steps // 2)))


def rows_of(label: str, timings: dict[str, Timing], plain: Timing, batch: int) -> Iterator[str]:
    """Markdown rows of one model."""
    for name, timing in timings.items():
        shares = " | ".join(f"{1000 * timing.parts[part]:.1f}" for part in PARTS)
        yield (
            f"| {label} | {name} | {batch / timing.step:.1f} | {plain.step / timing.step:.2f} | "
            f"{1000 * timing.step:.1f} | {shares} | {timing.inference:.1f} | "
            f"{timing.inference / plain.inference:.2f} |"
        )


def main() -> None:
    """Time everything and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=["usvae", "cage"], help="name or name:setting=value,..."
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=16, help="slices, a multiple of 4")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    asked = parser.parse_args()
    if asked.clock == "processor":
        if asked.threads != [1]:
            parser.error("the processor's clock adds up all threads: give --threads 1")
        Stopwatch.clock = staticmethod(time.process_time)
    device = resolve_device(Machine(asked.device))
    chip = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {chip}, batch {asked.batch}, ", end="")
    print(f"median of {asked.steps} steps, {asked.clock} clock\n")
    print("| model | how | images/s | ratio | ms a step | " + " | ".join(PARTS) + " | drawn/s | ratio |")
    print("|---|---|" + "--:|" * (len(PARTS) + 5))
    for label in asked.models:
        name, _, text = label.partition(":")
        pairs = parse_settings(text.split(",") if text else [])
        settings = typed_settings(entry_for(name).config, pairs)
        plans = list(variants(device, asked.threads))
        timings = {
            plan.name: measure(name, settings, plan, device, asked.batch, asked.steps) for plan in plans
        }
        first = replace(plans[0], name=f"{plans[0].name}, again")
        timings[first.name] = measure(name, settings, first, device, asked.batch, asked.steps)
        for row in rows_of(label, timings, timings[plans[0].name], asked.batch):
            print(row, flush=True)


if __name__ == "__main__":
    main()
