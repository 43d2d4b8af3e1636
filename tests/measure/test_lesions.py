"""How far to trust the lesions of a network: each doubt costs, and says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_zones import GOOD, filed_volume, upright_case

from glasslung.errors import ShapeError
from glasslung.measure.lesions import LesionEvidence, judge_lesions
from glasslung.measure.regions import LesionMask, measure_scan
from glasslung.types import Geometry, Lesion, Lungs, Volume

SURE = LesionEvidence(percent=12.0, entropy=0.2, unsure=0.3, lungs_trusted=True, density_percent=11.0)


def test_a_sure_network_on_good_lungs_is_trusted():
    quality = judge_lesions(SURE)
    assert quality.trusted and quality.confidence == 1.0 and quality.reasons == ()


@pytest.mark.parametrize(
    ("change", "trusted", "word"),
    [
        ({"entropy": 0.5}, True, "unsure inside"),
        ({"entropy": 0.7}, False, "unsure inside"),
        ({"unsure": 1.0}, True, "1.0 times"),
        ({"unsure": 3.0}, False, "3.0 times"),
        ({"density_percent": 27.0}, True, "by density 27.0 %"),
        ({"density_percent": 60.0}, False, "by density 60.0 %"),
        ({"percent": 40.0, "density_percent": 3.0}, False, "in 40.0 %"),
        ({"lungs_trusted": False}, False, "outline of the lungs"),
        ({"foreign": ("slices lie 10 mm apart",)}, True, "10 mm"),
        ({"foreign": ("slices lie 10 mm apart", "cut out")}, False, "10 mm"),
    ],
)
def test_each_doubt_costs_and_says_why(change, trusted, word):
    quality = judge_lesions(replace(SURE, **change))
    assert quality.trusted is trusted and quality.confidence < 1
    assert any(word in reason for reason in quality.reasons)


def test_shares_of_next_to_nothing_say_nothing():
    few = replace(SURE, percent=0.1, unsure=5.0, density_percent=1.0)
    assert judge_lesions(few).trusted
    none = replace(SURE, percent=0.0, entropy=0.0, unsure=0.0, density_percent=0.4)
    assert judge_lesions(none).confidence == 1.0


def test_more_doubt_never_means_more_trust():
    rng = np.random.default_rng(0)
    for _ in range(200):
        entropy, unsure = rng.random(), 3 * rng.random()
        here = judge_lesions(replace(SURE, entropy=entropy, unsure=unsure)).confidence
        assert judge_lesions(replace(SURE, entropy=entropy + 0.1, unsure=unsure)).confidence <= here
        assert judge_lesions(replace(SURE, entropy=entropy, unsure=unsure + 0.3)).confidence <= here


def test_lesions_by_region_are_a_slow_count():
    voxels, mask = upright_case()
    drawn = np.zeros(mask.shape, np.uint8)
    drawn[4:9, 5:10] = Lesion.GROUND_GLASS
    drawn[6:8, 7:12] = Lesion.CONSOLIDATION
    kinds = (Lesion.GROUND_GLASS, Lesion.CONSOLIDATION, Lesion.CRAZY_PAVING)
    volume = filed_volume(voxels)
    regions, severity, involvement = measure_scan(
        volume, Lungs(mask, GOOD), None, lesions=LesionMask(drawn, kinds)
    )
    assert severity is None and involvement is None  # these are of the opacities by density
    for region in regions[:3]:
        side = {"both lungs": mask > 0, "right lung": mask == 1, "left lung": mask == 2}[region.name]
        assert list(region.lesions) == ["ground glass", "consolidation", "crazy paving"]
        for kind in kinds:
            count = np.count_nonzero(side & (drawn == kind))
            assert region.lesions[kind.words].ml == pytest.approx(0.2 * count)
            assert region.lesions[kind.words].percent == pytest.approx(100 * count / side.sum())
        assert region.all_lesions.ml == pytest.approx(0.2 * np.count_nonzero(side & (drawn > 0)))
    assumed = Volume(volume.voxels, volume.affine, volume.intensity, geometry=Geometry.ASSUMED)
    flat, _, _ = measure_scan(assumed, Lungs(mask, GOOD), None, lesions=LesionMask(drawn, kinds[:2]))
    assert flat[0].all_lesions.ml is None and flat[0].all_lesions.percent > 0
    with pytest.raises(ShapeError, match="lesion mask"):
        measure_scan(volume, Lungs(mask, GOOD), None, lesions=LesionMask(drawn[1:], kinds))
