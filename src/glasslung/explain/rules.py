"""Rules of relevance, one layer at a time: what a layer's output owes to its inputs, and what to its biases.

Each rule takes the relevance R of a layer's outputs and returns a `Spread`: relevance of its inputs, and the
sum that its biases took. What neither got is lost, and the caller can see it: R.sum() - inputs - absorbed.

Notation: r_ij = x_i w_ij is what input i gives output j, z_j = sum_i r_ij + b_j the output before its
activation; r+ and r- are positive and negative parts. An activation passes relevance on as it is.

Bach et al., PLOS ONE 2015;10:e0130140 (LRP-0, epsilon, alpha-beta); Montavon et al., Layer-Wise Relevance
Propagation: An Overview, LNCS 11700, 2019 (z-B, flat, batch norm merged).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glasslung.explain.affine import Affine

TINY_SHARE = 1e3
"""In steps of the number format: below this share of all that flows, a sum of one sign is taken as none.

It comes from a difference, (W x - |W| |x|) / 2, whose last digits are rounding.
"""


class Spread(NamedTuple):
    """Where the relevance of a layer's outputs went: to its inputs, and (a sum) to its biases."""

    inputs: Tensor
    absorbed: float


def lrp_0(layer: Affine, x: Tensor, relevance: Tensor, z: Tensor | None = None) -> Spread:
    """LRP-0: each input and the bias get their part of the sum, R_i = sum_j r_ij / z_j R_j.

    x (B, I, ...), relevance (B, O, ...), z the layer's output with bias where the caller has it.
    Through ReLU networks this is gradient times input. An output of exactly 0 passes nothing on.
    """
    return lrp_epsilon(layer, x, relevance, 0.0, z)


def lrp_epsilon(
    layer: Affine, x: Tensor, relevance: Tensor, epsilon: float, z: Tensor | None = None
) -> Spread:
    """LRP-epsilon: as LRP-0 with z_j + epsilon sign(z_j) below, which damps what is near 0 and loses that."""
    whole = layer.add_bias(layer.apply(x)) if z is None else z
    if epsilon:
        whole = whole + torch.where(whole >= 0, epsilon, -epsilon)
    s = quotient(relevance, whole)
    return Spread(x * layer.pull(s, x), _taken(layer, s, layer.bias))


def alpha_beta(
    layer: Affine,
    x: Tensor,
    relevance: Tensor,
    alpha: float = 2.0,
    beta: float = -1.0,
    whole: bool = True,
    z: Tensor | None = None,
) -> Spread:
    """Alpha-beta: what speaks for and what against an output, each shared out on its own.

    R_i = sum_j (alpha r+_ij / z+_j + beta r-_ij / z-_j) R_j, alpha + beta = 1, biases among the r.
    Inputs of either sign. whole: an output with nothing against it gives its relevance to what is for it
    (alpha 1), and one with nothing for it to what is against it (beta 1), so that nothing is lost; else as
    the formula says with 0 / 0 = 0, where such an output passes on alpha or beta times its relevance.

    With |r| = r+ - r- both signs come from W x and |W| |x|: one convolution more than the layer itself.
    """
    size, bias = layer.weight.abs(), layer.per_channel(layer.bias, x)
    flow = layer.apply(x.abs(), size)  # z+ - z-, without the bias
    bare = layer.apply(x) if z is None else z - bias
    for_it = (bare + flow) / 2 + bias.clamp(min=0)
    against = (bare - flow) / 2 + bias.clamp(max=0)
    least = TINY_SHARE * torch.finfo(x.dtype).eps * (for_it - against)
    no_for, no_against = for_it <= least, -against <= least
    p = (relevance * alpha / for_it).masked_fill_(no_for, 0)
    n = (relevance * beta / against).masked_fill_(no_against, 0)
    if whole:
        p = torch.where(no_against & ~no_for, relevance / for_it, p)
        n = torch.where(no_for & ~no_against, relevance / against, n)
    mean, half = (p + n) / 2, (p - n) / 2
    inputs = x * layer.pull(mean, x) + x.abs() * layer.pull(half, x, size)
    absorbed = _taken(layer, p, layer.bias.clamp(min=0)) + _taken(layer, n, layer.bias.clamp(max=0))
    return Spread(inputs, absorbed)


def z_box(layer: Affine, x: Tensor, relevance: Tensor, low: float, high: float) -> Spread:
    """z-B, for the layer that reads the picture, whose values lie between `low` and `high`.

    R_i = sum_j (x_i w_ij - low w+_ij - high w-_ij) / (the same summed over i) R_j. Biases take no part, but
    for an output whose sum is exactly 0 (no pixel is away from where it would hurt the output most): its
    relevance is the bias's. Padding is no pixel and takes none.
    """
    up, down = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    one = x[:1]
    edge = layer.apply(torch.full_like(one, low), up) + layer.apply(torch.full_like(one, high), down)
    below = layer.apply(x) - edge
    rounding = 10 * torch.finfo(x.dtype).eps * edge.abs()
    s = (relevance / below).masked_fill_(below <= rounding, 0)
    inputs = x * layer.pull(s, x) - high * layer.pull(s, x, down)
    if low:
        inputs = inputs - low * layer.pull(s, x, up)
    absorbed = float(relevance[below <= rounding].sum(dtype=torch.float64))
    return Spread(inputs, absorbed)


def flat(layer: Affine, x: Tensor, relevance: Tensor) -> Spread:
    """Flat: every input that an output looks at gets the same; only where the output lies is told."""
    alike = torch.ones_like(layer.weight)
    seen = layer.apply(torch.ones_like(x[:1]), alike)
    return Spread(layer.pull(relevance / seen, x, alike), 0.0)


def linear_map(
    made: Callable[[Tensor], Tensor], x: Tensor, relevance: Tensor, y: Tensor | None = None
) -> Spread:
    """LRP-0 through any map that is linear and has no bias: averages, interpolation, sums over slices.

    made(x) -> y, differentiable; an output of exactly 0 passes nothing on.
    """
    with torch.enable_grad():
        start = x.detach().requires_grad_(True)
        end = made(start)
        (back,) = torch.autograd.grad(end, start, quotient(relevance, end.detach() if y is None else y))
    return Spread(x * back, 0.0)


def by_place(made: Callable[[Tensor], Tensor], x: Tensor, relevance: Tensor) -> Spread:
    """Through resampling: what lies at a new place goes back to where it was made from, by the weights.

    made(x) -> y, linear, its weights nowhere negative. Grey values play no part, so black places keep theirs.
    """
    with torch.enable_grad():
        start = torch.ones_like(x, requires_grad=True)
        weights = made(start)
        (back,) = torch.autograd.grad(weights, start, quotient(relevance, weights.detach()))
    return Spread(back, 0.0)


def winner(pool: Callable[[Tensor], Tensor], x: Tensor, relevance: Tensor) -> Spread:
    """Winner takes all: the maximum of a window gets its relevance; of equal ones the first in reading order.

    pool(x) -> y, any max-pooling of torch, windows overlapping or adaptive.
    """
    with torch.enable_grad():
        start = x.detach().requires_grad_(True)
        (back,) = torch.autograd.grad(pool(start), start, relevance)
    return Spread(back, 0.0)


def shared_winner(windows: list[tuple[slice, ...]], x: Tensor, relevance: Tensor) -> Spread:
    """Winner takes all with ties shared: equal maxima of a window get equal parts.

    windows  for each output cell in reading order, its ranges on the axes from 2 on. The cells may be many:
             `tied_pool` does regular windows faster
    x (B, C, ...), relevance (B, C, cells).
    """
    out = torch.zeros_like(x)
    axes = list(range(2, x.ndim))
    for cell, window in enumerate(windows):
        place: Any = (..., *window)
        part = x[place]
        best = (part == part.amax(axes, keepdim=True)).to(x.dtype)
        given = relevance[:, :, cell].reshape(*x.shape[:2], *[1] * len(axes))
        out[place] += best * (given / best.sum(axes, keepdim=True))
    return Spread(out, 0.0)


def maxima(kernel: tuple[int, ...], x: Tensor) -> Tensor:
    """Max-pooling over windows side by side: as torch's, and several times faster on a CPU."""
    for axis, k in enumerate(kernel, start=2):
        length = x.shape[axis] // k * k
        rows = x.narrow(axis, 0, length).unflatten(axis, (-1, k)).unbind(axis + 1)
        x = rows[0]
        for row in rows[1:]:
            x = torch.maximum(x, row)
    return x


def tied_pool(kernel: tuple[int, ...], x: Tensor, y: Tensor, relevance: Tensor) -> Spread:
    """`shared_winner` for windows side by side (stride = kernel, no padding): x (B, C, ...), y its maxima."""
    covered = tuple(slice(0, size * k) for size, k in zip(y.shape[2:], kernel, strict=True))
    places = torch.cartesian_prod(*[torch.arange(k) for k in kernel]).reshape(-1, len(kernel)).tolist()
    cuts: list[Any] = [
        (..., *(slice(at, end.stop, k) for at, end, k in zip(place, covered, kernel, strict=True)))
        for place in places
    ]
    wins = [x[cut] == y for cut in cuts]
    count = wins[0].to(x.dtype)
    for one in wins[1:]:
        count += one
    each = relevance / count
    out = torch.zeros_like(x)
    for cut, one in zip(cuts, wins, strict=True):
        out[cut] = each * one
    return Spread(out, 0.0)


def split_sum(parts: list[Tensor], relevance: Tensor) -> list[Tensor]:
    """A sum of parts, as in a residual block: each gets its share, R_k = x_k / (sum of all) R."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    s = quotient(relevance, total)
    return [part * s for part in parts]


def split_gate(relevance: Tensor, halved: bool = True) -> tuple[Tensor, Tensor]:
    """A product of two features: how much of it is each factor's doing.

    halved: half and half, since a product is 0 without either; nothing is lost. Else gradient times input,
    x dF/dx R / F, which gives each factor all of R: the sum doubles. ReLU behind the product changes neither.
    """
    given = relevance / 2 if halved else relevance
    return given, given


def split_vlad(descriptors: Tensor, assigned: Tensor, centroids: Tensor, relevance: Tensor) -> Spread:
    """NetVLAD with assignments and norms held still: linear in the descriptors, and the centroids its bias.

    v_kf = sum_s a_sk (d_sf - c_kf) / n_kf. Each slice gets d_sf sum_k a_sk R_kf / (v_kf n_kf); the centroids
    absorb -c_kf (sum_s a_sk) R_kf / (v_kf n_kf). The norms n cancel.

    descriptors (S, F), assigned (S, K), centroids (K, F), relevance (K, F) of v. In double precision:
    centroids lie near the descriptors, and what is left between them is small.
    """
    d, a, c = descriptors.double(), assigned.double(), centroids.double()
    drawn_off = a.sum(0)[:, None] * c
    s = quotient(relevance.double(), a.T @ d - drawn_off)
    return Spread((d * (a @ s)).to(descriptors.dtype), -float((drawn_off * s).sum()))


def quotient(relevance: Tensor, z: Tensor) -> Tensor:
    """R / z, and 0 where z is 0."""
    return (relevance / z).masked_fill_(z == 0, 0)


def _taken(layer: Affine, s: Tensor, bias: Tensor) -> float:
    return float(layer.per_output(s) @ bias.double())
