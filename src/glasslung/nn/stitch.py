"""A slice stitched together from four styles: what each pixel may be, and how likely that makes the slice.

Notation  y label of a pixel: 0 background, 1 ground glass, 2 consolidation, 3 healthy lung; A the labels that
          what is known of the pixel leaves possible; fb background or lung; l label inside the lung (ground
          glass, consolidation, healthy)
Shapes    log_y (B, 4, H, W) log p(y); log_x (B, 4, H, W) log p(x | y), the slice under each style; allowed
          (B, 4, H, W) bool

    p(y) = (fb_0, fb_1 l_0, fb_1 l_1, fb_1 l_2);  log p(x, A) = log sum over y in A of p(y) p(x | y)

Source: Zammit, StichNet (2020), sections 3.3 to 3.5. That what is half known is summed over is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn import density
from glasslung.nn.blocks import Decoder
from glasslung.nn.parts import Parts
from glasslung.nn.pixels import SHARPEST_LOG_SCALE, SOFTPLUS_FLOOR, START_LOG_SCALE

BACKGROUND, GROUND_GLASS, CONSOLIDATION, HEALTHY = range(4)
STYLES = ("background", "ground glass", "consolidation", "healthy")
LIKELIHOODS = ("bernoulli", "beta", "logistic")
LESION_CLASSES = 3  # none (background and healthy lung), ground glass, consolidation
NEVER = float("-inf")


# ------------------------------------------------------------------------------------------------ labels


def stitch_labels(fb: Tensor, lung_label: Tensor) -> Tensor:
    """log p(y) from the raw numbers of fb (B, 2, H, W) and of l (B, 3, H, W) -> (B, 4, H, W)."""
    log_fb = torch.log_softmax(fb.float(), 1)
    log_l = torch.log_softmax(lung_label.float(), 1)
    return torch.cat([log_fb[:, :1], log_fb[:, 1:] + log_l], 1)


def possible_labels(lesion: Tensor, lung: Tensor) -> Tensor:
    """Which labels remain possible where lesion and lung (B, H, W) are known or not (-1): (B, 4, H, W) bool.

    A lesion lies in the lung whatever the lung's mask says. Crazy paving is ground glass with thickened walls
    between the lobules, and counts as ground glass.
    """
    unknown = lesion < 0
    outside = (lung != 1) & (lesion <= 0)
    inside = lung != 0
    glass = (unknown & inside) | (lesion == 1) | (lesion == 3)
    dense = (unknown & inside) | (lesion == 2)
    healthy = (lesion <= 0) & inside
    return torch.stack([outside, glass, dense, healthy], 1)


def infer_lung(image: Tensor, lesion: Tensor, lung: Tensor) -> Tensor:
    """Lungs of healthy controls that were cut out of their slice: what is not black is lung, (B, H, W).

    Only slices without any lesion whose lung nobody drew are filled in; the released code labels its healthy
    controls so.
    """
    control = (lesion == 0).flatten(1).all(1) & (lung < 0).flatten(1).all(1)
    return torch.where(control[:, None, None], (image[:, 0] > 0).to(lung.dtype), lung)


def lesion_probabilities(log_y: Tensor) -> Tensor:
    """p(none, ground glass, consolidation) of each pixel, (B, 3, H, W): background and healthy are none."""
    p = log_y.exp()
    return torch.stack([p[:, BACKGROUND] + p[:, HEALTHY], p[:, GROUND_GLASS], p[:, CONSOLIDATION]], 1)


def log_possible(log_y: Tensor, allowed: Tensor) -> Tensor:
    """log p(A): how likely the model finds what is known, (B, H, W); 0 where nothing is."""
    known = torch.logsumexp(log_y.masked_fill(~allowed, NEVER), 1)
    return torch.where(allowed.all(1), 0.0, known)


def focal_loss(log_p: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma log p of the right answer; gamma 0 is cross entropy. Lin et al. (2017), focal loss."""
    if gamma == 0:
        return -log_p
    miss = (-torch.expm1(log_p)).clamp(1e-6, 1.0)  # a power of 0 has no gradient
    return -(miss**gamma) * log_p


# --------------------------------------------------------------------------------------------- the slice


def log_marginal(log_y: Tensor, log_x: Tensor, allowed: Tensor) -> Tensor:
    """log p(x, A) of each pixel, nats, (B, H, W): the label is summed out over what is possible."""
    return torch.logsumexp((log_y + log_x).masked_fill(~allowed, NEVER), 1)


def log_expected(log_y: Tensor, log_x: Tensor, allowed: Tensor) -> Tensor:
    """log p(A) + E[log p(x | y)] over y in A, nats, (B, H, W): never above `log_marginal` (Jensen)."""
    masked = log_y.masked_fill(~allowed, NEVER)
    share = torch.softmax(masked, 1)
    return torch.logsumexp(masked, 1) + (share * log_x).sum(1)


def log_recognised(log_q: Tensor, log_y: Tensor, log_x: Tensor, allowed: Tensor) -> Tensor:
    """The bound of log p(x, A) that another opinion q(y) of the pixel gives, nats, (B, H, W).

    sum over y in A of q(y | A) (log p(y) + log p(x | y) - log q(y | A)): `log_marginal` less the divergence
    of q from the posterior of y, so it is highest where q is that posterior. Kingma et al. (2014), M2.
    """
    log_share = torch.log_softmax(log_q.masked_fill(~allowed, NEVER), 1)
    gain = (log_y + log_x - log_share).masked_fill(~allowed, 0.0)
    return (log_share.exp() * gain).sum(1)


def label_posterior(log_y: Tensor, log_x: Tensor) -> Tensor:
    """log p(y | x): what the label is once the slice was seen beside its styles, (B, 4, H, W)."""
    return torch.log_softmax(log_y + log_x, 1)


def stitch(log_y: Tensor, styles: Tensor) -> Tensor:
    """The slice put together from its styles (B, 4, H, W), each as far as its label is believed."""
    return (log_y.exp() * styles).sum(1, keepdim=True)


# ------------------------------------------------------------------------------------------------ levers


def style_hinge(styles: Tensor, inside: Tensor, margin: float) -> Tensor:
    """How far ground glass fails to be `margin` brighter than healthy lung, and consolidation than it.

    styles (B, 4, H, W) in [0, 1]; inside (B, H, W) how much each pixel is lung. The mean; 0 once apart.
    """
    healthy, glass, dense = styles[:, HEALTHY], styles[:, GROUND_GLASS], styles[:, CONSOLIDATION]
    short = F.relu(margin - (glass - healthy)) + F.relu(margin - (dense - glass))
    return (short * inside).sum() / inside.sum().clamp_min(1.0)


def proportion_divergence(lesion: Tensor, expected: Tensor) -> Tensor:
    """KL of the lesion classes' share over a batch (B, 3, H, W) from the share expected (3,), nats."""
    share = lesion.mean((0, 2, 3)).clamp_min(1e-6)
    return (share * (share.log() - expected.to(share).clamp_min(1e-6).log())).sum()


# ---------------------------------------------------------------------------------------------- likelihoods


@dataclass(frozen=True, eq=False)
class StylePixels:
    """What each pixel may be under each of four styles; raw (B, 4, P, H, W) float32, P numbers each.

    bernoulli  P = 1, a logit: cross entropy of a grey value, the paper's, no density
    beta       P = 2, a and b before softplus: a density, the released code's
    logistic   P = 3 M, weights, means and log-scales of M discretised logistics: a probability of 256 greys
    """

    likelihood: str
    raw: Tensor

    def log_density(self, image: Tensor) -> Tensor:
        """log p(x | y) of each pixel for each y, nats: image (B, 1, H, W) -> (B, 4, H, W)."""
        if self.likelihood == "bernoulli":
            logits = self.raw[:, :, 0]
            return -F.binary_cross_entropy_with_logits(logits, image.expand_as(logits), reduction="none")
        if self.likelihood == "beta":
            return density.beta_log_density(image, *self._shapes())
        batch, styles = self.raw.shape[:2]
        each = image.repeat_interleave(styles, 0)
        return density.logistic_mixture_log_density(each, *self._logistics()).view(
            batch, styles, *each.shape[2:]
        )

    def mean(self) -> Tensor:
        """The four pictures, (B, 4, H, W) in [0, 1]."""
        if self.likelihood == "bernoulli":
            return torch.sigmoid(self.raw[:, :, 0])
        if self.likelihood == "beta":
            return density.beta_mean(*self._shapes())
        weights, means, _ = self._logistics()
        batch, styles = self.raw.shape[:2]
        return density.logistic_mixture_mean(weights, means).view(batch, styles, *means.shape[2:])

    def _shapes(self) -> tuple[Tensor, Tensor]:
        """a and b of each style, (B, 4, H, W)."""
        a, b = (F.softplus(self.raw) + SOFTPLUS_FLOOR).unbind(2)
        return a, b

    def _logistics(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weight logits, means and log-scales, (4 B, M, H, W)."""
        weights, means, scales = self.raw.flatten(0, 1).chunk(3, 1)
        start = torch.linspace(0, 1, means.shape[1] + 2, device=means.device)[1:-1].view(1, -1, 1, 1)
        return (
            weights,
            start + means,
            SHARPEST_LOG_SCALE + F.softplus(scales + START_LOG_SCALE - SHARPEST_LOG_SCALE),
        )


def numbers_per_pixel(likelihood: str, components: int = 1) -> int:
    """How many raw numbers one style needs at each pixel; UsageError for an unknown likelihood."""
    if likelihood not in LIKELIHOODS:
        raise UsageError(f"likelihood {likelihood!r} is unknown; choose one of {', '.join(LIKELIHOODS)}")
    return {"bernoulli": 1, "beta": 2, "logistic": 3 * components}[likelihood]


class Painter(nn.Module):
    """From the expansions of a ladder, finest first, to raw numbers of maps of full size.

    heads     name of each map -> its last layers, on the decoder's features
    beside    ladders that stand side by side
    withheld  finest levels that are not read: the maps are made that many halvings smaller, and enlarged
              smoothly, so they hold no detail that those levels alone would know
    """

    def __init__(
        self, parts: Parts, heads: dict[str, int], beside: int, finest_only: bool, withheld: int
    ) -> None:
        super().__init__()
        self.finest_only, self.withheld = finest_only, withheld
        widths = parts.widths[::-1][: len(parts.widths) - withheld]
        if finest_only:
            self.layers: nn.Module = parts.infer(beside * parts.widths[0], parts.features)
        else:
            skips = tuple(beside * f for f in widths)
            self.layers = Decoder(widths, skips, parts.features, parts.storey)
        self.heads = nn.ModuleDict({name: parts.head(parts.features, out) for name, out in heads.items()})

    def forward(self, levels: list[Tensor]) -> dict[str, Tensor]:
        """[(B, f, H/2, W/2) .. (B, f, H/32, W/32)] -> name: (B, out, H, W) float32."""
        features = self.layers(levels[0] if self.finest_only else levels[self.withheld :][::-1])
        maps = {name: head(features).float() for name, head in self.heads.items()}
        if not self.withheld:
            return maps
        size = [side * 2**self.withheld for side in features.shape[2:]]
        return {name: F.interpolate(one, size, mode="bilinear") for name, one in maps.items()}
