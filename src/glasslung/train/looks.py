"""What a watchdog sees of a generative run at one step: plain figures of made and real pictures and of the
two players, measured on the same codes and the same real pictures every time.

Distances and recall are taken on pictures pooled to 16 x 16 pixels: crude, cheap, and the same for every
model. They warn; they do not judge quality (`measure.realism` does).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError
from glasslung.nn.borrow import evaluating
from glasslung.nn.making import AT_ONCE, device_of, maker_of, sample_pictures

POOLED = 16  # pixels a side: lungs, large lesions and windows show, texture does not
NEIGHBOUR = 3  # whose distance is the reach of a made picture; Kynkaanniemi et al. (2019)
CODE_SEED = 20_200  # of the codes that are looked at, the same in every run
BRIGHT = 99.0  # percentile that tells black from dark
TRAINING, AVERAGED = "weights in training", "averaged weights"

Averaged = Callable[[], AbstractContextManager[None]]
"""Inside what it gives, the networks have their averaged weights (`train.game.Game.averaged`)."""


class View(NamedTuple):
    """Made pictures in four figures; see `Look`."""

    bright: float
    contrast: float
    apart: float
    recall: float


@dataclass(frozen=True)
class Look:
    """One look. Greys from 0 black to 1 white; scores as the discriminator gives them, above 0 for real.

    fed          99th percentile of the real pictures as the networks are fed them, 0 black to 1 white
    bright       99th percentile of made pictures; real_bright of real ones
    contrast     mean standard deviation inside a made picture; real_contrast of real ones
    apart        mean distance of two made pictures of one kind; real_apart of two real ones (root mean
                 square, pooled)
    recall       share of real pictures within reach of a made one
    kept_...     the same of pictures by the averaged weights, which are what is kept; NaN where none are
    on_real, on_made, on_held_out  mean scores; on_held_out NaN where nothing is held out
    right        the smaller of the discriminator's two accuracies, on real and on made pictures
    gradient     median length of the generator's gradient since the last look, NaN if nothing was logged
    """

    step: int
    fed: float
    bright: float
    real_bright: float
    contrast: float
    real_contrast: float
    apart: float
    real_apart: float
    recall: float
    on_real: float
    on_made: float
    on_held_out: float
    right: float
    gradient: float
    kept_bright: float = math.nan
    kept_contrast: float = math.nan
    kept_apart: float = math.nan
    kept_recall: float = math.nan

    @property
    def views(self) -> dict[str, View]:
        """What is made by the weights that train, and, where there are any, by their average."""
        found = {TRAINING: View(self.bright, self.contrast, self.apart, self.recall)}
        if math.isfinite(self.kept_bright):
            kept = View(self.kept_bright, self.kept_contrast, self.kept_apart, self.kept_recall)
            found[AVERAGED] = kept
        return found

    def record(self) -> dict[str, Any]:
        """As JSON values; what is not known is null."""
        return {key: None if _unknown(value) else value for key, value in asdict(self).items()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Look:
        """The way back; further keys are passed over."""
        values: dict[str, Any] = {}
        for key in cls.__dataclass_fields__:
            if key in record:
                values[key] = math.nan if record[key] is None else record[key]
        return cls(**values)


def _unknown(value: float) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


@dataclass(frozen=True, eq=False)
class Reference:
    """Real pictures to look beside: from training and, where there are any, held out.

    real, held_out  (N, S, S) float32 in [0, 1]; groups (N,) int64 of each; held_out may have no row
    """

    real: np.ndarray
    real_group: np.ndarray
    held_out: np.ndarray
    held_out_group: np.ndarray

    def __post_init__(self) -> None:
        if len(self.real) < NEIGHBOUR + 1:
            raise DataError(
                f"{len(self.real)} real pictures are too few to look beside; {NEIGHBOUR + 1} at least"
            )


def reference_of(real: Any, held_out: Any | None, most: int, seed: int = 0) -> Reference:
    """At most `most` slices of each set (`data.slices.SliceSet`), drawn once: the same in every look."""
    rng = np.random.default_rng(seed)

    def some(whole: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = np.sort(rng.permutation(len(whole))[:most])
        return whole.images[rows], whole.group[rows]

    none = (np.zeros((0, *real.images.shape[1:]), np.float32), np.zeros(0, np.int64))
    return Reference(*some(real), *(none if held_out is None else some(held_out)))


def take_look(
    model: nn.Module,
    reference: Reference,
    step: int,
    count: int,
    records: Iterable[Mapping[str, Any]],
    averaged: Averaged | None = None,
) -> Look:
    """Make `count` pictures and measure; the model and every stream of chance stay as they are.

    records   what was logged since the last look
    averaged  where weights are averaged: pictures of these are looked at too, players only as they train
    """
    _, group, made = sample_pictures(model, count, CODE_SEED)
    kinds = maker_of(model).groups
    on_real = scores(model, reference.real, reference.real_group if kinds > 1 else None)
    on_made = scores(model, made, group)
    unseen = np.array([np.nan])
    if len(reference.held_out):
        unseen = scores(model, reference.held_out, reference.held_out_group if kinds > 1 else None)
    small_real, real_group = pooled(reference.real), reference.real_group if kinds > 1 else None
    view, kept = _view(made, group, small_real), {}
    if averaged is not None:
        with averaged():
            also = _view(sample_pictures(model, count, CODE_SEED)[2], group, small_real)
        kept = {f"kept_{name}": value for name, value in also._asdict().items()}
    return Look(
        step=step,
        fed=_fed(model, reference.real),
        bright=view.bright,
        real_bright=float(np.percentile(reference.real, BRIGHT)),
        contrast=view.contrast,
        real_contrast=float(reference.real.std((1, 2)).mean()),
        apart=view.apart,
        real_apart=mean_distance(small_real, real_group),
        recall=view.recall,
        on_real=float(on_real.mean()),
        on_made=float(on_made.mean()),
        on_held_out=float(unseen.mean()),
        right=float(min((on_real > 0).mean(), (on_made <= 0).mean())),
        gradient=_gradient(records),
        **kept,
    )


def _view(made: np.ndarray, group: np.ndarray, small_real: np.ndarray) -> View:
    small = pooled(made)
    bright, contrast = float(np.percentile(made, BRIGHT)), float(made.std((1, 2)).mean())
    return View(bright, contrast, mean_distance(small, group), recall(small_real, small))


def scores(model: nn.Module, images: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """What the discriminator says of pictures, (N, S, S) -> (N,)."""
    maker, device = maker_of(model), device_of(model)
    found = []
    with evaluating(model):
        for start in range(0, len(images), AT_ONCE):
            part = torch.from_numpy(np.ascontiguousarray(images[start : start + AT_ONCE])[:, None]).to(device)
            kind = (
                torch.zeros(len(part), dtype=torch.int64)
                if group is None
                else torch.from_numpy(group[start : start + AT_ONCE])
            )
            found.append(maker.judge(part, kind.to(device)).float().cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def _fed(model: nn.Module, real: np.ndarray) -> float:
    image = torch.from_numpy(np.ascontiguousarray(real[:AT_ONCE])[:, None])
    fed = (maker_of(model).seen(image).numpy() + 1) / 2
    return float(np.percentile(fed, BRIGHT))


def pooled(images: np.ndarray) -> np.ndarray:
    """(N, S, S) -> (N, 256): means over pixels, 16 x 16 of them."""
    image: Tensor = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(images))[:, None], POOLED)
    return image.flatten(1).double().numpy()


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root mean square differences of every pair, (N, F), (M, F) -> (N, M)."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.asarray(np.sqrt(squares.clip(0) / first.shape[1]))


def mean_distance(small: np.ndarray, group: np.ndarray | None = None) -> float:
    """How different two pictures of a set are on average, in grey: (N, F), N 2 or more.

    group  (N,): only pictures of one kind are compared, for kinds differ even where each is one picture
    """
    kinds = np.zeros(len(small), np.int64) if group is None else group
    pairs = (kinds[:, None] == kinds[None]) & ~np.eye(len(small), dtype=bool)
    return float(_distances(small, small)[pairs].mean()) if pairs.any() else 0.0


def recall(real: np.ndarray, made: np.ndarray) -> float:
    """Share of real pictures that lie within reach of a made one; its reach: to its third made neighbour."""
    near = _distances(made, made)
    np.fill_diagonal(near, np.inf)
    reach = np.partition(near, NEIGHBOUR - 1, axis=1)[:, NEIGHBOUR - 1]
    return float((_distances(real, made) <= reach[None]).any(1).mean())


def _gradient(records: Iterable[Mapping[str, Any]]) -> float:
    lengths = [float(one["gradient_norm"]) for one in records if one.get("player") == "generator"]
    return float(np.median(lengths)) if lengths else math.nan
