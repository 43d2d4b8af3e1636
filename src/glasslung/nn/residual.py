"""A ladder of five latents from residual blocks without normalisation: 1.6 million parameters, quick.

Notation  level n = 1 (finest, S/2) .. 5 (coarsest, S/32); d_n features of the image; h_n state on the way
          down; z_n (B, C_n, S/2^n, S/2^n) latent; pixels are folded 2x2 into channels first and unfolded last

    d_n = blocks(halve(d_{n-1}))                       the way up
    h_n = rise(h_{n+1}) + place_n                    the way down; h_5 starts from a learned map
    p(z_n | above) = quiet(h_n); evidence(z_n) = convolutions of (h_n, d_n); q is their product
    h_n = blocks(h_n + spread(z_n))
    pixels = unfold(h_1) + linear(z_1)                 z_1 also reads the pixels linearly: each 2x2 square has
                                                       its own straight way through, as in probabilistic PCA

Without normalisation training and evaluation are the same function. Every block starts as the identity and
every posterior close to its prior (Child, Very deep VAEs, 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn.ladder import Descent, Gaussian, merge

WIDTHS = (32, 64, 96, 96, 96)  # channels, finest level first
LATENTS = (4, 4, 8, 8, 8)  # numbers of each place of z_1 .. z_5; 4 at the finest can carry every pixel
BLOCKS_UP = (1, 2, 2, 2, 1)
BLOCKS_DOWN = (1, 1, 2, 2, 1)
INPUTS = 2  # the picture, and where it is exactly black
VAGUE_LOGVAR = 2.0  # untrained evidence is vaguer than the prior: the posterior starts beside it
PIXEL_READING = 0.5  # start of the straight way from each pixel to z_1


class QuietConv(nn.Conv2d):
    """A convolution that starts at zero, so that what it feeds starts undisturbed."""


def conv(channels_in: int, channels_out: int, side: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(channels_in, channels_out, side, padding=side // 2)


def quiet(channels_in: int, channels_out: int, side: int = 1) -> QuietConv:
    """The same, starting at zero."""
    return QuietConv(channels_in, channels_out, side, padding=side // 2)


class ResidualBlock(nn.Module):
    """x plus two convolutions of it through half as many channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(width // 2, 16)
        self.squeeze, self.spread = conv(width, inner), quiet(inner, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        out: Tensor = x + self.spread(F.silu(self.squeeze(F.silu(x))))
        return out


class Evidence(nn.Module):
    """What image features say about a latent, given the state on the way down: mean and log-variance."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        inner = width // 2 + 16
        self.join, self.mix = conv(2 * width, inner, 1), conv(inner, inner)
        self.tell = quiet(inner, 2 * latent)

    def forward(self, state: Tensor, features: Tensor) -> Tensor:
        """Two (B, C, h, w) -> (B, 2 latent, h, w)."""
        joined = self.join(torch.cat([F.silu(state), F.silu(features)], 1))
        out: Tensor = self.tell(F.silu(self.mix(F.silu(joined))))
        return out


def _blocks(count: int, width: int) -> nn.Sequential:
    return nn.Sequential(*[ResidualBlock(width) for _ in range(count)])


class ResidualLadder(nn.Module):
    """The network from a slice to `outputs` raw numbers per pixel; see the head of this file.

    size   side of the slices
    bound  log-variances are kept within [-bound, bound] softly; None leaves them free
    rng    where the first weights are drawn from
    """

    def __init__(self, size: int, outputs: int, bound: float | None, rng: torch.Generator) -> None:
        super().__init__()
        self.size, self.bound = size, bound
        fine, top, levels = WIDTHS[0], WIDTHS[-1], range(len(WIDTHS))
        self.stem = conv(4 * INPUTS, fine)
        self.halve = nn.ModuleList(nn.Conv2d(WIDTHS[n], WIDTHS[n + 1], 2, 2) for n in levels[:-1])
        self.up = nn.ModuleList(_blocks(BLOCKS_UP[n], WIDTHS[n]) for n in levels)
        self.start = nn.Parameter(torch.zeros(1, top, size >> len(WIDTHS), size >> len(WIDTHS)))
        self.rise = nn.ModuleList(conv(WIDTHS[n + 1], WIDTHS[n], 1) for n in levels[:-1])
        self.place = nn.ParameterList(
            nn.Parameter(torch.zeros(1, WIDTHS[n], size >> n + 1, size >> n + 1)) for n in levels[:-1]
        )
        self.foresee = nn.ModuleList(
            nn.Sequential(ResidualBlock(WIDTHS[n]), nn.SiLU(), quiet(WIDTHS[n], 2 * LATENTS[n]))
            for n in levels[:-1]
        )
        self.witness = nn.ModuleList(Evidence(WIDTHS[n], LATENTS[n]) for n in levels)
        self.spread = nn.ModuleList(conv(LATENTS[n], WIDTHS[n], 1) for n in levels)
        self.down = nn.ModuleList(_blocks(BLOCKS_DOWN[n], WIDTHS[n]) for n in levels)
        self.read_pixels = quiet(4 * INPUTS, 2 * LATENTS[0])
        self.write_pixels = quiet(LATENTS[0], 4 * outputs)
        self.unfold, self.last = conv(fine, 2 * fine), conv(fine // 2, outputs)
        self._initialise(rng)

    @torch.no_grad()
    def _initialise(self, rng: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                module.bias.zero_()
                if isinstance(module, QuietConv):
                    module.weight.zero_()
                else:
                    nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=rng)
        for latent, witness in zip(LATENTS, self.witness, strict=True):
            bias: Tensor = witness.tell.bias  # type: ignore[union-attr, assignment]
            bias[latent:] = VAGUE_LOGVAR
        for pixel in range(min(4, LATENTS[0])):
            self.read_pixels.weight[pixel, pixel] = PIXEL_READING

    def shapes(self, batch: int) -> list[tuple[int, int, int, int]]:
        """Shapes of the latents of `batch` slices, finest first."""
        return [(batch, c, self.size >> n, self.size >> n) for n, c in enumerate(LATENTS, start=1)]

    def descend(
        self,
        rng: torch.Generator,
        batch: int,
        image: Tensor | None = None,
        given: Sequence[Tensor] | None = None,
        temperature: float = 1.0,
    ) -> tuple[Descent, Tensor]:
        """Go down once: the latents (e holds the states h_1 .. h_5), and the raw numbers of each pixel.

        image  (B, 1, S, S) in [0, 1]: latents are drawn from the posterior; None: from the prior
        given  latents z_1 .. z_5 to use instead of draws
        """
        seen = None if image is None else self._look(image)
        z: list[Tensor] = []
        states: list[Tensor] = []
        qs: list[Gaussian] = []
        ps: list[Gaussian] = []
        state = self.start.expand(batch, -1, -1, -1)
        for level in reversed(range(len(WIDTHS))):
            if states:
                state = F.interpolate(self.rise[level](states[-1]), scale_factor=2) + self.place[level]
            prior = self._prior(level, state)
            posterior = prior if seen is None else self._posterior(level, state, seen, prior)
            z.append(posterior.draw(rng, temperature) if given is None else given[level])
            states.append(self.down[level](state + self.spread[level](z[-1])))
            qs.append(posterior)
            ps.append(prior)
        unfolded = F.pixel_shuffle(self.unfold(F.silu(states[-1])), 2)
        raw = self.last(F.silu(unfolded)) + F.pixel_shuffle(self.write_pixels(z[-1]), 2)
        return Descent(z[::-1], states[::-1], qs[::-1], ps[::-1]), raw

    def _look(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The way up: features of every level, finest first, and what z_1 reads straight from the pixels."""
        lung = (image > 0).to(image)
        folded = F.pixel_unshuffle(torch.cat([4 * image - 1, 2 * lung - 1], 1), 2)
        if image.is_contiguous(memory_format=torch.channels_last):
            folded = folded.contiguous(memory_format=torch.channels_last)
        features = [self.up[0](self.stem(folded))]
        for halve, blocks in zip(self.halve, list(self.up)[1:], strict=True):
            features.append(blocks(halve(features[-1])))
        return features, self.read_pixels(folded)

    def _prior(self, level: int, state: Tensor) -> Gaussian:
        if level == len(WIDTHS) - 1:
            none = state.new_zeros(len(state), LATENTS[level], *state.shape[2:]).float()
            return Gaussian(none, none)
        return self._gaussian(self.foresee[level](state))

    def _posterior(
        self, level: int, state: Tensor, seen: tuple[list[Tensor], Tensor], prior: Gaussian
    ) -> Gaussian:
        features, pixels = seen
        told = self.witness[level](state, features[level])
        return merge(self._gaussian(told + pixels if level == 0 else told), prior)

    def _gaussian(self, raw: Tensor) -> Gaussian:
        mean, logvar = raw.float().chunk(2, 1)
        return Gaussian(mean, logvar if self.bound is None else self.bound * torch.tanh(logvar / self.bound))
