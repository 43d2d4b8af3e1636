"""A run's folder: plain, whole, locked, listed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from training_toys import Net, game

from glasslung.errors import DataError, UsageError
from glasslung.train.loop import fit
from glasslung.train.rundir import RunDir, hash_input, list_runs, tensorboard


@pytest.fixture
def run(tmp_path):
    return RunDir.create(
        tmp_path / "run", "progression", "usvae", {"lr": 0.1, "kl": None}, seed=7, command="glasslung x"
    )


def test_a_new_run_says_what_made_it(tmp_path):
    cohort = tmp_path / "cohort"
    cohort.mkdir()
    (cohort / "a.txt").write_text("a")
    RunDir.create(
        tmp_path / "run", "progression", "usvae", {"lr": 0.1}, 7, {"cohort": cohort}, "glasslung study"
    )
    about = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert about["settings"] == {"lr": 0.1}
    assert (about["seed"], about["command"], about["study"], about["model"]) == (
        7,
        "glasslung study",
        "progression",
        "usvae",
    )
    assert about["inputs"]["cohort"] == {"path": str(cohort), "sha256": hash_input(cohort)}
    assert (
        about["versions"]["torch"] == torch.__version__.split("+")[0]
        or about["versions"]["torch"] == torch.__version__
    )
    assert RunDir.open(tmp_path / "run").about == about


def test_a_hash_sees_names_and_contents(tmp_path):
    def folder(name: str, files: dict[str, str]):
        path = tmp_path / name
        path.mkdir()
        for file, text in files.items():
            (path / file).write_text(text)
        return hash_input(path)

    start = folder("a", {"x": "1", "y": "2"})
    assert start == folder("b", {"y": "2", "x": "1"})
    assert len({start, folder("c", {"x": "2", "y": "1"}), folder("d", {"x": "1", "z": "2"})}) == 3
    with pytest.raises(DataError, match="cannot be read"):
        hash_input(tmp_path / "nothing")


def test_a_folder_with_something_in_it_is_refused(run, tmp_path):
    with pytest.raises(UsageError, match="is not empty"):
        RunDir.create(run.folder, "progression", "usvae", {}, 0)
    assert RunDir.open(run.folder).about["seed"] == 7
    empty = tmp_path / "empty"
    empty.mkdir()
    RunDir.create(empty, "progression", "usvae", {}, 0)


def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path):
    with pytest.raises(UsageError, match="no run can be made"):
        RunDir.create(tmp_path / "run", "s", "m", {"bad": object()}, 0)
    with pytest.raises(DataError):
        RunDir.create(tmp_path / "run", "s", "m", {}, 0, {"cohort": tmp_path / "missing"})
    assert list(tmp_path.iterdir()) == []


def test_no_run_is_no_run(tmp_path):
    with pytest.raises(DataError, match="not a run"):
        RunDir.open(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        list_runs(tmp_path / "nowhere")
    assert list_runs(tmp_path) == []


def test_metrics_come_back_as_logged_and_can_be_rewound(run):
    records = [{"step": step, "player": "net", "total": 0.5 * step} for step in range(5)]
    for record in records:
        run.log(record)
    assert run.metrics() == records
    with (run.folder / "metrics.jsonl").open("a") as handle:
        handle.write('{"step": 5, "tot')  # killed while writing
    assert run.metrics() == records
    run.rewind(3)
    assert run.metrics() == records[:3]
    assert (run.folder / "metrics.jsonl").read_text().endswith("\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        run.log({"total": float("nan")})


def test_damage_in_the_middle_is_told(run):
    (run.folder / "metrics.jsonl").write_text("{broken\n{}\n")
    with pytest.raises(DataError, match="damaged"):
        run.metrics()


def test_weights_come_back(run):
    net, other = Net(), Net()
    with torch.no_grad():
        net.layers[0].weight += 1
    path = run.save("net", net)
    run.load("net", other)
    assert path == run.folder / "weights" / "net.safetensors"
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in net.state_dict().items())
    with pytest.raises(DataError, match="another model"):
        run.load("net", torch.nn.Linear(4, 6))
    with pytest.raises(DataError, match="cannot be read"):
        run.load("unknown", other)


def test_weights_may_be_read_by_whom_the_other_files_may(run):
    path = run.save("net", Net())
    assert path.stat().st_mode == (run.folder / "metrics.jsonl").stat().st_mode


def test_a_run_goes_on_and_its_log_is_as_if_nothing_had_happened(tmp_path):
    whole = RunDir.create(tmp_path / "whole", "s", "toy", {}, 3)
    fit(game(), range(8), whole.log)
    broken = RunDir.create(tmp_path / "broken", "s", "toy", {}, 3)
    first = game()
    with broken.writing():
        fit(first, range(4), broken.log)
        broken.checkpoint(first)
        fit(first, range(4, 7), broken.log)  # and then the power fails
    again = RunDir.open(broken.folder)
    second = game()
    with again.writing():
        step = again.resume(second)
        fit(second, range(step, 8), again.log)
    assert step == 4
    assert (whole.folder / "metrics.jsonl").read_bytes() == (broken.folder / "metrics.jsonl").read_bytes()


def test_nothing_to_resume_starts_at_the_beginning(run):
    run.log({"step": 0, "total": 1.0})
    assert run.resume(game()) == 0
    assert run.metrics() == []


HOLD = """
    import sys, time
    from pathlib import Path
    from glasslung.train.rundir import RunDir
    with RunDir.open(Path({folder!r})).writing():
        print("holding", flush=True)
        time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_lock(run):
    source = textwrap.dedent(HOLD).format(folder=str(run.folder))
    holder = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    try:
        with pytest.raises(UsageError, match="another process is writing"), run.writing():
            pass
        assert run.state == "running"
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert run.state == "killed"
    with run.writing():
        assert run.busy
    assert run.state == "finished"


def test_the_status_says_how_a_run_ended(run):
    assert run.state == "new"
    with pytest.raises(ValueError, match="boom"), run.writing():
        raise ValueError("boom")
    assert run.state == "stopped"
    assert "ValueError: boom" in (run.folder / "status.json").read_text()


def test_runs_are_listed_oldest_first_and_strangers_passed_over(tmp_path):
    for name in ("b", "a"):
        run = RunDir.create(tmp_path / "deep" / name, "progression", "cage", {}, seed=1)
        run.log({"step": 3, "total": 1.5})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "settings.json").write_text('{"theme": "dark"}')
    runs = list_runs(tmp_path)
    assert sorted(r.folder.name for r in runs) == ["a", "b"]
    assert [r.created for r in runs] == sorted(r.created for r in runs)
    assert (runs[0].model, runs[0].step, runs[0].last["total"], runs[0].state) == ("cage", 3, 1.5, "new")


def test_tensorboard_gets_the_same_numbers(run):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard(run) as log:
        log({"step": 4, "player": "net", "total": 0.25})
    assert run.metrics() == [{"step": 4, "player": "net", "total": 0.25}]
    events = loader.EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    (point,) = events.Scalars("net/total")
    assert (point.step, point.value) == (4, 0.25)


def test_one_broken_run_does_not_hide_the_others(tmp_path):
    for name in ("good", "bad"):
        run = RunDir.create(tmp_path / name, "progression", "cage", {"training": {"steps": 9}}, seed=1)
        with run.writing():
            toy = game()
            fit(toy, range(3), run.log)
            run.checkpoint(toy)
    (tmp_path / "bad" / "metrics.jsonl").write_text("{broken\n{}\n")
    states = {r.folder.name: (r.state, r.made, r.step) for r in list_runs(tmp_path)}
    assert states == {"good": ("finished", 3, 2), "bad": ("damaged", 3, None)}


@pytest.mark.parametrize(
    "harm",
    [
        lambda about: "{",
        lambda about: json.dumps({**about, "format": 99}),
        lambda about: json.dumps({name: value for name, value in about.items() if name != "created"}),
        lambda about: json.dumps({**about, "settings": None}),
    ],
)
def test_a_run_with_broken_settings_is_listed_and_not_opened(tmp_path, harm):
    for name in ("good", "bad"):
        run = RunDir.create(tmp_path / name, "progression", "cage", {}, seed=1)
    path = tmp_path / "bad" / "settings.json"
    path.write_text(harm(run.about))
    (tmp_path / "good" / "checkpoint-mine").mkdir()
    states = {r.folder.name: (r.state, r.made) for r in list_runs(tmp_path)}
    assert states == {"good": ("new", 0), "bad": ("damaged", 0)}
    with pytest.raises(DataError):
        RunDir.open(path.parent)


def test_a_record_that_is_none_is_told_by_its_line(run):
    (run.folder / "metrics.jsonl").write_text('{"step": 0}\n5\n')
    with pytest.raises(DataError, match="line 2"):
        run.metrics()
