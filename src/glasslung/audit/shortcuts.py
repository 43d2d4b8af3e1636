"""How well a label can be told without looking at a lung: the bar that a model's score has to clear.

Classifiers are given the file's facts (format, size, compression), the picture's borders (rim, background,
outline of the crop), or both, and are cross-validated by patient. What they reach, a network may have reached
as they do. Where a picture is cropped at the lung, its rim and the outline of its background touch the lung:
they show its size and shape, not what is in it.
After DeGrave, Janizek & Lee, AI for radiographic COVID-19 detection selects shortcuts over signal, Nature
Machine Intelligence 2021;3:610-9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.audit.borders import BORDER_NAMES
from glasslung.audit.record import AuditSettings, Check, FactTell, Part, Tell
from glasslung.audit.scans import FILE_KINDS, FILE_NAMES, PICTURE_NAMES, ScanFacts
from glasslung.data.cohort import case_value
from glasslung.data.splits import deal
from glasslung.measure.ranking import auc_interval, errors_from_chance
from glasslung.measure.statistics import Interval
from glasslung.types import Case, Remark, Severity

FILE, BORDER, PICTURE, BOTH = "file facts", "borders", "picture", "both"
EVENT_NAMES = {"1": "event", "0": "no event"}
NAMED_FACTS = 3  # of each kind in a remark; all of them are in the audit


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts of all readable scans as columns: values (N, F), NaN where a scan has no such fact."""

    values: np.ndarray
    names: tuple[str, ...]
    seen: tuple[str, ...]

    def of(self, *seen: str) -> np.ndarray:
        """The columns of the given kinds; NaN becomes a number that no fact has, so trees can tell it."""
        chosen = self.values[:, [kind in seen for kind in self.seen]]
        return np.where(np.isnan(chosen), -1e6, chosen)


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be told: 'label' or 'event', the rows it is known for, its value and the patient of each."""

    name: str
    rows: np.ndarray
    values: np.ndarray
    patients: np.ndarray

    def groups(self, fewest: int) -> tuple[str, ...]:
        """Values to be told from the rest; of two only the rarer one, the other is its mirror image."""
        found, counts = np.unique(self.values, return_counts=True)
        enough = [
            str(value)
            for value in found
            if min(self._patients(self.values == value), self._patients(self.values != value)) >= fewest
        ]
        if len(found) == 2 and enough:
            return (EVENT_NAMES["1"] if self.name == "event" else str(found[np.argmin(counts)]),)
        return tuple(enough)

    def _patients(self, chosen: np.ndarray) -> int:
        return len(np.unique(self.patients[chosen]))


def audit_shortcuts(cases: Sequence[Case], facts: Sequence[ScanFacts], settings: AuditSettings) -> Part:
    """Source-only classifiers and single facts, for the label and for the event."""
    readable = [number for number, one in enumerate(facts) if not one.problem]
    columns = fact_columns([facts[number] for number in readable])
    parts = [
        _audit_target(columns, target_of([cases[number] for number in readable], name), settings)
        for name in ("label", "event")
    ]
    return Part(
        remarks=tuple(x for part in parts for x in part.remarks),
        checks=tuple(x for part in parts for x in part.checks),
        tells=tuple(x for part in parts for x in part.tells),
        facts=tuple(x for part in parts for x in part.facts),
    )


def fact_columns(facts: Sequence[ScanFacts]) -> Facts:
    """All facts as columns; categories become one column for each value, 'file format PNG'; constants go."""
    found: dict[tuple[str, str], list[float]] = {}
    sources = (
        (FILE, FILE_NAMES, "numbers"),
        (BORDER, BORDER_NAMES, "borders"),
        (PICTURE, PICTURE_NAMES, "picture"),
    )
    for seen, names, attribute in sources:
        for key, name in names.items():
            found[seen, name] = [(getattr(one, attribute) or {}).get(key, np.nan) for one in facts]
    for key, name in FILE_KINDS.items():
        kinds = [(one.kinds or {}).get(key, "") for one in facts]
        for kind in sorted(set(kinds) - {""}):
            found[FILE, f"{name} {kind}"] = [float(one == kind) for one in kinds]
    varying = {key: column for key, column in found.items() if len(set(np.nan_to_num(column, nan=-1e6))) > 1}
    values = np.array(list(varying.values()), dtype=np.float64).T.reshape(len(facts), len(varying))
    return Facts(values, tuple(name for _, name in varying), tuple(seen for seen, _ in varying))


def target_of(cases: Sequence[Case], name: str) -> Target:
    """The scans whose label (or event) is known."""
    known = [(number, case_value(case, name)) for number, case in enumerate(cases) if case_value(case, name)]
    rows = np.array([number for number, _ in known], dtype=np.int64)
    values = np.array([EVENT_NAMES.get(value, value) if name == "event" else value for _, value in known])
    return Target(name, rows, values, np.array([cases[number].patient for number in rows]))


def cross_validated_scores(
    values: np.ndarray, truth: np.ndarray, patients: np.ndarray, settings: AuditSettings
) -> np.ndarray:
    """What trees that never met the patient say of each scan, 0 to 1: values (N, F), truth (N,) -> (N,)."""
    from sklearn.ensemble import ExtraTreesClassifier

    has_it = dict.fromkeys(patients.tolist(), "0") | dict.fromkeys(patients[truth].tolist(), "1")
    k = min(settings.folds, *(list(has_it.values()).count(kind) for kind in "01"))
    shares = {str(fold): 1 / k for fold in range(k)}
    fold_of = deal({patient: (kind,) for patient, kind in has_it.items()}, shares, settings.seed)
    folds = np.array([fold_of[patient] for patient in patients])
    scores = np.zeros(len(truth))
    for fold in shares:
        held = folds == fold
        trees = ExtraTreesClassifier(
            settings.trees, min_samples_leaf=2, class_weight="balanced", random_state=settings.seed
        )
        trees.fit(values[~held], truth[~held])
        scores[held] = trees.predict_proba(values[held])[:, -1]
    return scores


def _audit_target(facts: Facts, target: Target, settings: AuditSettings) -> Part:
    name = f"source tells {target.name}"
    groups = target.groups(settings.fewest) if len(target.rows) else ()
    if not groups:
        why = f"needs two kinds of {target.name} with at least {settings.fewest} patients each"
        return Part(checks=(Check(name, "skipped", why),))
    if not facts.names:
        return Part(checks=(Check(name, "clear", "all files and borders have the same facts"),))
    tells = [tell for group in groups for tell in _tells(facts, target, group, settings)]
    singles = [single for group in groups for single in _fact_tells(facts, target, group, settings)]
    remarks = [*_tell_remarks(tells, settings), *_fact_remarks(singles, settings)]
    text = (
        f"{len(target.rows)} scans, {len(facts.names)} facts, {settings.folds}-fold by patient; "
        + "; ".join(f"{tell.group} by {tell.seen}: AUC {tell.auc}" for tell in tells)
    )
    check = Check(name, "found" if remarks else "clear", text)
    return Part(remarks=tuple(remarks), checks=(check,), tells=tuple(tells), facts=tuple(singles))


def _tells(facts: Facts, target: Target, group: str, settings: AuditSettings) -> Iterator[Tell]:
    truth = target.values == group
    for seen, kinds in ((FILE, (FILE,)), (BORDER, (BORDER,)), (BOTH, (FILE, BORDER))):
        values = facts.of(*kinds)[target.rows]
        if values.shape[1] == 0:
            continue
        scores = cross_validated_scores(values, truth, target.patients, settings)
        yield Tell(
            target.name,
            group,
            seen,
            *_auc(truth, scores, target.patients, settings),
            len(truth),
            len(np.unique(target.patients)),
        )


def _fact_tells(facts: Facts, target: Target, group: str, settings: AuditSettings) -> Iterator[FactTell]:
    for column, (name, seen) in enumerate(zip(facts.names, facts.seen, strict=True)):
        values = facts.values[target.rows, column]
        known = ~np.isnan(values)
        truth, patients = (target.values == group)[known], target.patients[known]
        if min(patients_of_kinds(truth, patients)) < settings.fewest or np.ptp(values[known]) == 0:
            continue
        yield FactTell(
            target.name,
            group,
            name,
            seen,
            *_auc(truth, values[known], patients, settings),
            float(np.median(values[known][truth])),
            float(np.median(values[known][~truth])),
        )


def _auc(
    truth: np.ndarray, scores: np.ndarray, patients: np.ndarray, settings: AuditSettings
) -> tuple[Interval, float]:
    """The AUC with its interval, and how far it lies from chance."""
    rng = np.random.default_rng(settings.seed)
    interval = auc_interval(truth, scores, patients, rng=rng, draws=settings.draws, level=settings.level)
    return interval, errors_from_chance(interval.value, *patients_of_kinds(truth, patients))


def patients_of_kinds(truth: np.ndarray, patients: np.ndarray) -> tuple[int, int]:
    """How many patients have a scan with the finding, and how many one without."""
    return len(np.unique(patients[truth])), len(np.unique(patients[~truth]))


def _tell_remarks(tells: Sequence[Tell], settings: AuditSettings) -> Iterator[Remark]:
    """One line per group that the source tells, by the best of its classifiers."""
    for group in dict.fromkeys(tell.group for tell in tells):
        best = max((tell for tell in tells if tell.group == group), key=lambda tell: tell.auc.value)
        if best.auc.low <= settings.tell or best.errors < settings.beyond_chance:
            continue
        others = ", ".join(f"{t.seen} {t.auc}" for t in tells if t.group == group and t is not best)
        yield Remark(
            f"source-tells-{best.target}",
            Severity.WARN,
            f"A classifier that never sees the lung ({SEEN[best.seen]}) tells {group!r} from the rest with "
            f"AUC {best.auc} ({others}; {best.patients} patients, {best.auc.level:.0%} interval): a score "
            "below this proves nothing.",
            "Crop, resample and store all scans alike, test on a site that was not trained on, and report "
            "this AUC beside the model's.",
        )


SEEN = {
    FILE: "only the facts of the file",
    BORDER: "only the picture's rim and background",
    BOTH: "only the facts of the file and the picture's borders",
}


def _fact_remarks(singles: Sequence[FactTell], settings: AuditSettings) -> Iterator[Remark]:
    """One line per group that names the facts in which it differs from the rest."""

    for group in dict.fromkeys(single.group for single in singles):
        strong = [
            one
            for one in singles
            if one.group == group
            and _direct(one) > settings.strong_auc
            and one.errors >= settings.beyond_chance
        ]
        strong.sort(key=_direct, reverse=True)
        named = [
            one
            for seen in (FILE, BORDER, PICTURE)
            for one in [single for single in strong if single.seen == seen][:NAMED_FACTS]
        ]
        if strong:
            rest = f"; and {len(strong) - len(named)} more" if len(strong) > len(named) else ""
            yield Remark(
                f"facts-tell-{strong[0].target}",
                Severity.WARN,
                f"{group!r} differs from the rest by plain facts: "
                f"{'; '.join(_told(single) for single in named)}{rest}.",
                "Ask where the scans came from; make them alike before a model sees them.",
            )


def _direct(single: FactTell) -> float:
    """The lower limit of the AUC, whichever way the fact points."""
    return max(single.auc.low, 1 - single.auc.high)


def _told(single: FactTell) -> str:
    inside, outside = single.median_in, single.median_out
    seen = ", sees the lung" if single.seen == PICTURE else ""
    return f"{single.fact} (median {inside:.3g} against {outside:.3g}, AUC {single.auc}{seen})"
