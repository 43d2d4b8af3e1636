"""Styles of one slice as laws of grey: fitted to the slice in closed form, and slices repainted by them.

A style says how often each grey value is met in a tissue of this slice. Beside what the slice shows stands
what is known before, as if so many pixels more had been seen (a Dirichlet prior and its posterior mean), so a
tissue that the slice does not have still has a style.

Notation  B slices; Y labels, in the order of `nn.stitch.STYLES`; K bins of grey from 0 (black) to 1
Shapes    bins (B, H, W) int64; share (B, Y, H, W) how much each pixel is of each label; styles (B, Y, K)
          probabilities that sum to 1 over K
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

WIDTH = 1.5  # standard deviation of the smoothing, bins: a style has no comb of single greys
FAINT = 1e-4  # of a bin: logarithms stay finite, and no single grey rules a label out


def grey_bins(image: Tensor, count: int) -> Tensor:
    """The bin of each pixel's grey: (B, 1, H, W) in [0, 1] -> (B, H, W) int64."""
    return (image[:, 0] * count).long().clamp(0, count - 1)


def count_greys(share: Tensor, bins: Tensor, count: int) -> Tensor:
    """How many pixels of each label have each grey, smoothed: (B, Y, K). Differentiable in `share`."""
    counts = share.new_zeros(*share.shape[:2], count)
    where = bins.flatten(1)[:, None].expand(-1, share.shape[1], -1)
    counts = counts.scatter_add(2, where, share.flatten(2))
    reach = torch.arange(-4, 5, device=share.device, dtype=share.dtype)
    kernel = torch.exp(-0.5 * (reach / WIDTH) ** 2)
    padded = F.pad(counts, (4, 4), mode="replicate")
    with torch.autocast(share.device.type, enabled=False):  # counts of thousands need their digits
        smooth = F.conv1d(padded.flatten(0, 1)[:, None], (kernel / kernel.sum())[None, None])
    return smooth.view_as(counts)


def fit_styles(counts: Tensor, known: Tensor, strength: float) -> Tensor:
    """Styles from counts (B, Y, K) and `known` (Y, K) or (B, 1, K), which counts as `strength` pixels."""
    seen = counts + strength * known
    styles = seen / seen.sum(2, keepdim=True).clamp_min(1e-6)
    return (styles + FAINT) / (1 + FAINT * counts.shape[2])


@dataclass(frozen=True)
class Hearing:
    """How greys are heard.

    bins   greys that a style tells apart
    prior  weight of the slice's own greys in each style, as a share of its pixels
    sound  labels that one law judges together: what is no lesion is not told apart by greys; () for none
    """

    bins: int = 64  # four grey levels of 256 are within the noise
    prior: float = 0.02
    sound: tuple[int, ...] = ()


def hear(log_y: Tensor, image: Tensor, how: Hearing) -> tuple[Tensor, Tensor]:
    """Fit each slice's styles to an opinion of its labels, and judge its greys by them.

    log_y (B, Y, H, W) log p(y), image (B, 1, H, W) in [0, 1] -> styles (B, Y, K), log p(x | y) (B, Y, H, W)
    """
    seen = grey_bins(image, how.bins)
    counts = count_greys(log_y.exp(), seen, how.bins)
    whole = counts.sum(1, keepdim=True)
    if how.sound:
        together = counts[:, list(how.sound)].sum(1)
        counts = torch.stack(
            [together if label in how.sound else counts[:, label] for label in range(counts.shape[1])], 1
        )
    pixels = seen[0].numel()
    styles = fit_styles(counts, whole / pixels, how.prior * pixels)
    return styles, log_density(styles, seen)


def log_density(styles: Tensor, bins: Tensor) -> Tensor:
    """log p(x | y) of each pixel under each style, nats for one of K bins: (B, Y, H, W)."""
    where = bins.flatten(1)[:, None].expand(-1, styles.shape[1], -1)
    found: Tensor = styles.log().gather(2, where)
    return found.view(*styles.shape[:2], *bins.shape[1:])


def repaint(image: Tensor, share: Tensor, styles: Tensor) -> Tensor:
    """The slice wholly in each style: (B, 1, H, W) -> (B, Y, H, W) in [0, 1].

    What is at the middle of its own tissue's greys comes to the middle of the other's, what is among the
    brightest to the brightest: the least change of greys that turns one law into the other. So vessels stay
    brighter than what lies around them. A pixel that has the style already stays as it is.
    """
    count = styles.shape[2]
    steps = F.pad(styles.cumsum(2), (1, 0)).clamp(max=1.0)  # (B, Y, K + 1)
    place = (image.expand(-1, styles.shape[1], -1, -1).flatten(2) * count).clamp(0, count - 1e-3)
    low = place.long()
    inside = place - low
    rank = torch.lerp(steps.gather(2, low), steps.gather(2, low + 1), inside).view_as(share)
    wanted = (share * rank).sum(1).flatten(1)[:, None].expand(-1, styles.shape[1], -1).contiguous()
    top = torch.searchsorted(steps.contiguous(), wanted, right=True).clamp(1, count)
    below, above = steps.gather(2, top - 1), steps.gather(2, top)
    grey = (top - 1 + (wanted - below) / (above - below).clamp_min(1e-6)) / count
    return torch.lerp(grey.view_as(share), image.expand_as(share), share).clamp(0, 1)
