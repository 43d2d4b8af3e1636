"""What is told of a trained model that is scored, and fingerprints of what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from glasslung.predict.trained import TRAINING, Trained


def told_of(trained: Trained) -> dict[str, Any]:
    """What a reader needs to know which model it was."""
    about = trained.about
    return {
        "name": trained.name,
        "method": trained.method,
        "settings": {k: v for k, v in about["settings"].items() if k != TRAINING},
        "seed": about["seed"],
        "created": about.get("created", ""),
        "versions": {k: v for k, v in about.get("versions", {}).items() if k != "platform"},
    }


def input_hashes(about: Mapping[str, Any]) -> set[str]:
    """SHA-256 of what a run, or shipped weights, were trained on."""
    kept = {str(one["sha256"]) for one in about.get("inputs", {}).values()}
    return kept | ({str(about["input sha256"])} if "input sha256" in about else set())


def picture_digest(picture: np.ndarray) -> str:
    """A slice's fingerprint: (H, W) uint8, upright -> 16 hex digits of its SHA-256, its shape included."""
    whole = hashlib.sha256(f"{picture.shape}\n".encode())
    whole.update(np.ascontiguousarray(picture).tobytes())
    return whole.hexdigest()[:16]
