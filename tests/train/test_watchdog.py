"""The watchdog: every sign by itself, what follows, and the released settings, which it must catch."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glasslung.errors import TrainingError, UsageError
from glasslung.models import build, dcgan, entry_for
from glasslung.nn.reins import Reins
from glasslung.train import watchdog
from glasslung.train.game import Game
from glasslung.train.guarded import Stretch, fit_guarded
from glasslung.train.looks import Look, mean_distance, recall, reference_of, take_look
from glasslung.train.loop import fit
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir
from glasslung.train.watchdog import REMEDIES, Watchdog, WatchSettings, pull, signs_of, tell

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from made_discs import discs, stream_of

CPU = Machine(device="cpu", precision="32-true")
WELL = Look(
    step=100,
    fed=0.9,
    bright=0.8,
    real_bright=0.85,
    contrast=0.2,
    real_contrast=0.25,
    apart=0.1,
    real_apart=0.12,
    recall=0.5,
    on_real=0.6,
    on_made=-0.5,
    on_held_out=0.4,
    right=0.8,
    gradient=1.0,
)
LIMITS = WatchSettings()
BEFORE = [WELL] * 6


@pytest.mark.parametrize(
    ("sign", "change"),
    [
        ("black training pictures", {"fed": 0.003}),
        ("black", {"bright": 0.01}),
        ("constant", {"contrast": 0.001}),
        ("saturated", {"right": 1.0, "on_real": 6.0, "on_made": -7.0, "on_held_out": 6.0}),
        ("vanished", {"gradient": 1e-5}),
        ("collapse", {"apart": 0.01}),
        ("collapse", {"recall": 0.05}),
        ("memorising", {"on_held_out": -0.4}),
    ],
)
def test_every_sign_is_seen_alone(sign, change):
    assert signs_of(replace(WELL, **change), BEFORE, LIMITS) == [sign]
    assert sign in REMEDIES


def test_a_healthy_look_shows_nothing():
    assert signs_of(WELL, BEFORE, LIMITS) == []
    assert signs_of(WELL, [], LIMITS) == []
    assert signs_of(replace(WELL, on_held_out=math.nan), BEFORE, LIMITS) == []


GREY = replace(WELL, contrast=0.001, apart=0.001, recall=0.0)
ALIKE = replace(WELL, apart=0.001, recall=0.0)


@pytest.mark.parametrize("look", [GREY, ALIKE], ids=["grey", "one picture for all codes"])
def test_what_never_differed_has_not_begun_and_what_did_has_collapsed(look):
    assert signs_of(look, [], LIMITS) == ["not begun"]
    assert signs_of(look, [look] * 9, LIMITS) == ["not begun"]
    assert "collapse" in signs_of(look, [look, WELL], LIMITS)  # no time to settle: it has been better
    assert "not begun" not in signs_of(look, [look, WELL], LIMITS)


def averaged_as(look: Look, **kept: float) -> Look:
    """With figures of the averaged weights, well but for those that are given."""
    well = {"kept_bright": 0.8, "kept_contrast": 0.2, "kept_apart": 0.1, "kept_recall": 0.5}
    return replace(look, **(well | kept))


def test_what_is_kept_is_looked_at_beside_what_trains():
    well = averaged_as(WELL)
    assert signs_of(well, [well] * 6, LIMITS) == []
    black = averaged_as(WELL, kept_bright=0.01)
    assert signs_of(black, [well] * 6, LIMITS) == ["black"]
    assert tell("black", black, [well] * 6, LIMITS).endswith("made by the averaged weights")
    alike = averaged_as(WELL, kept_apart=0.001, kept_recall=0.0)
    assert signs_of(alike, [alike] * 6, LIMITS) == ["not begun"]  # the average never differed
    assert signs_of(alike, [well] * 6, LIMITS) == ["collapse"]
    training = averaged_as(ALIKE)
    assert signs_of(training, [well] * 6, LIMITS) == ["collapse"]
    assert "averaged" not in tell("collapse", training, [well] * 6, LIMITS)


def test_not_begun_counts_after_the_settling_and_at_the_end_of_the_run_at_once(tmp_path, monkeypatch):
    _, _, dog = run_of(tmp_path / "run", limits={"settle": 4})
    monkeypatch.setattr(watchdog, "take_look", lambda *given: replace(ALIKE, step=given[2]))
    told = [[alarm.sign for alarm in dog.look(step)] for step in range(1, 4)]
    assert told == [[], [], []] and dog.shown == [["not begun"]] * 3
    ended = dog.conclude()
    assert [alarm.sign for alarm in ended] == ["not begun"] and "since the start" in ended[0].fact
    last = json.loads(dog.file.read_text().splitlines()[-1])
    assert last["ended"] and last["alarms"][0]["sign"] == "not begun"
    assert [alarm.sign for alarm in dog.look(4)] == ["not begun"]
    assert dog.conclude() == []  # told already
    dog.resume(2)
    assert [look.step for look in dog.looks] == [1, 2] and "ended" not in dog.file.read_text()


def test_a_run_that_averages_is_looked_at_through_its_average(tmp_path):
    game, _, dog = run_of(tmp_path / "run", ema=0.9)
    before = {key: tensor.clone() for key, tensor in game.state().items()}
    fit(game, range(3))
    dog.look(3)
    (look,) = dog.looks
    assert set(look.views) == {"weights in training", "averaged weights"}
    with game.averaged():
        again = take_look(dog.model, dog.reference, 3, 16, ())
    assert again.apart == look.kept_apart != look.apart and again.bright == look.kept_bright
    assert any(not torch.equal(tensor, before[key]) for key, tensor in game.state().items())


def test_a_critic_without_a_zero_is_never_saturated():
    sure = replace(WELL, right=1.0, on_real=60.0, on_made=-70.0, on_held_out=60.0)
    assert signs_of(sure, BEFORE, LIMITS, chance=False) == []


def test_recall_and_distance_are_their_definitions():
    rng = np.random.default_rng(0)
    real, made = rng.random((9, 5)), rng.random((7, 5))

    def apart(a, b):
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a))

    reach = [sorted(apart(made[i], made[j]) for j in range(7) if j != i)[2] for i in range(7)]
    slow = sum(any(apart(r, made[i]) <= reach[i] for i in range(7)) for r in real) / 9
    assert recall(real, made) == pytest.approx(slow)
    pairs = [apart(real[i], real[j]) for i in range(9) for j in range(9) if i != j]
    assert mean_distance(real) == pytest.approx(sum(pairs) / len(pairs), abs=1e-7)


def test_kinds_that_differ_do_not_hide_that_each_is_one_picture():
    small = np.repeat(
        np.random.default_rng(0).random((2, 5)), 3, 0
    )  # two kinds, one picture each, three times
    kinds = np.repeat([0, 1], 3)
    assert mean_distance(small) > 0.1 and mean_distance(small, kinds) == pytest.approx(0, abs=1e-7)
    mixed = np.random.default_rng(1).random((5, 4))
    alone = [mean_distance(mixed[:3]) * 6, mean_distance(mixed[3:]) * 2]
    assert mean_distance(mixed, np.array([0, 0, 0, 1, 1])) == pytest.approx(sum(alone) / 8)
    assert mean_distance(mixed, np.arange(5)) == 0  # no two of a kind


def test_a_look_is_a_line_of_json_and_back():
    look = replace(WELL, on_held_out=math.nan)
    back = Look.of_record(json.loads(json.dumps(look.record(), allow_nan=False)))
    assert math.isnan(back.on_held_out) and replace(back, on_held_out=0.0) == replace(look, on_held_out=0.0)


def test_the_reins_are_pulled_and_held_within_bounds():
    reins = Reins()
    for sign in REMEDIES:
        assert pull(reins, sign) == (sign != "black training pictures")
    assert 0 < float(reins.generator_rate) < 1 and 0 < float(reins.discriminator_rate) < 1
    assert float(reins.augment) > 0 and int(reins.pulls) == len(REMEDIES) - 1
    for _ in range(50):
        pull(reins, "black")
        pull(reins, "collapse")
    assert float(reins.generator_rate) == 1 / 64 and float(reins.augment) == 1


def run_of(
    folder: Path,
    action: str = "tell",
    seed: int = 0,
    held_out: bool = True,
    limits=None,
    ema=None,
    **settings,
):
    """A new game, its run and its watchdog; `settings` of the DCGAN."""
    model = build("dcgan", seed, **({"size": 16, "width": 8, "codes": 8} | settings))
    slices = discs(24)
    game = Game({"dcgan": model}, entry_for("dcgan").players(model), stream_of(slices, 8), seed, CPU, ema=ema)
    run = (
        RunDir.open(folder)
        if (folder / "settings.json").exists()
        else RunDir.create(folder, "t", "dcgan", {}, seed)
    )
    reference = reference_of(slices, discs(12, seed=1) if held_out else None, 32)
    watch = WatchSettings(**({"every": 2, "pictures": 16, "action": action} | (limits or {})))
    averaged = None if ema is None else game.averaged
    return game, run, Watchdog(model, reference, watch, run.folder / "watchdog.jsonl", averaged)


def play(folder: Path, steps: int, action: str = "tell", **given):
    game, run, dog = run_of(folder, action, **given)
    with run.writing():
        alarms = fit_guarded(game, run, dog, Stretch(steps, dog.settings.every, 1), run.log)
    return game, run, dog, alarms


def test_looking_changes_nothing(tmp_path):
    game, _, dog = run_of(tmp_path / "run")
    before = {key: tensor.clone() for key, tensor in game.state().items()}
    state = torch.get_rng_state()
    dog.look(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[key]) for key, tensor in game.state().items())
    assert take_look(dog.model, dog.reference, 0, 16, ()) == replace(dog.looks[0]) or math.isnan(
        dog.looks[0].gradient
    )


def test_the_released_settings_are_caught_at_once_and_their_black_pictures_later(tmp_path):
    """What the paper describes, long phases of black pictures and few distinct ones: it is fed black."""
    literal = dcgan.literal() | {"lr": 1e-3}  # a tiny network needs longer steps to arrive where theirs did
    rare = {"every": 10}
    _, run, dog, alarms = play(tmp_path / "run", 240, limits=rare, **literal)
    first = alarms[0]
    assert first.sign == "black training pictures" and "literal_scaling" in first.remedy
    assert {"black", "collapse"} <= {alarm.sign for alarm in alarms}
    assert dog.looks[-1].bright < 0.15 * dog.looks[-1].real_bright
    lines = [json.loads(line) for line in (run.folder / "watchdog.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [*range(10, 241, 10), 240] and lines[-1]["ended"]
    assert lines[0]["alarms"][0]["sign"] == "black training pictures"
    _, _, _, right = play(tmp_path / "right", 240, limits=rare, **(literal | {"literal_scaling": False}))
    assert not {"black", "black training pictures"} & {alarm.sign for alarm in right}


def test_stop_ends_the_run_with_fact_and_remedy_and_keeps_a_checkpoint(tmp_path):
    game, run, dog = run_of(tmp_path / "run", "stop", literal_scaling=True)
    with pytest.raises(TrainingError, match=r"fed greys up to.*scale pictures"), run.writing():
        fit_guarded(game, run, dog, Stretch(10, 2, 1), run.log)
    assert RunDir.open(run.folder).state == "stopped"
    assert list(run.folder.glob("checkpoint-*"))


def test_what_no_rein_can_cure_ends_the_run_too(tmp_path):
    for action in ("remedy", "roll back"):
        game, run, dog = run_of(tmp_path / action.replace(" ", "-"), action, literal_scaling=True)
        with pytest.raises(TrainingError, match="black training"), run.writing():
            fit_guarded(game, run, dog, Stretch(10, 2, 1), run.log)


NERVOUS = {
    "settle": 2,
    "constant": 0.9,
    "patience": 2,
    "most_pulls": 3,
}  # a young generator has little contrast


def test_a_remedy_pulls_the_reins_and_goes_on(tmp_path):
    limits = NERVOUS | {"most_pulls": 100}
    game, run, _, alarms = play(tmp_path / "run", 20, "remedy", limits=limits)
    assert {alarm.sign for alarm in alarms} >= {"not begun"}
    reins = game.modules["dcgan"].reins
    assert float(reins.generator_rate) < 1 and int(reins.pulls) > 0
    rates = [record["lr"] for record in run.metrics() if record["player"] == "generator"]
    assert rates[-1] < rates[0]
    assert game.step == 20


def test_roll_back_returns_to_before_the_first_sign_and_gives_up_in_the_end(tmp_path):
    limits = {"constant": 0.0, "alike": 0.0, "vanished": 10.0, "most_pulls": 3}  # no gradient is that long
    game, run, dog = run_of(tmp_path / "run", "roll back", limits=limits)
    with pytest.raises(TrainingError, match="gradient"), run.writing():
        fit_guarded(game, run, dog, Stretch(40, 2, 1), run.log)
    lines = [json.loads(line) for line in (run.folder / "watchdog.jsonl").read_text().splitlines()]
    back = [line["rolled_back_to"] for line in lines if "rolled_back_to" in line]
    assert len(back) >= 1 and set(back) == {2}  # nothing to compare with at 2; a sign at 4, and again at 6
    assert sum("pulled" in line for line in lines) == len(back)


@pytest.mark.parametrize("action", ["tell", "remedy", "roll back"])
def test_a_stopped_run_goes_on_to_the_same_bits_and_the_same_looks(tmp_path, action):
    limits = {"settle": 1, "constant": 0.6, "patience": 1, "most_pulls": 100}

    def give_up(folder: Path, steps: int):
        try:
            return play(folder, steps, action, limits=limits)[0]
        except TrainingError:
            return None

    whole = give_up(tmp_path / "whole", 12)
    give_up(tmp_path / "parts", 6)
    parts = give_up(tmp_path / "parts", 12)
    assert (tmp_path / "whole" / "watchdog.jsonl").read_text() == (
        tmp_path / "parts" / "watchdog.jsonl"
    ).read_text()
    assert (whole is None) == (parts is None)
    if whole is not None:
        assert all(torch.equal(tensor, parts.state()[key]) for key, tensor in whole.state().items())


def test_settings_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(UsageError, match="action"):
        WatchSettings(action="bite")
    with pytest.raises(UsageError, match="pictures"):
        WatchSettings(pictures=2)
    game, run, dog = run_of(tmp_path / "run")
    with pytest.raises(UsageError, match="multiple"):
        fit_guarded(game, run, dog, Stretch(10, 3), run.log)
