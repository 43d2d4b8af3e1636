"""Other explanations, for comparison: Grad-CAM and integrated gradients, by captum, of any classifier.

Grad-CAM (Selvaraju et al., 2017) weighs the last maps by their gradients: coarse, positive, and no parts of
a sum. Integrated gradients (Sundararajan et al., 2017) add up gradients on the way from a black scan without
lesions to this one: they sum to the difference of both answers. captum takes a second to import: it is asked
for inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.explain.composites import Line
from glasslung.explain.lrp import Relevance
from glasslung.models.densenet3d import DenseNet3D
from glasslung.models.i3d import I3D
from glasslung.models.lesionnet import LesionNet
from glasslung.models.netvlad import NetVLADClassifier
from glasslung.models.resnet2d import ResNet2D
from glasslung.models.slicewise import SliceWise
from glasslung.nn.borrow import evaluating

STEPS = 32  # of the way from black; close to complete on smooth networks, not on descriptors of length 1


def grad_cam(model: nn.Module, image: Tensor, lesion: Tensor, layer: nn.Module | None = None) -> np.ndarray:
    """Where the last maps speak for the finding: (S, H, W) float32, nowhere negative, up to a factor.

    image, lesion  (S, 1, H, W) of one scan, as `lrp.explain` takes them
    layer          whose maps are weighed, (S, C, h, w) or (1, C, d, h, w); None: the last of netvlad,
                   slicewise, densenet3d, i3d and resnet2d; UsageError for other models
    """
    return _weighed_maps(model, image, lesion, layer, rectified=True)


def class_activation(
    model: nn.Module, image: Tensor, lesion: Tensor, layer: nn.Module | None = None
) -> np.ndarray:
    """Grad-CAM with both signs: what speaks for the finding above 0, against it below; as `grad_cam`."""
    return _weighed_maps(model, image, lesion, layer, rectified=False)


def _weighed_maps(
    model: nn.Module, image: Tensor, lesion: Tensor, layer: nn.Module | None, rectified: bool
) -> np.ndarray:
    from captum.attr import LayerAttribution, LayerGradCam

    chosen = last_maps(model) if layer is None else layer
    _weigh_memory(model)
    scan = torch.zeros(len(image), dtype=torch.long)
    with evaluating(model), torch.enable_grad():
        cam = LayerGradCam(model.scores, chosen).attribute(
            (image, lesion), additional_forward_args=(scan,), relu_attributions=rectified
        )
        assert isinstance(cam, Tensor)
        deep = cam.ndim == 5
        size = (len(image), *image.shape[2:]) if deep else tuple(image.shape[2:])
        wide = LayerAttribution.interpolate(cam.detach(), size, "trilinear" if deep else "bilinear")
    return np.asarray(wide[0, 0] if deep else wide[:, 0], dtype=np.float32)


def _weigh_memory(model: nn.Module) -> None:
    """Let a network find out what a pass needs before its layers are listened to, for it asks them."""
    if isinstance(model, I3D):
        model.needs(1, training=True)
    elif isinstance(model, ResNet2D):
        model.needs(1)


def integrated_gradients(model: nn.Module, image: Tensor, lesion: Tensor, steps: int = STEPS) -> Relevance:
    """Gradients added up from a black scan without lesions to this one: a map for each input.

    image, lesion  (S, 1, H, W) of one scan; each step is a forward and a backward pass. What a black scan is
    answered stands in the book as absorbed, so `error` tells how far the sum is from complete.
    """
    from captum.attr import IntegratedGradients

    if steps < 2:
        raise UsageError(f"integrated gradients need two steps or more, got {steps}")
    count = len(image)

    def scores(pictures: Tensor, lesions: Tensor) -> Any:
        scan = torch.arange(len(pictures)).repeat_interleave(count)
        flat = [one.reshape(-1, 1, *one.shape[2:]) for one in (pictures, lesions)]
        unread = 0 * lesions.sum((1, 2, 3))  # a model without side information asks for no gradient there
        return model.scores(*flat, scan) + unread  # type: ignore[operator]

    whole = image[None, :, 0], lesion[None, :, 0]
    with evaluating(model), torch.enable_grad():
        found = IntegratedGradients(scores).attribute(whole, n_steps=steps, internal_batch_size=1)
    with evaluating(model):
        answer = float(scores(*whole))
        black = float(scores(*(torch.zeros_like(one) for one in whole)))
    maps = [one[0].detach().float().numpy() for one in found]
    passed = float(sum(one.sum(dtype=np.float64) for one in maps))
    line = Line("from black", "integrated gradients", answer, passed, black)
    return Relevance(maps[0], maps[1], answer, "integrated gradients", (line,), np.arange(count))


def last_maps(model: nn.Module) -> nn.Module:
    """The layer whose maps Grad-CAM weighs; UsageError for models without one that is known."""
    if isinstance(model, NetVLADClassifier):
        branches = model.branches
        return branches.whole if branches.gate is None else branches.gate
    if isinstance(model, SliceWise):
        return model.stages
    if isinstance(model, LesionNet):
        return model.encoder.stages[-1]
    if isinstance(model, I3D):
        return model.trunk
    if isinstance(model, ResNet2D):
        last = model.trunk.layer4
        assert isinstance(last, nn.Module)
        return last
    if isinstance(model, DenseNet3D):
        features = model.net.features
        assert isinstance(features, nn.Module)
        return features
    raise UsageError(f"the last maps of {type(model).__name__} are not known; give `layer`, a module of it")
