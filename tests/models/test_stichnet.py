"""StichNet: styles fitted to the slice, labels weighed by greys, slices stitched from two."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from glasslung.errors import UsageError
from glasslung.measure.styles import examine_styles
from glasslung.models.stichnet import Config, StichNet, loss, players, stitch_in
from glasslung.nn import stitch
from glasslung.nn.batches import LabelledBatch

SMALL: dict[str, Any] = {"width": 8, "steps": 40, "climb": 5, "lr": 5e-3, "every": 1}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discs(count: int, unlabelled: int, seed: int = 0, side: int = 64) -> LabelledBatch:
    """Bright surroundings, a dark disc of lung, in it a smaller one of haze or of consolidation."""
    rng = seeded(seed)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    far = (rows - side / 2) ** 2 + (columns - side / 2) ** 2
    lung = (far < (0.4 * side) ** 2).long().repeat(count, 1, 1)
    lesion = torch.zeros_like(lung)
    for index in range(count):
        y, x = (side * (0.35 + 0.3 * torch.rand(2, generator=rng))).tolist()
        lesion[index][(rows - y) ** 2 + (columns - x) ** 2 < (0.15 * side) ** 2] = 1 + index % 2
    grey = torch.where(lung == 1, torch.tensor([0.15, 0.5, 0.8])[lesion], torch.tensor(0.9))
    image = (grey + 0.02 * torch.randn(grey.shape, generator=rng)).clamp(0, 1)[:, None]
    lesion[count - unlabelled :] = -1
    return LabelledBatch(image, lesion, lung)


def made(**settings: Any) -> StichNet:
    return StichNet(Config(**(SMALL | settings)), seeded())


def gradients(model: StichNet, batch: LabelledBatch) -> tuple[dict[str, Tensor], list[Tensor | None]]:
    (player,) = players(model)
    terms = player.loss(batch, 0, seeded(1))
    return terms, list(torch.autograd.grad(terms["total"], player.parameters, allow_unused=True))


@pytest.fixture(scope="module")
def trained() -> StichNet:
    model = made()
    (player,) = players(model)
    optimiser = torch.optim.AdamW(player.parameters, lr=5e-3)
    rng = seeded(2)
    for step in range(40):
        optimiser.zero_grad()
        player.loss(discs(6, 3, seed=step), step, rng)["total"].backward()
        optimiser.step()
    return model


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.parametrize(
    "settings", [{}, {"consistency": 0.0}, {"piece": "lesion", "evidence": 0.1, "heard": 1.0}]
)
@pytest.mark.parametrize("unlabelled", [0, 1, 3])
def test_every_batch_reaches_every_parameter(settings: dict[str, Any], unlabelled: int) -> None:
    terms, found = gradients(made(**settings), discs(3, unlabelled))
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in found)
    assert all(math.isfinite(float(term.detach())) for term in terms.values())


def test_without_stitching_slices_without_labels_change_nothing() -> None:
    model, batch = made(consistency=0.0), discs(3, 1)
    some = LabelledBatch(batch.image[:2], batch.lesion[:2], batch.lung[:2])
    assert torch.equal(
        loss(model.eval(), batch, 0, seeded())["total"], loss(model, some, 0, seeded())["total"]
    )


def test_slices_without_labels_are_looked_at_now_and_then() -> None:
    model, batch = made(every=3).eval(), discs(3, 1)
    seen = [float(loss(model, batch, step, seeded())["stitched"].detach()) > 0 for step in range(6)]
    assert seen == [False, False, True, False, False, True]


def test_crazy_paving_is_ground_glass_here() -> None:
    model, batch = made().eval(), discs(2, 0)
    paved = LabelledBatch(batch.image, torch.where(batch.lesion == 1, 3, batch.lesion), batch.lung)
    assert torch.equal(loss(model, batch, 0, seeded())["total"], loss(model, paved, 0, seeded())["total"])


def test_the_teacher_follows_and_is_not_trained() -> None:
    model, batch = made(), discs(2, 1)
    (player,) = players(model)
    assert model.teacher is not None
    assert not {id(p) for p in player.parameters} & {id(p) for p in model.teacher.parameters()}
    with torch.no_grad():
        for parameter in model.unet.parameters():
            parameter.add_(0.01)
    before = [p.clone() for p in model.teacher.parameters()]
    loss(model, batch, 1000, seeded(1))
    for old, now, own in zip(before, model.teacher.parameters(), model.unet.parameters(), strict=True):
        assert torch.allclose(now, old + 0.01 * (own - old), atol=1e-6)


def test_greys_of_labelled_slices_are_remembered() -> None:
    model, batch = made(), discs(4, 0)
    for _ in range(60):
        with torch.no_grad():
            model.remember(model(batch.image).log_y, batch)
    greys = (torch.arange(model.config.bins) + 0.5) / model.config.bins
    means = (model.known_styles * greys).sum(1).tolist()
    assert means == pytest.approx([0.9, 0.5, 0.8, 0.15], abs=0.06)


def test_stitched_slices_have_true_labels_where_pieces_came_from_labelled_ones() -> None:
    batch = discs(5, 2)
    found = stitch_in(made(sure=1.0, strength=0.0), batch, seeded(1))
    image, label = found.image, found.lesion
    assert image.shape == (2, 1, 64, 64) and (label >= 0).any() and (label < 0).any()
    for made_, known, free in zip(image, label, batch.image[3:], strict=True):
        assert torch.allclose(made_[0][known < 0], free[0][known < 0], atol=1e-6)
        inside = known >= 0
        donors = [torch.allclose(made_[0][inside], one[0][inside], atol=1e-6) for one in batch.image[:3]]
        assert any(donors)


# -------------------------------------------------------------------------------------------- answering


def test_the_answer_is_the_posterior_of_a_slow_twin() -> None:
    model, batch = made(temper=0.7), discs(1, 0)
    reading = model.read(batch.image)
    for row, column in ((0, 0), (32, 32), (20, 40)):
        bin_ = min(int(float(batch.image[0, 0, row, column]) * model.config.bins), model.config.bins - 1)
        p = [
            float(reading.log_y[0, y, row, column].exp()) * float(reading.styles[0, y, bin_]) ** 0.7
            for y in range(4)
        ]
        for y in range(4):
            assert float(reading.answer[0, y, row, column].exp()) == pytest.approx(p[y] / sum(p), rel=1e-3)


def test_answers_at_every_size_draw_nothing() -> None:
    model = made().train()
    image = torch.rand(2, 1, 96, 64, generator=seeded(1))
    found = model.probabilities(image)
    assert found.shape == (2, 3, 96, 64)
    assert torch.allclose(found.sum(1), torch.ones(2, 96, 64), atol=1e-5)
    assert torch.equal(found, model.probabilities(image))
    assert model.styles(image).shape == (2, 4, 96, 64)
    assert model.training


def test_styles_come_apart_and_lesions_are_found_on_two_tone_discs(trained: StichNet) -> None:
    fresh = discs(6, unlabelled=0, seed=99)
    inside = fresh.lung == 1
    _, glass, dense, healthy = trained.styles(fresh.image).unbind(1)
    assert glass[inside].mean() > healthy[inside].mean() + 0.1
    assert dense[inside].mean() > glass[inside].mean() + 0.05
    assert (trained.probabilities(fresh.image).argmax(1) == fresh.lesion).float().mean() > 0.95
    restyled = trained.restyle(fresh.image, stitch.CONSOLIDATION)[:, 0]
    assert restyled[inside].mean() > fresh.image[:, 0][inside].mean() + 0.1
    outside = fresh.lung == 0
    assert (restyled - fresh.image[:, 0])[outside].abs().mean() < 0.02


def test_it_has_not_collapsed_on_slices_without_labels(trained: StichNet) -> None:
    image = discs(6, 6, seed=7).image
    found = examine_styles(image[:, 0].numpy(), trained.styles(image).numpy(), trained.labels(image).numpy())
    assert not found.collapsed, found.verdict


def test_greys_spread_an_opinion_to_what_looks_alike() -> None:
    """Sure of a corner of each tissue, undecided elsewhere: each pixel goes with its own grey."""
    grain = 0.02 * torch.randn(1, 1, 16, 16, generator=seeded(3))
    truth = torch.arange(4).repeat_interleave(4).expand(16, 16)
    image = (torch.tensor([0.95, 0.5, 0.75, 0.15])[truth] + grain).clamp(0, 1)
    p = torch.full((1, 4, 16, 16), 0.25)
    known = torch.nn.functional.one_hot(truth, 4).permute(2, 0, 1).float()
    p[0, :, :4] = 0.97 * known[:, :4] + 0.01
    reading = made(prior=0.01, one_law=False).hear(p.log(), image)
    assert (reading.answer.argmax(1)[0] == truth).float().mean() > 0.95


def test_a_tissue_that_is_hardly_there_is_neither_found_nor_ruled_out() -> None:
    """Its style is the whole slice's: the answer keeps the opinion's faint belief in it."""
    image = torch.rand(1, 1, 32, 32, generator=seeded(4))
    p = torch.tensor([0.4998, 0.0001, 0.0001, 0.5]).view(1, 4, 1, 1).expand(1, 4, 32, 32)
    answer = made().hear(p.log(), image).answer.exp()
    assert float(answer[:, 1:3].max()) < 0.001
    assert float(answer[:, 1:3].min()) > 0.00001


# ----------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "settings",
    [
        {"classes": 4},
        {"loss": "hinge"},
        {"piece": "all"},
        {"temper": -0.1},
        {"sure": 1.5},
        {"teacher_decay": 1.0},
        {"consistency": -1.0},
        {"bins": 1},
        {"every": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Config(**settings)


def test_there_is_no_style_of_the_surroundings() -> None:
    with pytest.raises(UsageError, match="style 0"):
        made().restyle(torch.rand(1, 1, 64, 64), 0)


def test_one_law_leaves_lung_and_outside_to_the_network() -> None:
    reading = made().read(discs(2, 0).image)
    assert torch.equal(reading.log_x[:, stitch.BACKGROUND], reading.log_x[:, stitch.HEALTHY])
    assert torch.allclose(reading.styles.sum(2), torch.ones(2, 4), atol=1e-4)
