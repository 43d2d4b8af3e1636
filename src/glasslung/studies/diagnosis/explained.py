"""The figures of a ledger of explanations as the study's page reads them.

    explained -> {
      'explanations': [{'method', 'region', 'share': [value, low, high], 'chance': share of the lungs or
                        null, 'randomised': [value, low, high] or null}]
      'faithfulness': [{'method', 'figure', 'value': [...], 'random': [...] or null}]
      'conservation': [{'network', 'rule', 'error'}]
    }

The lists of several networks and of several rules are put together with `joined_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glasslung.explain.ledger import Figure

IN, ERROR = "in ", "conservation error"
OVER_VOLUME = "lesions, share over volume"
SHUFFLED = f"{OVER_VOLUME}, all layers shuffled"
LISTS = ("explanations", "faithfulness", "conservation")


def explained(
    method: str, network: str, found: Sequence[Figure], shuffled: Sequence[Figure] = ()
) -> dict[str, list[dict[str, Any]]]:
    """The figures of one way of explaining one network: what `explain.ledger.figures` found.

    method    as the page calls it: 'LRP, conserving'
    network   the classifier that was explained
    shuffled  the same of the network with all its weights shuffled, where that was measured region by region
    """
    without = {one.name: one for one in shuffled}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTS}
    for one in found:
        value = _triple(one)
        if one.name == ERROR:
            rows["conservation"].append({"network": network, "rule": method, "error": one.value.value})
        elif one.name.startswith(IN):
            rows["explanations"].append(
                {
                    "method": method,
                    "region": one.name.removeprefix(IN),
                    "share": value,
                    "chance": one.random.value if one.random else None,
                    "randomised": _triple(without[one.name]) if one.name in without else None,
                }
            )
        else:
            chance = [one.random.value, one.random.low, one.random.high] if one.random else None
            rows["faithfulness"].append(
                {"method": method, "figure": one.name, "value": value, "random": chance}
            )
    return rows


def joined_rows(parts: Sequence[Mapping[str, list[dict[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
    """The lists of several `explained`, one after the other."""
    return {name: [row for part in parts for row in part[name]] for name in LISTS}


def _triple(one: Figure) -> list[float]:
    return [one.value.value, one.value.low, one.value.high]
