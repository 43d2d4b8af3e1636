"""Relevance through a classifier on a segmenter's encoder (`models/lesionnet.py`).

Each view of the scan (a scale, a mirror image) is a way of its own from the picture to the features, and the
features are their sum. Given the regions, pooling is linear: a mean hands relevance back by its parts, a
maximum to where it was. Regions are taken as they are: that a pixel is called lesion decides which features
it speaks to, and gets no relevance; what the lesions' share and features without a value get is absorbed.

A mean over the scan is a sum over its slices, so a few numbers of each slice are all that the answer needs:
slices go through the encoder in parts, and the relevance of each follows from these numbers alone.

Notation  S slices; W views, of which M of each of Z scales; R regions; F' features of a region
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glasslung.explain.affine import affine_of
from glasslung.explain.composites import Book, Composite
from glasslung.explain.route import Chain, Concat, Layer, Linear, Pass, Step, Sum, total
from glasslung.explain.rules import quotient
from glasslung.explain.translate import route_of
from glasslung.models.lesionnet import EMPTY, REGIONS, LesionNet, lungs_of, regions_of, side_at, viewed
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.encoders import Residual


class Eyes:
    """Slices and lesions, each (S, 1, H, W) -> what each slice adds to the features, and how large it is.

    The answer is (S, W R F' + Z R + 2): of each view and region its features times the region's area, over M;
    the areas of the regions at each scale; pixels of lung and of lesion.
    """

    def __init__(self, model: LesionNet) -> None:
        self.name, self.model, self.encoder = "views", model, encoder_route(model)

    def run(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """Slice by slice: none sees another."""
        image, lesion = x
        lungs = lungs_of(image)
        masks = torch.cat([lungs, lesion * lungs], 1)
        sides = [side_at(scale, image.shape[-1]) for scale in self.model.config.scales]
        regions = [regions_of(masks, side) for side in sides]
        each = [self._ways(side, mask) for side, mask in zip(sides, regions, strict=True)]
        ways = Concat(self.name, [way for both in each for way in both])
        seen, kept = ways.run(image)
        areas = [mask.sum((2, 3)) for mask in regions]
        return torch.cat([seen, *areas, masks.sum((2, 3))], 1), (ways, kept, lesion)

    def back(self, memory: Any, relevance: Tensor, composite: Composite, book: Book) -> tuple[Tensor, Tensor]:
        """To the picture; sizes of regions have no relevance."""
        ways, kept, lesion = memory
        given = relevance[:, : sum(numbers for numbers, _ in kept)]
        return ways.back(kept, given, composite, book), torch.zeros_like(lesion)

    def _ways(self, side: int, regions: Tensor) -> list[Step]:
        """From slices to what they add, at one scale."""
        ways: list[Step] = []
        for mirrored in images_of(self.model):
            view, pool = _view(side, mirrored), self._pool(regions.flip(-1) if mirrored else regions)
            steps: list[Step] = [Linear("view", view, placed=True), self.encoder, Linear("regions", pool)]
            ways.append(Chain(steps))
        return ways

    def _pool(self, regions: Tensor) -> Callable[[Tensor], Tensor]:
        """Maps (S, C, h, w) -> features of each region times its share of the scan's sum (S, R F')."""
        weight = regions.sum((2, 3))[..., None] / len(images_of(self.model))
        return lambda maps: (self.model.pool(maps, regions) * weight).flatten(1)


class Numbers(NamedTuple):
    """What `OverScan` keeps: parts (S, Z, M, R, F'), their sum (Z, 1, R, F') or 0 where it is not known."""

    parts: Tensor
    sums: Tensor


class OverScan:
    """What slices add, as `Eyes` answers (S, ...) -> features of the scan (1, F), before they are scaled."""

    def __init__(self, model: LesionNet) -> None:
        self.name, self.model = "scan", model
        self._sizes = len(model.config.scales) * len(REGIONS) + 2  # the last columns of what it is given

    def run(self, x: Tensor) -> tuple[Tensor, Numbers]:
        """Means by area over all slices; those not known stand at the mean of training."""
        scales, images, sizes = len(self.model.config.scales), len(images_of(self.model)), self._sizes
        parts = x[:, :-sizes].unflatten(1, (scales, images, len(REGIONS), -1))
        area = x[:, -sizes:-2].sum(0).reshape(scales, 1, len(REGIONS), 1)
        lungs, sick = x[:, -2:].sum(0)
        sums = torch.where(area > EMPTY, parts.sum((0, 2))[:, None], 0)
        mean = self.model.norm.running_mean
        assert mean is not None
        usual = mean[:-1].reshape(sums.shape)
        features = torch.where(area > EMPTY, sums / area.clamp_min(1e-3), usual).flatten()
        share = sick / lungs.clamp_min(1)
        return torch.cat([features, share[None]])[None], Numbers(parts, sums)

    def back(self, memory: Numbers, relevance: Tensor, composite: Composite, book: Book) -> Tensor:
        """To each slice and view its part; what nothing but the sizes of regions decided is booked."""
        parts, sums = memory
        shared = relevance[0, :-1].reshape(sums.shape).masked_fill(sums == 0, 0)
        given = parts * quotient(shared, sums)
        book.write(self.name, "zero", total(relevance), total(given), total(relevance) - total(shared))
        return nn.functional.pad(given.flatten(1), (0, self._sizes))


def images_of(model: LesionNet) -> tuple[bool, ...]:
    """Whether each image of a scale is mirrored."""
    return (False, True) if model.config.mirrored else (False,)


def lesionnet_steps(model: LesionNet) -> tuple[Eyes, Chain]:
    """From (image, lesion) of slices to a few numbers of each, and from all of these to log-odds (1, 1)."""
    two, norm = affine_of(model.head), affine_of(model.norm)
    weight, bias = two.weight[1:] - two.weight[:1], two.bias[1:] - two.bias[:1]
    # scaled and weighed at once
    one = replace(two, weight=weight * norm.weight, bias=bias + weight @ norm.bias)
    return Eyes(model), Chain([OverScan(model), Layer("head", one, "head")])


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
