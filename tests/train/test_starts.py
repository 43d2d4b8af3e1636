"""Weights from elsewhere: read without running anything, kept with their hash, begun from."""

from __future__ import annotations

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from glasslung.errors import DataError, UsageError
from glasslung.files import read_json
from glasslung.models import build
from glasslung.train.starts import begin_from, import_i3d, read_start
from public_i3d import public_state


@pytest.fixture(scope="module")
def state():
    return public_state()


def import_of(held, tmp_path, name="rgb.pt", **how):
    file = tmp_path / name
    torch.save(held, file, **how)
    return file, import_i3d(file, tmp_path / "start")


def test_a_public_state_becomes_a_folder_of_plain_files_with_its_hash(state, tmp_path):
    file, found = import_of(state, tmp_path)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    about = read_json(tmp_path / "start" / "settings.json")
    assert found.sha256 == digest == about["sha256 of the file"] and about["file"] == "rgb.pt"
    assert digest in (tmp_path / "start" / "note.md").read_text()
    assert found.left == ("logits.conv3d.bias", "logits.conv3d.weight") == tuple(about["left behind"])
    kept = load_file(tmp_path / "start" / "model.safetensors")
    assert torch.equal(kept["first.conv.weight"], state["Conv3d_1a_7x7.conv3d.weight"])
    assert (
        sum(kept[name].numel() for name in kept if "running" not in name and "num" not in name) == 12_287_264
    )


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("within", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
def test_files_of_every_age_are_read(state, tmp_path, how, within):
    held = {f"module.{name}": part for name, part in state.items() if "num_batches" not in name}
    import_of(within(held), tmp_path, **how)
    kept = load_file(tmp_path / "start" / "model.safetensors")
    assert torch.equal(kept["second.0.conv.weight"], state["Conv3d_2b_1x1.conv3d.weight"])


def test_safetensors_are_read_too(state, tmp_path):
    save_file(state, tmp_path / "rgb.safetensors")
    assert import_i3d(tmp_path / "rgb.safetensors", tmp_path / "start").numbers > 12_287_264


def test_a_trunk_begins_with_it_and_answers_to_grey_as_to_three_equal_colours(state, tmp_path):
    import_of(state, tmp_path)
    model, start = build("i3d", size=32, depth=8), read_start(tmp_path / "start")
    head = model.head.weight.clone()
    begin_from(model.trunk, start)
    assert start.method == "i3d" and torch.equal(model.head.weight, head)
    colours = state["Conv3d_1a_7x7.conv3d.weight"]
    torch.testing.assert_close(model.trunk.first.conv.weight, colours.sum(1, keepdim=True))
    name = "Mixed_4f.b1b.conv3d.weight"
    assert torch.equal(model.trunk.mixed["4f"].mid[1].conv.weight, state[name])
    with pytest.raises(UsageError, match="need width 1"):
        begin_from(build("i3d", size=32, depth=8, width=0.5).trunk, start)


class Mean:
    """Code that would run when the file is read."""

    def __reduce__(self):
        return (print, ("this must not be printed",))


def bad_files(folder, state):
    """Files that are no public state, and what is said of each."""
    code = folder / "code.pt"
    torch.save({"a": Mean()}, code)
    yield code, "holds code"
    bare = folder / "bare.pt"
    bare.write_bytes(pickle.dumps(Mean()))
    yield bare, "bare.pt"
    for name, content in (
        ("empty.pt", b""),
        ("text.pt", b"hello there"),
        ("cut.pt", code.read_bytes()[:150]),
    ):
        (folder / name).write_bytes(content)
        yield folder / name, name
    (folder / "bad.safetensors").write_bytes(b"\x00" * 40)
    yield folder / "bad.safetensors", "cannot be read"
    for name, held, words in (
        ("list.pt", [1, 2], "holds no state"),
        ("numbers.pt", {"a": 3}, "'a' is no tensor"),
        ("other.pt", {"conv.weight": torch.zeros(3)}, "no weights of an I3D"),
        ("missing.pt", {k: v for k, v in state.items() if "Mixed_5c.b3b" not in k}, "is missing"),
        ("shape.pt", {**state, "Mixed_3b.b0.bn.bias": torch.zeros(65)}, r"is (65,), not (64,)"),
        ("flow.pt", {**state, "Conv3d_1a_7x7.conv3d.weight": torch.zeros(64, 2, 7, 7, 7)}, "channels"),
    ):
        torch.save(held, folder / name)
        yield folder / name, words
    yield folder / "absent.pt", "there is no file"


def test_bad_files_are_told_in_one_line_and_nothing_is_run_or_left_behind(state, tmp_path, capsys):
    for number, (file, words) in enumerate(bad_files(tmp_path, state)):
        out = tmp_path / f"out-{number}"
        with pytest.raises(DataError) as problem:
            import_i3d(file, out)
        assert words in str(problem.value) and "\n" not in str(problem.value), str(problem.value)
        assert not out.exists()
    assert "must not be printed" not in capsys.readouterr().out


def test_a_folder_that_is_in_use_or_holds_no_weights_is_refused(state, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    torch.save(state, tmp_path / "rgb.pt")
    with pytest.raises(UsageError, match="not empty"):
        import_i3d(tmp_path / "rgb.pt", tmp_path)
    with pytest.raises(DataError, match="no weights to begin from"):
        read_start(tmp_path)
