"""The settings that U-SVAE and CAGE share, and what follows from them: head, KL weight, the checks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from glasslung.errors import UsageError
from glasslung.nn.backbones import CUT_WIDTHS
from glasslung.nn.blocks import NORM_MOMENTUM
from glasslung.nn.parts import SETS, Parts, parts_named
from glasslung.nn.pixels import BetaHead, BetaPixels, MixtureHead, MixturePixels
from glasslung.nn.schedules import paper_kl_weight, warm_up

LEVELS = len(CUT_WIDTHS)
SMALLEST_SIZE = 64  # five halvings leave 2x2: below that the coarsest level is a single number

Pixels = BetaPixels | MixturePixels

CHOICES = {
    "net": tuple(SETS),
    "likelihood": ("beta", "logistic mixture"),
    "positive": ("softplus", "relu"),
    "kl": ("analytic", "sampled"),
    "kl_schedule": ("warm-up", "paper"),
}


@dataclass(frozen=True)
class LadderRecipe:
    """Settings of a model built on the ladder, with the defaults we recommend."""

    size: int = 64  # side of a slice, the paper's
    net: str = "paper"  # 'slim' has the same ladder of far fewer and cheaper parts: minutes on a CPU
    likelihood: str = "beta"  # the paper's; 'logistic mixture' is discrete and cannot be inflated by a clip
    components: int = 5  # of the logistic mixture; not swept
    positive: str = "softplus"  # how a and b are kept positive; 'relu', as released, has dead pixels
    density_floor: float = (
        0.0  # added inside the logarithm of the loss; released: 1e-7, which hides bad pixels
    )
    logvar_bound: float | None = 10.0  # e^5 in standard deviation: wide enough never to bind in a healthy run
    kl: str = "analytic"  # 'sampled', as released, has the same mean and more noise
    kl_schedule: str = "warm-up"  # 'paper' climbs by epochs of 100 steps
    kl_final: float = 1.0  # 1 is the evidence bound; above it, reconstructions are traded for tidier latents
    kl_warm_up: int = 10_000  # steps; half of the released climb to weight 1
    keras_padding: bool = True  # asymmetric padding at stride 2, as released
    backbone_momentum: float = (
        NORM_MOMENTUM  # released: 0.001, which needs thousands of steps before evaluation
    )
    lr: float = 3e-4  # the paper's

    def __post_init__(self) -> None:
        for name, known in self.choices().items():
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(known)}"
                )
        if self.size < SMALLEST_SIZE or self.size % 2**LEVELS:
            raise UsageError(f"size {self.size} cannot be halved {LEVELS} times; choose 64, 96, 128, ...")
        if self.kl_warm_up < 0 or self.kl_final < 0:
            raise UsageError("kl_warm_up and kl_final must not be negative")

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """What each setting of a word may be."""
        return CHOICES

    @property
    def parts(self) -> Parts:
        """What the network is built from."""
        return parts_named(self.net)

    def head(self) -> nn.Module:
        """The last layers, from the decoder's features to a distribution over grey values."""
        parts = self.parts
        if self.likelihood == "beta":
            return BetaHead(parts.features, self.positive, self.density_floor, parts.head)
        return MixtureHead(parts.features, self.components, parts.head)

    def kl_weight(self, step: int, first_epoch: int) -> float:
        """The weight of the KL at one step; the released loop of the model counts from `first_epoch`."""
        if self.kl_schedule == "paper":
            return paper_kl_weight(step, self.kl_final, first_epoch)
        return warm_up(step, self.kl_warm_up, self.kl_final)
