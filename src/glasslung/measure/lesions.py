"""Whether the lesions that a network found can be trusted: what stands against them, in words.

A rule-based score, as for lungs: each doubt takes a part of the confidence, and below one half the figures
are not to be used without looking. It is no probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.types import MaskQuality

TRUST = 0.5  # below this confidence the lesions are not trusted
ENTROPY = (0.45, 0.62)  # mean inside the lesions: doubted, not trusted
UNSURE = (0.9, 2.0)  # unsure lung over lesions: likewise
LEAST_PERCENT = 0.5  # of the lungs: of less than this, shares say nothing
APART_POINTS = 5.0  # per cent of the lungs by which network and density may differ, whatever they find
APART_RATIO = (2.0, 4.0)  # and how many times as much one may find: doubted, not trusted
FOREIGN = 0.3  # cost of each way in which the scan is unlike what the network learned from


@dataclass(frozen=True)
class LesionEvidence:
    """What the verdict is drawn from.

    percent         of the lungs that the network calls lesion
    entropy         mean entropy of the classes inside its lesions, 0 to 1
    unsure          lung of which it is not sure, over its lesions
    lungs_trusted   whether the outline of the lungs is
    density_percent of the lungs that is opacity by density; None without Hounsfield units
    foreign         what in the scan is unlike what it learned from, a sentence each
    """

    percent: float
    entropy: float
    unsure: float
    lungs_trusted: bool
    density_percent: float | None = None
    foreign: tuple[str, ...] = ()


def judge_lesions(evidence: LesionEvidence) -> MaskQuality:
    """Confidence is the product of what each doubt leaves; below one half the lesions are not trusted."""
    doubts = [*_certainty(evidence), *_beside_density(evidence), *_input(evidence)]
    confidence = float(np.prod([1.0 - cost for cost, _ in doubts])) if doubts else 1.0
    return MaskQuality(confidence >= TRUST, round(confidence, 3), tuple(why for _, why in doubts))


def _certainty(e: LesionEvidence) -> list[tuple[float, str]]:
    doubts = []
    if e.percent > 0 and e.entropy >= ENTROPY[0]:
        cost = 0.55 if e.entropy >= ENTROPY[1] else 0.25
        doubts.append((cost, "the network is unsure inside what it calls lesion"))
    if e.percent >= LEAST_PERCENT and e.unsure >= UNSURE[0]:
        cost = 0.55 if e.unsure >= UNSURE[1] else 0.25
        why = f"the lung of which it is not sure is {e.unsure:.1f} times as large as what it calls lesion"
        doubts.append((cost, why))
    return doubts


def _beside_density(e: LesionEvidence) -> list[tuple[float, str]]:
    if e.density_percent is None:
        return []
    small, large = sorted((e.percent, e.density_percent))
    ratio = large / max(small, 1e-6)
    if large - small < APART_POINTS or ratio < APART_RATIO[0]:
        return []
    cost = 0.55 if ratio >= APART_RATIO[1] else 0.25
    why = (
        f"it finds lesions in {e.percent:.1f} % of the lungs, and by density {e.density_percent:.1f} % of "
        "them are opacity"
    )
    return [(cost, why)]


def _input(e: LesionEvidence) -> list[tuple[float, str]]:
    doubts = [(FOREIGN, why) for why in e.foreign]
    if not e.lungs_trusted:
        doubts.append((0.55, "the outline of the lungs, inside which lesions are looked for, is not trusted"))
    return doubts
