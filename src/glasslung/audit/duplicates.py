"""The same picture twice: exact copies, and copies that were stored anew, resized, turned or mirrored.

A copy is found in two steps. The coarse picture (16 x 16) of a copy correlates with that of the original,
however it was compressed or resized; pairs above a limit are found with a k-d tree on principal components.
A projection never lengthens a distance, so the tree misses no pair. Then the fine detail (64 x 64 with
everything smooth taken out: vessels, fissures) must correlate too, which it does not between people, whose
lungs look alike only from afar. Not found: crops by more than a few per cent, and other windows of one slice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from glasslung.audit.record import FIRST_ROW, AuditSettings, Check, Pair, Part
from glasslung.audit.scans import ScanFacts
from glasslung.types import Case, Remark, Severity

COARSE_PX = 16
SMOOTH_PX = 2.0  # width of the Gaussian whose result counts as "everything smooth"
NOISE_LEVELS = 4.0  # local strength below this is noise and is not raised to the rest
COMPONENTS = 16  # of the coarse pictures that the tree searches in: enough to leave few pairs to look at
AT_ONCE = 2048  # slices or pairs: 2 x 32 MB of float32
CLOSEST_SHOWN = 10
TURNS = tuple(
    (
        ", ".join(filter(None, ("mirrored" * flip, f"turned by {90 * quarter}" if quarter else ""))),
        flip,
        quarter,
    )
    for flip in (False, True)
    for quarter in range(4)
)


def audit_duplicates(cases: Sequence[Case], facts: Sequence[ScanFacts], settings: AuditSettings) -> Part:
    """Find scans that are one picture, and say where that spoils a score."""
    exact = exact_pairs(facts)
    near = {rows: found for rows, found in near_pairs(facts, settings).items() if rows not in exact}
    pairs = [_pair(cases, rows, 1.0, "as it is", True) for rows in sorted(exact)]
    pairs += [
        _pair(cases, rows, alike, turned, False)
        for rows, (alike, turned) in sorted(near.items())
        if alike >= settings.alike
    ]
    others = sorted(
        (
            _pair(cases, rows, alike, turned, False)
            for rows, (alike, turned) in near.items()
            if alike < settings.alike and cases[rows[0]].patient != cases[rows[1]].patient
        ),
        key=lambda pair: -pair.alike,
    )
    remarks = (*_remarks(pairs), *_look_remarks(others, settings))
    looked_at = sum(one.thumbs is not None for one in facts)
    views = sum(len(one.thumbs) for one in facts if one.thumbs is not None)
    text = f"{looked_at} scans compared by {views} slices, each in 8 positions (turned, mirrored)"
    check = Check("duplicates", "found" if pairs else "clear", text)
    return Part(remarks=remarks, checks=(check,), pairs=tuple(pairs), closest=tuple(others[:CLOSEST_SHOWN]))


def exact_pairs(facts: Sequence[ScanFacts]) -> set[tuple[int, int]]:
    """Pairs of scans with the same grey values in the same places, whatever the files look like."""
    by_pixels: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(facts):
        if one.pixels:
            by_pixels[one.pixels].append(number)
    return {(same[0], other) for same in by_pixels.values() for other in same[1:]}


def near_pairs(
    facts: Sequence[ScanFacts], settings: AuditSettings
) -> dict[tuple[int, int], tuple[float, str]]:
    """Pairs of scans that pass the coarse step -> (how alike the detail is, how the second was turned).

    Of a pair of volumes, as much as a third of the slices of the shorter one reach in one position (of a
    picture, its one slice): one slice among many is alike by chance. Exact copies are among the pairs; slices
    of one scan are not compared with each other.
    """
    owner, thumbs = _all_thumbs(facts)
    best: dict[tuple[int, int], tuple[float, str]] = {}
    if len(thumbs) < 2:
        return best
    slices = np.bincount(owner, minlength=len(facts))
    small, fine = coarse(thumbs), detail(thumbs)
    for name, flip, quarter in TURNS:
        turned_small, turned_fine = turn(small, flip, quarter), turn(fine, flip, quarter)
        matches: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        for first, second in _candidates(small, turned_small, owner, settings.coarse):
            alike = np.einsum("nij,nij->n", fine[first], turned_fine[second], dtype=np.float32)
            shorter = np.where(slices[owner[first]] <= slices[owner[second]], first, second)
            for a, b, one, value in zip(
                owner[first].tolist(), owner[second].tolist(), shorter.tolist(), alike.tolist(), strict=True
            ):
                matches[a, b][one] = max(value, matches[a, b].get(one, -1.0))
        for (a, b), values in matches.items():
            enough = -(-int(min(slices[a], slices[b])) // 3)
            if len(values) >= enough:
                value = round(sorted(values.values(), reverse=True)[enough - 1], 4)
                best[a, b] = max(best.get((a, b), (-1.0, "")), (value, name or "as it is"))
    return best


def turn(views: np.ndarray, flip: bool, quarter: int) -> np.ndarray:
    """(V, S, S) mirrored left to right where asked, then turned by quarters."""
    mirrored = views[:, :, ::-1] if flip else views
    return np.rot90(mirrored, quarter, axes=(1, 2))


def coarse(thumbs: np.ndarray) -> np.ndarray:
    """(V, 64, 64) -> (V, 16, 16) float32, each of length 1 around mean 0: products are correlations."""
    views, size, _ = thumbs.shape
    block = size // COARSE_PX
    return _unit(thumbs.reshape(views, COARSE_PX, block, COARSE_PX, block).mean((2, 4), dtype=np.float32))


def detail(thumbs: np.ndarray) -> np.ndarray:
    """(V, 64, 64) -> (V, 64, 64) float16 of length 1: the fine structure, every place counting alike.

    What is left when the smooth part is taken out, over its own local strength: else the outline of the body,
    which is strong and much the same in everybody, would outweigh all vessels.
    """
    from scipy import ndimage

    fine = np.empty(thumbs.shape, dtype=np.float16)  # half the memory; products are summed in float32
    for start in range(0, len(thumbs), AT_ONCE):
        values = thumbs[start : start + AT_ONCE].astype(np.float32)
        rough = values - ndimage.gaussian_filter(values, (0, SMOOTH_PX, SMOOTH_PX))
        strength = np.sqrt(ndimage.gaussian_filter(rough**2, (0, 2 * SMOOTH_PX, 2 * SMOOTH_PX)))
        fine[start : start + AT_ONCE] = _unit(rough / (strength + NOISE_LEVELS))
    return fine


def _candidates(
    small: np.ndarray, turned: np.ndarray, owner: np.ndarray, limit: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of slices of different scans whose coarse pictures correlate above the limit, in portions."""
    from scipy.spatial import cKDTree

    here, there = small.reshape(len(small), -1), turned.reshape(len(turned), -1)
    middle = here.mean(0)
    # The directions along which the coarse pictures differ most: unit vectors at right angles.
    axes = np.linalg.eigh(np.cov((here - middle).T))[1][:, ::-1][:, :COMPONENTS]
    radius = (
        np.sqrt(2 * (1 - limit)) + 1e-6
    )  # distance of two vectors of length 1 that correlate at the limit
    places, tree = (here - middle) @ axes, cKDTree((there - middle) @ axes)
    for start in range(0, len(places), AT_ONCE):
        near = tree.query_ball_point(places[start : start + AT_ONCE], radius)
        first = np.repeat(np.arange(start, start + len(near)), [len(found) for found in near])
        second = np.concatenate([np.asarray(found, dtype=np.int64) for found in near])
        once = owner[first] < owner[second]  # the eight turns hold every position of a pair both ways
        first, second = first[once], second[once]
        for portion in range(0, len(first), AT_ONCE):
            a, b = first[portion : portion + AT_ONCE], second[portion : portion + AT_ONCE]
            close = np.einsum("nk,nk->n", here[a], there[b]) >= limit
            yield a[close], b[close]


def _all_thumbs(facts: Sequence[ScanFacts]) -> tuple[np.ndarray, np.ndarray]:
    """owner (V,) number of the scan, thumbs (V, S, S); slices of one grey only are left out."""
    seen = [(n, thumb) for n, one in enumerate(facts) if one.thumbs is not None for thumb in one.thumbs]
    kept = [(n, thumb) for n, thumb in seen if np.ptp(thumb) > 0]
    owner = np.array([n for n, _ in kept], dtype=np.int64)
    return owner, np.stack([thumb for _, thumb in kept]) if kept else np.zeros((0, 1, 1), np.uint8)


def _unit(views: np.ndarray) -> np.ndarray:
    centred = views - views.mean((1, 2), keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-6)


def _pair(cases: Sequence[Case], rows: tuple[int, int], alike: float, turned: str, exact: bool) -> Pair:
    first, second = cases[rows[0]], cases[rows[1]]
    return Pair(
        first_row=rows[0] + FIRST_ROW,
        second_row=rows[1] + FIRST_ROW,
        alike=alike,
        exact=exact,
        turned=turned,
        same_patient=first.patient == second.patient,
        across_splits=bool(first.split and second.split and first.split != second.split),
        labels_differ=first.label != second.label,
    )


def _remarks(pairs: Sequence[Pair]) -> Iterator[Remark]:
    across = [pair for pair in pairs if pair.across_splits]
    strangers = [pair for pair in pairs if not pair.same_patient and not pair.across_splits]
    within = [pair for pair in pairs if pair.same_patient and not pair.across_splits]
    if across:
        yield Remark(
            "duplicates-across-splits",
            Severity.REFUSE if any(pair.exact for pair in across) else Severity.WARN,
            f"{_told(across)} stand on two sides of a split: a score on the one is learned from the other.",
            "Give both the same patient name and split again, or leave one out.",
        )
    if strangers:
        yield Remark(
            "duplicates-across-patients",
            Severity.WARN,
            f"{_told(strangers)} carry different patient names: they may be one patient.",
            "Give both the same patient name, or leave one out.",
        )
    if within:
        yield Remark(
            "duplicates-within-patient",
            Severity.NOTE,
            f"{_told(within)} of the same patient: they count twice.",
            "Leave one of each pair out where scans, not patients, are counted.",
        )
    if odd := [pair for pair in pairs if pair.labels_differ]:
        yield Remark(
            "duplicates-labels-differ",
            Severity.WARN,
            f"{_told(odd)} carry different labels: one of the labels is wrong.",
            "Look at both and mend the label.",
        )


def _look_remarks(closest: Sequence[Pair], settings: AuditSettings) -> Iterator[Remark]:
    """Pairs of different patients just below the limit: neighbouring slices of one patient land here."""
    doubtful = [pair for pair in closest if pair.alike >= settings.look]
    if doubtful:
        rows = "; ".join(f"rows {pair.first_row} and {pair.second_row}" for pair in doubtful[:3])
        yield Remark(
            "nearly-duplicates",
            Severity.NOTE,
            f"{len(doubtful)} more pair(s) under different patient names are much alike (detail correlates "
            f"{doubtful[-1].alike:.2f} to {doubtful[0].alike:.2f}; {rows}"
            f"{'; ...' if len(doubtful) > 3 else ''}).",
            "Look at them: neighbouring slices of one patient look like this.",
        )


def _told(pairs: Sequence[Pair]) -> str:
    """'3 pairs of scans that are one picture or nearly so (1 of them the same pixels; rows 4 and 9, ...)'."""
    exact = sum(pair.exact for pair in pairs)
    rows = "; ".join(
        f"rows {pair.first_row} and {pair.second_row}"
        + (f", {pair.turned}" if pair.turned != "as it is" else "")
        for pair in pairs[:3]
    )
    count = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
    more = "; ..." if len(pairs) > 3 else ""
    return f"{count} of scans that are one picture or nearly so ({exact} with the same pixels; {rows}{more})"
