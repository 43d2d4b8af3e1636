"""One training on two processes, as torchrun starts them, beside the same on one."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from glasslung.train.checkpoint import load_tensors

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
WORDS = ("--steps", "3", "--checkpoint-every", "2", "--size", "32", "--batch", "2", "--set", "width=4")


def write_slices(folder) -> None:
    """Four slices with a square of two classes."""
    for n in range(4):
        rng = np.random.default_rng(n)
        lesion = np.zeros((40, 40), np.uint8)
        lesion[8 + n : 24, 8:20], lesion[12 + n : 16 + n, 10:14] = 1, 2
        grey = np.array([50, 140, 230])[lesion] + rng.normal(0, 8, lesion.shape)
        for kind, array in (("img", grey.clip(0, 255).astype(np.uint8)), ("multiclass", lesion)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(folder / kind / f"{n}.png")


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path):
    """The same weights to the bit, from batches of the same slices; one process writes and talks for both."""
    write_slices(tmp_path)

    def train(*before: str, out: str, more: tuple[str, ...] = ()) -> str:
        verb = ("-m", "glasslung", "train", "unet", "--cohort", str(tmp_path), "--device", "cpu")
        words = [*before, *verb, *WORDS, *more, "--out", str(tmp_path / out)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    train(sys.executable, out="one", more=("--shares", "2"))
    said = train(*TORCHRUN, out="two")
    assert said.count("unet: 3 steps done") == 1
    for file in ("weights/unet.safetensors", "checkpoint-00000003/optimisers.safetensors"):
        one, two = (load_tensors(tmp_path / out / file) for out in ("one", "two"))
        assert all((one[name] == two[name]).all() for name in one | two)
    settings = [
        json.loads((tmp_path / out / "settings.json").read_text())["settings"] for out in ("one", "two")
    ]
    assert settings[0] == settings[1]
    assert (tmp_path / "one/metrics.jsonl").read_text() == (tmp_path / "two/metrics.jsonl").read_text()
