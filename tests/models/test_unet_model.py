"""The U-Net as a method: it learns two slices, answers in probabilities, and is silent without labels."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import unet
from glasslung.nn.batches import HAZE, LabelledBatch
from glasslung.nn.stitchstyles import Hearing, hear

SMALL = unet.Config(width=8, steps=100, climb=5, lr=5e-3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_slices(size: int = 64) -> LabelledBatch:
    """Two slices of a round lung with a grey and a white patch, and a third that nobody labelled."""
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    lung = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.2).long()
    image, lesion = [], []
    for shift in (0.0, 0.1, 0.05):
        glass = ((x - 0.35 - shift) ** 2 + (y - 0.4) ** 2 < 0.012).long()
        dense = ((x - 0.65) ** 2 + (y - 0.6 + shift) ** 2 < 0.01).long()
        lesion.append(torch.where(dense > 0, 2, glass) * lung)
        grey = 0.9 - 0.7 * lung + 0.3 * (lesion[-1] == 1) + 0.6 * (lesion[-1] == 2)
        image.append(grey + 0.03 * torch.randn(size, size, generator=generator(7)))
    lesion[2] = torch.full_like(lung, -1)
    return LabelledBatch(
        torch.stack(image)[:, None].clamp(0, 1), torch.stack(lesion), torch.stack([lung, lung, -1 + 0 * lung])
    )


def only(batch: LabelledBatch, *rows: int) -> LabelledBatch:
    take = list(rows)
    return LabelledBatch(batch.image[take], batch.lesion[take], batch.lung[take])


def train(model, batch, steps: int) -> list[float]:
    (player,) = unet.players(model)
    optimiser = torch.optim.Adam(player.parameters)
    totals = []
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = player.lr_at(step)
        optimiser.zero_grad()
        total = player.loss(batch, step, generator(step))["total"]
        total.backward()
        optimiser.step()
        totals.append(total.item())
    return totals


@pytest.mark.parametrize(("how", "least"), [("ce+dice", 0.9), ("focal", 0.7)])  # the focal loss takes longer
def test_it_learns_two_slices_in_a_few_steps(how, least):
    model = unet.Segmenter(replace(SMALL, lung_weight=0.5, loss=how), generator())
    batch = drawn_slices()
    totals = train(model, batch, SMALL.steps)
    assert totals[-1] < 0.2 * totals[0]
    found = model.probabilities(batch.image)[:2].argmax(1)
    for label in (0, 1, 2):
        mine, true = found == label, batch.lesion[:2] == label
        assert 2 * (mine & true).sum() / (mine.sum() + true.sum()) > least
    assert ((model.lung_probability(batch.image) > 0.5)[:2] == batch.lung[:2].bool()).float().mean() > 0.9


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("encoder", ["light", "mobilenet"])
def test_probabilities_sum_to_one_and_leave_the_model_as_it_was(encoder, size):
    model = unet.Segmenter(replace(SMALL, encoder=encoder, classes=4), generator()).train()
    image = torch.rand(2, 1, size, size, generator=generator(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    p = model.probabilities(image)
    assert p.shape == (2, 4, size, size) and p.min() >= 0 and not p.requires_grad
    assert torch.allclose(p.sum(1), torch.ones(2, size, size))
    assert model.training and all(torch.equal(before[name], v) for name, v in model.state_dict().items())
    assert torch.allclose(p[:1], model.probabilities(image[:1]), atol=1e-5)  # no slice leans on another


@pytest.mark.parametrize("lung_weight", [0.0, 0.5])
def test_unlabelled_slices_give_no_loss(lung_weight):
    model = unet.Segmenter(replace(SMALL, lung_weight=lung_weight), generator())
    batch = drawn_slices()
    nothing = unet.loss(model, only(batch, 2))["total"]
    gradients = torch.autograd.grad(nothing, list(model.parameters()))
    assert nothing.item() == 0 and all((gradient == 0).all() for gradient in gradients)
    beside, alone = unet.loss(model, batch), unet.loss(model, only(batch, 0, 1))
    assert {k: v.item() for k, v in beside.items()} == pytest.approx({k: v.item() for k, v in alone.items()})


def test_a_slice_whose_lung_alone_is_known_teaches_the_lung():
    model = unet.Segmenter(replace(SMALL, lung_weight=1.0), generator())
    batch = drawn_slices()
    batch = LabelledBatch(batch.image, torch.full_like(batch.lesion, -1), batch.lung)
    terms = unet.loss(model, batch)
    assert terms["lesion"].item() == 0 and terms["lung"].item() > 0
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(terms["total"], list(model.parameters())))


def test_every_parameter_is_reached_and_the_terms_add_up():
    model = unet.Segmenter(replace(SMALL, lung_weight=0.3), generator())
    terms = unet.loss(model, drawn_slices())
    assert terms["total"].item() == pytest.approx(terms["lesion"].item() + 0.3 * terms["lung"].item())
    for gradient in torch.autograd.grad(terms["total"], list(model.parameters())):
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


def test_greys_of_the_slice_forget_the_window():
    image = drawn_slices().image
    for greys, same in (("slice", True), ("window", False)):
        model = unet.Segmenter(replace(SMALL, greys=greys), generator())
        found = torch.allclose(model.probabilities(image), model.probabilities(0.5 * image + 0.2), atol=0.01)
        assert found is same


def test_a_temperature_softens_lesions_and_changes_no_order():
    batch = drawn_slices()
    sharp, soft = (
        unet.Segmenter(replace(SMALL, temperature=temperature), generator()).eval()
        for temperature in (1.0, 3.0)
    )
    one, other = sharp.probabilities(batch.image), soft.probabilities(batch.image)
    assert torch.equal(one.argmax(1), other.argmax(1)) and other.max() < one.max()
    root = one ** (1 / 3)
    assert torch.allclose(other, root / root.sum(1, keepdim=True), atol=1e-5)


def test_lungs_and_lesions_together_are_probabilities():
    model = unet.Segmenter(replace(SMALL, lung_weight=1.0, temperature=0.7), generator())
    image = drawn_slices().image
    whole, lung = model.chest_probabilities(image), model.lung_probability(image)
    assert whole.shape == (3, 4, 64, 64)
    assert torch.allclose(whole.sum(1), torch.ones(3, 64, 64)) and torch.allclose(1 - whole[:, 0], lung)
    assert torch.allclose(whole[:, 1:], lung[:, None] * model.probabilities(image), atol=1e-6)
    with pytest.raises(UsageError, match="no lung output"):
        unet.Segmenter(SMALL, generator()).chest_probabilities(image)


def hazy(batch: LabelledBatch, *rows: int) -> LabelledBatch:
    lesion = batch.lesion.clone()
    for row in rows:
        lesion[row][lesion[row] == 1] = HAZE
    return LabelledBatch(batch.image, lesion, batch.lung)


def test_haze_is_ground_glass_where_crazy_paving_is_no_class():
    model, batch = unet.Segmenter(SMALL, generator()), drawn_slices()
    plain, told = unet.loss(model, batch)["total"], unet.loss(model, hazy(batch, 0, 1))["total"]
    assert plain.item() == told.item()


def test_haze_asks_for_the_sum_of_ground_glass_and_crazy_paving():
    """Whoever shifts chance between the two pays nothing on hazy slices, and pays on the others."""
    model = unet.Segmenter(replace(SMALL, classes=4), generator()).eval()
    batch = hazy(drawn_slices(), 0)

    def with_shift(rows: tuple[int, ...]) -> tuple[float, float]:
        answers = model(only(batch, *rows).image)
        p = answers.lesion.softmax(1).clone()
        moved = p.clone()
        moved[:, 1], moved[:, 3] = 0.2 * p[:, 1], p[:, 3] + 0.8 * p[:, 1]
        lesion = only(batch, *rows).lesion
        return tuple(unet._lesion_loss(each.log(), lesion, model.config).item() for each in (p, moved))

    before, after = with_shift((0,))
    assert after == pytest.approx(before, rel=1e-4)
    before, after = with_shift((1,))
    assert abs(after - before) > 0.01
    both, alone = unet.loss(model, batch)["total"], unet.loss(model, only(batch, 0, 1))["total"]
    assert both.item() == pytest.approx(alone.item(), rel=1e-4)


def test_settings_are_checked_and_survive_json():
    settings = json.loads(json.dumps(asdict(SMALL)))
    assert unet.Segmenter(unet.Config(**settings), generator()).config == SMALL
    for wrong in (
        {"classes": 1},
        {"loss": "hinge"},
        {"greys": "hu"},
        {"lr": 0.0},
        {"focal_alpha": 2.0},
        {"steps": 0},
    ):
        with pytest.raises(UsageError):
            unet.Config(**wrong)
    for name, variant in unet.VARIANTS.items():
        assert unet.Config(**variant).loss == "focal", name
    with pytest.raises(UsageError, match="no lung output"):
        unet.Segmenter(SMALL, generator()).lung_probability(torch.rand(1, 1, 32, 32))


def test_a_net_that_hears_greys_weighs_its_opinion_by_them() -> None:
    rng = torch.Generator().manual_seed(0)
    plain = unet.Segmenter(unet.Config(width=4, lung_weight=1.0), rng)
    hearing = unet.Segmenter(unet.Config(width=4, lung_weight=1.0, heard=1.0), rng)
    hearing.load_state_dict(plain.state_dict())
    image = torch.rand(2, 1, 32, 32, generator=rng)
    opinion = plain.probabilities(image)
    _, log_x = hear(opinion.log(), image, Hearing())
    assert torch.allclose(hearing.probabilities(image), (opinion.log() + log_x).softmax(1), atol=1e-5)
    kinds, lung = hearing.opinions(image)
    assert torch.allclose(kinds, hearing.probabilities(image), atol=1e-6)
    assert torch.allclose(lung, plain.lung_probability(image), atol=1e-6)  # lungs have no style here
    with pytest.raises(UsageError, match="must not be negative"):
        unet.Config(heard=-1.0)
