"""StichNet as printed: every switch takes a step that reaches all, and styles come apart on discs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from glasslung.errors import ShapeError, UsageError
from glasslung.measure.styles import examine_styles
from glasslung.models.stitchladders import VARIANTS, Config, StichNet, loss, players, stitch_bound
from glasslung.nn import stitch
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.density import sum_per_sample

SMALL: dict[str, Any] = {"net": "slim", "lr": 2e-3}


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


def gradients(model: StichNet, batch: LabelledBatch) -> tuple[dict[str, Tensor], list[Tensor | None]]:
    player = players(model)[-1]
    terms = player.loss(batch, 0, seeded(1))
    return terms, list(torch.autograd.grad(terms["total"], player.parameters, allow_unused=True))


def train(model: StichNet, batch: LabelledBatch, rounds: int) -> None:
    game = [(p, torch.optim.AdamW(p.parameters, lr=3e-3)) for p in players(model)]
    rng = seeded(2)
    for step in range(rounds):
        for player, optimiser in game:
            for _ in range(player.turns):
                optimiser.zero_grad()
                player.loss(batch, step, rng)["total"].backward()
                torch.nn.utils.clip_grad_norm_(player.parameters, 1.0)
                optimiser.step()


# ------------------------------------------------------------------------------------------- switches

SWITCHES = [
    {},
    VARIANTS["PAPER"] | SMALL,
    VARIANTS["RELEASED"] | SMALL,
    {"answer": "decoder", "marginal": "expectation"},
    {"answer": "posterior", "likelihood": "beta", "encoders": "two"},
    {"latents": "z", "likelihood": "bernoulli", "label_head": "softmax"},
    {"components": 3, "coarse_styles": 0, "shared_decoders": False},
    {"known_styles": False, "focal_gamma": 2.0, "black_is_outside": True, "kl": "sampled"},
    {"hinge": 1.0, "proportions": 1.0, "consistency": 1.0, "recipe": "paper"},
]


@pytest.mark.parametrize("settings", SWITCHES, ids=lambda settings: ",".join(map(str, settings)) or "levers")
def test_every_switch_takes_a_step_that_reaches_all(settings: dict[str, Any]) -> None:
    model = StichNet(Config(**settings), seeded())
    terms, found = gradients(model, discs(3, unlabelled=1))
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in found)
    assert all(math.isfinite(float(term.detach())) for term in terms.values())
    trained = sum(float(gradient.abs().sum()) > 0 for gradient in found if gradient is not None)
    assert trained > 0.7 * len(found)


def test_papers_parts_take_a_step_too() -> None:
    model = StichNet(Config(**VARIANTS["RELEASED"]), seeded())
    _, found = gradients(model, discs(2, unlabelled=1))
    assert all(gradient is not None for gradient in found)


@pytest.mark.parametrize("unlabelled", [0, 2])
def test_batches_of_one_kind(unlabelled: int) -> None:
    terms, found = gradients(StichNet(Config(proportions=1.0), seeded()), discs(2, unlabelled))
    assert all(gradient is not None for gradient in found)
    assert math.isfinite(float(terms["total"].detach()))


def test_slices_of_which_nothing_is_known_have_no_label_terms() -> None:
    batch = discs(2, unlabelled=2)
    batch = LabelledBatch(batch.image, batch.lesion, torch.full_like(batch.lung, -1))
    terms, _ = gradients(StichNet(Config(), seeded()), batch)
    assert not terms["label"].any() and not terms["recogniser"].any()


@pytest.mark.parametrize(
    "settings",
    [
        {"latents": "k"},
        {"likelihood": "gauss"},
        {"coarse_styles": 5},
        {"coarse_styles": 2, "decoder": "finest"},
        {"latents": "z", "encoders": "two"},
        {"hinge": -1.0},
        {"teacher_decay": 1.0},
        {"recogniser_turns": -1},
        {"size": 48},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Config(**settings)


# ---------------------------------------------------------------------------------------- the bound


def plain(**settings: Any) -> StichNet:
    """A StichNet with the paper's graph, of slim parts."""
    return StichNet(Config(**(VARIANTS["PAPER"] | SMALL | {"likelihood": "logistic"} | settings)), seeded())


def test_terms_add_up_to_the_evidence_bound() -> None:
    """At weight 1 of everything, 'total' is the negative bound of x and of what is known about it."""
    model, batch = plain(), discs(3, unlabelled=1)
    terms = loss(model, batch, 10_000, seeded(4))
    reading = model(batch.image, seeded(4))
    allowed = stitch.possible_labels(batch.lesion, batch.lung)
    joint = stitch.log_marginal(reading.log_y, reading.pixels.log_density(batch.image), allowed)
    nats = sum_per_sample(joint) - reading.z.kl().sum(1) - reading.k.kl().sum(1)
    assert float(terms["total"].detach()) == pytest.approx(-float(nats.mean().detach()) / 64**2, rel=1e-4)
    assert float(terms["nll"].detach()) == pytest.approx(float(terms["total"].detach()), rel=1e-5)


def test_knowing_more_never_makes_a_slice_likelier() -> None:
    """p(x, A) falls as A shrinks: unlabelled, lesion known and lung not, all known."""
    model, full = plain(), discs(2, unlabelled=0)
    unknown = torch.full_like(full.lung, -1)
    with torch.no_grad():
        reading = model(full.image, seeded(4))
        log_x = reading.pixels.log_density(full.image)
    nats = [
        float(stitch.log_marginal(reading.log_y, log_x, stitch.possible_labels(lesion, lung)).sum())
        for lesion, lung in ((unknown, unknown), (full.lesion, unknown), (full.lesion, full.lung))
    ]
    assert nats[0] > nats[1] > nats[2]


def test_the_exact_marginal_is_above_the_other_bounds() -> None:
    batch = discs(2, unlabelled=2)
    allowed = stitch.possible_labels(batch.lesion, batch.lung)
    model = StichNet(Config(), seeded())
    reading = model(batch.image, seeded(4))
    recognised = stitch_bound(model.config, reading, batch.image, allowed)
    reading = reading._replace(log_q=None)
    exact = stitch_bound(model.config, reading, batch.image, allowed)
    expected = stitch_bound(Config(marginal="expectation"), reading, batch.image, allowed)
    assert (recognised <= exact + 1e-4).all() and (expected <= exact + 1e-4).all()


def test_the_bound_lies_below_the_likelihood_of_the_slice() -> None:
    """The mean of one-sample bounds stays below their importance-weighted mean, which is nearer log p(x)."""
    model, batch = plain(likelihood="bernoulli"), discs(1, unlabelled=1)
    allowed = stitch.possible_labels(batch.lesion, batch.lung)
    rng, weights = seeded(7), []
    with torch.no_grad():
        for _ in range(20):
            reading = model(batch.image, rng)
            joint = stitch.log_marginal(reading.log_y, reading.pixels.log_density(batch.image), allowed)
            spent = reading.z.sampled_kl().sum(1) + reading.k.sampled_kl().sum(1)
            weights.append(sum_per_sample(joint) - spent)
    nats = torch.cat(weights).double()
    assert float(nats.mean()) < float(torch.logsumexp(nats, 0)) - math.log(len(nats))


# --------------------------------------------------------------------------------- what it is asked for


@pytest.mark.parametrize("side", [64, 96, 256])
def test_answers_at_every_size(side: int) -> None:
    model = StichNet(Config(), seeded()).train()
    image = torch.rand(2, 1, side, side, generator=seeded(1))
    found = model.probabilities(image)
    assert found.shape == (2, model.config.classes, side, side)
    assert torch.allclose(found.sum(1), torch.ones(2, side, side), atol=1e-5)
    assert torch.equal(found, model.probabilities(image))  # nothing is drawn
    assert model.styles(image).shape == (2, 4, side, side)
    assert model.reconstruct(image).shape == image.shape
    assert model.training


def test_levels_of_both_ladders_are_told_by_name() -> None:
    image = discs(2, 0).image
    names = [f"{ladder}{level}" for ladder in "zk" for level in range(1, 6)]
    assert [use.name for use in StichNet(Config(), seeded()).uses(image)] == names
    assert len(StichNet(Config(latents="z"), seeded()).uses(image)) == 5


def test_other_shapes_and_styles_are_refused() -> None:
    model = StichNet(Config(), seeded())
    with pytest.raises(ShapeError, match="multiples of 32"):
        model.probabilities(torch.rand(1, 1, 50, 64))
    with pytest.raises(UsageError, match="style 0"):
        model.restyle(torch.rand(1, 1, 64, 64), 0)


def test_the_same_seed_makes_the_same_model() -> None:
    one, other = (StichNet(Config(), seeded(3)) for _ in range(2))
    image = discs(2, 0).image
    assert torch.equal(one.probabilities(image), other.probabilities(image))


def test_the_teacher_follows_and_is_not_trained() -> None:
    model, batch = StichNet(Config(consistency=1.0), seeded()), discs(2, unlabelled=1)
    alone, whole = players(model)
    assert alone.turns == model.config.recogniser_turns
    assert model.teacher is not None
    ids = {id(p) for p in whole.parameters}
    assert not ids & {id(p) for p in model.teacher.parameters()}
    assert ids >= {id(p) for p in alone.parameters}
    with torch.no_grad():
        for parameter in whole.parameters:
            parameter.add_(0.01)
    before = [p.clone() for p in model.teacher.parameters()]
    terms = alone.loss(batch, 1000, seeded(1))
    assert float(terms["consistency"].detach()) > 0
    for old, now, own in zip(before, model.teacher.parameters(), whole.parameters, strict=True):
        assert torch.allclose(now, old + 0.01 * (own - old), atol=1e-6)
    found = torch.autograd.grad(terms["total"], alone.parameters, allow_unused=True)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in found)
    kept = [p.clone() for p in model.teacher.parameters()]
    whole.loss(batch, 1000, seeded(1))  # the teacher moves once a turn of the recogniser, not here
    model.eval()
    alone.loss(batch, 1000, seeded(1))
    assert all(torch.equal(a, b) for a, b in zip(kept, model.teacher.parameters(), strict=True))


def test_a_model_that_learns_as_a_whole_meets_the_teacher_there() -> None:
    for settings in ({"recogniser_turns": 0}, {"answer": "decoder"}):
        model = StichNet(Config(consistency=1.0, **settings), seeded())
        (whole,) = players(model)
        assert float(whole.loss(discs(2, 1), 0, seeded(1))["consistency"].detach()) > 0


def test_share_of_lesions_is_remembered_from_labelled_slices_alone() -> None:
    model, batch = StichNet(Config(), seeded()), discs(2, unlabelled=1)
    loss(model, batch, 0, seeded(1))
    labelled = batch.lesion[0]
    assert float(model.lesion_share[1]) == pytest.approx(float((labelled == 1).float().mean()))
    assert float(model.lesion_share.sum()) == pytest.approx(1.0)


def test_styles_come_apart_and_lesions_are_found_on_two_tone_discs() -> None:
    model, batch = StichNet(Config(recogniser_turns=1, consistency=0.0, kl_warm_up=20), seeded()), discs(4, 2)
    train(model, batch, rounds=60)
    fresh = discs(2, unlabelled=0, seed=9)
    inside = fresh.lung == 1
    background, glass, dense, healthy = model.styles(fresh.image).unbind(1)
    assert glass[inside].mean() > healthy[inside].mean() + 0.1
    assert dense[inside].mean() > glass[inside].mean() + 0.05
    assert (model.probabilities(fresh.image).argmax(1) == fresh.lesion).float().mean() > 0.95
    restyled = model.restyle(fresh.image, stitch.CONSOLIDATION)[:, 0]
    assert restyled[inside].mean() > fresh.image[:, 0][inside].mean() + 0.1
    assert background.isfinite().all()


def test_the_printed_model_collapses_on_slices_without_labels_and_that_is_named() -> None:
    """Labelled and unlabelled slices together, lungs unknown: the paper's failure, by its name."""
    model = StichNet(Config(**(VARIANTS["PAPER"] | SMALL)), seeded())
    (player,) = players(model)
    optimiser, rng = torch.optim.Adam(player.parameters, lr=2e-3), seeded(2)
    for step in range(25):
        batch = discs(4, 2, seed=step)
        batch = LabelledBatch(batch.image, batch.lesion, torch.full_like(batch.lung, -1))
        optimiser.zero_grad()
        player.loss(batch, step, rng)["total"].backward()
        torch.nn.utils.clip_grad_norm_(player.parameters, 1.0)
        optimiser.step()
    image = discs(6, 6, seed=99).image
    found = examine_styles(image[:, 0].numpy(), model.styles(image).numpy(), model.labels(image).numpy())
    assert found.styles_coincide and found.labels_constant
    assert "styles coincide" in found.verdict and "labels constant" in found.verdict
