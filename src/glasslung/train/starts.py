"""Weights that a training begins from: a folder of plain files, and what of it a trunk takes.

    model.safetensors  tensors of a trunk, by the names that it has here
    settings.json      format, name of the method, channels, where the tensors come from and its SHA-256
    note.md            the same in words

A public I3D's state keeps its three colours there; a trunk that reads one grey channel takes their sum.
A run of `glasslung train` can be begun from as well: its trunk is taken, its last layer is not.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glasslung import __version__
from glasslung.errors import DataError, UsageError
from glasslung.files import read_json, whole_folder, write_json, write_whole
from glasslung.nn.inception3d import from_published
from glasslung.train.checkpoint import save_tensors

FORMAT = "glasslung-start/1"
TENSORS, SETTINGS, NOTE = "model.safetensors", "settings.json", "note.md"
TRUNK = "trunk."
CODE = ("GLOBAL", "reduce", "class")  # of what torch.load names when it will not run something
COLOURS = 3  # of public states


class Start(NamedTuple):
    """Weights to begin from.

    method   that can begin with them: 'i3d', ...
    tensors  of its trunk, by name
    sha256   of the file that they lie in
    told     where they come from, in words
    """

    method: str
    tensors: Mapping[str, Tensor]
    sha256: str
    told: str


class Imported(NamedTuple):
    """What an import found: SHA-256 of the file, tensors and numbers that were taken, names left behind."""

    sha256: str
    tensors: int
    numbers: int
    left: tuple[str, ...]


def import_i3d(file: Path, out: Path) -> Imported:
    """Read the state of a public I3D and write it into a new folder that training can begin from.

    file  .pt as `torch.save` writes it, or .safetensors; no code in it is ever run
    DataError where it is not readable, holds code, is no state, or lacks tensors; UsageError where `out` is
    there already.
    """
    file, out = Path(file), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already and not empty; choose a new folder")
    state = read_state(file)
    try:
        trunk = from_published(state, COLOURS)
    except DataError as problem:
        raise DataError(f"{file.name}: {problem}") from problem
    found = Imported(
        digest_of(file),
        len(trunk),
        sum(part.numel() for part in trunk.values()),
        tuple(sorted(name for name in state if name.startswith("logits."))),
    )
    with whole_folder(out) as part:
        save_tensors(part / TENSORS, trunk)
        write_json(part / SETTINGS, _settings(file, found))
        write_whole(part / NOTE, _note(file, found))
    return found


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a state by name, as a file holds them; DataError where it holds anything else."""
    if not file.is_file():
        raise DataError(f"there is no file {file}; give the .pt or .safetensors that you downloaded")
    held = _safetensors(file) if file.suffix == ".safetensors" else _torch_saved(file)
    # some programs save a state among other things
    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    if not isinstance(held, Mapping) or not held:
        raise DataError(
            f"{file.name} holds no state of a network but {type(held).__name__}; save its state_dict"
        )
    odd = [str(name) for name, part in held.items() if not isinstance(part, Tensor)]
    if odd:
        raise DataError(f"{file.name} is no state of a network: {odd[0]!r} is no tensor; save its state_dict")
    before = "module." if all(str(name).startswith("module.") for name in held) else ""  # of several GPUs
    return {str(name).removeprefix(before): part for name, part in held.items()}


def _safetensors(file: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError) as problem:
        raise DataError(f"{file.name} cannot be read ({problem}); download it again") from problem


def _torch_saved(file: Path) -> Any:
    """What torch.save wrote, tensors and plain values alone."""
    from pickle import UnpicklingError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles in other formats: what they hold is refused below
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as problem:
        if any(word in str(problem) for word in CODE):
            raise DataError(
                f"{file.name} holds code beside tensors, which is not run here; save the network's "
                "state_dict, or give a .safetensors"
            ) from problem
        raise DataError(f"{file.name} is no file that torch.save wrote; download it again") from problem
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise DataError(f"{file.name} is no file that torch.save wrote, or it is damaged") from problem


def _settings(file: Path, found: Imported) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": "i3d",
        "channels": COLOURS,
        "file": file.name,
        "sha256 of the file": found.sha256,
        "numbers": found.numbers,
        "left behind": list(found.left),
        "glasslung": __version__,
    }


def _note(file: Path, found: Imported) -> str:
    left = f" Left behind, because it was made for films: {', '.join(found.left)}." if found.left else ""
    return (
        f"# Weights of an I3D\n\nFrom the file `{file.name}`, SHA-256 `{found.sha256}`: {found.tensors} "
        f"tensors, {found.numbers} numbers, of three colours.{left}\nThey are not part of glasslung: "
        "their licence and what they were trained on are told where they were downloaded.\n"
    )


# ------------------------------------------------------------------------------------------------ beginning


def read_start(folder: Path) -> Start:
    """The weights in a folder of `import_i3d`, or the trunk of a run; DataError where it is neither."""
    folder = Path(folder)
    if not (folder / SETTINGS).is_file():
        raise DataError(
            f"{folder} holds no weights to begin from: give a folder of `glasslung weights import`, or a run"
        )
    about = read_json(folder / SETTINGS)
    if about.get("format") == FORMAT:
        path, method = folder / TENSORS, str(about.get("name"))
        told = f"{about.get('file')}, SHA-256 {about.get('sha256 of the file')}"
        before = ""
    else:
        method = str(about.get("model"))
        path, before = folder / "weights" / f"{method}.safetensors", TRUNK
        told = f"the run {folder.resolve().name}"
    if not path.is_file():
        raise DataError(f"{folder} has no weights yet; let its training end, or import them again")
    tensors = {
        name.removeprefix(before): part for name, part in read_state(path).items() if name.startswith(before)
    }
    return Start(method, tensors, digest_of(path), told)


@torch.no_grad()
def begin_from(trunk: nn.Module, start: Start) -> None:
    """Give a trunk the weights; colours are summed where it reads grey. UsageError where they do not fit."""
    own, given = trunk.state_dict(), dict(start.tensors)
    first = next(iter(own))
    if first in given and own[first].shape[1] == 1 < given[first].shape[1]:
        given[first] = given[first].sum(1, keepdim=True)
    shapes = [{name: tuple(tensor.shape) for name, tensor in part.items()} for part in (given, own)]
    wrong = [name for name in own | given if shapes[0].get(name) != shapes[1].get(name)]
    if wrong:
        there, wanted = (part.get(wrong[0], "nothing") for part in shapes)
        raise UsageError(
            f"the weights of {start.told} do not fit: {wrong[0]!r} is {there}, and {wanted} is wanted "
            f"({len(wrong)} in all). Published weights need width 1."
        )
    trunk.load_state_dict(given)


def digest_of(file: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
