"""Stop anywhere, go on exactly there: a checkpoint is a folder of safetensors and JSON, never a pickle.

    checkpoint-00000500/
        weights.safetensors     every parameter and buffer, 'module.layer.weight'
        optimisers.safetensors  Adam's moments and counts, 'player/parameter/exp_avg'
        averages.safetensors    running averages of the weights, where the run keeps them
        state.json              step, seed, and what must be the same to go on
        stream-0.json           where the stream of batches stands, the same for all processes

The folder is written beside and renamed, so a run that is killed while saving keeps the one before.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from glasslung.errors import DataError, UsageError
from glasslung.files import read_json, replace_folder, whole_file, write_json
from glasslung.train.game import Game

PREFIX = "checkpoint-"
FORMAT = 1


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors whole, in plain row order whatever their layout in memory."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as beside:
        beside.touch()
        rights = beside.stat().st_mode
        try:
            save_file(plain, beside, metadata={"format": "pt"})
        except SafetensorError as problem:  # what it makes of a full disk
            raise DataError(f"{path}: cannot be written ({problem}); check the free space") from problem
        beside.chmod(rights)  # safetensors lets nobody but the owner read: a run may be shared


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors that we wrote; DataError when the file is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as problem:
        raise DataError(
            f"{path} cannot be read ({problem}); take an earlier checkpoint or start again"
        ) from problem


@torch.no_grad()
def fill(target: Mapping[str, Tensor], source: Mapping[str, Tensor], what: str) -> None:
    """Copy tensors by name, keeping the target's layout and device; names and shapes must agree exactly."""
    missing, strange = sorted(target.keys() - source.keys()), sorted(source.keys() - target.keys())
    if missing or strange:
        raise DataError(
            f"{what} is of another model: it lacks {len(missing)} tensor(s) {missing[:1]} and has "
            f"{len(strange)} too many {strange[:1]}. Build the model with the settings of the run."
        )
    for name, tensor in target.items():
        if tensor.shape != source[name].shape:
            raise DataError(
                f"{what} is of another model: {name} is {tuple(source[name].shape)}, "
                f"expected {tuple(tensor.shape)}. Build the model with the settings of the run."
            )
    for name, tensor in target.items():
        tensor.copy_(source[name])


def optimiser_tensors(game: Game) -> dict[str, Tensor]:
    """Every tensor the optimisers remember, 'player/parameter/moment'; empty before the first step."""
    tensors = {}
    for player in game.players:
        memory = game.optimisers[player.name].state
        for name, parameter in zip(game.names[player.name], player.parameters, strict=True):
            for moment, tensor in memory.get(parameter, {}).items():
                tensors[f"{player.name}/{name}/{moment}"] = tensor
    return tensors


def restore_optimisers(game: Game, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimisers their memory back, each moment in its parameter's memory layout."""
    left = dict(tensors)
    for player in game.players:
        memory = game.optimisers[player.name].state
        memory.clear()
        for name, parameter in zip(game.names[player.name], player.parameters, strict=True):
            prefix = f"{player.name}/{name}/"
            moments = {
                key: left.pop(key)
                for key in [prefix + m for m in ("step", "exp_avg", "exp_avg_sq")]
                if key in left
            }
            if moments:
                memory[parameter] = {
                    key[len(prefix) :]: _beside(parameter, value) for key, value in moments.items()
                }
    if left:
        raise DataError(
            f"the checkpoint's optimisers are of other players: {next(iter(left))!r} belongs to none here"
        )


def _beside(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment as the optimiser keeps it: laid out like its parameter; a count stays one number."""
    if value.ndim == 0 and parameter.ndim != 0:
        return value.to(parameter.device)
    return torch.empty_like(parameter, memory_format=torch.preserve_format).copy_(value).detach()


def conditions(game: Game) -> dict[str, Any]:
    """What must be the same for a run to go on as if nothing had happened."""
    return {
        "format": FORMAT,
        "seed": game.seed,
        "processes": game.machine.processes,
        "ema": game.ema,
        "modules": sorted(game.modules),
        "players": {player.name: [player.turns, player.accumulate] for player in game.players},
    }


def save_checkpoint(game: Game, folder: Path, keep: int = 1) -> Path:
    """Write the game as `folder`/checkpoint-<step>; afterwards only the newest `keep` remain."""
    target = folder / f"{PREFIX}{game.step:08d}"
    partial = folder / f".{target.name}.part"
    fabric = game.fabric
    try:
        if fabric.is_global_zero:
            _write_shared(game, partial)
    except DataError as problem:  # told by the name that is asked for, not the unfinished one
        raise DataError(str(problem).replace(partial.name, target.name)) from problem
    if fabric.is_global_zero:
        replace_folder(partial, target)
        for old in checkpoints(folder)[: -max(1, keep)]:
            shutil.rmtree(old)
    fabric.barrier()
    return target


def _write_shared(game: Game, partial: Path) -> None:
    """What one process writes for all."""
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as problem:
        raise UsageError(
            f"no checkpoint can be written in {partial.parent} ({problem.strerror}); check space and rights"
        ) from problem
    save_tensors(partial / "weights.safetensors", game.state())
    save_tensors(partial / "optimisers.safetensors", optimiser_tensors(game))
    if game.ema is not None:
        save_tensors(partial / "averages.safetensors", game.averages)
    write_json(partial / "stream-0.json", game.batches.state())
    write_json(partial / "state.json", {"step": game.step, "torch": torch.__version__, **conditions(game)})


def checkpoints(folder: Path) -> list[Path]:
    """All whole checkpoints of a folder, oldest first."""
    found = (path for path in folder.glob(f"{PREFIX}*") if path.is_dir())
    return sorted(path for path in found if path.name.removeprefix(PREFIX).isdecimal())


def steps_made(folder: Path) -> int:
    """Steps before the newest checkpoint of a folder; 0 without one."""
    found = checkpoints(folder)
    return int(found[-1].name.removeprefix(PREFIX)) if found else 0


def load_checkpoint(game: Game, folder: Path) -> int:
    """Bring the game to its newest checkpoint in `folder`; the next step comes back, 0 without one."""
    found = checkpoints(folder)
    if not found:
        return 0
    path = found[-1]
    state = read_json(path / "state.json")
    for key, wanted in conditions(game).items():
        if state.get(key) != wanted:
            raise UsageError(
                f"{path.name} cannot go on: its {key} is {state.get(key)}, this run's is {wanted}. "
                "Use the settings of the run, or start a new one."
            )
    fill(game.state(), load_tensors(path / "weights.safetensors"), "the checkpoint")
    restore_optimisers(game, load_tensors(path / "optimisers.safetensors"))
    if game.ema is not None:
        fill(game.averages, load_tensors(path / "averages.safetensors"), "the checkpoint's averages")
    game.batches.restore(read_json(path / "stream-0.json"))
    game.step = int(state["step"])
    return game.step
