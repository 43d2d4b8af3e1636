"""The same figures from several seeds: their mean, and how far one training lies from another."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

VALUE = "value"  # where a figure with its interval keeps the figure


def over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Nested figures of several seeds, one after the other -> the same nesting with mean and deviation.

    A figure is what has a 'value'. One that a seed lacks, or has none of (None, infinite), is averaged over
    the others, and 'seeds' says how many there were. deviation: between seeds, n - 1 below; None for one.
    """
    names = list(dict.fromkeys(name for one in found for name in one))
    averaged: dict[str, Any] = {}
    for name in names:
        parts = [one[name] for one in found if isinstance(one.get(name), Mapping)]
        if not parts:
            continue
        figures = [part for part in parts if VALUE in part]
        each = _spread([part[VALUE] for part in figures]) if figures else over_seeds(parts)
        if each:
            averaged[name] = each
    return averaged


def _spread(values: Sequence[Any]) -> dict[str, Any]:
    """{} where there is no figure at all."""
    told = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if not told:
        return {}
    deviation = statistics.stdev(told) if len(told) > 1 else None
    return {"mean": statistics.fmean(told), "deviation": deviation, "seeds": len(told)}
