"""Trained models of the package: whole ones are loaded, missing and damaged ones are named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glasslung.errors import DataError
from glasslung.files import write_json
from glasslung.models import build, usvae
from glasslung.models.shipped import FOLDER, load_shipped
from glasslung.nn.conditions import condition_of
from glasslung.nn.painters import Painter

SETTINGS = dataclasses.asdict(dataclasses.replace(usvae.STEADIED, net="slim"))


def shipped(folder, training=None):
    model = build("usvae", 3, **SETTINGS)
    (folder / "usvae").mkdir(parents=True)
    save_file(model.state_dict(), folder / "usvae" / "model.safetensors")
    settings = SETTINGS | ({"training": training} if training else {})
    write_json(folder / "usvae" / "settings.json", {"name": "usvae", "seed": 5, "settings": settings})
    return model


def test_what_was_shipped_is_what_is_loaded(tmp_path):
    model = shipped(tmp_path, training={"each": 4})
    loaded, about = load_shipped("usvae", tmp_path)
    assert about["seed"] == 5
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_missing_or_damaged_model_is_said(tmp_path):
    with pytest.raises(DataError, match="there are none"):
        load_shipped("usvae", tmp_path)
    shipped(tmp_path)
    with pytest.raises(DataError, match="'cage' comes with the package; there are usvae"):
        load_shipped("cage", tmp_path)
    (tmp_path / "usvae" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match="damaged"):
        load_shipped("usvae", tmp_path)


def test_weights_of_another_network_are_told_by_a_count_and_the_first(tmp_path):
    model = shipped(tmp_path)
    place = tmp_path / "usvae" / "model.safetensors"
    whole = model.state_dict()
    first, *_, last = whole
    other = build("usvae", 0, **(SETTINGS | {"net": "paper"})).state_dict()
    wrong = {
        rf"damaged: 1 tensor\(s\) .* first '{last}': not there": {
            k: v for k, v in whole.items() if k != last
        },
        r"damaged: 1 tensor\(s\) .* first 'more': \(3,\), by the settings not there": whole
        | {"more": torch.ones(3)},
        rf"damaged: 1 tensor\(s\) .* first '{first}': \(2, 7\)": whole | {first: torch.ones(2, 7)},
        r"damaged: \d{2,} tensor\(s\)": other,
    }
    for said, weights in wrong.items():
        save_file(weights, place)
        with pytest.raises(DataError, match=said) as told:
            load_shipped("usvae", tmp_path)
        assert len(str(told.value)) < 200 + len(str(tmp_path))
        assert "install the package again" in str(told.value)


def test_the_packages_own_usvae_draws_two_lungs_on_black():
    model, about = load_shipped("usvae")
    assert about["settings"]["steps"] == 4000
    picture = model.sample(4, torch.Generator().manual_seed(0)).pixels.mean()
    assert picture.shape == (4, 1, 64, 64)
    lung = (picture > 0.05).float().mean((1, 2, 3))
    assert 0.2 < lung.min() <= lung.max() < 0.7
    corners = picture[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() < 0.02


def test_the_packages_own_agetransport_dreams_with_its_painter():
    model, _ = load_shipped("agetransport")
    assert isinstance(model.dreamer, Painter)
    assert int(model.dreamer.law.count) > 0
    never, ill = torch.zeros(4, 2), condition_of(torch.full((4,), 3), torch.full((4,), 12.0))
    healthy, late = (model.imagine(wanted, torch.Generator().manual_seed(0)) for wanted in (never, ill))
    lung = (healthy > 0.05).float().mean((1, 2, 3))
    assert 0.2 < lung.min() <= lung.max() < 0.7
    assert (late - healthy).abs().mean() > 0.003
    card = (FOLDER / "agetransport" / "card.md").read_text()
    assert card == (Path(__file__).parents[2] / "docs/models/agetransport.md").read_text()
    assert "painter" in card


def test_the_card_says_what_was_measured():
    root = Path(__file__).parents[2]
    row = json.loads((root / "docs/numbers/progression_usvae.json").read_text())["test"]["readings"]
    card = (FOLDER / "usvae" / "card.md").read_text()
    assert card == (root / "docs/models/usvae.md").read_text()
    for reading, key in (("as trained", "nll"), ("as trained", "lung"), ("single Beta", "nll")):
        value, low, high = row[reading][key]
        assert f"{value:.2f} [{low:.2f}, {high:.2f}]" in card
    value, low, high = row["grey levels"]["nll"]
    assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in card


@pytest.mark.real
def test_unseen_patients_are_explained_as_the_card_says(real):
    """Forty slices of the test part: lung nats far above what a model without latents reaches."""
    from glasslung.data.cohort import split_by_patient
    from glasslung.data.slices import read_slices
    from glasslung.data.sources import cage

    cohort = split_by_patient(cage(real / "cage"), {"train": 0.7, "val": 0.1, "test": 0.2}, 0, ("group",))
    test = cohort.part("test")
    few = dataclasses.replace(test, cases=test.cases[:40])
    slices = read_slices(few)
    image = slices.batches(40)[0].image
    model, _ = load_shipped("usvae")
    reading = model.reconstruct(image, torch.Generator().manual_seed(0))
    lung = reading.pixels.paper_log_density(image)[image > 0].mean()
    assert 1.5 < lung < 2.1
