"""Lungs and lesions of one scan: by rules, by a network, or made elsewhere, and how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glasslung.errors import UsageError
from glasslung.measure.lesions import LesionEvidence, judge_lesions
from glasslung.measure.regions import LesionMask
from glasslung.types import Amount, Intensity, Lesion, Lungs, MaskOrigin, MaskQuality, Progress, Volume

if TYPE_CHECKING:
    from glasslung.predict.masks import Doubts
    from glasslung.predict.opening import Segmenter

RULES, NETWORK, BOTH, GIVEN, NOBODY = "rules", "network", "rules and network", "given", "none"
LIKE_THE_RULES = 0.7  # Dice of given lungs and the rules' below which one of them is wrong
OUTSIDE_NOTED = 0.02  # share of given lesions outside the lungs from which it is said


@dataclass(frozen=True)
class GivenPaths:
    """Masks of one scan that were made elsewhere; None where ours are to be used."""

    lungs: Path | None = None
    lesions: Path | None = None


@dataclass(frozen=True)
class MaskMaking:
    """Who draws the masks.

    segmenter  a run's folder, a shipped name, 'none', or '' for what ships for a scan's grey values
    lungs, lesions  masks made elsewhere, one per scan in the order of the scans; () for none
    labels     what the numbers of given lesions mean; {} for those of `Lesion`
    """

    segmenter: str = ""
    lungs: tuple[Path, ...] = ()
    lesions: tuple[Path, ...] = ()
    labels: Mapping[int, Lesion] = field(default_factory=dict)

    def check(self, scans: int) -> None:
        """UsageError where masks do not go with the scans."""
        for flag, paths in (("--lungs", self.lungs), ("--lesions", self.lesions)):
            if paths and len(paths) != scans:
                raise UsageError(
                    f"{len(paths)} mask(s) by {flag} for {scans} scan(s): give one per scan, in their order"
                )
            for path in paths:
                if not path.exists():
                    raise UsageError(f"{flag} {path} does not exist: give the mask's file")
        if self.labels and not self.lesions:
            raise UsageError("--lesion-labels says what the numbers of a mask mean; give it: --lesions FILE")

    def given(self, n: int) -> GivenPaths:
        """The masks that were given for the n-th scan."""
        return GivenPaths(self.lungs[n] if self.lungs else None, self.lesions[n] if self.lesions else None)

    def told(self) -> str:
        """The labels as a person types them."""
        return ",".join(f"{label}={lesion.words}" for label, lesion in sorted(self.labels.items()))


class Segmenters:
    """The networks that are asked, each opened when it is first needed."""

    def __init__(self, named: str = "") -> None:
        self.named = named
        self._open: dict[str, Segmenter] = {}

    def identity(self) -> str:
        """A text that changes with what would be asked; nothing heavy is loaded."""
        from glasslung.predict.opening import NONE, identity_of, shipped_for

        if self.named == NONE:
            return NONE
        names = [self.named] if self.named else [shipped_for(intensity) for intensity in Intensity]
        return "; ".join(identity_of(name) for name in names if name) or NONE

    def check(self) -> None:
        """UsageError or DataError at once where a named network is not there, or finds no lesions."""
        from glasslung.predict.opening import NONE

        if self.named and self.named != NONE:
            self._opened(self.named)

    def fitting(self, intensity: Intensity) -> Segmenter | None:
        """The network for such grey values; None where none is wanted or ships. UsageError where it is of
        the other kind."""
        from glasslung.predict.opening import NONE, shipped_for

        name = self.named or shipped_for(intensity)
        if name is None or name == NONE:
            return None
        segmenter = self._opened(name)
        if segmenter.intensity is not intensity:
            raise UsageError(
                f"--segmenter {name} reads {segmenter.intensity.value}, and a scan's grey values are "
                f"{intensity.value}: leave it out to have each scan read by the network that ships for it"
            )
        return segmenter

    def _opened(self, name: str) -> Segmenter:
        from glasslung.predict.opening import open_segmenter

        if name not in self._open:
            self._open[name] = open_segmenter(name)
        return self._open[name]


@dataclass(frozen=True, eq=False)
class ScanMasks:
    """The masks of one scan, on its own grid, and where they come from.

    lesions    None where nobody drew any
    infection  (D, H, W) uint8, 0 to `predict.masks.STEPS`; None without a network
    lobes      (D, H, W) labels of `Lobe`; None where the lungs do not tell them
    doubts     how sure the network was; None without one
    """

    lungs: Lungs
    origin: MaskOrigin
    lesions: LesionMask | None = None
    infection: np.ndarray | None = None
    lobes: np.ndarray | None = None
    doubts: Doubts | None = None

    def lesion_quality(self, found: Amount | None, affected: Amount | None) -> MaskQuality | None:
        """How far to trust the network's lesions, which take up `found`, beside opacity by density."""
        if self.doubts is None or found is None:
            return None
        return judge_lesions(
            LesionEvidence(
                found.percent,
                self.doubts.entropy,
                self.doubts.unsure,
                self.lungs.quality.trusted,
                None if affected is None else affected.percent,
                self.doubts.foreign,
            )
        )


def check_given(volume: Volume, given: GivenPaths, labels: Mapping[int, Lesion]) -> None:
    """Read the masks that were given, to find what is wrong with them before anything is measured."""
    from glasslung.data.givenmasks import given_lesions, given_lungs

    if given.lungs is not None:
        given_lungs(given.lungs, volume)
    if given.lesions is not None:
        given_lesions(given.lesions, volume, labels or None)


def make_masks(
    volume: Volume,
    given: GivenPaths,
    labels: Mapping[int, Lesion],
    segmenters: Segmenters,
    progress: Progress | None = None,
) -> ScanMasks:
    """Lungs and lesions of one scan, by whoever draws them."""
    from glasslung.data.lungs import segment_lungs

    if progress is not None:
        progress("lungs", 0.0)
    rules = segment_lungs(volume)
    made = ScanMasks(rules, MaskOrigin(RULES))
    if given.lungs is not None:
        made = _with_given_lungs(made, given.lungs, volume)
    if progress is not None:
        progress("lesions", 0.0)
    if given.lesions is not None:
        return _with_given_lesions(made, given.lesions, volume, labels)
    segmenter = segmenters.fitting(volume.intensity)
    if segmenter is None:
        return made
    return _with_network(made, segmenter, volume, keep_lungs=given.lungs is not None, progress=progress)


def _with_network(
    made: ScanMasks, segmenter: Segmenter, volume: Volume, keep_lungs: bool, progress: Progress | None
) -> ScanMasks:
    from glasslung.predict.masks import segment_scan

    found = segment_scan(volume, segmenter, made.lungs, keep_lungs, progress)
    kinds = tuple(lesion for lesion in Lesion if lesion and lesion.words in segmenter.classes)
    origin = replace(
        made.origin,
        lungs=BOTH if found.learned else made.origin.lungs,
        lesions=NETWORK,
        network=segmenter.name,
        digest=segmenter.digest,
        kinds=tuple(kind.words for kind in kinds),
        agreement=made.origin.agreement if keep_lungs else found.agreement,
        notes=(*made.origin.notes, *found.notes),
        trained_on=segmenter.told("trained_on"),
        limits=segmenter.told("limits"),
    )
    return replace(
        made,
        lungs=found.lungs,
        origin=origin,
        lesions=LesionMask(found.lesions, kinds),
        infection=found.infection,
        doubts=found.doubts,
    )


def _with_given_lungs(made: ScanMasks, path: Path, volume: Volume) -> ScanMasks:
    """The lungs that were given, with the rules' lungs as a check."""
    from glasslung.data.givenmasks import given_lungs

    found = given_lungs(path, volume)
    ours, theirs = made.lungs.mask > 0, found.lungs.mask > 0
    total = int(np.count_nonzero(ours)) + int(np.count_nonzero(theirs))
    dice = 2.0 * int(np.count_nonzero(ours & theirs)) / total
    quality = found.lungs.quality
    if dice < LIKE_THE_RULES and ours.any():
        why = f"the lungs that were given are not where rules of density find them (Dice {dice:.2f})"
        confidence = round(quality.confidence * 0.4, 3)
        quality = MaskQuality(False, confidence, (*quality.reasons, why))
    origin = replace(made.origin, lungs=GIVEN, agreement=round(dice, 4), notes=found.notes)
    return replace(made, lungs=Lungs(found.lungs.mask, quality), lobes=found.lobes, origin=origin)


def _with_given_lesions(
    made: ScanMasks, path: Path, volume: Volume, labels: Mapping[int, Lesion]
) -> ScanMasks:
    """The lesions that were given, as far as they lie in the lungs."""
    from glasslung.data.givenmasks import given_lesions

    found = given_lesions(path, volume, labels or None)
    inside = made.lungs.mask > 0
    all_of_it = int(np.count_nonzero(found.mask))
    outside = int(np.count_nonzero((found.mask > 0) & ~inside)) / max(all_of_it, 1)
    notes = (*made.origin.notes, *found.notes)
    if outside > OUTSIDE_NOTED:
        notes += (f"{outside:.0%} of the lesions that were given lie outside the lungs and do not count",)
    origin = replace(made.origin, lesions=GIVEN, kinds=tuple(kind.words for kind in found.kinds), notes=notes)
    mask = np.where(inside, found.mask, 0).astype(np.uint8)
    return replace(made, lesions=LesionMask(mask, found.kinds), origin=origin)
