"""Weights and learning rates as functions of the step: pure, so that a resumed run sees the same ones."""

from __future__ import annotations

import math

PAPER_STEPS_PER_EPOCH = 100  # released U-SVAE and CAGE code


def paper_kl_weight(step: int, final: float, first_epoch: int = 1) -> float:
    """The released KL weight: 0.1 by epoch 100, 1 by epoch 200, then 0.015 more each epoch up to `final`.

    `step` counts from 0, an epoch has 100 steps. U-SVAE's loop starts at epoch 1 and ends at 3.985, CAGE's
    starts at epoch 0 (weight 1e-7) and stays at 1. The papers mention no weight.
    """
    epoch = step // PAPER_STEPS_PER_EPOCH + first_epoch
    if epoch == 0:
        return 1e-7
    if epoch < 100:
        return 0.001 * epoch
    if epoch < 200:
        return 0.1 + 0.009 * (epoch - 100)
    return min(1 + 0.015 * (epoch - 200), max(final, 1.0))


def warm_up(step: int, steps: int, final: float = 1.0) -> float:
    """A straight climb to `final`, reached at step `steps` - 1, then level; steps 0: no climb."""
    return final if step >= steps else final * (step + 1) / steps


def cosine(step: int, steps: int, highest: float, lowest: float = 0.0, climb: int = 0) -> float:
    """A learning rate that climbs for `climb` steps and then falls along half a cosine until `steps`."""
    if step < climb:
        return highest * (step + 1) / climb
    way = min(1.0, (step - climb) / max(1, steps - climb))
    return lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * way))


def open_then_hold(
    step: int, steps: int, first: float, opened: float, lowest: float
) -> tuple[float | None, float]:
    """A KL weight that lets the fine levels in and then asks for thrift: (fixed weight or None, its floor).

    The first fifth at `first`, so that the coarse levels learn the shape of the lungs; until 45 % at
    `opened`, so that the finest level learns tissue. From then on None: a controller holds the weight above
    a floor that climbs from `opened` to `lowest`, reached at 65 %. The shares were chosen, not swept.
    """
    way = step / steps
    if way < 0.2:
        return warm_up(step, steps // 20, first), opened
    if way < 0.45:
        return opened, opened
    return None, opened + (lowest - opened) * min(1.0, (way - 0.45) / 0.2)
