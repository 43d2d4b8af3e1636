"""Trained models of the package: whole ones are loaded, missing and damaged ones are named."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from glasslung.errors import DataError
from glasslung.files import write_json
from glasslung.models import build, usvae
from glasslung.models.shipped import load_shipped

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
