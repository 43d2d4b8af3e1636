"""`glasslung weights import` as a person types it."""

from __future__ import annotations

import torch
from verb_process import glasslung_here, refused

from public_i3d import public_state


def test_a_public_file_is_imported_and_its_hash_is_told(tmp_path):
    torch.save(public_state(counters=False), tmp_path / "rgb_imagenet.pt")
    done = glasslung_here("weights", "import", tmp_path / "rgb_imagenet.pt", "--out", tmp_path / "kinetics")
    assert done.returncode == 0, done.stderr
    assert "SHA-256 of rgb_imagenet.pt: " in done.stdout and "left behind: logits" in done.stdout
    names = sorted(path.name for path in (tmp_path / "kinetics").iterdir())
    assert names == ["model.safetensors", "note.md", "settings.json"]


def test_what_is_no_state_ends_in_one_line(tmp_path):
    assert "no file that torch.save wrote" in refused(
        ["weights", "import", "{tmp}/note.txt", "--out", "{tmp}/o"], tmp_path
    )
