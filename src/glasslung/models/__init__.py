"""One method, one file: Config, Module, loss, players. TABLE names them all, build() makes one.

A run folder stores the name and the settings as JSON, and `build(name, seed, **settings)` makes the same
model again: no pickled classes, no import strings. Files in this room never import one another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from glasslung.errors import UsageError
from glasslung.models import (
    ageflow,
    agetransport,
    autoencoder,
    cage,
    conditionalgan,
    cvae,
    dcgan,
    densenet3d,
    hazardnet,
    i3d,
    infnet,
    infnetclasses,
    leangan,
    lesionnet,
    meanteacher,
    netvlad,
    patchnet,
    pix2pix,
    resnet2d,
    slicenet,
    slicewise,
    stichnet,
    stitchladders,
    twopath,
    unet,
    unet3d,
    unimatch,
    usvae,
    veegan,
    wgangp,
)
from glasslung.nn.batches import (
    ExamBatch,
    LabelledBatch,
    PairBatch,
    PatchBatch,
    SideBatch,
    SliceBatch,
    StayBatch,
)
from glasslung.nn.player import Player


class Entry(NamedTuple):
    """What the house knows about one method.

    config   its frozen settings
    model    model(config, rng) -> the network, with weights drawn from rng
    players  players(model) -> the paper's way of training it
    batch    what its players eat
    """

    config: type
    model: Callable[[Any, torch.Generator], nn.Module]
    players: Callable[[Any], list[Player]]
    batch: type


TABLE = {
    "usvae": Entry(usvae.Config, usvae.make, usvae.players, SliceBatch),
    "cage": Entry(cage.Config, cage.CAGE, cage.players, SliceBatch),
    "ageflow": Entry(ageflow.Config, ageflow.AgeFlow, ageflow.players, SliceBatch),
    "agetransport": Entry(agetransport.Config, agetransport.AgeTransport, agetransport.players, SliceBatch),
    "autoencoder": Entry(autoencoder.Config, autoencoder.AutoEncoder, autoencoder.players, SliceBatch),
    "slicenet": Entry(slicenet.Config, slicenet.SliceNet, slicenet.players, SliceBatch),
    "unet": Entry(unet.Config, unet.Segmenter, unet.players, LabelledBatch),
    "infnet": Entry(infnet.Config, infnet.InfNet, infnet.players, LabelledBatch),
    "infnetclasses": Entry(
        infnetclasses.Config, infnetclasses.InfNetClasses, infnetclasses.players, LabelledBatch
    ),
    "meanteacher": Entry(meanteacher.Config, meanteacher.MeanTeacher, meanteacher.players, LabelledBatch),
    "unimatch": Entry(unimatch.Config, unimatch.UniMatch, unimatch.players, LabelledBatch),
    "stichnet": Entry(stichnet.Config, stichnet.StichNet, stichnet.players, LabelledBatch),
    "stitchladders": Entry(
        stitchladders.Config, stitchladders.StichNet, stitchladders.players, LabelledBatch
    ),
    "unet3d": Entry(unet3d.Config, unet3d.UNet3D, unet3d.players, PatchBatch),
    "twopath": Entry(twopath.Config, twopath.TwoPath, twopath.players, PatchBatch),
    "patchnet": Entry(patchnet.Config, patchnet.PatchNet, patchnet.players, LabelledBatch),
    "cvae": Entry(cvae.Config, cvae.CVAE, cvae.players, SideBatch),
    "netvlad": Entry(netvlad.Config, netvlad.NetVLADClassifier, netvlad.players, ExamBatch),
    "slicewise": Entry(slicewise.Config, slicewise.SliceWise, slicewise.players, ExamBatch),
    "lesionnet": Entry(lesionnet.Config, lesionnet.LesionNet, lesionnet.players, ExamBatch),
    "densenet3d": Entry(densenet3d.Config, densenet3d.DenseNet3D, densenet3d.players, ExamBatch),
    "i3d": Entry(i3d.Config, i3d.I3D, i3d.players, ExamBatch),
    "hazardnet": Entry(hazardnet.Config, hazardnet.HazardNet, hazardnet.players, StayBatch),
    "resnet2d": Entry(resnet2d.Config, resnet2d.ResNet2D, resnet2d.players, ExamBatch),
    "dcgan": Entry(dcgan.Config, dcgan.DCGAN, dcgan.players, SliceBatch),
    "wgangp": Entry(wgangp.Config, wgangp.WGANGP, wgangp.players, SliceBatch),
    "veegan": Entry(veegan.Config, veegan.VEEGAN, veegan.players, SliceBatch),
    "leangan": Entry(leangan.Config, leangan.LeanGAN, leangan.players, SliceBatch),
    "conditionalgan": Entry(
        conditionalgan.Config, conditionalgan.ConditionalGAN, conditionalgan.players, SliceBatch
    ),
    "pix2pix": Entry(pix2pix.Config, pix2pix.Pix2Pix, pix2pix.players, PairBatch),
}


def entry_for(name: str) -> Entry:
    """The entry of one method; UsageError names those there are."""
    if name not in TABLE:
        raise UsageError(f"there is no model {name!r}; there are {', '.join(TABLE)}")
    return TABLE[name]


def build(name: str, seed: int = 0, **settings: Any) -> nn.Module:
    """build('usvae', seed=1, kl_final=4.0) -> a new U-SVAE. An unknown setting is refused by name."""
    entry = entry_for(name)
    known = [field.name for field in dataclasses.fields(entry.config)]
    for key in settings:
        if key not in known:
            raise UsageError(f"{name} has no setting {key!r}; it has {', '.join(known)}")
    return entry.model(entry.config(**settings), torch.Generator().manual_seed(seed))
