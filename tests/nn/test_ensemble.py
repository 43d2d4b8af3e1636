"""Classifiers that answer as one."""

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.nn.ensemble import Ensemble
from made_classifiers import LesionShare


def test_its_log_odds_are_the_mean_of_its_members_and_its_features_are_theirs():
    members = [LesionShare(0.1), LesionShare(0.3)]
    image = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    lesion, scan = (image > 0.6).float(), torch.tensor([0, 0, 1, 1, 1])
    both = Ensemble(members)
    each = torch.stack([one.scores(image, lesion, scan) for one in members], 1)
    torch.testing.assert_close(both.features(image, lesion, scan), each)
    torch.testing.assert_close(both.scores(image, lesion, scan), each.mean(1))


def test_nobody_cannot_answer():
    with pytest.raises(UsageError):
        Ensemble([])
