"""A risk law: hazards in intervals of days that are linear in a few columns of numbers, as plain numbers.

logit[k, c] = base[k, c] + sum over f of weights[f, c] * (x[f] - mean[f]) / scale[f]: a column makes each
cause likelier in all intervals alike (`nn.hazards` has the formulas). Fitted in `studies.prognosis.risks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError


@dataclass(frozen=True, eq=False)
class RiskLaw:
    """F columns, K intervals, C causes.

    names        (F,) the columns
    mean, scale  (F,) of the training's patients
    base         (K, C) logits of a patient who is average in all columns
    weights      (F, C) for one `scale` more
    edges        (K + 1,) days, from 0
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    base: np.ndarray
    weights: np.ndarray
    edges: np.ndarray

    def standard(self, columns: Mapping[str, Any]) -> np.ndarray:
        """(N, F): the columns in the training's scales. DataError where one is missing or no number."""
        return (matrix_of(self.names, columns) - self.mean) / self.scale

    def incidence(self, columns: Mapping[str, Any]) -> np.ndarray:
        """Chance of each cause by each edge, (N, K + 1, C), 0 at day 0."""
        import torch

        from glasslung.nn.hazards import incidence

        logits = self.base[None] + (self.standard(columns) @ self.weights)[:, None]
        found = incidence(torch.from_numpy(logits)).numpy()
        return np.concatenate([np.zeros_like(found[:, :1]), found], 1)

    def chance(self, columns: Mapping[str, Any], days: Sequence[float], cause: int) -> np.ndarray:
        """Chance of a cause (1, 2, ...) by each day, (N, T); straight between edges, flat after the last."""
        known = self.incidence(columns)[..., cause - 1]
        return np.stack([np.interp(days, self.edges, one) for one in known])

    def told(self) -> dict[str, Any]:
        """As plain values."""
        arrays = ("mean", "scale", "base", "weights", "edges")
        return {"names": list(self.names)} | {name: rounded(getattr(self, name)) for name in arrays}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> RiskLaw:
        """A law out of its plain values; DataError where they do not fit each other."""
        try:
            arrays = [np.asarray(told[name], float) for name in ("mean", "scale", "base", "weights", "edges")]
            law = cls(tuple(told["names"]), *arrays)
            columns, (intervals, causes) = len(law.names), law.base.shape
        except (KeyError, TypeError, ValueError) as problem:
            raise DataError(f"a risk law is damaged ({problem}); make it again") from problem
        wanted = [(columns,), (columns,), (intervals, causes), (columns, causes), (intervals + 1,)]
        if [one.shape for one in arrays] != wanted or not all(np.isfinite(one).all() for one in arrays):
            raise DataError("a risk law is damaged: its numbers do not fit each other; make it again")
        return law


def matrix_of(names: Sequence[str], columns: Mapping[str, Any]) -> np.ndarray:
    """Columns side by side, (N, F); DataError names one that is missing or holds no number."""
    if missing := [name for name in names if name not in columns]:
        raise DataError(f"the column {missing[0]!r} is missing; a prognosis needs {', '.join(names)}")
    found = np.stack([np.atleast_1d(np.asarray(columns[name], float)) for name in names], 1)
    if not np.isfinite(found).all():
        name = names[int(np.flatnonzero(~np.isfinite(found).all(0))[0])]
        raise DataError(f"the column {name!r} holds no number in some lines; leave those out, and say so")
    return found


def rounded(array: np.ndarray) -> Any:
    """An array as lists of numbers of six digits."""
    return [rounded(one) if np.ndim(one) else float(f"{one:.6g}") for one in np.asarray(array)]
