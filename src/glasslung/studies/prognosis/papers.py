"""What the COVID3D paper prints, for a place beside ours.

Hospital A: 83 patients with COVID-19 and 83 with another pneumonia, ten folds. B: 20 and 20. C: 12 and 9.
Its deviations are over a hundred windows, not over patients: with 21 patients an AUC of 0.84 has a 95 %
interval of about 0.62 to 0.97. The stay was foretold on a test set whose size is not stated.
"""

from __future__ import annotations

from typing import NamedTuple


class Area(NamedTuple):
    """An AUC at hospitals B and C with its deviation over windows."""

    method: str
    at_b: tuple[float, float]
    at_c: tuple[float, float]


class Call(NamedTuple):
    """Sensitivity and specificity at a hospital."""

    who: str
    hospital: str
    sensitivity: float
    specificity: float


RESNET, COVID3D, TUNED = "2D ResNet-50", "COVID3D", "COVID3D, windows tuned on the asked hospitals"
INNER = (0.92, 0.01)
"""Mean AUC on the validation folds of A, and its deviation."""
AREAS = (
    Area(RESNET, (0.65, 0.01), (0.69, 0.02)),
    Area(COVID3D, (0.78, 0.01), (0.84, 0.02)),
    Area(TUNED, (0.81, 0.01), (0.87, 0.02)),
)
"""Table 1."""
CALLS = (
    Call("radiologist 1", "B", 0.95, 0.77),
    Call("radiologist 2", "B", 0.70, 0.75),
    Call(COVID3D, "B", 0.83, 0.70),
    Call("radiologist 1", "C", 0.83, 0.95),
    Call("radiologist 2", "C", 0.66, 0.90),
    Call(COVID3D, "C", 0.80, 0.78),
)
"""Table 2."""
PEAK = "10 to 15 days after the first symptom"
"""When its scores are highest, figure 2."""
LOG_RANK = {"two scans": 5.3e-5, "one scan": 0.0033, "age and sex": 0.77}
"""p of the log-rank test between its high and low risk, figure 3."""


def printed() -> dict[str, object]:
    """All of it as plain values, for numbers.json."""
    return {
        "inner": list(INNER),
        "areas": [{"method": one.method, "B": list(one.at_b), "C": list(one.at_c)} for one in AREAS],
        "calls": [one._asdict() for one in CALLS],
        "peak": PEAK,
        "log rank": dict(LOG_RANK),
    }
