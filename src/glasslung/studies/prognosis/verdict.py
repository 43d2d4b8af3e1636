"""Sentences written from the figures of the prognosis study: what follows from them, and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.wording import listing, number, signed
from glasslung.studies.prognosis.burden import AFFECTED, CONSOLIDATION
from glasslung.studies.prognosis.columns import AGE_SEX, BURDEN, FEATURES, PAIRS, S
from glasslung.studies.prognosis.diagnosed import ENSEMBLE
from glasslung.studies.prognosis.folded import I3D
from glasslung.studies.prognosis.foretelling import TRUE_LAW
from glasslung.studies.prognosis.risks import STAY

Found = Mapping[str, Any]
SURE = 0.05
MAIN = "Cox"  # whose C is told in sentences
FEW = 20  # patients of a kind: below this percentile intervals are too narrow
CHANGED = {AFFECTED: "the affected share", CONSOLIDATION: "the consolidated share"}
ENOUGH = 0.7  # AUC of the diagnosis from which its score is worth following


def verdicts(numbers: Found) -> list[str]:
    """What the study shows, most important first."""
    told = [*_two_scans(numbers), *_image(numbers), *_reachable(numbers)]
    return [*told, *_diagnosis(numbers), *_course(numbers), *_readers(numbers)]


def told(found: Sequence[float | None] | None, digits: int = 2) -> str:
    """'0.71 [0.64, 0.78]'."""
    if found is None or found[0] is None:
        return "not known"
    value, low, high = found
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def _percent(found: Sequence[float]) -> str:
    """'71 % [64, 79]'."""
    value, low, high = (number(100 * one) for one in found)
    return f"{value} % [{low}, {high}]"


def p_told(p: float | None) -> str:
    """A p-value as it is printed: 'p = 0.03', 'p < 0.001'."""
    if p is None:
        return "p not defined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def groups_told(test: Found | None) -> str:
    """A log-rank test: its p, and whether the groups lie the wrong way round."""
    if test is None or test["p"] is None:
        return p_told(None)
    return p_told(test["p"]) + (", but the wrong way round" if test["reversed"] else "")


# ----------------------------------------------------------------------------------------------- prognosis


def pair(numbers: Found, one: str, model: str = MAIN, endpoint: str = STAY) -> Found | None:
    """The row of two scans less one of a kind of columns."""
    rows = numbers["prognosis"]["pairs"]
    found = [row for row in rows if (row["one"], row["model"], row["endpoint"]) == (one, model, endpoint)]
    return found[0] if found else None


def _two_scans(numbers: Found) -> list[str]:
    """Whether the scan before helps."""
    sentences = []
    for one, two in PAIRS:
        row = pair(numbers, one.name)
        if row is None or row["difference"] is None:
            continue
        value, low, high = row["difference"]
        what = one.name.partition(",")[0] if one not in (PAIRS[-1][0],) else "burden with age and sex"
        effect = (
            "two scans foretell the stay better than one"
            if low > 0
            else "two scans foretell the stay worse than one"
            if high < 0
            else "no effect of the scan before was found"
        )
        sentences.append(
            f"{what}: {effect} (C {_c(numbers, two.name)} against {_c(numbers, one.name)}, difference "
            f"{signed(value, 3)} [{signed(low, 3)}, {signed(high, 3)}])"
        )
    if not sentences:
        why = next(iter(numbers["prognosis"]["left out"].values()), "")
        return [f"Two scans against one could not be asked: {why}."] if why else []
    return [
        f"Two scans against one, on the same patients. {'; '.join(sentences)}.",
        *_all_pairs(numbers),
        *_why(numbers),
    ]


def _all_pairs(numbers: Found) -> list[str]:
    """How many of all differences are told from 0, so that no lucky one is picked out."""
    rows = [row for row in numbers["prognosis"]["pairs"] if row["difference"]]
    better = [row for row in rows if row["difference"][1] > 0]
    worse = [row for row in rows if row["difference"][2] < 0]
    text = f"Of {len(rows)} differences, all models and both endpoints, {len(better)} exclude 0 for two scans"
    if better:
        named = (
            f"{row['one'].partition(', one')[0]} for {row['endpoint']} by {row['model']}" for row in better
        )
        text += f" ({'; '.join(named)})"
    return [f"{text} and {len(worse)} against; one in twenty would by chance."]


def _c(numbers: Found, name: str, model: str = MAIN) -> str:
    return told(numbers["prognosis"]["stay"][name][model]["harrell"])


def _why(numbers: Found) -> list[str]:
    """Why a second scan adds little where it adds little, from the figures of the ceiling."""
    ceiling, row = numbers["prognosis"]["ceiling"], pair(numbers, BURDEN[0].name)
    if ceiling is None or row is None or row["difference"] is None or row["difference"][1] > 0:
        return []
    best = ceiling["stay"][TRUE_LAW]["harrell"]
    one = numbers["prognosis"]["stay"][BURDEN[0].name][MAIN]["harrell"]
    width = (row["difference"][2] - row["difference"][1]) / 2
    return [
        (
            f"What stands in the way: even the true law of these stays reaches a C of {told(best)} only, so "
            f"all that the burden of one scan ({told(one)}) leaves to gain is {number(best[0] - one[0], 2)}, "
            f"part of it age and sex; a difference below {number(width, 2)} cannot be told from chance with "
            f"{numbers['prognosis']['asked']['patients']} patients."
        )
    ]


def _image(numbers: Found) -> list[str]:
    """Whether pictures add to age and sex."""
    found = numbers["prognosis"]["stay"]
    sentences = []
    for name in (FEATURES[1].name, S[0].name, BURDEN[0].name):
        if name not in found or AGE_SEX not in found:
            continue
        one = found[name][MAIN]
        groups = groups_told(found[name]["logistic"]["log_rank"])
        sentences.append(
            f"{name}: C {told(one['harrell'])}, AUC of a long stay {told(one['auc'])}, log-rank {groups}"
        )
    if not sentences:
        return []
    plain, groups = found[AGE_SEX][MAIN], groups_told(found[AGE_SEX]["logistic"]["log_rank"])
    return [
        (
            f"The stay from the picture. {'; '.join(sentences)}. Age and sex alone: "
            f"C {told(plain['harrell'])}, AUC {told(plain['auc'])}, log-rank {groups}."
        )
    ]


def _reachable(numbers: Found) -> list[str]:
    """How far the best of all falls short of what could be reached."""
    ceiling = numbers["prognosis"]["ceiling"]
    if ceiling is None:
        return []
    sets = numbers["prognosis"]["stay"]
    name, model = max(
        ((name, model) for name in sets for model in sets[name] if sets[name][model]["harrell"]),
        key=lambda one: sets[one[0]][one[1]]["harrell"][0],
    )
    best, reached = ceiling["stay"][TRUE_LAW]["harrell"], sets[name][model]["harrell"]
    return [
        (
            f"The best reachable C at these landmarks is {told(best)}, that of the law the stays were drawn "
            f"from; the highest reached is {told(reached)} ({name}, {model}), "
            f"{number(best[0] - reached[0], 2)} below. It was picked as the highest of all, so it flatters."
        )
    ]


# -------------------------------------------------------------------------------- diagnosis, course, readers


def _diagnosis(numbers: Found) -> list[str]:
    if not numbers["diagnosis"]:
        return [f"No diagnosis was learned: {numbers['no diagnosis']}."] if numbers["no diagnosis"] else []
    sentences = []
    for part, found in numbers["diagnosis"].items():
        area, outline = found["methods"][f"{I3D}, {ENSEMBLE}"]["auc"], found["outline"]
        beyond = "more than" if area[1] > outline[2] else "not surely more than"
        sentences.append(
            f"at {part} the I3D ensemble reaches an AUC of {told(area)}, {beyond} the {told(outline)} that "
            "outlines of the lungs alone give"
        )
        if found["difference"]:
            test = found["difference"]["delong"]
            sure = "" if test["p"] is not None and test["p"] < SURE else ", within chance"
            sentences[-1] += (
                f" ({signed(test['difference'], 2)} against the 2D ResNet-50, {p_told(test['p'])}{sure})"
            )
    inner = numbers["inner"][I3D]
    text = f"Inside the hospital it learned from: mean AUC of its folds {number(inner['mean'], 2)}."
    return [f"COVID-19 or another pneumonia: {'; '.join(sentences)}. {text}"]


def _course(numbers: Found) -> list[str]:
    course = numbers["course"]
    if "why not" in course:
        return [f"No course was drawn: {course['why not']}."]
    sentences = []
    for name, words in (("s", "s(t)"), ("burden", "the measured burden")):
        found = course.get(name)
        if found is None:
            continue
        text = f"{words} peaks on day {number(found['common']['peak_day'], 0)} in the course common to all"
        peaks = found["peaks"]
        if peaks:
            near = peaks["within"][-1]
            text += (
                f"; of {peaks['patients']} patients elsewhere {_percent(near['course'])} peak within "
                f"{number(near['days'])} days of when their lungs truly were fullest, and "
                f"{_percent(near['guess'])} would if all peaked on that day"
            )
        sentences.append(text)
    for name, found in course.get("s", {}).get("changes with", {}).items():
        way = "rises" if found[1] > 0 else "falls" if found[2] < 0 else "neither rises nor falls"
        sentences.append(
            f"from scan to scan s(t) {way} as {CHANGED[name]} grows (rank correlation {told(found)})"
        )
    ends = course.get("s", {}).get("ends")
    if ends:
        sentences.append(
            f"first scans have s(t) above 0 in {number(100 * ends['first above 0'])} % of patients, last "
            f"ones in {number(100 * ends['last above 0'])} %"
        )
    return [f"The course: {'; '.join(sentences)}."]


def _readers(numbers: Found) -> list[str]:
    rows = numbers["readers"]["prognosis"]
    if not rows:
        return []
    kind = "Simulated readers" if numbers["simulated readers"] else "Readers"
    said = [f"{row['reader']}, {row['task']}: log-rank {groups_told(row['log_rank'])}" for row in rows]
    return [f"{kind} of the prognosis. {'; '.join(said)}."]


# ------------------------------------------------------------------------------------------------- cautions


def cautions(numbers: Found) -> list[str]:
    """Why the figures may not be believed."""
    out = []
    if numbers["ground"]["name"] == "phantom":
        out.append(
            "Phantoms follow laws that we wrote: stays follow severity, age and sex, and nothing else. What "
            "is compared here is methods, not their worth in a hospital."
        )
    if numbers["simulated readers"]:
        out.append(
            "No human being has read these scans: the readers are simulated, and say nothing of people."
        )
    if numbers["plan"]["quick"]:
        out.append("A quick study: trainings of seconds on few patients. Draw no conclusion from it.")
    weak = [
        part
        for part, found in numbers["diagnosis"].items()
        if found["methods"][f"{I3D}, {ENSEMBLE}"]["auc"][0] < ENOUGH
    ]
    if weak:
        out.append(
            f"The I3D was trained for {number(numbers['plan']['budget']['seconds'])} s a fold at "
            f"{numbers['plan']['size']} pixels and hardly tells the diseases apart at {listing(weak)}: what "
            "its score and features foretell there is that of a network which has learned little."
        )
    if numbers["ground"]["masks by"] == "drawn" and numbers["ground"]["name"] == "phantom":
        out.append(_drawn_masks(numbers.get("mask check")))
    restless = [
        f"{name} ({model})"
        for kind in ("stay", "ill")
        for name, models in numbers["prognosis"][kind].items()
        for model, one in models.items()
        if not one.get("settled", True)
    ]
    if restless:
        out.append(
            f"{len(restless)} fits did not come to rest, from too few patients for their columns: "
            f"{listing(restless[:3])}{' and others' if len(restless) > 3 else ''}."
        )
    asked = numbers["prognosis"]["asked"]
    few = min(asked["long"], asked["patients"] - asked["long"])
    if few < FEW:
        out.append(f"Only {few} patients of the rarer kind of stay were asked; intervals are too narrow.")
    return out


def _drawn_masks(check: Found | None) -> str:
    text = "Burdens come from the phantoms' true masks"
    if not check or "found" not in check:
        return f"{text}; those that the product finds differ."
    return (
        f"{text}. On {check['scans']} of the scans lungs and lesions were found as the product finds "
        f"them: {number(check['found'], 1)} % affected against {number(check['drawn'], 1)} % drawn, "
        f"{number(check['off'], 1)} points off in the mean, rank correlation "
        f"{number(check['correlation'], 2)}."
    )
