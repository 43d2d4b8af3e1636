"""The segmenters that come with the package: whole, small, told by a card, and able to see a phantom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from glasslung.data.phantom import draw_patient, render
from glasslung.data.scanslices import PICTURE_WINDOW
from glasslung.models.shipped import FOLDER, load_shipped

NAMES = ("lesions-hu", "lesions-8bit")
WINDOWS = {"lesions-hu": (-1000.0, 400.0), "lesions-8bit": PICTURE_WINDOW}
MOST_MB = 10.0


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small_and_say_what_they_read(name):
    model, about = load_shipped(name)
    assert sum(path.stat().st_size for path in (FOLDER / name).iterdir()) < MOST_MB * 1e6
    assert model.config.classes == 3 and model.config.lung_weight > 0
    reads = about["settings"]["training"]["reads"]
    assert reads["window_hu"] == pytest.approx(WINDOWS[name])
    assert reads["intensity"] == ("hu" if name == "lesions-hu" else "display8")
    assert all(torch.isfinite(part).all() for part in model.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_in_the_docs_too_and_names_what_matters(name):
    card = (FOLDER / name / "card.md").read_text()
    assert card == (Path(__file__).parents[2] / f"docs/models/{name}.md").read_text()
    for said in (
        "not a medical device",
        "non-commercial",
        "Limits",
        "48 test slices were not there",
        "benchmarks/",
    ):
        assert said in card
    assert "@@" not in card


@pytest.fixture(scope="module")
def chest():
    """The middle of a chest with dense pneumonia, of a site that was not learned from."""
    return render(draw_patient(900_011, "bacterial", "d", 0.8), 4.0, shape=(24, 192, 192))


@pytest.mark.parametrize(
    ("name", "lungs_least", "lesions_least"), [(NAMES[0], 0.9, 0.7), (NAMES[1], 0.8, 0.5)]
)
def test_lungs_with_dense_parts_are_found_in_a_phantom_never_seen(name, lungs_least, lesions_least, chest):
    low, high = WINDOWS[name]
    rows = slice(8, 16)
    hu = chest.volume.voxels[rows].astype(np.float32)
    image = torch.from_numpy(np.clip((hu - low) / (high - low), 0, 1))[:, None]
    model, _ = load_shipped(name)
    maps = model.chest_probabilities(image).numpy()
    lungs, truth = maps[:, 0] < 0.5, chest.lungs[rows] > 0
    assert 2 * (lungs & truth).sum() / (lungs.sum() + truth.sum()) > lungs_least
    ill = chest.lesions[rows] > 0
    found = lungs & (maps[:, 1:].argmax(1) > 0)
    assert 2 * (found & ill).sum() / (found.sum() + ill.sum()) > lesions_least
    assert (found & ~truth).sum() < 0.1 * found.sum()
