"""What every model that makes pictures can be asked, and how it is asked."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.borrow import evaluating
from glasslung.nn.generators import draw_codes
from glasslung.nn.reins import Reins

AT_ONCE = 64  # pictures that pass through a network together


@runtime_checkable
class Maker(Protocol):
    """A network that makes pictures from codes, and the discriminator that judged it.

    code_width  numbers in a code;  groups  1, or how many kinds of pictures can be asked for
    reins       what a watchdog may pull
    """

    code_width: int
    groups: int
    reins: Reins

    def make(self, codes: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, Z), group (B,) -> (B, 1, S, S) in [0, 1]."""

    def judge(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, 1, S, S) in [0, 1] -> score (B,), above 0 for real."""

    def seen(self, image: Tensor) -> Tensor:
        """Pictures in [0, 1] as the networks are fed them."""


def maker_of(model: nn.Module) -> Maker:
    """The model as a maker; UsageError where it makes no pictures from codes."""
    if not isinstance(model, Maker):
        raise UsageError(f"{type(model).__name__} makes no pictures from codes; take a generative model")
    return cast(Maker, model)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


def make_pictures(model: nn.Module, codes: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """Pictures from codes: (N, Z) float, group (N,) int -> (N, S, S) float32 in [0, 1].

    ShapeError for codes of another width, UsageError for a group there is not.
    """
    maker, device = maker_of(model), device_of(model)
    codes = np.asarray(codes, np.float32)
    if codes.ndim != 2 or codes.shape[1] != maker.code_width:
        raise ShapeError(
            f"this model's codes have {maker.code_width} numbers, got a table of {codes.shape}; "
            "give one row of that width for each picture"
        )
    wanted = checked_groups(maker, len(codes), group)
    parts = []
    with evaluating(model):
        for start in range(0, len(codes), AT_ONCE):
            part = torch.from_numpy(codes[start : start + AT_ONCE]).to(device)
            kind = torch.from_numpy(wanted[start : start + AT_ONCE]).to(device)
            parts.append(maker.make(part, kind)[:, 0].float().clamp(0, 1).cpu().numpy())
    return np.concatenate(parts)


def sample_pictures(
    model: nn.Module, count: int, seed: int, group: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw codes and make their pictures: codes (N, Z), groups (N,) int64, pictures (N, S, S) in [0, 1].

    group  which kind; None: all kinds in turn. The same seed gives the same codes on every machine.
    """
    maker = maker_of(model)
    codes = draw_codes(count, maker.code_width, torch.Generator().manual_seed(seed)).numpy()
    kinds = np.arange(count) % maker.groups if group is None else np.full(count, group)
    kinds = kinds.astype(np.int64)
    return codes, kinds, make_pictures(model, codes, kinds)


def checked_groups(maker: Maker, count: int, group: np.ndarray | None) -> np.ndarray:
    """(count,) int64 of groups that there are."""
    kinds = np.zeros(count, np.int64) if group is None else np.asarray(group, np.int64)
    if kinds.shape != (count,):
        raise ShapeError(f"{count} codes need as many groups, got {kinds.shape}")
    if count and not 0 <= kinds.min() <= kinds.max() < maker.groups:
        raise UsageError(f"this model makes groups 0 to {maker.groups - 1}, asked for {int(kinds.max())}")
    return kinds
