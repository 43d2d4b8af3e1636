"""Lungs that nobody has, drawn in two strokes: an outline from a Gaussian law, then tissue pixel by pixel.

Notation  x slice, 0 outside the lungs; M its lung without specks and small holes
          d (16 x 16 of a slice of 64) depth of M: 1 deep inside, 0 at the edge, -1 far outside
          g (8 x 8) mean grey of the lung; (d, g) is the anatomy of a slice, a row of numbers

    p(d, g)  = N(mean, covariance) of all anatomies that went by: counted, not learned
    p(x | d, g) = product over pixels inside d > 0, row by row, of p(pixel | pixels above and left, d, g),
               a share for black and for each of 64 grey levels, by one small network for all pixels

A network of one minute learns the grey of a pixel from its neighbours well, and the outline of a lung not at
all; lungs are cut out of slices and lie alike, so that the outline needs no network.

Source: Leventon, Grimson and Faugeras (CVPR 2000) for the Gaussian law of signed distances; van den Oord et
al. (pixel recurrent neural networks, ICML 2016) for tissue.
Departs   no convolution: a pixel's network reads the pixels above and left and is told the anatomy around it;
          pixels too far apart to look at each other are drawn at once, which changes nothing but the time
Limits    Vessels are longer than what a pixel looks at, so they come out as dots and short strokes. The law
          of outlines is Gaussian, of slices with the larger lung on the left; dreams are mirrored by chance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn.blocks import initialise_glorot
from glasslung.nn.borrow import evaluating
from glasslung.nn.movers import LUNG_GREY

DEEPEST = 8  # pixels: depth is told no further, so that the middle of a lung says nothing new
DEPTH_PITCH, GREY_PITCH = 4, 8  # pixels from one number of the anatomy to the next; not swept
REACH = 4  # pixels above and left that a pixel looks at; 3 made vessels of dots alone
AROUND = 3  # pixels to each side where it is told what is lung
FAR = (-8, -4, 0, 4, 8)  # pixels, along both sides, at which it is told how deep
LEVELS = 64  # grey levels of lung, beside black
WIDTH = 64  # of the network's layers; not swept
AT_ONCE = 4096  # pixels of a batch that are learned from: about a sixth; more cost time and teach little
OWN = 5  # further numbers: grey around, depth, its sharpened edge, row, column


class Law(nn.Module):
    """The Gaussian law of the rows that went by: their mean and covariance, counted as they come."""

    mean: Tensor
    covariance: Tensor
    count: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("covariance", torch.zeros(width, width))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def take(self, rows: Tensor) -> None:
        """Count rows (B, width) in, each as much as every earlier one."""
        rows = rows.detach().float()
        share = len(rows) / (int(self.count) + len(rows))
        mean = rows.mean(0)
        around_mean = (rows - mean).double()  # a product of floats would lose its digits under bfloat16
        within = (around_mean.T @ around_mean / len(rows)).float()
        apart = torch.outer(mean - self.mean, mean - self.mean)
        self.covariance.lerp_(within, share).add_(apart, alpha=share * (1 - share))
        self.mean.lerp_(mean, share)
        self.count += len(rows)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Rows of that law, (count, width); zeros where nothing went by."""
        noise = torch.randn((count, len(self.mean)), generator=rng, device=self.mean.device)
        values, vectors = torch.linalg.eigh(self.covariance.double())
        spread = vectors * values.clamp_min(0).sqrt()
        return (self.mean + noise.double() @ spread.T).float()


class Painter(nn.Module):
    """Learns outlines and tissue from slices, and draws new ones; side S, a multiple of 8."""

    def __init__(self, side: int, rng: torch.Generator) -> None:
        super().__init__()
        self.side = side
        self.law = Law((side // DEPTH_PITCH) ** 2 + (side // GREY_PITCH) ** 2)
        self.enters = 2 * len(_seen()) + (2 * AROUND + 1) ** 2 + len(FAR) ** 2 + OWN
        layers: list[nn.Module] = []
        for number in range(3):
            layers += [nn.Linear(WIDTH if number else self.enters, WIDTH), nn.SiLU()]
        self.tissue = nn.Sequential(*layers, nn.Linear(WIDTH, LEVELS + 1))
        initialise_glorot(self.tissue, rng)

    def surprise(self, image: Tensor, anatomy: Tensor, rng: torch.Generator) -> Tensor:
        """Nats per pixel inside the outlines of slices (B, 1, S, S), mean over some pixels, one number.

        anatomy (B, D) as `anatomy_of` tells it.
        """
        depth, grey = self.spread(anatomy)
        places = (depth[:, 0] > 0).nonzero()
        pick = torch.randperm(len(places), generator=rng, device=places.device)[:AT_ONCE]
        if len(pick) == 0:  # slices without a lung teach nothing
            return 0.0 * self.tissue(image.new_zeros(1, self.enters)).sum()
        picture = (image * (depth > 0))[:, 0]
        at = places[pick]
        wanted = level_of(picture[at[:, 0], at[:, 1], at[:, 2]])
        told = torch.cat([self._before(picture, at), self._anatomy(depth, grey, at)], 1)
        return F.cross_entropy(self.tissue(told), wanted)

    def spread(self, anatomy: Tensor) -> tuple[Tensor, Tensor]:
        """Anatomies (B, D) -> depth and grey of every pixel, both (B, 1, S, S)."""
        fine, coarse = self.side // DEPTH_PITCH, self.side // GREY_PITCH
        depth = anatomy[:, : fine**2].reshape(-1, 1, fine, fine)
        grey = anatomy[:, fine**2 :].reshape(-1, 1, coarse, coarse)
        return (
            F.interpolate(depth, size=self.side, mode="bicubic"),
            F.interpolate(grey, size=self.side, mode="bilinear"),
        )

    def dream(self, count: int, rng: torch.Generator) -> Tensor:
        """Lungs nobody has, (count, 1, S, S) in [0, 1], 0 outside; half of them mirrored."""
        with evaluating(self):
            anatomy = self.law.draw(count, rng)
            turned = torch.rand(count, generator=rng, device=anatomy.device) < 0.5
            chance = torch.rand((2, count, self.side, self.side), generator=rng, device=anatomy.device)
            picture = self.paint(anatomy, chance)[:, None]
        return torch.where(turned[:, None, None, None], picture.flip(3), picture)

    def paint(self, anatomy: Tensor, chance: Tensor) -> Tensor:
        """Tissue inside the outlines of anatomies (B, D), by chance (2, B, S, S) in [0, 1): (B, S, S).

        A pixel looks at REACH columns to the right in the rows above: row y may be REACH + 1 columns behind
        row y - 1, so pixels of one x + (REACH + 1) y know nothing of each other and are drawn together.
        """
        depth, grey = self.spread(anatomy)
        picture = torch.zeros_like(depth[:, 0])
        places = (depth[:, 0] > 0).nonzero()
        turn, order = torch.sort(places[:, 2] + (REACH + 1) * places[:, 1], stable=True)
        if len(turn) == 0:
            return picture
        together = torch.unique_consecutive(turn, return_counts=True)[1].tolist()
        known = self._anatomy(depth, grey, places[order])
        for at, told in zip(places[order].split(together), known.split(together), strict=True):
            chances = self.tissue(torch.cat([self._before(picture, at), told], 1)).softmax(1)
            which, within = chance[:, at[:, 0], at[:, 1], at[:, 2]]
            level = (chances.cumsum(1)[:, :-1] <= which[:, None]).sum(1)
            picture[at[:, 0], at[:, 1], at[:, 2]] = grey_of(level, within)
        return picture

    def _before(self, picture: Tensor, at: Tensor) -> Tensor:
        """The pixels above and left of those `at` (n, 3: slice, row, column), and which of them are lung."""
        before = around(picture, at, _seen(), 0.0)
        return torch.cat([2 * before - 0.6, (before > LUNG_GREY).float() - 0.4], 1)

    def _anatomy(self, depth: Tensor, grey: Tensor, at: Tensor) -> Tensor:
        """What is known of the places `at` (n, 3) before anything is drawn."""
        lung = around((depth[:, 0] > 0).float(), at, _square(range(-AROUND, AROUND + 1)), 0.0)
        deep = around(depth[:, 0], at, _square(FAR), -1.0)
        here, shade = (part[at[:, 0], 0, at[:, 1], at[:, 2]] for part in (depth, grey))
        own = [2 * shade - 0.6, here, torch.tanh(8 * here)]
        own += [2 * at[:, axis] / (self.side - 1) - 1 for axis in (1, 2)]
        return torch.cat([lung, deep, torch.stack(own, 1)], 1)


# ------------------------------------------------------------------------------------------- anatomy


def anatomy_of(image: Tensor) -> Tensor:
    """Depth and mean grey of slices (B, 1, S, S), on coarse grids, as rows (B, (S / 4)^2 + (S / 8)^2)."""
    lung = (image > LUNG_GREY).float()
    depth = F.avg_pool2d(F.avg_pool2d(depth_of(lung), 3, 1, 1, count_include_pad=False), DEPTH_PITCH)
    grey = F.avg_pool2d(image * lung, GREY_PITCH) / F.avg_pool2d(lung, GREY_PITCH).clamp_min(0.1)
    return torch.cat([depth.flatten(1), grey.flatten(1)], 1)


def larger_left(image: Tensor) -> Tensor:
    """The slices (B, 1, S, S), mirrored where there is more lung in the right half.

    Slices come mirrored by chance; the mean of a heart on the left and one on the right is no heart.
    """
    left, right = (image > LUNG_GREY).float().chunk(2, 3)
    turn = left.sum((1, 2, 3)) < right.sum((1, 2, 3))
    return torch.where(turn[:, None, None, None], image.flip(3), image)


def depth_of(lung: Tensor) -> Tensor:
    """How deep inside (above 0) or outside (below) each pixel lies, (B, 1, S, S) of 0 and 1 -> [-1, 1].

    Of the lung without specks and small holes (a majority of 5 x 5 pixels). Peeled off by crosses and squares
    in turn, which is nearer to round than either; what lies beyond the picture is taken to be the same.
    """
    inside = (F.avg_pool2d(lung, 5, 1, 2) > 0.5).float()
    depth = torch.zeros_like(inside)
    parts = [inside, 1 - inside]
    for turn in range(DEEPEST):
        depth = depth + parts[0] - parts[1]
        parts = [_peel(part, square=turn % 2 == 1) for part in parts]
    return depth / DEEPEST


def _peel(mask: Tensor, square: bool) -> Tensor:
    """A mask without the pixels that touch its outside: over edges and corners (square), or edges alone."""
    outside = 1 - mask
    if square:
        return 1 - F.max_pool2d(outside, 3, 1, 1)
    upright, level = F.max_pool2d(outside, (3, 1), 1, (1, 0)), F.max_pool2d(outside, (1, 3), 1, (0, 1))
    return 1 - torch.maximum(upright, level)


# --------------------------------------------------------------------------------------------- pixels


def level_of(grey: Tensor) -> Tensor:
    """Grey values (n,) in [0, 1] -> 0 for black, 1 to 64 for lung."""
    level = ((grey - LUNG_GREY) / (1 - LUNG_GREY) * LEVELS).long().clamp(0, LEVELS - 1) + 1
    return torch.where(grey > LUNG_GREY, level, 0)


def grey_of(level: Tensor, within: Tensor) -> Tensor:
    """Levels (n,) and where within them (n,) in [0, 1) -> grey values (n,); lung stays above LUNG_GREY."""
    grey = LUNG_GREY + (level - 1 + within.clamp_min(0.01)) / LEVELS * (1 - LUNG_GREY)
    return torch.where(level > 0, grey, 0.0)


def around(maps: Tensor, at: Tensor, offsets: list[tuple[int, int]], beyond: float) -> Tensor:
    """Values of maps (B, S, S) beside the places at (n, 3), one column for each offset (row, column)."""
    reach = max(max(abs(row), abs(column)) for row, column in offsets)
    padded = F.pad(maps, (reach,) * 4, value=beyond)
    steps = torch.tensor(offsets, device=at.device) + reach
    rows, columns = at[:, 1, None] + steps[:, 0], at[:, 2, None] + steps[:, 1]
    found: Tensor = padded[at[:, :1], rows, columns]
    return found


def _square(along: range | tuple[int, ...]) -> list[tuple[int, int]]:
    return [(row, column) for row in along for column in along]


def _seen() -> list[tuple[int, int]]:
    """The pixels above, and those on the left in the same row."""
    square = _square(range(-REACH, REACH + 1))
    return [(row, column) for row, column in square if row < 0 or (row == 0 and column < 0)]
