"""The paper's table: known answers in its units, groups in balance, lung and background apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.likelihood import (
    BALANCED,
    bits_per_dimension,
    collapsed_levels,
    image_scores,
    likelihood_table,
)


def made(count=24, seed=0, levels=3, groups=2):
    rng = np.random.default_rng(seed)
    images = rng.random((count, 8, 8)) * (rng.random((count, 8, 8)) < 0.4)
    log_density = np.where(images == 0, 12.0, 2.0) + rng.normal(size=images.shape)
    kl = rng.gamma(2, 3, (count, levels))
    group = np.minimum(np.arange(count) // 8, groups - 1)  # the last group is larger
    return images, log_density, kl, group, np.arange(count)


def table(scores):
    rows = likelihood_table(scores, rng=np.random.default_rng(0), draws=300)
    return {(row.quantity, row.group): row.interval for row in rows}


def test_the_table_is_its_definition_slice_by_slice():
    images, log_density, kl, group, patient = made()
    found = table(image_scores(images, log_density, kl, group, patient))
    by_group = {}
    for name in (0, 1):
        nll, recon, lung, lung_pixels = [], [], 0.0, 0
        for i in np.flatnonzero(group == name):
            recon.append(-sum(log_density[i].ravel()) / 64)
            nll.append(recon[-1] + sum(kl[i]) / 64)
            for value, nats in zip(images[i].ravel(), log_density[i].ravel(), strict=True):
                if value > 0:
                    lung, lung_pixels = lung + nats, lung_pixels + 1
        by_group[name] = np.mean(nll), np.mean(recon), lung / lung_pixels, np.mean(kl[group == name, 1])
        assert found["nll", str(name)].value == pytest.approx(by_group[name][0])
        assert found["lung", str(name)].value == pytest.approx(by_group[name][2])
    for quantity, place in (("nll", 0), ("recon", 1), ("lung", 2), ("kl z2", 3)):
        assert found[quantity, BALANCED].value == pytest.approx((by_group[0][place] + by_group[1][place]) / 2)


def test_parts_add_up_to_the_whole():
    found = table(image_scores(*made()))
    for group in (BALANCED, "0", "1"):
        whole = found["nll", group].value
        assert whole == pytest.approx(found["recon", group].value + found["kl", group].value)
        levels = sum(found[f"kl z{n}", group].value for n in (1, 2, 3))
        assert found["kl", group].value == pytest.approx(levels / 64)
    for group in ("0", "1"):
        black = found["black share", group].value
        parts = black * found["background", group].value + (1 - black) * found["lung", group].value
        assert found["recon", group].value == pytest.approx(-parts)


def test_the_paper_s_own_background_bonus():
    """A perfect background, 12.338 nats on 58.3 % of the pixels, is 7.19 of the score."""
    images = np.ones((4, 1, 1000))
    images[:, :, :583] = 0
    nats = np.where(images == 0, 12.338, 0.0)
    found = table(image_scores(images, nats, np.zeros((4, 1)), np.array([0, 0, 1, 1]), np.arange(4)))
    assert found["recon", BALANCED].value == pytest.approx(-7.193, abs=1e-3)
    assert found["lung", BALANCED].value == 0 and found["background", BALANCED].value == pytest.approx(12.338)


def test_every_interval_holds_its_value_and_patients_move_together():
    images, log_density, kl, group, patient = made(count=16)
    scores = image_scores(images, log_density, kl, group, patient)
    assert all(one.low <= one.value <= one.high for one in table(scores).values())
    twice = [np.repeat(one, 5, 0) for one in (images, log_density, kl, group, patient)]
    one, many = table(scores), table(image_scores(*twice))
    assert many["nll", BALANCED].value == pytest.approx(one["nll", BALANCED].value)
    width = [t["nll", BALANCED].high - t["nll", BALANCED].low for t in (one, many)]
    assert width[1] == pytest.approx(width[0], rel=0.2)


def test_bits_per_dimension():
    uniform = np.full(3, -64 * math.log(256))
    assert bits_per_dimension(uniform, np.zeros(3), np.full(3, 64)) == pytest.approx(np.full(3, 8.0))
    images, log_density, kl, group, patient = made()
    flat = np.full(images.shape, -math.log(256))
    found = table(image_scores(images, log_density, kl * 0, group, patient, flat))
    assert found["bits per dimension", BALANCED].value == pytest.approx(8.0)
    assert ("bits per dimension", BALANCED) not in table(
        image_scores(images, log_density, kl, group, patient)
    )


def test_a_silent_level_is_named():
    images, log_density, kl, group, patient = made()
    kl[:, 1] = 0.01
    assert collapsed_levels(image_scores(images, log_density, kl, group, patient)) == ("z2",)


def test_slices_without_black_pixels_have_no_background_row():
    images, log_density, kl, group, patient = made()
    found = table(image_scores(images * 0.5 + 0.2, log_density, kl, group, patient))
    assert ("background", BALANCED) not in found and found["black share", BALANCED].value == 0


def test_bad_scores_are_refused():
    images, log_density, kl, group, patient = made()
    with pytest.raises(DataError, match="group 1 has one patient"):
        table(image_scores(images, log_density, kl, np.r_[np.zeros(23, int), 1], patient))
    with pytest.raises(DataError, match="two groups"):
        table(image_scores(images, log_density, kl, group, patient % 12))
    broken = log_density.copy()
    broken[3, 0, 0] = np.nan
    with pytest.raises(DataError, match="slice 3"):
        image_scores(images, broken, kl, group, patient)
    with pytest.raises(DataError, match="lung pixels"):
        image_scores(images * 0, log_density, kl, group, patient)
    with pytest.raises(ShapeError):
        image_scores(images, log_density[:, 1:], kl, group, patient)
    with pytest.raises(ShapeError):
        image_scores(images, log_density, kl[:3], group, patient)
