"""Sentences written from the figures of the diagnosis study: what follows from them, and what does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.wording import listing, number, signed
from glasslung.studies.diagnosis.explained import OVER_VOLUME, SHUFFLED
from glasslung.studies.diagnosis.papers import FULL, NO_CVAE, NO_SIDE

Found = Mapping[str, Any]
FEW = 20  # patients of a class: below this percentile intervals are too narrow
SURE = 0.05
FALL = 0.1  # of AUC: what an alteration may cost before it is told
SHORTCUT = 0.6  # AUC without looking at a lung from which it is told


def verdicts(numbers: Found) -> list[str]:
    """What the study shows, most important first."""
    told = [sentence for part in numbers["parts"] for sentence in _separates(numbers, part)]
    told += [*_ablation(numbers), *_rivals(numbers), *_honesty(numbers), *_stress(numbers)]
    return [*told, *_relevance(numbers)]


def first_part(numbers: Found) -> str:
    """The part that tables of one part show: the first."""
    return str(next(iter(numbers["parts"])))


def told(found: Sequence[float | None] | None, digits: int = 2) -> str:
    """'0.91 [0.84, 0.97]'; limits are left out where there are none."""
    if found is None or found[0] is None:
        return "not known"
    if len(found) < 3 or found[1] is None or found[2] is None:
        return number(found[0], digits)
    return f"{number(found[0], digits)} [{number(found[1], digits)}, {number(found[2], digits)}]"


def p_told(p: float | None) -> str:
    """A p-value as it is printed: 'p = 0.03', 'p < 0.001'."""
    if p is None:
        return "p not defined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _separates(numbers: Found, part: str) -> list[str]:
    found, name = numbers["parts"][part], numbers["reference"]
    area, bar = found["methods"][name]["auc"], found["source_only"]
    text = f"{_place(part)}: {name} reaches an AUC of {told(area)}"
    if bar is None:
        return [f"{text}; how far one comes without looking at a lung was not measured."]
    beyond = area[1] > bar[2]
    verdict = "more than that can explain." if beyond else "so the AUC does not prove that lungs were read."
    return [f"{text}; without looking into the lungs one reaches {told(bar)}, {verdict}"]


def _place(part: str) -> str:
    return {"external": "At a hospital never trained on", "test": "On held-out patients"}.get(
        part, f"On {part}"
    )


def _ablation(numbers: Found) -> list[str]:
    """Whether taking parts of the model away costs what it cost the paper."""
    pairs = numbers.get("ablation") or {}
    full = pairs.get(FULL)
    found = numbers["parts"][first_part(numbers)]
    if full is None or full not in found["methods"]:
        return []
    said = []
    for row, words in ((NO_SIDE, "without side information"), (NO_CVAE, "without CVAE and side information")):
        name = pairs.get(row)
        if name is None or name not in found["methods"]:
            continue
        change = found["methods"][name]["auc"][0] - found["methods"][full]["auc"][0]
        test = found["tests"].get(name) if full == found["reference"] else None
        p = test["delong"]["p"] if test else None
        sure = p is not None and p < SURE
        way = "worse, as in the paper" if change < 0 else "no worse, unlike in the paper"
        doubt = "" if sure else ", within chance"
        said.append(f"{words} AUC {signed(change, 2)} ({p_told(p)}): {way}{doubt}")
    return [f"Ablation: {'; '.join(said)}."] if said else []


def _rivals(numbers: Found) -> list[str]:
    """Which other methods are surely better or worse than the reference."""
    found, reference = numbers["parts"][first_part(numbers)], numbers["reference"]
    better: list[str] = []
    worse: list[str] = []
    for name, test in found["tests"].items():
        delong = test["delong"]
        if delong["p"] is not None and delong["p"] < SURE:
            (better if delong["difference"] > 0 else worse).append(f"{name} ({p_told(delong['p'])})")
    if not better and not worse:
        return [f"No method separates surely better or worse than {reference} (DeLong)."]
    said = [f"surely better: {listing(better)}"] if better else []
    said += [f"surely worse: {listing(worse)}"] if worse else []
    return [f"Against {reference}, {'; '.join(said)}."]


def _honesty(numbers: Found) -> list[str]:
    """Whether its probabilities and its 'cannot tell' keep their word, part by part."""
    said = []
    for part, found in numbers["parts"].items():
        one = found["methods"][numbers["reference"]]
        calibration, conformal = one["calibration"], one["conformal"]
        fault = calibration["ece"] > calibration["ece_by_luck"][1]
        words = "more than luck allows" if fault else "no more than luck alone would give"
        kept = min(conformal["coverage_with"][2], conformal["coverage_without"][2]) >= conformal["level"]
        promise = "keep their promise" if kept else "break their promise"
        said.append(
            f"{_place(part)}: calibration error {number(calibration['ece'], 2)}, {words}; conformal answers "
            f"{promise} ({number(100 * conformal['coverage'][0])} % covered, "
            f"{number(100 * conformal['level'])} promised) and say \u201ccannot tell\u201d to "
            f"{number(100 * conformal['shares']['cannot tell'])} % of scans."
        )
    return said


def _stress(numbers: Found) -> list[str]:
    stress = numbers.get("stress")
    if not stress:
        return []
    name, falls = numbers["reference"], []
    for kind, found in stress["kinds"].items():
        rows = found["curves"].get(name, [])
        usual = next((row[1] for row in rows if row[0] == found["usual"]), None)
        if usual is None:
            continue
        hit = [row for row in rows if usual - row[1] > FALL]
        if hit:
            near = min(hit, key=lambda row: abs(row[0] - found["usual"]))
            falls.append(f"{kind} {number(near[0])} (AUC {number(near[1], 2)})")
    if not falls:
        return [f"No alteration of the stress test costs {name} more than {FALL:g} of AUC."]
    return [f"{name} loses more than {FALL:g} of AUC first at {listing(falls)}."]


def _relevance(numbers: Found) -> list[str]:
    """Whether relevance lies in lesions, beside their share of the lungs and shuffled weights."""
    said = []
    for row in numbers.get("faithfulness") or []:
        if row["figure"] != OVER_VOLUME:
            continue
        found = row["value"]
        more = "more than chance" if found[1] > 1 else "no more than chance" if found[2] >= 1 else "less"
        text = (
            f"{row['method']}: lesions hold {told(found)} times the relevance that their volume would, {more}"
        )
        after = [
            one["value"]
            for one in numbers["faithfulness"]
            if (one["method"], one["figure"]) == (row["method"], SHUFFLED)
        ]
        said.append(text + (f"; with shuffled weights {told(after[0])} times." if after else "."))
    return said


def cautions(numbers: Found) -> list[str]:
    """Why the figures may not be believed."""
    said = list(numbers.get("cautions") or [])
    if (numbers.get("plan") or {}).get("quick"):
        said.insert(0, "A quick look: too short for conclusions.")
    for part, found in numbers["parts"].items():
        few = min(found["with"], found["without"])
        if few < FEW:
            said.append(
                f"{_place(part)}: only {few} scans of the rarer class; intervals by resampling are too "
                "narrow there."
            )
        bar = found["source_only"]
        if bar is not None and bar[0] >= SHORTCUT:
            said.append(
                f"{_place(part)}: without looking into the lungs an AUC of {told(bar)} is reached; scores "
                "there may rest on it."
            )
    if len(numbers.get("seeds_trained") or [0]) == 1:
        said.append("One training of each method: how far another seed would move a figure is not known.")
    return said
