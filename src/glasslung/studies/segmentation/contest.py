"""Segmenters side by side: each is trained on the same labels for as long, and asked about the same slices.

Time is process time of one core. What a step of a method costs is measured first, on a copy; so the learning
rate falls over as many steps as fit, and a method whose steps are dear makes fewer of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.labelbatches import BatchPlan, LabelledBatches, SquareSlices, from_square
from glasslung.data.labelled import Kind
from glasslung.data.pairaugment import augmenter
from glasslung.data.slicelungs import with_lungs
from glasslung.errors import DataError
from glasslung.files import whole_file
from glasslung.studies.segmentation.pseudolabels import Lesson, Rounds, learn_in_rounds, mirrored, taught
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

TRIED, LEFT_OUT = 6, 2  # steps timed on a copy, and how many of them are warm-up
WHITE = 255
AT_ONCE = 8  # slices asked together
FIRST_STAGE = 0.6  # share of the time before a second stage
LEAST_STEPS = 2  # a schedule needs them, however short the time
BATCH_STREAM = 1
SECOND = 1_000_003  # added to the seed in a lesson, whose draws are others


@dataclass(frozen=True)
class Segmenter:
    """One method of the contest.

    model       name in `models.TABLE`
    settings    of the model; what is not named has its default
    unlabelled  whether slices without labels are in its batches
    healthy     whether slices of healthy people are
    lungs       whether it is told the lungs of its labelled slices, as the classical method finds them
    rounds      pseudo-labels in rounds; None: none
    lesson      goes on with what it says itself of slices without labels, all at once; None: it does not
    classes     settings of a second stage that tells the classes of infection apart (`models.infnetclasses`);
                None: none
    twin        the method that differs in nothing but slices without labels; '' where none does
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: bool = False
    healthy: bool = False
    lungs: bool = False
    rounds: Rounds | None = None
    lesson: Lesson | None = None
    classes: Mapping[str, Any] | None = None
    twin: str = ""

    @property
    def needs_unlabelled(self) -> bool:
        """Whether it learns from slices without labels."""
        return self.unlabelled or self.rounds is not None or self.lesson is not None


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gives: the network, and what it says of slices: (B, 1, S, S) -> (B, classes, S, S)."""

    model: nn.Module
    probabilities: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Budget:
    """What every method gets."""

    seconds: float = 120.0
    size: int = 192
    """Side of the framed slices; the slices are 150 to 510 pixels wide."""
    labelled: int = 8
    """Of a batch: fewer learn worse from fifty slices in the same time."""
    unlabelled: int = 4
    healthy: int = 2
    augment: str = "moderate"
    ema: float | None = 0.99
    """Decay of the averaged weights that are asked."""
    precision: str = "auto"
    """Of the arithmetic in training; auto: 16 bit where the processor has it, for more steps in the time."""
    seed: int = 0

    def plan(self, method: Segmenter) -> BatchPlan:
        """The batch of one method."""
        return BatchPlan(self.labelled, self.unlabelled * method.unlabelled, self.healthy * method.healthy)


def segmenters() -> dict[str, Segmenter]:
    """Every method of the study, by the name the page has for it."""
    from glasslung.models import infnet, infnetclasses, stitchladders

    printed = {**stitchladders.VARIANTS["PAPER"], "net": "slim"}
    second = infnetclasses.VARIANTS["light"]
    return {
        "U-Net": Segmenter("unet"),
        "U-Net+PL": Segmenter("unet", rounds=Rounds()),
        "U-Net+PL sure": Segmenter("unet", rounds=Rounds(sure=0.9)),
        "Inf-Net": Segmenter("infnet", infnet.VARIANTS["light"], classes=second),
        "Semi-Inf-Net": Segmenter(
            "infnet", infnet.VARIANTS["light"], rounds=Rounds(slices=5, last=0.2), classes=second
        ),
        "Mean teacher": Segmenter("meanteacher", unlabelled=True),
        "UniMatch": Segmenter("unimatch", unlabelled=True),
        "StichNet as printed": Segmenter("stitchladders", printed, unlabelled=True),
        "StichNet supervised": Segmenter("stichnet", {"consistency": 0.0}, lungs=True),
        "StichNet": Segmenter("stichnet", unlabelled=True, lungs=True, twin="StichNet supervised"),
        "StichNet taught": Segmenter(
            "stichnet", {"consistency": 0.0}, lungs=True, lesson=Lesson(), twin="StichNet supervised"
        ),
    }


# ------------------------------------------------------------------------------------------- training


def train(
    method: Segmenter,
    squares: SquareSlices,
    rows: np.ndarray,
    budget: Budget,
    progress: Progress | None = None,
) -> tuple[Trained, dict[str, Any]]:
    """One segmenter, trained until its time is up, and what is to be told of its training.

    rows  slices it may learn from, of every kind; those that are labelled are its labels
    """
    if method.lungs:
        squares = told_lungs(squares, rows)
    began, records = time.process_time(), dict[str, Any]()
    until = _clock(budget.seconds, began, progress)
    share = method.lesson.first if method.lesson else FIRST_STAGE if method.classes else 1.0

    def plain(plan: BatchPlan) -> Callable[[], LabelledBatches]:
        rng = [budget.seed, BATCH_STREAM]
        views = augmenter(budget.augment)
        return lambda: LabelledBatches(squares, plan, np.random.default_rng(rng), rows, views)

    game, each = _game(method.model, method.settings, plain(budget.plan(method)), budget, share)
    if method.rounds is None:
        play(game, until, records, share)
    else:
        go_on = partial(play, game, until, records)
        records["rounds"] = learn_in_rounds(
            game, squares, rows, method.rounds, budget.seed, until, go_on, share
        )
    keep_averages(game)
    steps, model = game.step, game.modules["segmenter"]
    if method.lesson:
        said, seed = model.probabilities, budget.seed
        lesson = taught(said, squares, rows, method.lesson, seed, augmenter, budget.augment)
        left = 1 - (time.process_time() - began) / budget.seconds
        again = replace(budget, seed=seed + SECOND)
        game, each = _game(method.model, method.settings, lesson, again, left, model)
        play(game, until, records)
        keep_averages(game)
        steps, model = steps + game.step, game.modules["segmenter"]
    trained = Trained(model, model.probabilities)
    if method.classes:
        second, _ = _game(
            "infnetclasses", method.classes, plain(BatchPlan(budget.labelled)), budget, 1 - share
        )
        play(second, until, records)
        keep_averages(second)
        trained = Trained(model, in_stages(second.modules["segmenter"], model))
        steps += second.step
    told = {"model": method.model, "settings": dict(method.settings), "budget": asdict(budget)}
    spent = time.process_time() - began
    told["precision"] = game.machine.precision
    return trained, {**told, "steps": steps, "seconds": spent, "a step": each, "records": records}


def told_lungs(squares: SquareSlices, rows: np.ndarray) -> SquareSlices:
    """The same slices, with lungs on the labelled ones among `rows` where these can be told."""
    labelled = np.intersect1d(squares.slices.of_kind(Kind.LABELLED), rows)
    return squares.with_masks_of(with_lungs(squares.slices, labelled))


def in_stages(second: Any, first: Any) -> Callable[[Tensor], Tensor]:
    """The second stage, told where the first sees infection."""
    from glasslung.models.infnetclasses import staged

    return staged(second, lambda image: first.probabilities(image)[:, 1])


def _game(
    model: str,
    settings: Mapping[str, Any],
    batches: Callable[[], Any],
    budget: Budget,
    share: float,
    start: nn.Module | None = None,
) -> tuple[Any, float]:
    """A game whose schedule fits that share of the time, and what a step of it costs.

    batches  gives the stream of batches from its beginning, whenever it is called
    start    a network of the same kind whose weights it begins with; None: drawn
    """
    from glasslung.models import build, entry_for
    from glasslung.train.game import Game
    from glasslung.train.machine import Machine, quickest_on_cpu

    def new(steps: int) -> Game:
        known = {one.name for one in fields(entry_for(model).config)}
        given = dict(settings) | ({"steps": steps} if "steps" in known and "steps" not in settings else {})
        network = build(model, budget.seed, **given)
        if start is not None:
            network.load_state_dict(start.state_dict())
        players = entry_for(model).players(network)
        machine = Machine("cpu", quickest_on_cpu() if budget.precision == "auto" else budget.precision)
        return Game({"segmenter": network}, players, batches(), budget.seed, machine, budget.ema)

    began = time.process_time()
    each = time_of_a_step(new(1000))
    left = share * budget.seconds - (time.process_time() - began)
    return new(max(LEAST_STEPS, int(left / each))), each


def time_of_a_step(game: Any) -> float:
    """Process time of one step, the mean of a few, on a game that is thrown away.

    The mean: a method may look at slices without labels in some of its steps alone.
    """
    from glasslung.train.loop import fit

    taken = []
    for step in range(TRIED):
        start = time.process_time()
        fit(game, range(step, step + 1))
        taken.append(time.process_time() - start)
    return float(np.mean(taken[LEFT_OUT:]))


def _clock(seconds: float, began: float, progress: Progress | None) -> Callable[[float], bool]:
    """until(share) -> whether that share of the time is used up; tells on the way."""

    def until(share: float) -> bool:
        spent = (time.process_time() - began) / seconds
        if progress:
            progress("training", min(1.0, spent))
        return spent >= share

    return until


def play(
    game: Any, until: Callable[[float], bool], records: dict[str, Any], share: float = 1.0, chunk: int = 5
) -> None:
    """Go on, some steps at a time, until that share of the time is used up."""
    from glasslung.train.loop import fit

    def keep(record: dict[str, Any]) -> None:
        records[record["player"]] = record

    while not until(share):
        fit(game, range(game.step, game.step + chunk), keep)


def keep_averages(game: Any) -> None:
    """Leave the averaged weights in the network, where there are any."""
    import torch

    if game.ema is not None:
        with torch.no_grad():
            for name, weight in game.weights().items():
                weight.copy_(game.averages[name])


# --------------------------------------------------------------------------------------------- asking


def ask(
    probabilities: Callable[[Tensor], Tensor], squares: SquareSlices, rows: Sequence[int] | np.ndarray
) -> list[np.ndarray]:
    """What each pixel of some slices may be, on the slices' own grids: (classes, H, W) float32 each.

    The mean over the slice as it is and turned left to right, which every method gets.
    """
    import torch

    rows, found = [int(row) for row in rows], []
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        image = squares.batch(np.array(some)).image
        with torch.no_grad():
            maps = mirrored(probabilities, image)
        for row, each in zip(some, maps.numpy(), strict=True):
            found.append(from_square(each, *squares.slices.pictures[row].shape))
    return found


def write_maps(
    names: Sequence[str], maps: Sequence[np.ndarray], path: Path, styles: np.ndarray | None = None
) -> None:
    """Maps of lesion classes (without the first class) in 255 steps, by the slice's name, as one .npz.

    styles  pictures of a model that has styles, uint8 (rows, columns, S, S, 3), to be shown beside them
    """
    arrays = {
        f"maps-{name}": np.rint(each[1:].clip(0, 1) * WHITE).astype(np.uint8)
        for name, each in zip(names, maps, strict=True)
    }
    if styles is not None:
        arrays["styles"] = styles
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_maps(path: Path) -> dict[str, np.ndarray]:
    """What `write_maps` wrote: name -> (lesion classes, H, W) float32 in [0, 1]."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {
                name.removeprefix("maps-"): arrays[name].astype(np.float32) / WHITE
                for name in arrays.files
                if name.startswith("maps-")
            }
    except (OSError, ValueError, KeyError) as problem:
        raise DataError(
            f"{path} is damaged or missing ({problem}); delete its .json, and run again"
        ) from problem


def read_styles(path: Path) -> np.ndarray | None:
    """The pictures of styles that `write_maps` was given, uint8 (rows, columns, S, S, 3); None: none were."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return np.asarray(arrays["styles"]) if "styles" in arrays.files else None
