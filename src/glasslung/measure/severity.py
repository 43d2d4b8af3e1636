"""CT severity scores: per cent affected in each zone, turned into points and added up.

Readers score by eye; here the per cents are measured, so two things are stated that a reader decides
silently: what counts as 'none' (a measured figure is never exactly 0), and on which side of a cut its edge
lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from glasslung.errors import DataError
from glasslung.measure.zones import LOBE_NAMES, ZONES
from glasslung.types import SeverityScore, ZoneScore

NONE_PERCENT = (
    1.0  # below this nothing was found: the threshold-based measure's own false alarms reach about here
)


@dataclass(frozen=True)
class Scale:
    """A severity score: its zones, the least per cent for 1, 2, ... points, and its definition in words."""

    zones: tuple[str, ...]
    from_percent: tuple[float, ...]
    definition: str

    @property
    def most(self) -> int:
        """The highest total."""
        return len(self.zones) * len(self.from_percent)


SIX_ZONES = Scale(
    zones=ZONES,
    from_percent=(NONE_PERCENT, 25.0, 50.0, 75.0),
    definition=(
        "Six zones (upper, middle and lower third of each lung), 0 to 4 points each by the per cent of the "
        "zone that is affected: 0 below 1, 1 below 25, 2 from 25, 3 from 50, 4 from 75; total 0 to 24. After "
        "Ooi et al., Radiology 2004;230:836-44 (three zones a side, maximum 24). Two departures: thirds of "
        "equal volume stand for their zones, which are cut at the carina and the inferior pulmonary veins; "
        "and below 1 per cent counts as none."
    ),
)
FIVE_LOBES = Scale(
    zones=tuple(LOBE_NAMES.values()),
    from_percent=(NONE_PERCENT, 5.0, 25.0, 50.0, 75.0),
    definition=(
        "Five lobes, 0 to 5 points each by the per cent of the lobe that is affected: 0 below 1, 1 below 5, "
        "2 from 5, 3 from 25, 4 from 50, 5 from 75; total 0 to 25. After Pan et al., Radiology "
        "2020;295:715-21. One departure: below 1 per cent counts as none."
    ),
)


def points_for(percent: float, scale: Scale) -> int:
    """Points of one zone: how many of the scale's cuts the affected per cent (0 to 100) has reached."""
    if not 0.0 <= percent <= 100.0:
        raise DataError(f"affected per cent must lie in 0 to 100, got {percent}")
    return sum(percent >= cut for cut in scale.from_percent)


def severity_score(percents: Mapping[str, float], scale: Scale = SIX_ZONES) -> SeverityScore | None:
    """The severity score of a scan, or None where a zone of the scale is not known.

    percents: zone name -> affected per cent, 0 to 100. Names that the scale does not have are ignored, a
    missing zone makes the whole score None: a partial total would read like a mild disease.
    """
    if any(zone not in percents for zone in scale.zones):
        return None
    zones = tuple(ZoneScore(zone, percents[zone], points_for(percents[zone], scale)) for zone in scale.zones)
    return SeverityScore(sum(zone.points for zone in zones), scale.most, zones, scale.definition)
