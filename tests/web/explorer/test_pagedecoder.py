"""The decoder as plain numbers, run by a slow twin from the definitions, gives what the network gives."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from torch import nn

from glasslung.models import build
from glasslung.web.explorer.pagedecoder import decoder_of, linear_decoder


def slow_decode(decoder, code):
    """One code (F,) -> (S, S), step by step as the page's script does."""
    now = np.asarray(code, np.float64)
    for step in decoder.steps:
        if step["kind"] == "dense":
            count = step["in"] * step["out"]
            weight = decoder.weights[step["weight"] : step["weight"] + count].reshape(step["out"], step["in"])
            now = weight @ now.reshape(-1) + decoder.weights[step["bias"] : step["bias"] + step["out"]]
        elif step["kind"] == "maps":
            now = now.reshape(step["channels"], step["height"], step["width"])
        elif step["kind"] == "double":
            now = now.repeat(2, axis=1).repeat(2, axis=2)
        elif step["kind"] == "leaky":
            now = np.where(now < 0, step["slope"] * now, now)
        elif step["kind"] == "sigmoid":
            now = 1 / (1 + np.exp(-now))
        else:
            count = 9 * step["in"] * step["out"]
            weight = decoder.weights[step["weight"] : step["weight"] + count].reshape(
                step["out"], step["in"], 3, 3
            )
            bias = decoder.weights[step["bias"] : step["bias"] + step["out"]]
            now = np.stack(
                [sum(correlate2d(x, w, "same") for x, w in zip(now, taps, strict=True)) for taps in weight]
            ) + bias.reshape(-1, 1, 1)
    return now.reshape(decoder.size, decoder.size)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 32, "latents": 3, "channels": (4, 6, 8, 8)},
        {"size": 16, "latents": 2, "net": "dense", "kl": 0.0},
    ],
)
def test_it_is_the_network(settings):
    model = build("autoencoder", 1, **settings)
    codes = np.random.default_rng(0).normal(size=(3, settings["latents"])).astype(np.float32)
    decoder = decoder_of(model, codes)
    assert decoder is not None
    wanted = model.decode(torch.from_numpy(codes))[:, 0].numpy()
    for code, picture in zip(codes, wanted, strict=True):
        assert np.allclose(np.clip(slow_decode(decoder, code), 0, 1), picture, atol=1e-4)


def test_components_are_one_dense_layer():
    rng = np.random.default_rng(1)
    components, mean = rng.normal(size=(4, 64)), rng.normal(size=64)
    decoder = linear_decoder(components, mean, 8, np.zeros((2, 4), np.float32))
    code = rng.normal(size=4)
    assert np.allclose(slow_decode(decoder, code), (code @ components + mean).reshape(8, 8), atol=1e-5)


def test_what_the_page_cannot_run_stays_away(monkeypatch):
    model = build("autoencoder", 0, size=16, latents=2)
    codes = np.zeros((1, 2), np.float32)
    monkeypatch.setattr("glasslung.web.explorer.pagedecoder.MOST_NUMBERS", 1000)
    assert decoder_of(model, codes) is None
    monkeypatch.undo()
    model.decoder.append(nn.Softplus())
    assert decoder_of(model, codes) is None
