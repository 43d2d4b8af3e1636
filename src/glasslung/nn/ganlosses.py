"""What two players of a generative game lose, as pure functions of what the discriminator said.

Notation  s = D(x), the discriminator's score before any sigmoid, (B,); real: of real pictures, made: of made
          ones; sigma the logistic function; all in nats, means over the batch

    logistic     discriminator  -log sigma(real) - log(1 - sigma(made));  generator  -log sigma(made)
    hinge        discriminator  relu(1 - real) + relu(1 + made);          generator  -made
    wasserstein  discriminator  made - real;                              generator  -made
    penalties    R1: |dD / d real|^2;  gradient penalty: (|dD / dx| - 1)^2 between real and made

Source: Goodfellow et al. (2014), the generator's loss that does not saturate; Lim and Ye (2017), hinge;
Arjovsky et al. (2017) and Gulrajani et al. (2017), WGAN-GP; Mescheder et al. (2018), R1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

LOSSES = ("logistic", "hinge", "wasserstein")
Score = Callable[[Tensor], Tensor]
"""(B, 1, S, S) -> (B,), the discriminator at a fixed condition."""


def loss_on_real(score: Tensor, kind: str = "logistic") -> Tensor:
    """What the discriminator loses on real pictures, mean over (B,)."""
    if kind == "hinge":
        return F.relu(1 - score).mean()
    return -score.mean() if kind == "wasserstein" else F.softplus(-score).mean()


def loss_on_made(score: Tensor, kind: str = "logistic") -> Tensor:
    """What the discriminator loses on made pictures, mean over (B,)."""
    if kind == "hinge":
        return F.relu(1 + score).mean()
    return score.mean() if kind == "wasserstein" else F.softplus(score).mean()


def loss_of_maker(score: Tensor, kind: str = "logistic") -> Tensor:
    """What the generator loses on its pictures, mean over (B,)."""
    return F.softplus(-score).mean() if kind == "logistic" else -score.mean()


def steepness(score: Score, image: Tensor) -> Tensor:
    """Squared length of the score's gradient in each picture, (B,); it can be differentiated again."""
    image = image.detach().requires_grad_()
    (slope,) = torch.autograd.grad(score(image).sum(), image, create_graph=True)
    return slope.square().flatten(1).sum(1)


def gradient_penalty(score: Score, real: Tensor, made: Tensor, share: Tensor) -> Tensor:
    """Mean (|gradient| - 1)^2 between real and made pictures; share (B,) uniform in 0 to 1 says where."""
    at = share.view(-1, 1, 1, 1)
    between = at * real + (1 - at) * made.detach()
    return ((steepness(score, between) + 1e-12).sqrt() - 1).square().mean()


def share_right(real: Tensor, made: Tensor, threshold: float = 0.0) -> tuple[Tensor, Tensor]:
    """The discriminator's accuracy on real and on made pictures, each 0 to 1 (the paper's figure 7)."""
    return (real > threshold).float().mean(), (made <= threshold).float().mean()
