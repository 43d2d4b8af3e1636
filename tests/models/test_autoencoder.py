"""The auto-encoder: the paper's is no better than principal components; ours learns and decodes."""

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import build, entry_for
from glasslung.models.autoencoder import LITERAL, Config, loss
from glasslung.nn.batches import SliceBatch

SMALL = {"size": 16, "latents": 4, "channels": (8, 8, 8, 8)}
LINEAR = {"size": 16, "net": "dense", "kl": 0.0}


def batch_of(images):
    count = len(images)
    nothing = torch.zeros(count, dtype=torch.long)
    return SliceBatch(
        torch.as_tensor(images, dtype=torch.float32)[:, None], nothing, nothing.float(), nothing
    )


def blobs(count, seed=0, side=16):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    middle = rng.uniform(5, 11, (count, 2, 1, 1))
    return np.exp(-((y - middle[:, 0]) ** 2 + (x - middle[:, 1]) ** 2) / 8).astype(np.float32)


def train(model, images, steps):
    player = entry_for("autoencoder").players(model)[0]
    optimiser = torch.optim.AdamW(model.parameters(), lr=player.lr_at(0), weight_decay=0.0)
    batch, errors = batch_of(images), []
    for step in range(steps):
        terms = player.loss(batch, step, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        errors.append(float(terms["error"]))
    return errors


@pytest.mark.parametrize("settings", [SMALL, {**SMALL, "kl": 0.0, "noise": 0.1}, {**LINEAR, "latents": 2}])
def test_shapes_and_range(settings):
    model = build("autoencoder", 0, **settings)
    image = torch.as_tensor(blobs(5))[:, None]
    codes = model.encode(image)
    assert codes.shape == (5, settings["latents"])
    again = model.decode(codes)
    assert again.shape == (5, 1, 16, 16)
    assert float(again.min()) >= 0 and float(again.max()) <= 1
    assert torch.equal(codes, model.encode(image))  # the mean: nothing is drawn


def test_every_weight_is_reached_and_terms_are_the_papers():
    model = build("autoencoder", 0, **SMALL)
    terms = loss(model, batch_of(blobs(6)), 500, torch.Generator().manual_seed(0))
    terms["total"].backward()
    assert all(part.grad is not None and bool(part.grad.any()) for part in model.parameters())
    assert float(terms["grey_error"]) == pytest.approx(255**2 * float(terms["error"]))
    assert float(terms["total"].detach()) > float(terms["error"])


def test_divergence_is_the_integral():
    model = build("autoencoder", 0, **SMALL)
    images = blobs(3)
    terms = loss(model, batch_of(images), 0, torch.Generator().manual_seed(0))
    mean, logvar = (one.detach() for one in model.read(torch.as_tensor(images)[:, None]))
    posterior = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    wanted = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert float(terms["divergence"].detach()) == pytest.approx(float(wanted), rel=1e-4)
    assert float(terms["total"].detach()) == pytest.approx(float(terms["error"]))  # its weight climbs from 0


def test_it_learns():
    model = build("autoencoder", 0, **SMALL, kl=1e-4, lr=0.01, steps=250)
    errors = train(model, blobs(32), 250)
    assert errors[-1] < 0.2 * errors[0]


def test_the_papers_is_linear_and_never_better_than_principal_components():
    images = blobs(48)
    model = build("autoencoder", 0, **LINEAR, latents=2, lr=1e-3, steps=0)
    train(model, images, 120)
    image = torch.as_tensor(images)[:, None]
    with torch.no_grad():
        a, b = image[:1], image[1:2]
        whole = model.encoder(0.3 * a + 0.7 * b)
        assert torch.allclose(whole, 0.3 * model.encoder(a) + 0.7 * model.encoder(b), atol=1e-4)
        error = float((model.decoder(model.encoder(image)) - image).square().mean())
    flat = images.reshape(48, -1) - images.reshape(48, -1).mean(0)
    lengths = np.linalg.svd(flat, compute_uv=False)
    best = float((lengths[2:] ** 2).sum() / flat.size)
    assert error >= best * (1 - 1e-4)


def test_the_papers_has_five_layers_of_128_each_way_and_a_code_of_2():
    model = build("autoencoder", 0, **{name: getattr(LITERAL, name) for name in LITERAL.__dataclass_fields__})
    widths = [tuple(part.weight.shape) for part in model.modules() if isinstance(part, torch.nn.Linear)]
    assert widths[:6] == [(128, 16384), *[(128, 128)] * 4, (2, 128)]
    assert widths[6:] == [(128, 2), *[(128, 128)] * 4, (16384, 128)]


@pytest.mark.parametrize(
    "wrong", [{"size": 40}, {"net": "deep"}, {"latents": 0}, {"kl": -1.0}, {"lr": 0.0}, {"net": "dense"}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        Config(**wrong)


def test_wrong_shapes_are_refused():
    model = build("autoencoder", 0, **SMALL)
    with pytest.raises(ShapeError, match="reads"):
        model.encode(torch.zeros(1, 1, 32, 32))
    with pytest.raises(ShapeError, match=r"\(B, 4\)"):
        model.decode(torch.zeros(1, 3))


def test_the_shipped_one_sees_phantoms_as_its_card_says():
    from glasslung.data.phantom import draw_patient
    from glasslung.data.phantom.lung_slices import slices
    from glasslung.models.shipped import FOLDER, load_shipped

    model, about = load_shipped("explorer")
    assert about["name"] == "autoencoder"
    patients = [draw_patient(seed, severity=0.5) for seed in range(150, 156)]
    images = torch.from_numpy(slices(patients, (0.0, 6.0), 64).grey.astype(np.float32) / 255)[:, None]
    codes = model.encode(images)
    error = float((model.decode(codes) - images).square().mean()) * 255**2
    assert error < 1069  # of two principal components on such phantoms
    card = (FOLDER / "explorer" / "card.md").read_text()
    assert "not a medical device" in card and f"{model.config.latents} latents" in card
