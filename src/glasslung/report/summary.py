"""Summary: what the figures say in plain words, and what cannot be said from them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from glasslung.analyze.foreseeing import NONE_SHIPS
from glasslung.measure.course import SLAB_CODES
from glasslung.measure.severity import NONE_PERCENT
from glasslung.report.diagnosiswords import FAR, share
from glasslung.report.wording import count, day, days, listing, ml, number, percent, sentence
from glasslung.types import Findings, Geometry, Intensity, RegionMeasures, Severity, Standing, Story

# A smaller change of involvement is no rise and no fall: the measure's own false alarms reach as far.
STEADY_POINTS = NONE_PERCENT


class Verdict(StrEnum):
    """How far the figures of one scan can be trusted, worst last."""

    GOOD = "no warnings"
    CARE = "read with care"
    BAD = "not trusted"
    REFUSED = "refused"


def verdict(scan: Findings) -> Verdict:
    """The gate's and the lung mask's judgement in one word."""
    worst = {remark.severity for remark in scan.gate}
    if Severity.REFUSE in worst:
        return Verdict.REFUSED
    if not scan.lung_quality.trusted:
        return Verdict.BAD
    doubtful = scan.lesion_quality is not None and not scan.lesion_quality.trusted
    return Verdict.CARE if Severity.WARN in worst or doubtful else Verdict.GOOD


def slab(scan: Findings) -> bool:
    """Whether the scan shows only a slab of the chest."""
    return bool(SLAB_CODES & {remark.code for remark in scan.gate})


def comparable(scan: Findings) -> bool:
    """Whether a scan may stand in a course: trusted, and the chest rather than a slab of it."""
    return verdict(scan) in (Verdict.GOOD, Verdict.CARE) and not slab(scan)


def title(story: Story) -> str:
    """'Chest CT, four scans over 16 days'."""
    many = len(story.scans)
    if many == 1:
        return "Chest CT, one scan"
    span = span_days(story)
    over = f" over {days(span)}" if span else ""
    return f"Chest CT, {count(many, 'scan').lower()}{over}"


def span_days(story: Story) -> float | None:
    """Days from the first scan to the last; None where they are not known."""
    known = [scan.day for scan in story.scans if scan.day is not None]
    return max(known) - min(known) if len(known) == len(story.scans) and known else None


def paragraph(story: Story) -> str:
    """The course, or the one scan, in a few sentences made from the numbers."""
    told = [_order(story)]
    measured = [scan for scan in story.scans if scan.involvement is not None and comparable(scan)]
    if len(measured) > 1:
        told += [
            _course(measured),
            _score_course(measured),
            _state(measured[-1], f"On {_name(measured[-1])}, "),
        ]
    elif measured:
        where = "" if len(story.scans) == 1 else f"On {_name(measured[0])}, "
        told += [_volume(measured[0], where), _state(measured[0], where), _score(measured[0])]
    told += _all_left_out([scan for scan in story.scans if scan not in measured])
    told += [_lesions(story), _diagnosis(story)]
    return (
        " ".join(dict.fromkeys(part for part in told if part))
        .replace("scan-", "scan\u2011")
        .replace("8-bit", "8\u2011bit")
    )


def _order(story: Story) -> str:
    if len(story.scans) == 1 or span_days(story) is not None:
        return ""
    return "The scans stand in the order given; the days between them are not known."


def _all_left_out(scans: Sequence[Findings]) -> list[str]:
    """Why scans have no part in the summary; those of grey values alone are told together."""
    refused = Verdict.REFUSED
    grey = [one for one in scans if one.intensity is Intensity.DISPLAY8 and verdict(one) is not refused]
    if len(grey) < 2:
        return [_left_out(scan) for scan in scans]
    together = (
        f"On {listing([scan.scan for scan in grey])} nothing that depends on density was measured, because "
        "their grey values are 8-bit display values and not Hounsfield units."
    )
    return [together, *(_left_out(scan) for scan in scans if scan not in grey)]


def _left_out(scan: Findings) -> str:
    """Why a scan has no part in the summary, and what can be told of it all the same."""
    if verdict(scan) is Verdict.REFUSED:
        return f"The input gate refused {scan.scan}: no figure of it should be used."
    if scan.intensity is Intensity.DISPLAY8:
        return (
            f"On {scan.scan} nothing that depends on density was measured, because its grey values are 8-bit "
            "display values and not Hounsfield units."
        )
    if verdict(scan) is Verdict.BAD:
        return f"The lung outline of {scan.scan} is not trusted, so its figures are left out of this summary."
    if slab(scan) and scan.involvement is not None:
        return (
            f"On {scan.scan} only a slab of the chest was scanned: opacity takes up "
            f"{percent(scan.involvement)} of the lung in it, and nothing can be said of the rest."
        )
    return f"On {scan.scan} involvement was not measured."


def _lesions(story: Story) -> str:
    """What networks, or masks made elsewhere, say of the last scan, or of the only one."""
    told = [scan for scan in story.scans if scan.regions and scan.regions[0].lesions is not None]
    if not told or verdict(told[-1]) in (Verdict.REFUSED, Verdict.BAD):
        return ""
    scan = told[-1]
    both, quality = scan.regions[0], scan.lesion_quality
    found = both.all_lesions
    assert found is not None and both.lesions is not None and scan.origin is not None
    who = f"the network {scan.origin.network}" if scan.origin.network else "the mask that was given"
    where = "" if len(story.scans) == 1 else f"On {_name(scan)}, "
    kinds = listing([f"{kind} {percent(amount.percent)}" for kind, amount in both.lesions.items()])
    text = f"{where}{who} finds lesions in {percent(found.percent)} of the lungs ({kinds})"
    if quality is not None and not quality.trusted:
        text += ", which is not to be trusted without looking"
    return sentence(text)


def _diagnosis(story: Story) -> str:
    """What a classifier says of the last scan that it was asked about, never without its doubts."""
    asked = [
        scan for scan in story.scans if scan.diagnosis is not None and verdict(scan) is not Verdict.REFUSED
    ]
    if not asked:
        return ""
    scan = asked[-1]
    told = scan.diagnosis
    assert told is not None
    where = "" if len(story.scans) == 1 else f"On {_name(scan)}, "
    text = (
        f"{where}the classifier {told.classifier} gives {told.finding} a probability of "
        f"{share(told.probability)}"
    )
    if told.standing is Standing.EITHER:
        text += ", too little to tell either way with confidence"
    if told.standing is Standing.NEITHER or (told.percentile is not None and told.percentile > FAR):
        text += "; but the scan is unlike those it learned from"
    elif told.doubts:
        text += "; read why to doubt it"
    return sentence(text)


def _name(scan: Findings) -> str:
    return scan.scan if scan.day is None else day(scan.day)


def turning_points(values: Sequence[float], least: float) -> list[int]:
    """Where a series turns or comes to rest: its start, each reversal and plateau of `least`, its end.

    A rise or fall ends at the first value that is within `least` of its last one; what follows is a plateau.
    """
    turns, extreme, direction = [0], 0, 0
    for n, value in enumerate(values):
        step = value - values[extreme]
        if direction == 0:
            if abs(step) >= least:
                direction, extreme = (1 if step > 0 else -1), n
        elif step * direction > 0:
            extreme = n
        elif -step * direction >= least:
            turns.append(extreme)
            direction, extreme = -direction, n
    turns = sorted({*turns, extreme, len(values) - 1})
    rests = (
        next(n for n in range(a + 1, b + 1) if abs(values[n] - values[b]) < least) for a, b in pairwise(turns)
    )
    return sorted({*turns, *rests})


def _course(scans: Sequence[Findings]) -> str:
    """'Lung involvement rose from 4.1 % (day 0) to 31.2 % (day 9), then fell to 18.0 % (day 16).'"""
    values = [scan.involvement or 0.0 for scan in scans]
    if max(values) - min(values) < STEADY_POINTS:
        return f"Lung involvement stayed between {percent(min(values))} and {percent(max(values))}."
    legs: list[str] = []
    for a, b in pairwise(turning_points(values, STEADY_POINTS)):
        change = values[b] - values[a]
        verb = "rose" if change >= STEADY_POINTS else "fell" if -change >= STEADY_POINTS else "held"
        start = f" from {percent(values[a])} ({_name(scans[a])})" if not legs else ""
        to = "at" if verb == "held" else "to"
        legs.append(f"{verb}{start} {to} {percent(values[b])} ({_name(scans[b])})")
    return f"Lung involvement {', then '.join(legs)}."


def _score_course(scans: Sequence[Findings]) -> str:
    scores = [scan.severity for scan in scans if scan.severity is not None]
    if len(scores) < 2 or len({score.most for score in scores}) > 1:
        return ""
    points = [str(score.points) for score in scores]
    return f"The CT severity score went {', '.join(points)} (of {scores[0].most})."


def _volume(scan: Findings, where: str) -> str:
    if not scan.regions or scan.regions[0].ml is None:
        return ""
    by_name = {region.name: region for region in scan.regions}
    sides = [
        f"{name.split()[0]} {number(by_name[name].ml)}"
        for name in ("right lung", "left lung")
        if name in by_name
    ]
    told = f" ({', '.join(sides)})" if sides else ""
    return sentence(f"{where}the lungs hold {ml(scan.regions[0].ml)}{told}")


def _state(scan: Findings, where: str) -> str:
    """How much opacity there is and where most of it lies."""
    both = scan.regions[0] if scan.regions else None
    if both is None or both.affected is None:
        return ""
    size = f" ({ml(both.affected.ml)})" if both.affected.ml is not None else ""
    text = f"{where}opacity takes up {percent(both.affected.percent)} of the lungs{size}"
    worst = _worst_zone(scan.regions)
    if worst is not None and both.affected.percent >= NONE_PERCENT:
        text += f", most in the {worst.name} ({percent(worst.affected.percent if worst.affected else None)})"
    return sentence(text)


def _worst_zone(regions: Sequence[RegionMeasures]) -> RegionMeasures | None:
    """The third that is affected most, or else the side; None where there are neither."""
    for kind in ("third", "lung"):
        zones = [r for r in regions if r.name.endswith(kind) and r.affected is not None]
        if zones:
            return max(zones, key=lambda zone: zone.affected.percent if zone.affected else 0.0)
    return None


def _score(scan: Findings) -> str:
    return (
        "" if scan.severity is None else f"CT severity score {scan.severity.points} of {scan.severity.most}."
    )


class Limit(NamedTuple):
    """Something that this report cannot say, and why."""

    what: str
    why: str


def cannot_say(story: Story) -> list[Limit]:
    """What a reader might look for and must not read into this report."""
    told = [
        Limit(
            "Which disease this is.",
            "Opacity is a matter of density. Infection, oedema, haemorrhage, fibrosis, a tumour or a shallow "
            "breath can look alike to this measure.",
        ),
        *_not_diagnosed(story),
    ]
    if len(story.scans) == 1:
        told.append(Limit("How it moves.", "One scan has no course."))
    elif span_days(story) is None:
        told.append(Limit("How fast it moves.", "The days between the scans are not known."))
    told += _not_followed(story)
    if story.unforeseen == NONE_SHIPS:
        told.append(Limit("What may become of the patient.", sentence(NONE_SHIPS)))
    told += _missing_units(story)
    networks = [scan.origin for scan in story.scans if scan.origin is not None and scan.origin.network]
    for name, limits in dict.fromkeys((origin.network, origin.limits) for origin in networks):
        told.append(
            Limit(
                f"What {name} has not learned.",
                sentence(limits)
                or "It calls lesion what looks like the lesions it was trained on, whatever the disease, and "
                "has not been tried on any clinical population.",
            )
        )
    bad = [scan.scan for scan in story.scans if not scan.lung_quality.trusted]
    if bad:
        told.append(
            Limit(
                f"Anything that rests on the lung outline of {listing(bad)}.",
                "The outline is not trusted; look at the pictures before using a figure drawn from it.",
            )
        )
    return told


def _not_followed(story: Story) -> list[Limit]:
    """Which scans could not be laid on one another, and that a curve is not the patient's own."""
    told = []
    failed = [one for one in story.comparisons if not one.compared]
    if failed:
        pairs = listing([f"{one.scan_before} to {one.scan_after}" for one in failed])
        why = dict.fromkeys(reason for one in failed for reason in one.reasons)
        told.append(Limit(f"What became of a lesion from {pairs}.", sentence("; ".join(why))))
    if any(one.curve is not None for one in story.trajectory):
        told.append(
            Limit(
                "How the patient was between the scans.",
                "The curves join the scans as courses of phantoms run; nobody saw the days between.",
            )
        )
    return told


def _not_diagnosed(story: Story) -> list[Limit]:
    """What a classifier's probability is not."""
    asked = {one.classifier: one for scan in story.scans if (one := scan.diagnosis) is not None}
    return [
        Limit(
            f"That it is {one.finding}, or is not.",
            f"The probability of {name} holds for scans like those it was validated on, with as many ill "
            "among them. It is no test, and knows no other disease.",
        )
        for name, one in asked.items()
    ]


def _missing_units(story: Story) -> list[Limit]:
    """Which scans have no Hounsfield units, and which no millilitres, and why."""
    told = []
    grey = [scan.scan for scan in story.scans if scan.intensity is Intensity.DISPLAY8]
    if grey:
        told.append(
            Limit(
                f"How dense the lungs of {listing(grey)} are.",
                "8-bit grey values come from a display window that nobody wrote down, so Hounsfield bands, "
                "opacity, involvement and severity are refused rather than guessed.",
            )
        )
    flat = [scan.scan for scan in story.scans if scan.geometry is Geometry.ASSUMED]
    if flat:
        told.append(
            Limit(
                f"How large anything is in {listing(flat)}.",
                "The files carry no spacing, so no millilitres and no millimetres are given.",
            )
        )
    return told
