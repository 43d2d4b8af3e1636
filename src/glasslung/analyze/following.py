"""A scan laid on the one before it: what became of each lesion, and where the lungs changed.

Registration can fail, and some scans cannot be registered at all: then the comparison holds a sentence that
says why, and no figure. Whose lesions are compared is the same hand in both scans: a network's where both
scans were read by it and it is trusted, masks made elsewhere where both were given, else opacity by density.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung import __version__
from glasslung.data import results
from glasslung.errors import DataError
from glasslung.measure.course import SLAB_CODES
from glasslung.types import (
    Comparison,
    FateTotal,
    Findings,
    FollowedLesion,
    Geometry,
    Intensity,
    Progress,
    Volume,
)

if TYPE_CHECKING:
    from glasslung.data.registration import Registration
    from glasslung.measure.followup import FollowUp

CHANGE = "change"
CHANGE_FILE = "change.nii.gz"
BY_DENSITY = "density"
MASK_GIVEN = "mask given"
LEAST_SLICES = 10  # fewer do not hold a chest that could be bent onto another
MOST_OUTSIDE = 0.2  # of a scan's lesions outside the lung that both show: above that it is said
LISTED = 40  # lesions told one by one; the totals are of all
DIGITS = 4
PER_SLICE = 30  # places of lung in a slice by which its level in the other scan is found


@dataclass(frozen=True, eq=False)
class Held:
    """A finished scan: its findings, the folder of its files, and the way to its voxels."""

    key: str
    findings: Findings
    folder: Path
    volume: Callable[[], Volume]


@dataclass(frozen=True, eq=False)
class Followed:
    """A comparison, and where each upright slice of the later scan (first row) lay in the earlier one.

    levels  (2, N) float, upright slice numbers from the feet; None where the scans were not registered
    """

    told: Comparison
    levels: np.ndarray | None


def pair_key(before: str, after: str) -> str:
    """Changes with either scan's key and with the version that compares them."""
    return hashlib.sha256(f"{__version__}|{before}|{after}".encode()).hexdigest()[:12]


def follow(before: Held, after: Held, masks: Path, tell: Progress) -> Followed:
    """Compare two scans, or take what an earlier run found; finished in a folder of `results.new_part`."""
    from glasslung.data.story import as_json

    key = pair_key(before.key, after.key)
    done = results.finished_parts(masks, CHANGE).get(key)
    if done is not None:
        tell("already compared", 1.0)
        return read_followed(done)
    with results.new_part(masks, CHANGE, key) as work:
        found = _compared(before, after, work, tell)
        levels = None if found.levels is None else found.levels.tolist()
        results.write_part_note(work, CHANGE, key, {"comparison": as_json(found.told), "levels": levels})
    return found


def read_followed(folder: Path) -> Followed:
    """What `follow` left in a folder; DataError where it is damaged."""
    from glasslung.data.story import comparison_from_json

    note = results.read_part(folder, CHANGE)
    if note is None:
        raise DataError(f"{folder} changed while it was read: run the same command again")
    levels = note["told"]["levels"]
    kept = None if levels is None else np.array(levels, float)
    return Followed(comparison_from_json(note["told"]["comparison"]), kept)


def _compared(before: Held, after: Held, work: Path, tell: Progress) -> Followed:
    """Register, lay the lesions on one another, write the change map."""
    pair = before.findings.scan, after.findings.scan
    drawn = lesions_of_both(before.findings, after.findings)
    reasons = obstacles(before.findings, after.findings)
    if reasons or drawn is None:
        return Followed(Comparison(*pair, "", reasons or (NO_LESIONS,)), None)
    from glasslung.data.formats import read_mask, write_mask
    from glasslung.data.registration import bring, register

    scans, lungs = (after.volume(), before.volume()), []
    for held, volume in zip((after, before), scans, strict=True):
        lungs.append(read_mask(held.folder / "lungs.nii.gz", volume))
    later, earlier = scans
    found = register(later, lungs[0], earlier, lungs[1], lambda what, done: tell(what, 0.7 * done))
    worth = _told(found.dice_before), _told(found.dice_after), _told(found.volume_ratio)
    if not found.trusted:
        return Followed(Comparison(*pair, "", tuple(map(_failed, found.reasons)), *worth), None)
    tell("lesions followed", 0.75)
    who, file = drawn
    now = read_mask(after.folder / file, later) > 0
    # Lungs and lesions in one go: bringing a scan over costs as much as registering it.
    both = (lungs[1] > 0) + 2 * (read_mask(before.folder / file, earlier) > 0).astype(np.uint8)
    brought = bring(found, both, earlier, later)
    was, seen = (brought & 2) > 0, (lungs[0] > 0) & ((brought & 1) > 0)
    from glasslung.measure.followup import follow_up

    fates = follow_up(now, was, later.voxel_ml, seen=seen)
    write_mask(fates.tissue, later, work / CHANGE_FILE)
    tell("lesions followed", 0.95)
    outside = tuple(float(np.count_nonzero(mask & ~seen)) * later.voxel_ml for mask in (was, now))
    totals = tuple(float(np.count_nonzero(mask)) * later.voxel_ml for mask in (was, now))
    told = Comparison(
        *pair,
        who,
        (),
        *worth,
        _totals(fates),
        _followed(fates, later),
        fates.left_out_ml,
        (outside[0], outside[1]),
        CHANGE_FILE,
        _cautions(outside, totals, found),
    )
    return Followed(told, _levels(found, lungs[0], later, earlier))


# --- may they be compared? ----------------------------------------------------------------------------------

NO_LESIONS = (
    "no lesions were drawn in both scans by the same hand: one network in both, masks given for both, or "
    "opacity by density in both"
)


def obstacles(before: Findings, after: Findings) -> tuple[str, ...]:
    """Why two scans cannot be laid on one another, a sentence each; () where it can be tried."""
    here, there = _obstacles(before), _obstacles(after)
    both = [f"both scans {many}" for one, many in here.items() if there.get(one) == many]
    return (
        *both,
        *(f"the earlier scan {one}" for one in here if one not in there),
        *(f"the later scan {one}" for one in there if one not in here),
    )


def _obstacles(scan: Findings) -> dict[str, str]:
    """What stands against laying a scan on another: of one scan -> the same of two."""
    found = {}
    if scan.geometry is Geometry.ASSUMED:
        why = "no spacing and no position, so nothing says where in the chest {} slices lie"
        found[f"has {why.format('its')}"] = f"have {why.format('their')}"
    elif scan.shape[0] < LEAST_SLICES:
        many = "one slice" if scan.shape[0] == 1 else f"{scan.shape[0]} slices"
        said = f"{many}, and at least {LEAST_SLICES} are needed"
        found[f"has {said}"] = f"have {said}"
    elif SLAB_CODES & {remark.code for remark in scan.gate}:
        found["covers only a slab of the chest"] = "cover only a slab of the chest"
    if not scan.regions:
        found["shows no lung"] = "show no lung"
    elif not scan.lung_quality.trusted:
        found["has a lung outline that is not trusted"] = "have a lung outline that is not trusted"
    return found


def lesions_of_both(before: Findings, after: Findings) -> tuple[str, str] | None:
    """Whose lesions both scans have, and their file's name; None where no hand drew both."""
    hands = [_hand(scan) for scan in (before, after)]
    if hands[0] is not None and hands[0] == hands[1]:
        return hands[0][0], "lesions.nii.gz"
    if all("opacities" in scan.masks and scan.intensity is Intensity.HU for scan in (before, after)):
        return BY_DENSITY, "opacities.nii.gz"
    return None


def _hand(scan: Findings) -> tuple[str, str] | None:
    """Who drew a scan's lesions, and with which weights; None where nobody is trusted to have."""
    origin, quality = scan.origin, scan.lesion_quality
    if origin is None or "lesions" not in scan.masks or not (quality is None or quality.trusted):
        return None
    return origin.network or MASK_GIVEN, origin.digest


def _told(value: float) -> float:
    """As far as it is the same in every run: threads sum in no fixed order."""
    return round(value, DIGITS)


def _failed(reason: str) -> str:
    return f"{reason}; look whether they are scans of one patient, and whole"


def _cautions(outside: tuple[float, ...], totals: tuple[float, ...], found: Registration) -> tuple[str, ...]:
    """What a reader of the volumes must know."""
    said = []
    for ml, total, which in zip(outside, totals, ("earlier", "later"), strict=True):
        if total > 0 and ml > MOST_OUTSIDE * total:
            said.append(
                f"{ml:.0f} of {total:.0f} ml of the {which} scan's lesions lie outside the lung that both "
                "scans show, and were not followed"
            )
    breath = max(found.volume_ratio, 1 / max(found.volume_ratio, 1e-6))
    if breath > 1.25:
        said.append(
            f"the earlier scan's lungs hold {found.volume_ratio:.2f} times the later one's air and tissue: "
            "the patient breathed in differently, which changes how far haze can be seen"
        )
    return tuple(said)


# --- what is told -------------------------------------------------------------------------------------------


def _totals(found: FollowUp) -> tuple[FateTotal, ...]:
    from glasslung.measure.followup import Fate

    told = []
    for fate in Fate:
        ones = [one for one in found.lesions if one.fate is fate]
        before, after = sum(one.before_ml for one in ones), sum(one.after_ml for one in ones)
        told.append(FateTotal(fate.value, len(ones), float(before), float(after)))
    return tuple(told)


def _followed(found: FollowUp, later: Volume) -> tuple[FollowedLesion, ...]:
    """The largest lesions, with their place in the patient."""
    told = []
    for one in found.lesions[:LISTED]:
        x, y, z = (float(v) for v in (later.affine @ [*one.centre, 1.0])[:3])
        number = round(one.centre[0]) + 1
        parts: Any = (one.parts_before, one.parts_after)
        told.append(FollowedLesion(one.fate.value, one.before_ml, one.after_ml, (x, y, z), number, *parts))
    return tuple(told)


def _levels(found: Registration, lungs: np.ndarray, later: Volume, earlier: Volume) -> np.ndarray:
    """Where each upright slice with lung lay in the earlier scan: (2, N), numbers from the feet."""
    from glasslung.data.orientation import orientation_of, to_upright
    from glasslung.data.registration import matched_places

    ours, theirs = orientation_of(later), orientation_of(earlier)
    upright = to_upright(lungs, ours) > 0
    rng = np.random.default_rng(0)  # which places of a slice are asked; the answer hardly depends on it
    numbers, places = [], []
    for z in np.flatnonzero(upright.any((1, 2))):
        rows, columns = np.nonzero(upright[z])
        some = rng.choice(len(rows), min(PER_SLICE, len(rows)), replace=False)
        numbers += [int(z)] * len(some)
        places += [(int(z), int(rows[n]), int(columns[n])) for n in some]
    at = np.array(places, float)
    file = np.ones((len(at), 4))
    for axis in range(3):
        last = upright.shape[axis] - 1
        file[:, ours.axes[axis]] = last - at[:, axis] if ours.flips[axis] else at[:, axis]
    moved = matched_places(found, (file @ later.affine.T)[:, :3])
    back = np.concatenate([moved, np.ones((len(moved), 1))], 1) @ np.linalg.inv(earlier.affine).T
    along = back[:, theirs.axes[0]]
    if theirs.flips[0]:
        along = earlier.shape[theirs.axes[0]] - 1 - along
    slices = np.unique(numbers)
    middle = [round(float(np.median(along[np.array(numbers) == z])), 2) for z in slices]
    return np.array([slices.astype(float), middle])
