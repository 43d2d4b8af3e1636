"""Running averages of the weights: every step from its formula, quick at first."""

from __future__ import annotations

import pytest
import torch
from training_toys import game

from glasslung.errors import UsageError
from glasslung.train.loop import fit


@pytest.mark.parametrize("ema", [0.3, 0.995])
def test_averages_follow_the_weights_faster_at_first(ema):
    """decay = min(ema, (1 + step) / (10 + step)), number by number."""
    run = game(ema=ema)
    averages = {name: weight.flatten().tolist() for name, weight in run.weights().items()}
    for step in range(12):
        fit(run, range(step, step + 1))
        decay = min(ema, (1 + step) / (10 + step))
        for name, weight in run.weights().items():
            pairs = zip(averages[name], weight.flatten().tolist(), strict=True)
            averages[name] = [decay * average + (1 - decay) * w for average, w in pairs]
    assert run.averages.keys() == averages.keys()
    for name, average in run.averages.items():
        assert average.flatten().tolist() == pytest.approx(averages[name], abs=1e-5)


def test_little_of_the_untrained_weights_is_left_after_200_steps():
    run = game(ema=0.995)
    with torch.no_grad():
        for weight in run.weights().values():
            weight.fill_(1.0)
        for average in run.averages.values():
            average.zero_()
    for step in range(200):
        run.step = step
        run.update_averages()
    assert all(float(average.min()) > 0.999 for average in run.averages.values())
    assert 0.995**200 > 0.3  # what a decay without a warm-up would have left


def test_averages_are_borrowed_and_the_weights_given_back_whatever_happens():
    run = game(ema=0.9)
    fit(run, range(5))
    own = {name: weight.detach().clone() for name, weight in run.weights().items()}
    with pytest.raises(KeyError), run.averaged():
        assert all(torch.equal(w, run.averages[name]) for name, w in run.weights().items())
        raise KeyError
    assert all(torch.equal(w, own[name]) for name, w in run.weights().items())
    assert any(not torch.equal(w, run.averages[name]) for name, w in own.items())


def test_a_run_without_averages_says_so():
    run = game()
    run.update_averages()
    assert run.averages == {}
    with pytest.raises(UsageError, match="no averaged weights"), run.averaged():
        pass
