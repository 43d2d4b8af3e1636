"""What an analysis writes and says names nobody, whatever the scan's header and file meta say."""

from __future__ import annotations

import pytest

from glasslung.analyze import Settings, analyze
from glasslung.analyze.masks import MaskMaking
from glasslung.data.phantom import draw_patient, render
from glasslung.report.page import write_report
from made_identities import PLANTED, all_bytes, identified


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A planted scan of a phantom analysed and reported: the folder, and all that was said on the way."""
    home, said = tmp_path_factory.mktemp("identity"), []
    identified(home / "scan", volume=render(draw_patient(4), 5, shape=(32, 80, 80)).volume)
    plain = Settings(masks=MaskMaking("none"), classifier="none", keep_scan=True)
    analyze([home / "scan"], home / "story", plain, lambda what, done: said.append(what), then=write_report)
    return home / "story", said


def test_the_story_folder_names_nobody(told):
    everything = all_bytes(told[0])
    assert len(everything) > 10_000
    assert not [text for text in PLANTED if text.encode() in everything]


def test_nothing_said_on_the_way_names_anybody(told):
    said = " ".join(told[1]).lower()
    assert said and not [text for text in PLANTED if text in said]
