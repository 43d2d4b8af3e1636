"""Made-up scans and answers for the tests of the diagnosis study: no network, no patient."""

from __future__ import annotations

import numpy as np

from glasslung.studies.diagnosis.scores import Replies, Scans


def scans(many: int = 90, seed: int = 0, sites: tuple[str, ...] = ("A", "B")) -> Scans:
    generator = np.random.default_rng(seed)
    kinds = generator.choice(["covid", "bacterial", "healthy"], many, p=[0.4, 0.35, 0.25])
    truth = kinds == "covid"
    return Scans(
        truth=truth,
        scans=[f"s{n}" for n in range(many)],
        patients=[f"p{n // 2}-{kinds[n]}" for n in range(many)],
        sites=[str(one) for one in generator.choice(sites, many)],
        words=[str(one) for one in kinds],
        severity=[f"{generator.random():.3f}" if one else "" for one in truth],
        extra={"CO-RADS": [str(one) for one in generator.integers(3, 5, many)]},
    )


def replies(truth: np.ndarray, validation: np.ndarray, apart: float, seed: int) -> Replies:
    generator = np.random.default_rng(seed)

    def of(kind: np.ndarray) -> np.ndarray:
        return apart * (kind - 0.5) + generator.normal(size=len(kind))

    return Replies(of(truth), of(validation), (of(truth),))
