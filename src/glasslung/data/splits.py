"""Dealing patients into parts: by strata, reproducible, the order of the table without influence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from glasslung.errors import DataError


def deal(kinds: Mapping[str, tuple[str, ...]], fractions: Mapping[str, float], seed: int) -> dict[str, str]:
    """Give every patient a part: patient -> name of a part.

    kinds      patient -> what he is stratified by, most important first ('covid', 'site A'); () for no strata
    fractions  part -> its share of the patients, > 0, summing to 1
    The first stratum gets its exact quota in each part and at least one patient there; the further ones are
    spread evenly within it. DataError where a stratum has fewer patients than there are parts.
    """
    groups: dict[str, list[str]] = {}
    for patient in sorted(kinds):
        groups.setdefault(kinds[patient][0] if kinds[patient] else "", []).append(patient)
    return {
        patient: part
        for stratum in sorted(groups)
        for patient, part in _deal_stratum(stratum, groups[stratum], kinds, fractions, seed).items()
    }


def quotas(count: int, fractions: Mapping[str, float]) -> dict[str, int]:
    """How many of `count` patients each part gets: largest remainder, none left empty where count allows."""
    exact = {part: share * count for part, share in fractions.items()}
    given = {part: int(share) for part, share in exact.items()}
    by_remainder = sorted(fractions, key=lambda part: given[part] - exact[part])
    for part in by_remainder[: count - sum(given.values())]:
        given[part] += 1
    for part in given:
        richest = max(given, key=lambda name: given[name])
        if given[part] == 0 and given[richest] > 1:
            given[richest] -= 1
            given[part] += 1
    return given


def _deal_stratum(
    stratum: str,
    patients: Sequence[str],
    kinds: Mapping[str, tuple[str, ...]],
    fractions: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    quota = quotas(len(patients), fractions)
    if 0 in quota.values():
        who = f"{stratum!r} has {len(patients)}" if stratum else f"there are {len(patients)}"
        raise DataError(
            f"{who} patient(s), too few for {len(fractions)} parts ({', '.join(fractions)}); ask for fewer "
            "parts, add patients, or do not stratify"
        )
    queue = sorted(patients, key=lambda patient: (kinds[patient][1:], _lot(seed, patient)))
    return dict(zip(queue, _evenly(quota), strict=True))


def _evenly(quota: Mapping[str, int]) -> list[str]:
    """The parts' names, each as often as its quota, spread so that any stretch holds about the right mix."""
    total, given = sum(quota.values()), dict.fromkeys(quota, 0)
    dealt = []
    for turn in range(1, total + 1):
        open_parts = [part for part in quota if given[part] < quota[part]]
        part = max(open_parts, key=lambda name: quota[name] * turn / total - given[name])
        given[part] += 1
        dealt.append(part)
    return dealt


def _lot(seed: int, patient: str) -> bytes:
    """The patient's lot under this seed: no row order and no other patient changes it."""
    return hashlib.blake2b(f"{seed}\n{patient}".encode(), digest_size=16).digest()
