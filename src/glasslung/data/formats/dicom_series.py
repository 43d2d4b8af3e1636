"""Which series of a patient to read: the best chest CT, chosen by rules that are written down and told.

The rules, first difference decides
    1  CT before any other modality
    2  a slice stack before localisers, scouts and screenshots
    3  chest, or no body part stated, before other body parts
    4  original slices before reformats and projections
    5  axial before coronal and sagittal
    6  covers the chest: a stack at least 0.8 times as long as the longest of these
    7  soft kernel before lung or bone kernel: sharp kernels add noise, which moves voxels from one HU band
       into the next (Gierada et al., Effects of CT section thickness and reconstruction kernel on emphysema
       quantification, Academic Radiology 17 (2010) 146-156)
    8  thin slices before thick ones
    9  more slices, then the lower series number, then the order of keys, so that the choice never varies
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glasslung.data.formats.dicom_header import PHASE_TAGS, Frame
from glasslung.data.formats.header_words import CHEST
from glasslung.errors import DataError
from glasslung.types import Remark, Severity

SAME_COSINE = 2e-3  # direction cosines of one stack differ by rounding only
SAME_PLACE_MM = (
    0.01  # two slices closer than this lie at one position; the thinnest CT slices are 0.25 mm apart
)
COVERS_CHEST = 0.8  # of the longest stack: reconstructions of one scan differ by a few slices at the ends
SAY_SERIES = "--series KEY (in Python: series='KEY')"
LISTED = 8  # other series named in a remark; a study has rarely more, and the count is given

# Not plain "dose": a low-dose chest CT is the scan itself.
NO_STACK = re.compile(
    r"LOCALI[SZ]ER|SCOUT|TOPOGRAM|SURVIEW|SCANOGRAM|DOSE (REPORT|INFO|SHEET)|PATIENT PROTOCOL|SCREEN SAVE",
    re.IGNORECASE,
)
REFORMAT = re.compile(r"MPR|MIP|MINIP|PROJECTION|REFORMATTED|CSA 3D", re.IGNORECASE)


@dataclass(frozen=True)
class Stack:
    """Frames of one series that pile up straight: same size, spacing and direction.

    key     one-way key of the series; with `.2` and so on where one series holds several stacks
    """

    frames: tuple[Frame, ...]
    key: str

    @property
    def first(self) -> Frame:
        return self.frames[0]


def stacks_of(frames: Sequence[Frame]) -> list[Stack]:
    """Sort frames into stacks, each in order along its own normal, and the stacks by key."""
    piles: list[list[Frame]] = []
    for frame in frames:
        home = next((pile for pile in piles if _alike(pile[0], frame)), None)
        if home is None:
            piles.append([frame])
        else:
            home.append(frame)
    by_series: dict[str, list[list[Frame]]] = {}
    for pile in piles:
        by_series.setdefault(f"{pile[0].patient}/{pile[0].series}", []).append(pile)
    return [
        Stack(tuple(in_order(pile)), pile[0].series + (f".{n}" if len(group) > 1 else ""))
        for group in by_series.values()
        for n, pile in enumerate(sorted(group, key=len, reverse=True), 1)
    ]


def _alike(a: Frame, b: Frame) -> bool:
    same = ("patient", "series_uid", "size", "samples", "modality")
    if any(getattr(a, name) != getattr(b, name) for name in same) or is_localiser(a) != is_localiser(b):
        return False
    if has_geometry(a) != has_geometry(b):
        return False
    if not has_geometry(a):
        return True
    return bool(
        np.allclose(a.rows_cols, b.rows_cols, rtol=0, atol=SAME_COSINE)  # type: ignore[arg-type]
        and np.allclose(a.pixel_mm, b.pixel_mm, rtol=1e-3, atol=0)  # type: ignore[arg-type]
    )


def has_geometry(frame: Frame) -> bool:
    """Whether the header says where the slice lies in the patient."""
    return frame.position is not None and frame.rows_cols is not None and frame.pixel_mm is not None


def is_localiser(frame: Frame) -> bool:
    """Whether the frame is a scout view or a dose sheet by its image type or description."""
    return bool(NO_STACK.search(" ".join(frame.image_type)) or NO_STACK.search(frame.words))


def normal_of(frame: Frame) -> np.ndarray:
    """(3,) unit normal of a slice: along a row x along a column."""
    assert frame.rows_cols is not None
    normal = np.cross(frame.rows_cols[:3], frame.rows_cols[3:])
    return normal / max(float(np.linalg.norm(normal)), 1e-12)


def place_of(frame: Frame, normal: np.ndarray) -> float:
    """Where the slice lies along a normal, mm."""
    return float(np.dot(frame.position, normal)) if frame.position is not None else float(frame.instance)


def in_order(frames: Sequence[Frame]) -> list[Frame]:
    """Frames by position along the normal; without positions by instance number and frame."""
    if not has_geometry(frames[0]):
        return sorted(frames, key=lambda f: (f.instance, f.path.name, f.index))
    normal = normal_of(frames[0])
    return sorted(frames, key=lambda f: (place_of(f, normal), f.instance, f.path.name, f.index))


def places_mm(stack: Stack) -> np.ndarray:
    """(D,) position of each slice along the stack's normal, mm, ascending."""
    normal = normal_of(stack.first)
    return np.array([place_of(frame, normal) for frame in stack.frames])


def shared_places(stack: Stack) -> list[list[Frame]]:
    """Groups of frames that lie at one position; empty for a plain stack."""
    if not has_geometry(stack.first):
        return []
    starts = np.flatnonzero(np.r_[True, np.diff(places_mm(stack)) > SAME_PLACE_MM])
    groups = [stack.frames[a:b] for a, b in zip(starts, [*starts[1:], len(stack.frames)], strict=True)]
    return [list(group) for group in groups if len(group) > 1]


def split_by_phase(stack: Stack) -> list[Stack]:
    """One stack that passes its positions several times -> one stack for each acquisition, phase or kernel.

    Raises DataError when no tag tells them apart.
    """
    groups = shared_places(stack)
    if not groups:
        return [stack]
    passes = max(map(len, groups))
    for n in range(len(PHASE_TAGS)):
        parts: dict[str, list[Frame]] = {}
        for frame in stack.frames:
            parts.setdefault(frame.phases[n], []).append(frame)
        split = [
            Stack(tuple(part), f"{stack.key}.{m}") for m, (_, part) in enumerate(sorted(parts.items()), 1)
        ]
        # A clock time that differs on every slice would tear the stack into single slices.
        if 1 < len(split) <= 2 * passes and not any(shared_places(part) for part in split):
            return split
    names = ", ".join(frame.path.name for frame in groups[0][:3])
    raise DataError(
        f"{names}: lie at one position with different pixels (such groups in this series: "
        f"{len(groups)}), and no acquisition number or phase tells them apart; "
        "pass a folder that holds one acquisition"
    )


def without_copies(stack: Stack, same_pixels: Callable[[Frame, Frame], bool]) -> tuple[Stack, int]:
    """Drop slices that repeat another one at the same position, pixel for pixel. Returns how many went."""
    gone: set[int] = set()
    for group in shared_places(stack):
        for n, frame in enumerate(group):
            if any(id(other) not in gone and same_pixels(other, frame) for other in group[:n]):
                gone.add(id(frame))
    return replace(stack, frames=tuple(f for f in stack.frames if id(f) not in gone)), len(gone)


def check_one_patient(stacks: Sequence[Stack], where: str) -> None:
    """Refuse a folder that holds several patients: one story is one patient's."""
    patients = {stack.first.patient for stack in stacks if stack.first.patient is not None}
    if len(patients) > 1:
        raise DataError(
            f"{where}: holds DICOM files of {len(patients)} patients; pass the folder of one patient, "
            f"or name one series with {SAY_SERIES}: {_listing(stacks)}"
        )


def asked_for(stacks: Sequence[Stack], series: str, where: str) -> list[Stack]:
    """The stacks that a person means by a series number, UID or short key."""
    wanted = series.strip()
    found = [stack for stack in stacks if wanted and _is_meant(stack, wanted)]
    if not found:
        raise DataError(
            f"{where}: has no series {wanted!r}; say {SAY_SERIES} or its number; there are {_listing(stacks)}"
        )
    if len({stack.first.series for stack in found}) > 1:
        raise DataError(f"{where}: several series have number {wanted}; say {SAY_SERIES}: {_listing(found)}")
    return found


def _is_meant(stack: Stack, wanted: str) -> bool:
    """By number, by UID, by the stack's key, by its series' key, or by the key of one of its phases."""
    if wanted in (stack.first.number, stack.first.series_uid, stack.key):
        return True
    return bool(stack.key) and (wanted.startswith(f"{stack.key}.") or stack.key.startswith(f"{wanted}."))


RULES: tuple[tuple[str, Callable[[Stack, float], float]], ...] = (
    ("it is the CT", lambda s, _: s.first.modality not in ("CT", None)),
    ("it is no localiser", lambda s, _: is_localiser(s.first)),
    ("it is the chest", lambda s, _: bool(s.first.body_part) and not CHEST.search(s.first.body_part or "")),
    ("its slices are original", lambda s, _: _is_reformat(s.first)),
    ("it is axial", lambda s, _: not _is_axial(s.first)),
    ("it covers more of the chest", lambda s, longest: length_mm(s) < COVERS_CHEST * longest),
    ("its kernel is soft", lambda s, _: s.first.sharp),
    ("its slices are thinnest", lambda s, _: round(step_mm(s), 2)),
    ("it has most slices", lambda s, _: -len(s.frames)),
    ("its number is lowest", lambda s, _: int(s.first.number) if s.first.number.isdigit() else 10**9),
)


def best_of(stacks: Sequence[Stack]) -> tuple[Stack, tuple[Remark, ...]]:
    """The stack to read by the rules at the head of this file, and a remark that says which and why."""
    left, why = list(stacks), ""
    for reason, cost in RULES:
        longest = max(length_mm(stack) for stack in left)
        costs = [cost(stack, longest) for stack in left]
        kept = [stack for stack, c in zip(left, costs, strict=True) if c == min(costs)]
        why, left = (reason if len(kept) < len(left) else why), kept
    picked = min(left, key=lambda stack: stack.key)
    if len(stacks) == 1:
        return picked, ()
    return picked, (
        _picked_remark(picked, [s for s in stacks if s is not picked], why or "the first of equals"),
    )


def _picked_remark(picked: Stack, others: list[Stack], why: str) -> Remark:
    days = {
        s.first.acquired.date() for s in (picked, *others) if s.first.acquired and not is_localiser(s.first)
    }
    text = (
        f"Of {len(others) + 1} stacks of slices, {_line(picked)} was read, because {why}. Not "
        f"read: {_listing(others)}."
    )
    if len(days) > 1:
        text += f" They were taken on {len(days)} different days."
    return Remark(
        "series-picked",
        Severity.WARN if len(days) > 1 else Severity.NOTE,
        text,
        f"To read another one, say {SAY_SERIES} with its number or the key in brackets.",
    )


def _line(stack: Stack) -> str:
    """One stack in words, without description, name or UID."""
    first, n = stack.first, len(stack.frames)
    label = f"series {first.number}" if first.number.isdigit() and len(first.number) < 8 else "series"
    kind = "localiser, " if is_localiser(first) else ""
    step = f" every {step_mm(stack):.2f} mm" if n > 1 and has_geometry(first) else ""
    kernel = f", kernel {first.kernel}" if first.kernel else ""
    key = f" [{stack.key}]" if stack.key else ""
    return (
        f"{label}{key} ({kind}{first.modality or 'no modality'}, {n} "
        f"slice{'s' if n > 1 else ''}{step}{kernel})"
    )


def _listing(stacks: Sequence[Stack]) -> str:
    more = f", and {len(stacks) - LISTED} more" if len(stacks) > LISTED else ""
    return "; ".join(_line(stack) for stack in stacks[:LISTED]) + more


def _is_reformat(frame: Frame) -> bool:
    return "DERIVED" in frame.image_type[:1] or bool(REFORMAT.search(" ".join(frame.image_type[2:])))


def _is_axial(frame: Frame) -> bool:
    return not has_geometry(frame) or abs(normal_of(frame)[2]) > np.cos(np.deg2rad(45))


def step_mm(stack: Stack) -> float:
    """Median distance between neighbouring slices, mm; of a single slice, its thickness."""
    if len(stack.frames) < 2 or not has_geometry(stack.first):
        return stack.first.thickness_mm or 1.0
    return float(np.median(np.diff(places_mm(stack))))


def length_mm(stack: Stack) -> float:
    """How much of the body the stack covers along its normal, mm."""
    if not has_geometry(stack.first):
        return len(stack.frames) * step_mm(stack)
    places = places_mm(stack)
    return float(places[-1] - places[0]) + step_mm(stack)
