"""What a classifier says of a scan, and how far to believe it, as report and command line tell it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glasslung.report.wording import SPACE, count, number, sentence
from glasslung.types import Answer, Diagnosis, Explanation, RelevanceShare, Standing

SURE, UNSURE = 0.995, 0.005  # probabilities beyond these are not told as 100 % and 0 %
FAR, UNUSUAL = 95.0, 75.0  # per cent of the validation scans that lie nearer
FEW = 10  # scans: of fewer a share is no more than a hint
NEAR = 0.1  # of probability: validation scans farther away do not tell whether a figure holds
SMALL_PERCENT = 0.1  # of the log-odds: what conservation loses below this is not told in figures


def share(value: float) -> str:
    """0.834 -> '83 %'; what is nearly none or all is told as that, not as 0 or 100."""
    if value > SURE:
        return f">{SPACE}99{SPACE}%"
    return f"<{SPACE}1{SPACE}%" if value < UNSURE else f"{100 * value:.0f}{SPACE}%"


def part(value: float) -> str:
    """A share that may be all or nothing: 1.0 -> '100 %', 0.004 -> '< 1 %'."""
    return f"<{SPACE}1{SPACE}%" if 0 < value < UNSURE else f"{100 * value:.0f}{SPACE}%"


def headline(told: Diagnosis) -> str:
    """'COVID-19 likely, 83 %'."""
    return f"{told.finding} {told.answer.value}, {share(told.probability)}"


def reliability_words(told: Diagnosis) -> str:
    """What became of the validation scans that were given about this probability."""
    low, high, had, many = _nearest(told)
    hint = " Too few to be more than a hint." if many < FEW else ""
    text = (
        f"Of the {count(many, 'validation scan').lower()} with the nearest figures ({part(low)} to "
        f"{part(high)}), {had} had {told.finding}.{hint}"
    )
    if _gap(told.probability, low, high) > NEAR:
        text += f" None was given about {share(told.probability)}, so nothing shows that this figure holds."
    return text


def _nearest(told: Diagnosis) -> tuple[float, float, int, int]:
    """Lowest and highest figure of the nearest validation scans, how many had the finding, how many they are.

    Bins are joined, the nearer neighbour first, until they hold FEW scans or the next one is not NEAR.
    """
    rows = sorted(told.validation.reliability)
    gaps = [_gap(told.probability, row[0], row[1]) for row in rows]
    first = last = gaps.index(min(gaps))
    while sum(row[4] for row in rows[first : last + 1]) < FEW:
        below = gaps[first - 1] if first > 0 else math.inf
        above = gaps[last + 1] if last < len(rows) - 1 else math.inf
        if min(below, above) > NEAR:
            break
        first, last = (first - 1, last) if below <= above else (first, last + 1)
    joined = rows[first : last + 1]
    had = sum(round(row[3] * row[4]) for row in joined)
    return joined[0][0], joined[-1][1], had, sum(row[4] for row in joined)


def _gap(value: float, low: float, high: float) -> float:
    return max(low - value, value - high, 0.0)


def calibration_words(told: Diagnosis) -> str:
    """How the network's own probability became this one, and how far such figures are off."""
    bias = f", bias {number(told.bias, 2)}" if told.bias else ""
    how = f"calibration (temperature {number(told.temperature, 2)}{bias})"
    own, now = share(told.raw), share(told.probability)
    text = f"The network's own figure was {own}; {how} took it to {now}."
    if own == now:
        text = f"{sentence(how).rstrip('.')} leaves the network's own figure as it was."
    return (
        f"{text} On {count(told.validation.scans, 'validation scan').lower()} of "
        f"{count(told.validation.patients, 'patient').lower()} calibrated figures were off by "
        f"{number(100 * told.validation.ece, 0)} points on average."
    )


def answer_words(told: Diagnosis) -> str:
    """What the operating point is worth."""
    here, least = told.answer, share(told.threshold)
    where = "at or above" if here is Answer.LIKELY else "below"
    return (
        f"{here.value.capitalize()}: it lies {where} {least}, the operating point ({told.rule}). There, "
        f"{_interval(told.validation.sensitivity)} of the validation scans with {told.finding} were called "
        f"likely, and {_interval(told.validation.specificity)} of the others unlikely; the area under the "
        f"curve was {_auc(told.validation.auc)}."
    )


def standing_words(told: Diagnosis) -> str:
    """The conformal answer: which answers the validation scans leave standing, and how many of them."""
    finding = told.finding
    with_it, without = (part(chance) for chance in told.chances)
    needed = part(1.0 - told.level)
    if told.standing is Standing.FINDING:
        return (
            f"{finding}: of the validation scans without it at most {without} were given as high a "
            f"probability; the answer stays open where that is more than {needed}."
        )
    if told.standing is Standing.OTHER:
        return (
            f"Not {finding}: of the validation scans with it at most {with_it} were given as low a "
            f"probability; the answer stays open where that is more than {needed}."
        )
    if told.standing is Standing.EITHER:
        return (
            f"Cannot tell: {with_it} of the validation scans with {finding} were given as low a probability, "
            f"and {without} of those without it as high a one. For one answer alone, one of the two must be "
            f"{needed} or less."
        )
    return (
        f"Unlike what it learned: so low a probability was as rare among the validation scans with {finding} "
        f"({with_it}) as so high a one among those without it ({without}). Neither answer should be drawn."
    )


def familiarity_words(told: Diagnosis) -> str:
    """How far the scan lies from what the classifier learned from."""
    far = told.percentile
    if far is None:
        return (
            "How far this scan lies from the training scans is not known: the classifier keeps no distances."
        )
    if far >= 100:
        return (
            "It lies farther from the training scans than every validation scan: do not rely on the answer."
        )
    nearer = f"{far:.0f}{SPACE}% of the validation scans lie nearer to the training scans"
    if far > FAR:
        return f"{nearer}: this scan is unlike them, and the answer may not hold."
    if far > UNUSUAL:
        return f"{nearer}: rather unusual, but within what was validated."
    return f"{nearer}: of a kind that it knows."


def familiarity_chip(told: Diagnosis) -> tuple[str, str]:
    """('familiar', 'good'), ...: the word, and how grave it is."""
    if told.percentile is None:
        return "distance not known", "care"
    if told.percentile > FAR:
        return "unlike its training scans", "bad"
    return ("rather unusual", "care") if told.percentile > UNUSUAL else ("familiar", "good")


def learned_words(told: Diagnosis) -> str:
    """Who was asked, and what it learned from."""
    learned = f" It learned from {told.trained_on.rstrip('.')}." if told.trained_on else ""
    limits = f" {sentence(told.limits)}" if told.limits else ""
    return f"Asked was {told.classifier} ({told.method}, {told.digest}).{learned}{limits}"


def instrument_words(told: Diagnosis) -> str:
    """That this is no diagnosis."""
    return (
        f"Research use only: this is no clinical instrument. It knows {told.finding} and what it was trained "
        "against, and no other disease; a low figure does not rule one out."
    )


def reasons_words(told: Explanation, finding: str) -> str:
    """Where most of the relevance lies, and that the sum is right."""
    lesions = named(told.shares, "lesions")
    if lesions is None or lesions.volume is None:
        return conservation_words(told)
    where = (
        f"{part(lesions.relevance)} of the relevance for {finding} lies in lesions, which are "
        f"{part(lesions.volume)} of the lungs."
    )
    if lesions.volume == 0:
        where = "No lesion is marked in the scan."
    return f"{where} {conservation_words(told)}"


def conservation_words(told: Explanation) -> str:
    """How exactly relevance adds up to the answer, where it is a sum at all."""
    if told.error is None:
        return f"Relevance ({told.method}) says where, not how much: its values are no parts of the log-odds."
    off = 100 * told.error
    size = f"less than {SMALL_PERCENT:g}" if off < SMALL_PERCENT else number(off, 1)
    return (
        f"Relevance ({told.method}) and what the network's constants take add up to its log-odds within "
        f"{size}{SPACE}%."
    )


def named(shares: Sequence[RelevanceShare], region: str) -> RelevanceShare | None:
    """The share of one region; None where it was not counted."""
    return next((one for one in shares if one.region == region), None)


def _interval(figure: tuple[float, float, float]) -> str:
    value, low, high = figure
    return f"{part(value)} (95{SPACE}% interval {part(low)} to {part(high)})"


def _auc(figure: tuple[float, float, float]) -> str:
    value, low, high = figure
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
