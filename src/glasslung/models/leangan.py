"""LeanGAN: made lungs from few pictures: the recipe of recent years instead of the paper's.

What it changes, each by a switch: pictures are distorted in front of the discriminator (`augment`), so that a
few hundred of them cannot be learned by heart; its slope on real pictures is held down (`r1`), so that it
never becomes a wall without gradients; every layer can be divided by its spectral norm (`spectral`); the
batch's spread is seen, so that equal pictures give themselves away; the generator has no batch statistics,
and what is kept is the running average of its weights (the run's `ema`).

Notation, settings and losses: see `nn.duel`; networks: `nn.generators.LeanGenerator`,
`nn.discriminators.LeanDiscriminator`
Source: Zhao et al. (2020), DiffAugment; Karras et al. (2020), ADA; Mescheder et al. (2018), R1; Miyato et al.
(2018), spectral normalisation; Liu et al. (2021), FastGAN.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from glasslung.nn.duel import DuelSettings, LeanPair, duel

players = duel


@dataclass(frozen=True)
class Config(DuelSettings):
    """Settings of one LeanGAN."""


class LeanGAN(LeanPair):
    """Generator and discriminator of pictures of one kind."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__(config, 1, rng)
