"""Layers that are linear maps with a bias: convolutions, dense layers, batch norm alone or merged.

A rule of relevance needs of such a layer two things: what it makes of an input under changed weights
(`apply`), and the way back of one number per output (`pull`, the transposed map).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from glasslung.errors import UsageError

Sides = tuple[int, ...]
_CONVOLVE = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


@dataclass(frozen=True, eq=False)
class Affine:
    """y = W x + b, with W a convolution in 1 to 3 dimensions, a matrix, or one factor for each channel.

    weight   (O, I / groups, *kernel) of a convolution; (O, I) of a matrix; (C,) of a factor per channel
    bias     (O,); zeros where the layer has none
    stride, padding, dilation   one number per dimension of the kernel; empty for a matrix or factors
    """

    weight: Tensor
    bias: Tensor
    stride: Sides = ()
    padding: Sides = ()
    dilation: Sides = ()
    groups: int = 1

    @property
    def dense(self) -> bool:
        """Whether it is a matrix, whose channels stand on the last axis; else they stand on axis 1."""
        return self.weight.ndim == 2

    def apply(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """W x without the bias, under other weights of the same shape where they are given."""
        w = self.weight if weight is None else weight
        if w.ndim == 1:
            return x * _per_channel(w, x)
        if self.dense:
            return functional.linear(x, w)
        convolve = _CONVOLVE[len(self.stride)]
        return convolve(x, w, None, self.stride, self.padding, self.dilation, self.groups)

    def pull(self, s: Tensor, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """W^T s: one number per output -> one per input; of x only its shape counts."""
        w = self.weight if weight is None else weight
        if w.ndim == 1:
            return s * _per_channel(w, s)
        if self.dense:
            return s @ w
        if _keeps_size(self, w):
            # The same as below, by a forward convolution: oneDNN is quicker at these.
            turned = w.flip(tuple(range(2, w.ndim))).transpose(0, 1).contiguous()
            back = tuple(
                d * (k - 1) - p for d, k, p in zip(self.dilation, w.shape[2:], self.padding, strict=True)
            )
            return _CONVOLVE[len(self.stride)](s, turned, None, 1, back, self.dilation)
        mask = [True, False, False]
        zero = [0] * len(self.stride)
        made = torch.ops.aten.convolution_backward(
            s, x, w, None, self.stride, self.padding, self.dilation, False, zero, self.groups, mask
        )
        return made[0]

    def add_bias(self, z: Tensor) -> Tensor:
        """W x -> W x + b."""
        return z + (self.bias if self.dense else _per_channel(self.bias, z))

    def per_output(self, s: Tensor) -> Tensor:
        """Numbers on all outputs, summed for each channel: (O,) in double precision."""
        if self.dense:
            return s.reshape(-1, s.shape[-1]).sum(0, dtype=torch.float64)
        rows = s.sum(-1)  # torch adds up in pairs, which keeps float32's digits at this length
        return rows.sum([axis for axis in range(rows.ndim) if axis != 1], dtype=torch.float64)

    def per_channel(self, values: Tensor, z: Tensor) -> Tensor:
        """(O,) shaped to stand beside the outputs z."""
        return values if self.dense else _per_channel(values, z)


def affine_of(layer: nn.Module) -> Affine:
    """A layer of torch as a linear map and its bias; UsageError for what is none."""
    if isinstance(layer, nn.Linear):
        return Affine(layer.weight.detach(), _bias(layer))
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if layer.padding_mode != "zeros":
            raise UsageError(f"relevance passes convolutions padded with zeros, not {layer.padding_mode!r}")
        return Affine(
            layer.weight.detach(),
            _bias(layer),
            layer.stride,
            _padding(layer),
            layer.dilation,
            layer.groups,
        )
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return _norm_alone(layer)
    raise UsageError(f"{type(layer).__name__} is no linear map: relevance has no rule for it here")


def merged(layer: Affine, norm: nn.Module) -> Affine:
    """A convolution or dense layer and the batch norm behind it as one layer: same answers, one bias."""
    scale = _norm_alone(norm)
    if scale.weight.shape != layer.bias.shape:
        raise UsageError(
            f"a batch norm of {len(scale.weight)} channels cannot follow a layer of {len(layer.bias)}"
        )
    shape = (-1, *[1] * (layer.weight.ndim - 1))
    weight = layer.weight * scale.weight.reshape(shape)
    return replace(layer, weight=weight, bias=layer.bias * scale.weight + scale.bias)


def _norm_alone(norm: nn.Module) -> Affine:
    """Batch norm as it answers after training: a factor and a bias for each channel."""
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
        raise UsageError(f"{type(norm).__name__} is no batch norm")
    known: Any = norm
    if known.running_mean is None or known.running_var is None:
        raise UsageError(
            "a batch norm without running statistics depends on the batch: relevance has no rule for it"
        )
    factor: Tensor = torch.rsqrt(known.running_var.detach() + norm.eps)
    shift: Tensor = -known.running_mean.detach() * factor
    if norm.affine:
        factor, shift = factor * known.weight.detach(), shift * known.weight.detach() + known.bias.detach()
    return Affine(factor, shift)


def _bias(layer: Any) -> Tensor:
    weight: Tensor = layer.weight.detach()
    return weight.new_zeros(weight.shape[0]) if layer.bias is None else layer.bias.detach()


def _padding(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Sides:
    if not isinstance(layer.padding, str):
        return tuple(layer.padding)
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    across = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    if any(one % 2 for one in across):
        raise UsageError("relevance has no rule for 'same' padding of an even kernel: pad by numbers")
    return tuple(one // 2 for one in across)


def _keeps_size(layer: Affine, w: Tensor) -> bool:
    fits = all(d * (k - 1) >= p for d, k, p in zip(layer.dilation, w.shape[2:], layer.padding, strict=True))
    return layer.groups == 1 and fits and all(step == 1 for step in layer.stride)


def _per_channel(values: Tensor, z: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (z.ndim - 2))
