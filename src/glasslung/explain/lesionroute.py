"""Relevance through a classifier on a segmenter's encoder (`models/lesionnet.py`).

Each view of the scan (a scale, a mirror image) is a way of its own from the picture to the features, and the
features are their sum. Given the regions, pooling is linear: a mean hands relevance back by its parts, a
maximum to where it was. Regions are taken as they are: that a pixel is called lesion decides which features
it speaks to, and gets no relevance; what the lesions' share and features without a value get is absorbed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from glasslung.explain.affine import affine_of
from glasslung.explain.composites import Book, Composite
from glasslung.explain.route import Chain, Layer, Linear, Pass, Step, Sum, total
from glasslung.explain.translate import route_of
from glasslung.models.lesionnet import LesionNet, lungs_of, over_scan, regions_of, side_at, viewed
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.encoders import Residual


class Eyes:
    """A scan's slices and lesions, each (S, 1, H, W) -> its features (1, F), before they are scaled."""

    def __init__(self, model: LesionNet) -> None:
        self.name, self.model, self.encoder = "views", model, encoder_route(model)

    def run(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """The features, and what each view kept."""
        image, lesion = x
        pooled = self.model.pooled(image, lesion, torch.zeros(len(image), dtype=torch.int64))
        ways = Sum(self.name, self._ways(image, lesion))
        seen, kept = ways.run(image)
        mean = self.model.norm.running_mean
        assert mean is not None
        return torch.where(pooled.known, pooled.values, mean), (ways, kept, lesion, seen)

    def back(self, memory: Any, relevance: Tensor, composite: Composite, book: Book) -> tuple[Tensor, Tensor]:
        """To the picture; what the lesions' share got is booked."""
        ways, kept, lesion, seen = memory
        shared = relevance.clone()
        shared[:, -1] = 0
        shared = torch.where(seen == 0, torch.zeros_like(shared), shared)
        away = total(relevance) - total(shared)
        book.write(self.name, "zero", total(relevance), total(shared), away)
        return ways.back(kept, shared, composite, book), torch.zeros_like(lesion)

    def _ways(self, image: Tensor, lesion: Tensor) -> list[Step]:
        config, lungs = self.model.config, lungs_of(image)
        masks = torch.cat([lungs, lesion * lungs], 1)
        ways: list[Step] = []
        for number, scale in enumerate(config.scales):
            side = side_at(scale, image.shape[-1])
            for mirrored in (False, True) if config.mirrored else (False,):
                view = _view(side, mirrored)
                pool = self._pool(regions_of(masks, side), number, mirrored)
                steps: list[Step] = [Linear("view", view, placed=True), self.encoder, Linear("regions", pool)]
                ways.append(Chain(steps, f"view {len(ways)}"))
        return ways

    def _pool(self, regions: Tensor, number: int, mirrored: bool) -> Callable[[Tensor], Tensor]:
        """Maps of all slices -> this view's part of the features, the other scales' at 0."""
        config, area = self.model.config, regions.sum((2, 3))
        seen = regions.flip(-1) if mirrored else regions

        def pool(maps: Tensor) -> Tensor:
            part, known = over_scan(self.model.pool(maps, seen), area)
            part = torch.where(known, part, 0.0) / (2 if config.mirrored else 1)
            after = (len(config.scales) - number - 1) * len(part) + 1
            return nn.functional.pad(part, (number * len(part), after))[None]

        return pool


def lesionnet_steps(model: LesionNet) -> Chain:
    """From (image, lesion) of one scan to its log-odds (1, 1)."""
    two, norm = affine_of(model.head), affine_of(model.norm)
    weight, bias = two.weight[1:] - two.weight[:1], two.bias[1:] - two.bias[:1]
    one = replace(
        two, weight=weight * norm.weight, bias=bias + weight @ norm.bias
    )  # scaled and weighed at once
    return Chain([Eyes(model), Layer("head", one, "head")])


def encoder_route(model: LesionNet) -> Chain:
    """The encoder's stem and residual blocks, batch norm merged."""
    steps: list[Step] = [Pass("scale", encoder_scale), route_of(model.encoder.stem, "stem", False)]
    for number, stage in enumerate(model.encoder.stages):
        assert isinstance(stage, nn.Sequential)
        for block in stage:
            assert isinstance(block, Residual)
            name = f"stage{number}"
            both = [route_of(block.branch, name, False), route_of(block.shortcut, f"{name}.shortcut", False)]
            steps.append(Chain([Sum(name, both), Pass(f"{name}.relu", torch.relu)], name))
    return Chain(steps, "encoder")


def _view(side: int, mirrored: bool) -> Callable[[Tensor], Tensor]:
    return lambda image: viewed(image, side, mirrored)
