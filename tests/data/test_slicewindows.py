"""Windows: which family, and all seen through one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_slices import AIR, TISSUE, chest

from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, Window, unknown_like
from glasslung.data.slicewindows import (
    AIR_GREY,
    TISSUE_GREY,
    air_and_tissue,
    alike,
    rewindowed,
    tell_window,
)


def as_set(pictures: list[np.ndarray], kind: Kind, window: Window = Window.UNKNOWN) -> LabelledSlices:
    blank = tuple(unknown_like(picture) for picture in pictures)
    origins = tuple(SliceOrigin(f"s-{n}", "s", kind, window) for n in range(len(pictures)))
    return LabelledSlices(tuple(pictures), blank, blank, origins)


def test_the_family_of_a_window_is_told():
    picture, _, lung = chest()
    assert tell_window([picture]) is Window.LUNG
    assert tell_window([picture // 2]) is Window.WIDE
    assert tell_window([np.where(lung > 0, np.maximum(picture, 20), 0).astype(np.uint8)]) is Window.CUT_OUT
    assert tell_window([np.full((40, 40), 100, np.uint8)]) is Window.UNKNOWN


def test_air_and_tissue_are_told():
    ends = air_and_tissue([chest(seed=n)[0] for n in range(3)])
    assert ends is not None
    assert ends[0] == pytest.approx(AIR, abs=15) and ends[1] == pytest.approx(TISSUE, abs=4)
    assert air_and_tissue([np.zeros((9, 9), np.uint8)]) is None


@pytest.mark.parametrize("kind", [Kind.LABELLED, Kind.UNLABELLED])
def test_slices_of_two_windows_look_alike(kind):
    picture = chest(seed=5)[0]
    wide = (picture * 0.5 + 3).astype(np.uint8)
    bright = (picture * 0.8 + 40).astype(np.uint8)
    looks = [alike(as_set([one], kind)).pictures[0].astype(int) for one in (picture, wide, bright)]
    for look in looks:
        ends = air_and_tissue([look.astype(np.uint8)])
        assert ends is not None and ends[1] == pytest.approx(TISSUE_GREY, abs=2)
    assert np.abs(looks[0] - looks[1]).max() <= 4
    assert np.abs(looks[0] - looks[2]).max() <= 4


def test_a_stack_keeps_one_window_for_all_its_slices():
    pictures = [chest(seed=n)[0] for n in range(4)]
    pictures[2] = np.full_like(pictures[2], 100)  # above the lungs: nothing to tell a window from
    done = alike(as_set(pictures, Kind.UNLABELLED))
    ends = air_and_tissue(pictures)
    assert ends is not None
    for was, now in zip(pictures, done.pictures, strict=True):
        assert np.array_equal(now, rewindowed(was, *ends))
    assert {origin.window for origin in done.origins} == {Window.LUNG}


def test_greys_keep_their_order_and_padding_stays_black():
    table = rewindowed(np.arange(256, dtype=np.uint8)[None], 10.0, 110.0)[0].astype(int)
    assert table[0] == 0 and (np.diff(table[1:]) >= 0).all()
    assert table[10] == AIR_GREY and table[110] == TISSUE_GREY


def test_cut_out_lungs_and_flat_pictures_stay_as_they_are():
    picture, _, lung = chest()
    cut = np.where(lung > 0, picture, 0).astype(np.uint8)
    slices = as_set([cut], Kind.HEALTHY, Window.CUT_OUT)
    done = alike(slices)
    assert done.pictures[0] is cut and done.origins[0].window is Window.CUT_OUT
    flat = np.full((40, 40), 100, np.uint8)
    assert alike(as_set([flat], Kind.LABELLED)).pictures[0] is flat
    assert replace(slices).pictures[0] is cut
