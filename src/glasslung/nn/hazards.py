"""Time in intervals and events that compete: which comes first, and when, as a chance in each interval.

Notation  N scans, K intervals, C causes (critical illness, discharge, ...)
          edges (K + 1,) of the intervals in days, from 0; interval k is (edges[k], edges[k + 1]]
          logits (N, K, C); in an interval that is reached without an event, cause c happens with
              h[k, c] = exp(logit[k, c]) / (1 + sum of exp(logit[k, :])), and nothing with what is left to 1
          kind (N,) int64: 0 observation ended, c the c-th cause; days (N,) to it

    log-likelihood of an event c in interval k      sum over j < k of log(1 - h[j]) + log h[k, c]
    of an observation that ended on a day           sum over the intervals wholly lived through
    chance of cause c by the end of interval k      sum over j <= k of S[j] h[j, c],  S[j] = product of
                                                    (1 - h[i]) over i < j, h[i] summed over the causes

An event after the last edge is an observation that ended there. Tutz & Schmid, Modeling Discrete
Time-to-Event Data, 2016, chapters 3 and 8. One number per scan, in nats.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from glasslung.errors import DataError, ShapeError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

ENDED = 0  # code of an observation that ended without any event


def checked_edges(edges: tuple[float, ...]) -> tuple[float, ...]:
    """The edges of the intervals; UsageError unless they start at 0 and rise."""
    rising = all(b > a for a, b in itertools.pairwise(edges))
    if len(edges) < 2 or edges[0] != 0 or not rising:
        raise UsageError(f"edges of intervals start at 0 days and rise, got {edges}")
    return edges


def intervals_lived(days: Tensor, edges: Tensor) -> Tensor:
    """How many intervals lie wholly before or at each day, (N,) int64, 0 to K."""
    import torch

    return torch.searchsorted(edges[1:].contiguous(), days.contiguous(), right=True)


def log_chances(logits: Tensor) -> Tensor:
    """Log chances in each interval, (N, K, 1 + C): nothing happens, then each cause."""
    import torch

    nothing = torch.zeros_like(logits[..., :1])
    return torch.log_softmax(torch.cat([nothing, logits], -1), -1)


def log_likelihood(logits: Tensor, days: Tensor, kind: Tensor, edges: Tensor) -> Tensor:
    """How well the hazards explain what was seen, (N,) nats, 0 or less."""
    import torch

    count, intervals, causes = logits.shape
    if len(edges) != intervals + 1 or tuple(days.shape) != (count,) or tuple(kind.shape) != (count,):
        raise ShapeError(
            f"logits {tuple(logits.shape)} need {intervals + 1} edges and {count} days and kinds, got "
            f"{len(edges)}, {tuple(days.shape)} and {tuple(kind.shape)}"
        )
    if bool((days < 0).any()) or bool((kind < 0).any()) or bool((kind > causes).any()):
        raise DataError(f"days are 0 or more and kinds 0 to {causes}; leave out whoever has none")
    known = log_chances(logits)
    before = torch.cumsum(known[..., 0], 1)
    before = torch.cat([torch.zeros_like(before[:, :1]), before], 1)  # (N, K + 1) of having lived through k
    rows = torch.arange(count, device=logits.device)
    lived = before[rows, intervals_lived(days, edges)]
    inside = torch.searchsorted(edges[1:].contiguous(), days.contiguous())  # whose interval the day is in
    met = (kind != ENDED) & (inside < intervals)
    at = inside.clamp(max=intervals - 1)
    event = before[rows, at] + known[rows, at, kind]
    return torch.where(met, event, lived)


def incidence(logits: Tensor) -> Tensor:
    """Chance of each cause by the end of each interval, (N, K, C) in [0, 1]; together at most 1."""
    import torch

    known = log_chances(logits)
    lived = torch.cumsum(known[..., 0], 1) - known[..., 0]  # up to the beginning of each interval
    return torch.cumsum(torch.exp(lived[..., None] + known[..., 1:]), 1)
