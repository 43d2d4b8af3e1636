"""Are two clouds of vectors drawn from one distribution? Distances to be minimised, and a memory of a cloud.

Notation  x (N, D), y (M, D) samples; k(a, b) = sum over scales s of s C / (s C + |a - b|^2), C = 2 D: the
          inverse multi-quadratic kernel, whose tails still pull when the clouds are far apart

Source: Gretton et al. (2012), eq. 3 (the unbiased estimate); Tolstikhin et al., WAE (2018), for kernel and
scales; Bonneel et al. (2015) for the sliced distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.ladder import Descent

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # WAE's: one decade below and above the expected distance
FINE_SIDE = 4  # levels finer than the coarse ones are told by the moments of 4 x 4 fields


def kernel(x: Tensor, y: Tensor, width: float, scales: Sequence[float] = SCALES) -> Tensor:
    """k of every pair, (N, D) and (M, D) -> (N, M); `width` is C."""
    apart = (x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * x @ y.T).clamp_min(0)
    return torch.stack([scale * width / (scale * width + apart) for scale in scales]).sum(0)


def mmd(x: Tensor, y: Tensor, scales: Sequence[float] = SCALES) -> Tensor:
    """Squared maximum mean discrepancy of two clouds, unbiased: 0 on average when they are alike.

    x (N, D), y (M, D) of about unit variance per column, N and M 2 or more. It may come out below 0.
    """
    _check(x, y)
    width = 2.0 * x.shape[1]
    within = [_off_diagonal_mean(kernel(cloud, cloud, width, scales)) for cloud in (x, y)]
    return within[0] + within[1] - 2 * kernel(x, y, width, scales).mean()


def _off_diagonal_mean(gram: Tensor) -> Tensor:
    count = len(gram)
    return (gram.sum() - gram.diagonal().sum()) / (count * (count - 1))


def sliced_wasserstein(x: Tensor, y: Tensor, rng: torch.Generator, directions: int = 64) -> Tensor:
    """Squared Wasserstein-2 distance along random directions, mean over them. x (N, D), y (M, D).

    Clouds of different size are compared at the same N + M levels of their quantile functions.
    """
    _check(x, y)
    axes = F.normalize(torch.randn(x.shape[1], directions, generator=rng, device=x.device), dim=0)
    count = len(x) + len(y)
    levels = (torch.arange(count, device=x.device) + 0.5) / count
    left, right = (_quantiles(cloud @ axes, levels) for cloud in (x, y))
    return (left - right).square().mean()


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    """The sample whose step of the empirical distribution each level falls on, column by column."""
    rows = (levels * len(values)).long().clamp_max(len(values) - 1)
    return values.sort(0).values[rows]


def _check(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ShapeError(f"clouds must be (N, D) and (M, D), got {tuple(x.shape)} and {tuple(y.shape)}")
    if len(x) < 2 or len(y) < 2:
        raise UsageError("two samples of each cloud are needed to compare them; give larger batches")


# -------------------------------------------------------------------------------------- clouds of latents


def latent_features(descents: Sequence[Descent], coarse: int = 3) -> list[Tensor]:
    """What several ladders of the same lungs are compared by, one block (B, D) for each level.

    The `coarse` coarsest levels are taken as they are; finer ones, whose numbers are many and mean little one
    by one, by the mean and the mean square of each of 4 x 4 fields.
    """
    blocks = []
    for descent in descents:
        fine = len(descent.z) - coarse
        for level, z in enumerate(descent.z):
            blocks.append(_moments(z) if level < fine else z.flatten(1))
    return blocks


def _moments(z: Tensor) -> Tensor:
    pooled = [F.adaptive_avg_pool2d(field, FINE_SIDE).flatten(1) for field in (z, z.square())]
    return torch.cat(pooled, 1)


def block_spread(rows: Tensor, widths: Sequence[int]) -> Tensor:
    """By what to divide rows (N, D) made of blocks of these widths, (D,): one spread for a whole block.

    So levels of different scale weigh alike, and within a level a number that hardly varies stays small. No
    gradient: a cloud cannot be made to fit by blowing up the ruler.
    """
    centred = rows.detach() - rows.detach().mean(0)
    spreads = [block.square().mean().sqrt().clamp_min(1e-6) for block in centred.split(list(widths), 1)]
    return torch.cat([spread.repeat(width) for spread, width in zip(spreads, widths, strict=True)])


def latent_widths(shapes: Sequence[tuple[int, ...]], ladders: int, coarse: int = 3) -> list[int]:
    """How many numbers each block of `latent_features` has, for latents of these shapes, finest first."""
    fine = len(shapes) - coarse
    each = [2 * FINE_SIDE**2 if level < fine else shape[-2] * shape[-1] for level, shape in enumerate(shapes)]
    return each * ladders


class Queue(nn.Module):
    """The last `length` rows of `width` numbers that went by: a larger cloud than one batch holds.

    It is a buffer: a checkpoint holds it, and a resumed run goes on with the same rows. Rows carry no
    gradient and are as stale as they are old. `train.game` refuses it to several processes, which would
    average it.
    """

    rows: Tensor
    pushed: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(length, width))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, rows: Tensor) -> None:
        """Take rows (B, width) in; the oldest ones fall out."""
        length = len(self.rows)
        rows = rows.detach()[-length:].float()
        places = (self.pushed + torch.arange(len(rows), device=rows.device)) % length
        self.rows[places] = rows
        self.pushed += len(rows)

    def seen(self) -> Tensor:
        """The rows there are, (up to length, width), in no order that matters."""
        return self.rows[: min(int(self.pushed), len(self.rows))].clone()
