"""The slim parts fit where the papers' parts fit."""

from __future__ import annotations

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import build
from glasslung.nn.blocks import count_parameters
from glasslung.nn.parts import PAPER, SLIM, parts_named


def test_slim_parts_have_the_papers_shapes():
    x = torch.rand(2, 1, 64, 64)
    features = SLIM.backbone(True)(x)
    assert [tuple(d.shape[1:]) for d in features] == [
        (f, 32 >> n, 32 >> n) for n, f in enumerate(SLIM.widths)
    ]
    for f, d in zip(SLIM.widths, features, strict=True):
        mean, logvar = SLIM.crush(f)(d)
        assert mean.shape == logvar.shape == (2, 1, *d.shape[2:])
        assert SLIM.expand(f)(mean).shape == d.shape
        beside = d if f == SLIM.widths[-1] else torch.cat([d, d], 1)
        assert SLIM.step(f, f == SLIM.widths[-1])(beside).shape == d.shape
    doubled = [torch.cat([d, d], 1) for d in features]
    assert SLIM.decoder(beside=2)(doubled[::-1]).shape == (2, SLIM.features, 64, 64)


def test_a_slice_alone_looks_as_it_does_in_company():
    """No slim part lets the slices of a batch change one another, in training either."""
    model = build("ageflow", net="slim").train()
    x = torch.rand(3, 1, 64, 64)
    alone, together = (
        model.render(model(part, torch.Generator().manual_seed(0), temperature=0.0).e).mean()
        for part in (x[:1], x)
    )
    assert torch.allclose(alone, together[:1], atol=1e-5)


def test_models_are_far_smaller_with_slim_parts():
    assert count_parameters(build("ageflow", net="slim")) < 1_500_000
    assert count_parameters(build("cage", net="slim")) < 3_000_000


def test_unknown_parts_are_refused_by_name():
    assert parts_named("paper") is PAPER
    with pytest.raises(UsageError, match="paper, slim"):
        parts_named("huge")
    with pytest.raises(UsageError, match="net"):
        build("cage", net="huge")
