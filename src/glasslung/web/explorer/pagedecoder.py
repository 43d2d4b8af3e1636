"""A decoder as plain numbers that a page without a server can run: dense layers, convolutions, doublings.

The page's script knows six kinds of step (`decoder.js`); a network that is made of anything else stays here,
and the exported page then has no walks of its own.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_NUMBERS = 4_000_000  # of weights in a page: 16 MB; larger ones stay on the server


@dataclass(frozen=True, eq=False)
class PageDecoder:
    """Steps that turn a code into a picture.

    steps    kind and settings of each, with the places of its weights in `weights`
    weights  float32, one after another
    codes    (N, F) float32: what it reads, for each picture
    size     side of the pictures
    """

    steps: tuple[dict[str, Any], ...]
    weights: np.ndarray
    codes: np.ndarray
    size: int

    def as_json(self) -> dict[str, Any]:
        """Plain values for the page."""
        return {
            "steps": list(self.steps),
            "weights": packed(self.weights),
            "codes": packed(self.codes),
            "width": int(self.codes.shape[1]),
            "size": self.size,
        }


def packed(numbers: np.ndarray) -> str:
    """float32 numbers, little-endian, in base 64."""
    return base64.b64encode(np.ascontiguousarray(numbers, "<f4").tobytes()).decode()


def decoder_of(model: Any, codes: np.ndarray) -> PageDecoder | None:
    """The decoder of an auto-encoder; None where a step is unknown to the page, or the weights are too
    many.
    """
    from torch import nn

    steps: list[dict[str, Any]] = []
    kept: list[np.ndarray] = []

    def keep(part: Any) -> int:
        place = sum(len(one) for one in kept)
        kept.append(part.detach().numpy().astype(np.float32).reshape(-1))
        return place

    for layer in model.decoder:
        if isinstance(layer, nn.Linear):
            told = {"kind": "dense", "in": layer.in_features, "out": layer.out_features}
            steps.append(told | {"weight": keep(layer.weight), "bias": keep(layer.bias)})
        elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3) and layer.padding == (1, 1):
            told = {"kind": "conv", "in": layer.in_channels, "out": layer.out_channels}
            steps.append(told | {"weight": keep(layer.weight), "bias": keep(layer.bias)})
        elif isinstance(layer, nn.Unflatten):
            channels, height, width = layer.unflattened_size
            steps.append({"kind": "maps", "channels": channels, "height": height, "width": width})
        elif isinstance(layer, nn.Upsample) and layer.scale_factor == 2 and layer.mode == "nearest":
            steps.append({"kind": "double"})
        elif isinstance(layer, nn.LeakyReLU):
            steps.append({"kind": "leaky", "slope": layer.negative_slope})
        elif isinstance(layer, nn.Sigmoid):
            steps.append({"kind": "sigmoid"})
        else:
            return None
    weights = np.concatenate(kept)
    if len(weights) > MOST_NUMBERS:
        return None
    return PageDecoder(tuple(steps), weights, codes, int(model.config.size))


def linear_decoder(components: np.ndarray, mean: np.ndarray, side: int, codes: np.ndarray) -> PageDecoder:
    """A sum of components (C, S * S) around a mean (S * S,), as one dense layer."""
    weight = np.ascontiguousarray(components.T, np.float32).reshape(-1)
    dense = {"kind": "dense", "in": len(components), "out": side * side, "weight": 0, "bias": len(weight)}
    maps = {"kind": "maps", "channels": 1, "height": side, "width": side}
    return PageDecoder((dense, maps), np.concatenate([weight, mean.astype(np.float32)]), codes, side)
