"""ConditionalGAN: made lungs of a kind that is asked for: COVID-19 or not, or an age of the disease.

The small-data recipe of LeanGAN with groups: the generator is told the group beside the code, so one code at
several groups is one lung in several stages as far as the game forces it to be; the discriminator judges how
real a picture is and, by a projection, how well it fits its group.

Notation and losses: see `nn.duel`. The paper names a conditional GAN as future work (section V.A).
Source: Mirza and Osindero (2014); Miyato and Koyama (2018).
Limits    That a code keeps its anatomy over the groups is not forced by any loss: measure it before it is
          used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from glasslung.errors import UsageError
from glasslung.nn.duel import DuelSettings, LeanPair, duel

GROUPS = {"class": 2, "age": 4}  # 0 other, 1 COVID-19; or 0 healthy and three ages of the disease

players = duel


@dataclass(frozen=True)
class Config(DuelSettings):
    """Settings of one ConditionalGAN."""

    condition: str = "age"  # what the groups are: the age of the disease, or its class (COVID-19 or not)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.condition not in GROUPS:
            raise UsageError(f"condition {self.condition!r} is unknown; choose one of {', '.join(GROUPS)}")


class ConditionalGAN(LeanPair):
    """Generator and discriminator, told a group."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__(config, GROUPS[config.condition], rng)
