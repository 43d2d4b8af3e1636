"""Train on made, test on real, from a run's folder."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glasslung.errors import UsageError
from glasslung.studies.synthesis.training import MakerJob, MakerTraining, train_maker
from glasslung.studies.synthesis.worth import Asking, worth_of_run
from glasslung.train.machine import Machine
from glasslung.train.watchdog import WatchSettings

SMALL = {"size": 16, "width": 8, "codes": 4}


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Pictures of two classes: covid discs are larger."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    lines = ["patient,scan,image,intensity,label,split"]
    for number in range(40):
        ill = number % 2
        rows, columns = np.mgrid[:24, :24]
        y, x = rng.uniform(10, 14, 2)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < (70 if ill else 30)) * rng.uniform(150, 230)
        Image.fromarray(disc.astype(np.uint8)).save(folder / f"{number}.png")
        part = "train" if number < 26 else "val"
        lines.append(f"p{number},s{number},{number}.png,display8,{'covid' if ill else 'other'},{part}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder


def trained(discs, out, model, settings):
    training = MakerTraining(2, batch=4, watch=WatchSettings(every=2, pictures=8), checkpoint_every=2)
    return train_maker(
        MakerJob(model, discs, training, SMALL | settings, 0, Machine("cpu", "32-true")), out
    ).folder


def test_a_run_s_pictures_are_weighed(discs, tmp_path):
    run = trained(discs, tmp_path / "run", "conditionalgan", {"condition": "class"})
    found = worth_of_run(run, asking=Asking(each=16, draws=50))
    assert found.real.value == 1.0  # size alone tells the classes
    assert 0 <= found.made.low <= found.made.high <= 1
    assert found.lost.value == pytest.approx(found.real.value - found.made.value)


def test_runs_without_classes_are_refused(discs, tmp_path):
    run = trained(discs, tmp_path / "run", "leangan", {})
    with pytest.raises(UsageError, match="makes no classes"):
        worth_of_run(run)
    with pytest.raises(UsageError, match="each"):
        Asking(each=2)
