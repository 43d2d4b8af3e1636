"""What a prognosis may look at: sets of columns, of nobody's scan, of one scan and of two.

The paper's question is whether the scan before helps. Each set of one scan has a twin of two, which sees the
same measures, how they changed, and how many days lie between; both are asked about the same patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.stays import CHANGE, LOG_DAYS, Stays, with_priors
from glasslung.studies.prognosis.burden import AFFECTED, CONSOLIDATION, POINTS

PERSON = ("age", "male")
SCORE = "log_odds"
PARTS = 6  # of the features: the principal components; some hundred landmarks bear no more
PARTS_OF = tuple(f"feature_{number + 1}" for number in range(PARTS))
ONE, TWO = "one scan", "two scans"
AGE_SEX, POINTS_ONE = "age and sex", f"CT severity score, {ONE}"
DAY = "day of the scan alone"


def _named(what: str, columns: tuple[str, ...]) -> tuple[Looked, Looked]:
    changed = tuple(f"{name}{CHANGE}" for name in columns)
    return (
        Looked(f"{what}, {ONE}", columns, 1),
        Looked(f"{what}, {TWO}", (*columns, *changed, LOG_DAYS), 2),
    )


@dataclass(frozen=True)
class Looked:
    """A set of columns: its name, the columns, and how many scans they are of."""

    name: str
    columns: tuple[str, ...]
    scans: int


BURDEN = _named("lesion burden", (AFFECTED, CONSOLIDATION))
S = _named("s(t)", (SCORE,))
FEATURES = _named("I3D features", PARTS_OF)
WHOLE = tuple(
    Looked(f"burden, age and sex, {name}", (*one.columns, *PERSON), one.scans)
    for name, one in zip((ONE, TWO), BURDEN, strict=True)
)
SETS = (
    Looked(AGE_SEX, PERSON, 0),
    Looked(DAY, ("day",), 0),
    Looked(POINTS_ONE, (POINTS,), 1),
    *BURDEN,
    *S,
    *FEATURES,
    *WHOLE,
)
PAIRS = (FEATURES, S, BURDEN, WHOLE)
"""Twins of one scan and of two; the first is the paper's."""


def all_columns(
    stays: Stays, burdens: dict[str, np.ndarray], score: np.ndarray | None, parts: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Every column of every scan, NaN where it is not known, (N,) each.

    score  (N,) s(t); parts (N, PARTS) of the features; None where there is no classifier
    """
    single = dict(burdens)
    if score is not None and parts is not None:
        single |= {SCORE: score} | dict(zip(PARTS_OF, parts.T, strict=True))
    return with_priors(single, stays) | {"age": stays.age, "male": stays.male, "day": stays.day}


def principal_parts(features: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """Features (N, F) -> (N, PARTS) principal components of the scans `learned` (N,) bool, unit variance."""
    from sklearn.decomposition import PCA

    fitted = PCA(PARTS, whiten=True, svd_solver="full").fit(features[learned].astype(np.float64))
    return np.asarray(fitted.transform(features.astype(np.float64)))


def known_sets(columns: dict[str, np.ndarray], rows: np.ndarray) -> tuple[Looked, ...]:
    """The sets of which all columns are known for most of these rows and say something there."""

    def there(name: str) -> bool:
        column = columns.get(name)
        if column is None:
            return False
        known = np.isfinite(column[rows])
        return bool(known.mean() > 0.5 and np.ptp(column[rows][known]) > 0)

    return tuple(one for one in SETS if all(there(name) for name in one.columns))
