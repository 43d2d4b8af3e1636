"""A job is done once, a kill costs the job at hand, and a folder of another study is refused."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from glasslung.errors import UsageError
from glasslung.studies.jobs import Job, Product, check_same, finish
from glasslung.studies.progression.contest import Outcome, read_outcome, write_outcome
from glasslung.studies.seeds import over_seeds


def outcome(grey: float) -> Outcome:
    pictures = np.full((2, 4, 4), grey, np.float32)
    return Outcome({0: pictures}, {0: pictures}, {(0, 1): pictures[None]}, {}, {}, {"steps": {"one": 3}})


class Bench:
    """Makes jobs and counts how often each was worked on; the one named `dies` is killed half way."""

    def __init__(self, dies: str = "") -> None:
        self.worked: list[str] = []
        self.dies = dies

    def job(self, name: str, seed: int = 0, asked: bool = True, **settings: object) -> Job:
        def work(progress) -> Product:
            self.worked.append(name)
            progress("half", 0.5)
            if name == self.dies:
                raise KeyboardInterrupt
            model = nn.Linear(2, 1)
            nn.init.constant_(model.weight, seed)
            answer = partial(write_outcome, outcome(0.2)) if asked else None
            return Product(model, answer, {"seconds": 1.5})

        return Job(name, seed, {"settings": settings}, work)


def test_a_finished_job_is_not_done_again(tmp_path):
    bench, told = Bench(), []
    jobs = [bench.job("CAGE-ALL A0"), bench.job("CAGE-ALL A0", seed=1), bench.job("U-SVAE", asked=False)]
    done = finish(jobs, tmp_path, lambda text, share: told.append((text, share)))
    again = finish(jobs, tmp_path, lambda text, share: told.append((text, share)))
    assert bench.worked == ["CAGE-ALL A0", "CAGE-ALL A0", "U-SVAE"]
    assert [one.manifest for one in done] == [one.manifest for one in again]
    assert [one.key for one in done] == ["cage-all-a0-0", "cage-all-a0-1", "u-svae-0"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert ("CAGE-ALL A0, seed 1 (2 of 3): half", pytest.approx(0.5)) in told


def test_what_is_kept_is_what_was_made(tmp_path):
    done = finish(
        [Bench().job("R1+R2", seed=3), Bench().job("U-SVAE", asked=False)], tmp_path, lambda text, share: None
    )
    assert done[0].answer is not None
    kept = read_outcome(done[0].answer)
    assert np.allclose(kept.carried[0, 1], 0.2, atol=1 / 255)
    assert done[1].answer is None
    assert done[0].manifest["told"] == {"seconds": 1.5}
    assert done[0].manifest["versions"]["torch"]
    from glasslung.train.checkpoint import load_tensors

    assert torch.equal(load_tensors(done[0].weights)["weight"], torch.full((1, 2), 3.0))


def test_a_kill_costs_the_job_at_hand(tmp_path):
    names = ["first", "second", "third"]
    killed = Bench(dies="second")
    with pytest.raises(KeyboardInterrupt):
        finish([killed.job(name) for name in names], tmp_path, lambda text, share: None)
    assert not list(tmp_path.glob("second*"))
    later = Bench()
    finish([later.job(name) for name in names], tmp_path, lambda text, share: None)
    assert later.worked == ["second", "third"]


def test_another_study_in_the_folder_is_refused_before_anything_is_done(tmp_path):
    finish([Bench().job("R1", lr=0.1)], tmp_path, lambda text, share: None)
    bench = Bench()
    with pytest.raises(UsageError, match=r"settings.lr is 0.1, asked for: 0.2"):
        finish([bench.job("U-SVAE"), bench.job("R1", lr=0.2)], tmp_path, lambda text, share: None)
    assert not bench.worked


def test_a_job_that_another_process_is_at_is_left_to_it(tmp_path):
    from filelock import FileLock

    bench = Bench()
    jobs = [bench.job("first"), bench.job("second")]
    lock = FileLock(tmp_path / ".first-0.lock")
    lock.acquire()

    def tell(text: str, share: float) -> None:
        if text.startswith("second") and lock.is_locked:  # the other one ends while this one is at the second
            lock.release()

    done = finish(jobs, tmp_path, tell)
    assert bench.worked == ["second", "first"]
    assert [one.name for one in done] == ["first", "second"]


def test_settings_are_compared_by_what_json_keeps():
    check_same(json.loads(json.dumps({"ages": (0, 1)})), {"ages": (0, 1)}, "it")
    with pytest.raises(UsageError, match=r"it: its budget.slices is 16, asked for: not set \(and 1 more"):
        check_same({"budget": {"slices": 16}}, {"seed": 1}, "it")


def test_seeds_are_averaged_where_they_have_a_figure():
    one = {"a": {"x": {"value": 1.0, "low": 0.0}}, "words": "no figure"}
    two = {"a": {"x": {"value": 3.0, "low": 2.0}, "y": {"value": None}}}
    found = over_seeds([one, two])
    assert found == {"a": {"x": {"mean": 2.0, "deviation": pytest.approx(2**0.5), "seeds": 2}}}
    assert over_seeds([one])["a"]["x"]["deviation"] is None
