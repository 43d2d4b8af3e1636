"""The loop: what a step does, that it can stop and go on, that it refuses to go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from training_toys import CPU, Net, NumberStream, game, noisy_square, two_player_game

from glasslung.errors import DataError, TrainingError, UsageError
from glasslung.nn.matching import Queue
from glasslung.nn.player import Batches, Player
from glasslung.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from glasslung.train.game import Game
from glasslung.train.loop import Clock, fit, tell_time
from glasslung.train.machine import Machine, determinism


def same(left: Game, right: Game) -> bool:
    """Weights, buffers and averages, bit for bit."""
    states = [(left.state(), right.state()), (left.averages, right.averages)]
    return all(a.keys() == b.keys() and all(torch.equal(t, b[n]) for n, t in a.items()) for a, b in states)


def test_learning_lowers_the_loss():
    records = []
    fit(game(), range(60), records.append)
    assert sum(r["total"] for r in records[-10:]) < 0.5 * sum(r["total"] for r in records[:10])


def test_one_step_equals_a_slow_twin():
    """Adam's first step by hand: per-tensor norm clip, then value clip, then m / (sqrt(v) + eps)."""
    net = Net(dropout=0.0)
    player = Player(
        "net",
        list(net.parameters()),
        noisy_square(net),
        lr=0.1,
        clip_tensor_norm=1.0,
        clip_value=0.3,
        epsilon=1e-7,
    )
    run = Game({"net": net}, [player], NumberStream(), 3, CPU)
    twin = Net(dropout=0.0).train()
    batch = next(NumberStream())
    loss = noisy_square(twin)(batch, 0, run.draws(0, 0, 0, 0))["total"]
    loss.backward()
    expected = []
    for parameter in twin.parameters():
        gradient = parameter.grad
        norm = gradient.norm().item()
        gradient = gradient * min(1.0, 1.0 / norm) if norm > 0 else gradient
        gradient = gradient.clamp(-0.3, 0.3)
        expected.append(parameter.detach() - 0.1 * gradient / (gradient.abs() + 1e-7))
    fit(run, range(1))
    for got, wanted in zip(net.parameters(), expected, strict=True):
        assert torch.allclose(got, wanted, atol=1e-6)


def test_the_total_norm_is_clipped_and_the_norm_before_is_logged():
    records = []
    free, tight = game(), game(clip_total_norm=1e-4, epsilon=1.0)
    fit(free, range(1), records.append)
    fit(tight, range(1), records.append)
    assert records[0]["gradient_norm"] == records[1]["gradient_norm"] > 1
    start = Net().state_dict()
    moved = max((tight.state()[f"net.{n}"] - t).abs().max().item() for n, t in start.items() if "weight" in n)
    assert moved < 1e-4 * 0.05 * 1.01


def test_gradients_beyond_the_square_root_of_float32_are_clipped_not_lost():
    """1e25 squared overflows float32, but the gradient itself is finite and its direction is right."""
    weight = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        weight.weight.zero_()
    direction = torch.tensor([[3e25, 4e25]])

    def loss(batch, step, rng):
        return {"total": (weight.weight * direction).sum()}

    player = Player("w", list(weight.parameters()), loss, lr=1.0, clip_tensor_norm=1.0, epsilon=1.0)
    records = []
    fit(Game({"w": weight}, [player], NumberStream(), 0, CPU), range(1), records.append)
    assert records[0]["gradient_norm"] == pytest.approx(5e25)
    assert weight.weight[0].tolist() == pytest.approx(
        [-0.6 / 1.6, -0.8 / 1.8]
    )  # Adam's first step: g / (|g| + 1)


def test_accumulating_averages_the_gradients_of_several_batches():
    """Two half batches under `accumulate=2` move the weights as the mean of their gradients does."""
    net, twin = Net(dropout=0.0), Net(dropout=0.0).train()

    def plain(model):
        return lambda batch, step, rng: {"total": model(batch.x).square().mean()}

    run = Game(
        {"net": net},
        [Player("net", list(net.parameters()), plain(net), accumulate=2, lr=0.01)],
        NumberStream(),
        0,
        CPU,
    )
    fit(run, range(1))
    stream, optimiser = NumberStream(), torch.optim.Adam(twin.parameters(), lr=0.01, eps=1e-7)
    for _ in range(2):
        (plain(twin)(next(stream), 0, None)["total"] / 2).backward()
    optimiser.step()
    for got, wanted in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(got, wanted, atol=1e-6)


def test_only_the_players_own_weights_move_and_turns_count():
    run = two_player_game()
    records = []
    fit(run, range(3), records.append)
    assert [r["player"] for r in records] == ["critic", "net"] * 3
    assert run.optimisers["critic"].state[run.players[0].parameters[0]]["step"].item() == 6
    assert run.optimisers["net"].state[run.players[1].parameters[0]]["step"].item() == 3
    assert records[3]["lr"] == pytest.approx(0.025)


@pytest.mark.parametrize("make", [lambda: game(ema=0.9), two_player_game], ids=["one player", "two players"])
def test_two_halves_equal_one_whole_bit_for_bit(make, tmp_path):
    whole, first, second = make(), make(), make()
    fit(whole, range(9))
    fit(first, range(4))
    save_checkpoint(first, tmp_path)
    torch.randn(7)  # the world goes on between the halves
    assert load_checkpoint(second, tmp_path) == 4
    fit(second, range(4, 9))
    assert same(whole, second)
    fit(first, range(4, 9))  # and going on in the same process is the same again
    assert same(whole, first)


def test_evaluation_between_calls_changes_nothing():
    whole, parts = game(), game()
    fit(whole, range(6))
    for start in (0, 3):
        fit(parts, range(start, start + 3))
        parts.modules["net"].eval()
        torch.rand(11)
    assert same(whole, parts)


KILLED = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from training_toys import game
    from glasslung.train.checkpoint import save_checkpoint
    from glasslung.train.loop import fit
    run = game(ema=0.9)
    for start in range(0, 10**6, 2):
        fit(run, range(start, start + 2))
        save_checkpoint(run, Path({folder!r}))
        print(start, flush=True)
"""


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    tests = str(Path(__file__).parent)
    source = textwrap.dedent(KILLED).format(tests=tests, folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 6:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    resumed = game(ema=0.9)
    step = load_checkpoint(resumed, tmp_path)
    assert step >= 8
    fit(resumed, range(step, step + 5))
    whole = game(ema=0.9)
    fit(whole, range(step + 5))
    assert same(whole, resumed)


def test_a_checkpoint_is_plain_and_only_the_newest_is_kept(tmp_path):
    run = game(ema=0.5)
    for start in (0, 2):
        fit(run, range(start, start + 2))
        save_checkpoint(run, tmp_path)
    (only,) = checkpoints(tmp_path)
    names = sorted(path.name for path in only.iterdir())
    assert names == [
        "averages.safetensors",
        "optimisers.safetensors",
        "state.json",
        "stream-0.json",
        "weights.safetensors",
    ]
    assert json.loads((only / "state.json").read_text())["step"] == 4
    assert [path.name for path in tmp_path.iterdir()] == [only.name]


def test_a_half_written_checkpoint_is_not_taken_for_one(tmp_path):
    run = game()
    fit(run, range(2))
    save_checkpoint(run, tmp_path)
    partial = tmp_path / ".checkpoint-00000009.part"
    partial.mkdir()
    (partial / "state.json").write_text("{")
    assert load_checkpoint(game(), tmp_path) == 2


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path):
    run = game()
    fit(run, range(1))
    path = save_checkpoint(run, tmp_path)
    with pytest.raises(UsageError, match="seed is 3, this run's is 4"):
        load_checkpoint(game(seed=4), tmp_path)
    (path / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cannot be read"):
        load_checkpoint(game(), tmp_path)


def test_a_checkpoint_of_another_network_is_refused_and_nothing_is_changed(tmp_path):
    run = game()
    fit(run, range(1))
    save_checkpoint(run, tmp_path)
    net = torch.nn.Linear(4, 1)
    before = net.weight.detach().clone()
    other = Game(
        {"net": net}, [Player("net", list(net.parameters()), noisy_square(net))], NumberStream(), 3, CPU
    )
    with pytest.raises(DataError, match="another model"):
        load_checkpoint(other, tmp_path)
    assert torch.equal(net.weight, before)


def test_a_full_disk_is_told_by_the_name_of_the_checkpoint(tmp_path, limited_files):
    with limited_files(100), pytest.raises(DataError, match="cannot be written") as told:
        save_checkpoint(game(), tmp_path)
    assert str(told.value).startswith(f"{tmp_path / 'checkpoint-00000000' / 'weights.safetensors'}: cannot")
    assert checkpoints(tmp_path) == []


@pytest.fixture
def limited_files():
    """A disk that is full after so many bytes of a file, as far as this process can tell."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(size: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit


def test_an_unwritable_folder_is_told_in_our_words(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UsageError, match="no checkpoint can be written"):
        save_checkpoint(game(), blocked / "run")


def test_a_loss_that_is_not_finite_stops_the_run_with_advice():
    def loss(batch, step, rng):
        return {"total": net(batch.x).mean() * (float("nan") if step == 2 else 1.0)}

    net = Net()
    run = Game({"net": net}, [Player("net", list(net.parameters()), loss, lr=0.01)], NumberStream(), 0, CPU)
    with pytest.raises(
        TrainingError, match=r"step 2: total of player 'net' .* Lower the learning rate \(now 0.01\)"
    ):
        fit(run, range(5))
    assert run.step == 2
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_a_gradient_that_is_not_finite_stops_the_run_too():
    def loss(batch, step, rng):
        return {"total": (net(batch.x) * 0).abs().pow(0.5).sum()}

    net = Net()
    run = Game({"net": net}, [Player("net", list(net.parameters()), loss)], NumberStream(), 0, CPU)
    with pytest.raises(TrainingError, match=r"gradient of 'net\.layers\.\d\.\w+'"):
        fit(run, range(1))


def test_a_parameter_the_loss_does_not_reach_is_named():
    net, idle = Net(), torch.nn.Linear(2, 2)
    player = Player("net", [*net.parameters(), *idle.parameters()], noisy_square(net))
    run = Game({"net": net, "idle": idle}, [player], NumberStream(), 0, CPU)
    with pytest.raises(TrainingError, match=r"does not reach 2 of its parameters, first 'idle\.weight'"):
        fit(run, range(1))


def test_a_parameter_of_no_module_is_refused():
    net = Net()
    with pytest.raises(UsageError, match="would not be saved"):
        Game(
            {"net": net},
            [Player("x", [torch.nn.Parameter(torch.ones(1))], noisy_square(net))],
            NumberStream(),
            0,
            CPU,
        )


def test_steps_must_go_on_where_the_run_stands():
    run = game()
    fit(run, range(3))
    with pytest.raises(UsageError, match="stands before step 3"):
        fit(run, range(0, 2))
    fit(run, range(3, 3))
    assert run.step == 3


def test_averages_follow_their_formula_and_are_given_back():
    run = game(ema=0.8)
    average = {name: tensor.clone() for name, tensor in run.weights().items()}
    for step in range(4):
        fit(run, range(step, step + 1))
        decay = min(0.8, (1 + step) / (10 + step))
        average = {
            name: decay * average[name] + (1 - decay) * tensor.detach()
            for name, tensor in run.weights().items()
        }
    own = {name: tensor.detach().clone() for name, tensor in run.weights().items()}
    with pytest.raises(ZeroDivisionError), run.averaged():
        for name, tensor in run.weights().items():
            assert torch.allclose(tensor, average[name], atol=1e-6)
        raise ZeroDivisionError
    assert all(torch.equal(tensor, own[name]) for name, tensor in run.weights().items())
    with pytest.raises(UsageError, match="keeps no averaged weights"), game().averaged():
        pass


def test_what_was_borrowed_is_given_back():
    run = game()
    run.modules["net"].eval()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(run, range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert not run.modules["net"].training
    assert all(p.grad is None for p in run.modules["net"].parameters())


def test_deterministic_refuses_what_depends_on_chance_and_ends_with_the_run():
    """put_ without accumulate writes in an order that threads decide: refused inside, allowed outside."""

    def put(batch, step, rng):
        torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
        return {"total": net(batch.x).mean()}

    net, before = Net(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")  # other libraries set it, too
    strict = Machine(device="cpu", precision="32-true", deterministic=True)
    player = Player("net", list(net.parameters()), put)
    fit(Game({"net": net}, [player], NumberStream(), 0, CPU), range(1))
    with pytest.raises(RuntimeError, match="deterministic"):
        fit(Game({"net": net}, [player], NumberStream(), 0, strict), range(1))
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == before


def test_deterministic_runs_are_equal():
    strict = Machine(device="cpu", precision="32-true", deterministic=True)
    left, right = game(strict), game(strict)
    fit(left, range(5))
    fit(right, range(5))
    assert same(left, right)
    assert not same(left, game(strict, seed=4))


def test_determinism_restores_what_was_set_before():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with determinism(True):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_bfloat16_trains_and_keeps_its_weights_in_float32():
    run = game(Machine(device="cpu", precision="bf16-mixed"))
    records = []
    fit(run, range(3), records.append)
    assert all(p.dtype == torch.float32 for p in run.modules["net"].parameters())
    full = []
    fit(game(), range(3), full.append)
    assert records[0]["total"] == pytest.approx(full[0]["total"], rel=0.05)
    assert records[0]["total"] != full[0]["total"]


def test_the_log_holds_every_step_asked_for_and_progress_counts_down():
    records, states = [], []
    fit(game(), range(10), records.append, every=4, progress=states.append)
    assert [r["step"] for r in records] == [0, 4, 8]
    assert [s.done for s in states] == list(range(1, 11))
    assert states[-1].seconds_left == 0
    assert "100 % done" in states[-1].text


def test_the_first_step_does_not_spoil_the_estimate(monkeypatch):
    times = iter([0.0, 10.0, 11.0, 12.0])
    monkeypatch.setattr("glasslung.train.loop.time.monotonic", lambda: next(times))
    clock = Clock(12)
    assert [clock.tick(step).seconds_left for step in range(3)] == [110.0, 10.0, 9.0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.2, "1 min 00 s"), (125, "2 min 05 s"), (12000, "3 h 20 min")]
)
def test_time_is_told_as_a_person_would(seconds, text):
    assert tell_time(seconds) == text


def test_the_stream_is_a_stream():
    assert isinstance(NumberStream(), Batches)


@pytest.mark.parametrize("settings", [{"device": "tpu"}, {"precision": "8"}, {"processes": 0}])
def test_an_unknown_machine_is_refused(settings):
    with pytest.raises(UsageError):
        Machine(**settings)


def test_a_memory_of_slices_is_refused_to_several_processes():
    keeper = torch.nn.ModuleDict({"memory": Queue(4, 2), "net": Net()})
    player = Player("net", list(keeper["net"].parameters()), noisy_square(keeper["net"]))
    two = Machine(device="cpu", precision="32-true", processes=2)
    with pytest.raises(UsageError, match="'keeper' remembers earlier slices, which 2 processes cannot share"):
        Game({"keeper": keeper}, [player], NumberStream(), 0, two)
    assert Game({"keeper": keeper}, [player], NumberStream(), 0, CPU).step == 0


def test_shares_of_a_turn_are_averaged():
    """Two shares equal one step on both batches' mean gradient; running statistics are the mean of both."""
    net, twin = Net(dropout=0.0), Net(dropout=0.0).train()

    def loss(batch, step, rng):
        return {"total": net(batch.x).square().mean()}

    machine = Machine(device="cpu", precision="32-true", processes=2)
    player = Player("net", list(net.parameters()), loss, lr=0.01)
    fit(Game({"net": net}, [player], NumberStream(), 0, machine), range(2))
    stream, optimiser = NumberStream(), torch.optim.AdamW(twin.parameters(), 0.01, eps=1e-7, weight_decay=0)
    for _ in range(2):
        optimiser.zero_grad()
        before, after = twin.layers[1].running_mean.clone(), []
        for _ in range(2):
            twin.layers[1].running_mean.copy_(before)
            (twin(next(stream).x).square().mean() / 2).backward()
            after.append(twin.layers[1].running_mean.clone())
        twin.layers[1].running_mean.copy_((after[0] + after[1]) / 2)
        optimiser.step()
    for name in ("layers.0.weight", "layers.4.bias", "layers.1.running_mean"):
        torch.testing.assert_close(net.state_dict()[name], twin.state_dict()[name], rtol=0, atol=1e-6)


def test_parameters_learn_at_their_share_of_the_rate():
    """Adam's first step is the rate itself, whatever the gradient."""
    net = Net(dropout=0.0)
    parameters = list(net.parameters())
    shares = (1.0, *(0.1 for _ in parameters[1:]))
    player = Player("net", parameters, noisy_square(net), lr=0.01, epsilon=1e-12, shares=shares)
    run = Game({"net": net}, [player], NumberStream(), 3, CPU)
    before = [p.detach().clone() for p in parameters]
    fit(run, range(1))
    for share, old, new in zip(shares, before, parameters, strict=True):
        moved = (new.detach() - old).abs()
        torch.testing.assert_close(moved.max(), torch.tensor(0.01 * share), rtol=1e-3, atol=1e-7)


def test_a_share_for_each_parameter_or_none():
    with pytest.raises(UsageError, match="share of lr"):
        Player("net", list(Net().parameters()), noisy_square(Net()), shares=(1.0,))
