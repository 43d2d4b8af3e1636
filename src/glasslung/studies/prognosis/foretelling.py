"""Table 3 that the paper does not have: how well a stay is foretold, from nothing, one scan or two.

Every set of columns (`columns`) is given to every model (`risks`), all fitted and tuned at the trained
hospital and asked about the others once, from one landmark of each patient. The cut between high and low risk
is the median risk of the trained hospital. Sets of the classifier's features have one model more: the
network that looks ahead (`network`), the paper's own way, a linear layer on all features. On phantoms the
law that the stays were drawn from tells what could be reached at these very landmarks (`ceiling`).

    foretell -> {
      'learned': {'landmarks', 'patients', 'long', 'critical'}
      'asked': {'patients', 'long', 'critical', 'open', 'by part': {part: patients}}
      'stay': {set: {model: scores.score_stay}}, 'ill': {set: {model: scores.score_ill}}
      'pairs': [{'one', 'two', 'model', 'endpoint', 'difference': triple}]
      'ceiling': {'stay': {'true law', 'true log risk': score_stay}, 'ill': {...: score_ill}} or null
      'left out': {set: why}
    }
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from glasslung.data.stays import CRITICAL, LONG_STAY_DAYS, Stays
from glasslung.errors import DataError
from glasslung.models.hazardnet import HAZARDS, LONG_STAY
from glasslung.studies.prognosis.ceiling import chance_of_event, chance_of_stay
from glasslung.studies.prognosis.columns import FEATURES, PAIRS, SETS, Looked, known_sets
from glasslung.studies.prognosis.ground import PrognosisGround
from glasslung.studies.prognosis.network import ask, chance_by, learn, lines_of
from glasslung.studies.prognosis.risks import HORIZON, ILL, KINDS, LONG, STAY, RiskModel, fit, usable
from glasslung.studies.prognosis.scores import compare, first_landmarks, score_ill, score_stay
from glasslung.types import Progress

MODELS = {
    STAY: {"logistic": "logistic", "Cox": "cox", "hazards": "hazards"},
    ILL: {"Cox": "cox", "competing risks": "competing", "hazards": "hazards"},
}
"""By endpoint: what a model is called, and its kind in `risks`."""
LEAST = 12  # landmarks to learn from, and patients to ask: below that no figure would mean anything
TRUE_LAW, TRUE_RISK = "true law", "true log risk"
TUNING_STREAM = 5
NETWORK = "network"


def foretell(
    ground: PrognosisGround,
    columns: Mapping[str, np.ndarray],
    features: np.ndarray | None,
    seed: int,
    draws: int,
    tuned: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every set, every model; see the head of this file.

    columns   of every scan (`columns.all_columns`)
    features  (N, F) of the classifier; None where there is none
    tuned     whether how strongly models are shrunk is chosen; False: the middle of what is tried
    DataError where nobody has a stay ahead, all are censored, or too few are left to learn from or to ask.
    """
    rows = ground.landmarks & _known(ground.stays)
    _check(ground, rows)
    learned = rows & ground.rows(ground.trained)
    asked = first_landmarks(ground.stays, rows & ~ground.rows(ground.trained))
    _check_counts(learned, asked)
    sets = known_sets(dict(columns), rows)
    told: dict[str, Any] = {
        "learned": _counts(ground.stays.take(learned)),
        "asked": _counts(ground.stays.take(asked)) | {"by part": _by_part(ground, asked)},
        "left out": {one.name: _why_not(one, ground) for one in SETS if one not in sets},
    }
    risks: dict[str, dict[str, dict[str, np.ndarray]]] = {STAY: {}, ILL: {}}
    found: dict[str, dict[str, dict[str, Any]]] = {STAY: {}, ILL: {}}
    for number, one in enumerate(sets):
        if progress:
            progress(f"foretelling from {one.name}", number / len(sets))
        for endpoint in (STAY, ILL):
            if endpoint == ILL and not _some_ill(ground.stays, learned, asked):
                continue
            risks[endpoint][one.name], found[endpoint][one.name] = _of_set(
                one, columns, ground.stays, learned, asked, endpoint, tuned, seed, draws
            )
            if features is not None and one in FEATURES:
                risk, figures = _of_network(
                    one, features, ground.stays, learned, asked, endpoint, seed, draws
                )
                risks[endpoint][one.name][NETWORK], found[endpoint][one.name][NETWORK] = risk, figures
    told |= {"stay": found[STAY], "ill": found[ILL]}
    told["pairs"] = _pairs(ground.stays, asked, risks, seed, draws)
    told["ceiling"] = _ceiling(ground, learned, asked, seed, draws) if "log_risk" in ground.truth else None
    return told


def _why_not(one: Looked, ground: PrognosisGround) -> str:
    """Why a set of columns is not asked."""
    if one.scans == 2 and not ground.serial:
        return "every patient has one scan: whether the scan before helps cannot be asked"
    return "its columns are not known, or never vary"


def _of_set(
    one: Looked,
    columns: Mapping[str, np.ndarray],
    stays: Stays,
    learned: np.ndarray,
    asked: np.ndarray,
    endpoint: str,
    tuned: bool,
    seed: int,
    draws: int,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Risks (N of asked,) and figures of all models of one set."""
    table = {name: _filled(columns[name], learned) for name in one.columns}
    risks, found = {}, {}
    for name, kind in MODELS[endpoint].items():
        wanted = LONG if kind == "logistic" else endpoint
        rows = learned & usable(table, stays, wanted)
        rng = np.random.default_rng([seed, TUNING_STREAM])
        strengths = None if tuned else _middle(kind)
        model, settled = _fitted(kind, _rows(table, rows), stays.take(rows), endpoint, strengths, rng)
        own, other = model.risk(_rows(table, learned)), model.risk(_rows(table, asked))
        risks[name] = other
        there = stays.take(asked)
        if endpoint == ILL:
            by_day = model.chance(_rows(table, asked), [HORIZON])[:, 0]
            found[name] = score_ill(there, other, by_day, seed, draws) | {"settled": settled}
            continue
        chance = model.chance(_rows(table, asked), [LONG_STAY_DAYS])[:, 0]
        found[name] = score_stay(there, other, chance, other > np.median(own), seed, draws)
        found[name] |= {"strength": model.strength, "settled": settled}
    return risks, found


def _middle(kind: str) -> tuple[float]:
    """The middle of the strengths that a kind of model would choose from."""
    tried = KINDS[kind][2]
    return (tried[len(tried) // 2],)


def _fitted(
    kind: str,
    columns: Mapping[str, np.ndarray],
    stays: Stays,
    endpoint: str,
    strengths: tuple[float] | None,
    rng: np.random.Generator,
) -> tuple[RiskModel, bool]:
    """A fitted model, and whether its fit came to rest, as far as its library noticed."""
    from lifelines.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", ConvergenceWarning)
        model = fit(kind, columns, stays, endpoint, rng=rng, strengths=strengths)
    for one in noticed:
        if not issubclass(one.category, ConvergenceWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return model, not any(issubclass(one.category, ConvergenceWarning) for one in noticed)


def _of_network(
    one: Looked,
    features: np.ndarray,
    stays: Stays,
    learned: np.ndarray,
    asked: np.ndarray,
    endpoint: str,
    seed: int,
    draws: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Risk (N of asked,) and figures of a linear layer on all features of one scan or two."""
    pairs, there = one.scans == 2, stays.take(asked)
    known = learned & np.isfinite(stays.event_days) & ((stays.long_stay >= 0) | (endpoint == ILL))
    lines = lines_of(features, stays, known, pairs=pairs)
    net = learn(lines, {"head": LONG_STAY if endpoint == STAY else HAZARDS}, seed=seed)
    # what came after is not read where a network is only asked: a table that tells stays alone has no events
    silent = replace(stays, event_days=np.zeros(len(stays)))
    own, other = (lines_of(features, silent, rows, pairs=pairs) for rows in (learned, asked))
    if endpoint == ILL:
        risk = chance_by(net, other, HORIZON)
        return risk, score_ill(there, risk, risk, seed, draws)
    mine, chance = ask(net, own), ask(net, other)
    return chance, score_stay(there, chance, chance, chance > np.median(mine), seed, draws)


def _filled(column: np.ndarray, learned: np.ndarray) -> np.ndarray:
    """A column whose gaps hold the mean of those learned from: all sets ask the same patients."""
    known = np.isfinite(column)
    return np.where(known, column, float(np.mean(column[learned & known])))


def _rows(table: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: column[rows] for name, column in table.items()}


def _pairs(
    stays: Stays,
    asked: np.ndarray,
    risks: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]],
    seed: int,
    draws: int,
) -> list[dict[str, Any]]:
    """Two scans less one, for every model of both endpoints: the difference in Harrell's C."""
    there, rows = stays.take(asked), []
    for one, two in PAIRS:
        for endpoint in (STAY, ILL):
            both = (risks[endpoint].get(one.name), risks[endpoint].get(two.name))
            if both[0] is None or both[1] is None:
                continue
            rows += [
                {
                    "one": one.name,
                    "two": two.name,
                    "endpoint": endpoint,
                    "model": model,
                    "difference": compare(
                        there, both[0][model], both[1][model], endpoint == ILL, seed, draws
                    ),
                }
                for model in both[0]
            ]
    return rows


def _ceiling(
    ground: PrognosisGround, learned: np.ndarray, asked: np.ndarray, seed: int, draws: int
) -> dict[str, Any]:
    """The best that could be reached at these landmarks: by the phantoms' law, and by their log risk."""
    risk, day = ground.truth["log_risk"], ground.stays.day
    there = ground.stays.take(asked)
    stay, ill = chance_of_stay(risk, day), chance_of_event(risk, day, HORIZON)
    found = {}
    for name, (score, chance, event) in {
        TRUE_LAW: (stay, stay[asked], ill),
        TRUE_RISK: (risk, None, risk),
    }.items():
        high = score[asked] > np.median(score[learned])
        found[name] = {
            STAY: score_stay(there, score[asked], chance, high, seed, draws),
            ILL: score_ill(there, event[asked], event[asked] if chance is not None else None, seed, draws),
        }
    return {
        key: {name: one[endpoint] for name, one in found.items()}
        for key, endpoint in (("stay", STAY), ("ill", ILL))
    }


# ------------------------------------------------------------------------------------------------- refusals


def _known(stays: Stays) -> np.ndarray:
    return np.isfinite(stays.stay)


def _check(ground: PrognosisGround, rows: np.ndarray) -> None:
    """DataError, with the reason, where there is nothing to compare."""
    if not rows.any():
        raise DataError(
            "no patient with COVID-19 is scanned, a second time where there are serial scans, while in "
            "hospital and not critically ill: there is no day to look ahead from; look at the columns day, "
            "stay_days and event_day"
        )
    if not ground.stays.seen[rows].any():
        raise DataError("nobody was seen to leave, all stays are censored: no stay can be foretold")


def _check_counts(learned: np.ndarray, asked: np.ndarray) -> None:
    for rows, what in ((learned, "to learn from"), (asked, "to ask")):
        if rows.sum() < LEAST:
            raise DataError(
                f"{int(rows.sum())} landmarks are there {what}, and {LEAST} are needed: give more patients"
            )


def _some_ill(stays: Stays, *rows: np.ndarray) -> bool:
    """Whether critical illness can be learned and asked."""
    return all((stays.event[one] == CRITICAL).sum() >= 2 for one in rows)


def _counts(stays: Stays) -> dict[str, int]:
    return {
        "landmarks": len(stays),
        "patients": len(set(stays.patients)),
        "long": int((stays.long_stay == 1).sum()),
        "critical": int((stays.event == CRITICAL).sum()),
        "open": int((~stays.seen).sum()),
    }


def _by_part(ground: PrognosisGround, rows: np.ndarray) -> dict[str, int]:
    return {part: int((rows & ground.rows(part)).sum()) for part in ground.outside}
