"""Methods: how every figure came about, in words fit for a methods section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from glasslung.data.registration import GRID_MM, KNOTS_MM, LEAST_DICE, MOST_FOLDED
from glasslung.measure.density import BANDS
from glasslung.measure.followup import CHANGED, LEAST_ML
from glasslung.measure.opacity import Settings as Opacity
from glasslung.report.wording import MINUS, SPACE, listing
from glasslung.types import Geometry, Intensity, Story


class Paragraph(NamedTuple):
    """One paragraph of the methods and its heading."""

    heading: str
    text: str


SHOWN = "the slices through the lungs with all else black, and the lesions beside them"
"""To a classifier, where a story of an earlier version does not say."""


def methods(story: Story) -> list[Paragraph]:
    """Headed paragraphs: only what was done for this story is told."""
    return list(_paragraphs(story))


def _paragraphs(story: Story) -> Iterator[Paragraph]:
    yield Paragraph(
        "Scans",
        "Each scan passed an input gate that checks modality, coverage, spacing, missing or repeated slices, "
        "tilt, orientation and whether the grey values are Hounsfield units. All masks lie on the scan's own "
        "grid; nothing was resampled to measure it.",
    )
    yield Paragraph("Lungs", _lungs(story))
    if any(region.name.endswith("third") for scan in story.scans for region in scan.regions):
        yield Paragraph(
            "Regions",
            "Thirds are cut by two planes across the body that both lungs share, placed so that the upper, "
            "middle and lower third each hold a third of the lung volume.",
        )
    if any(scan.intensity is Intensity.HU for scan in story.scans):
        yield from _density()
    yield from _lesions(story)
    yield from _diagnoses(story)
    scores = [scan.severity for scan in story.scans if scan.severity is not None]
    for definition in dict.fromkeys(score.definition for score in scores):
        yield Paragraph("CT severity score", definition)
    if len(story.scans) > 1:
        yield Paragraph("Change", _change(story))
        yield from _registration(story)
        yield from _courses(story)
    yield from _prognosis(story)
    yield Paragraph("Pictures", _pictures(story))


def _lungs(story: Story) -> str:
    """Who drew the lungs, told once for each way that was used."""
    ways = {scan.origin.lungs for scan in story.scans if scan.origin is not None} or {"rules"}
    told = []
    if ways & {"rules", "rules and network"}:
        told.append(
            f"The lungs were outlined by glasslung {story.provenance.glasslung} with rules of density and "
            "shape; trachea and main bronchi are taken out and dense disease is taken in. A rule-based check "
            "says whether the outline can be trusted; its score is not a probability."
        )
    if "rules and network" in ways:
        told.append(
            "A network outlines them as well. Where both agree on the whole, the network decides on every "
            "part that is thicker than an edge: dense lung that hangs on the lungs is taken in, gas "
            "elsewhere is taken out; the edge itself stays that of the rules. Where they do not agree, the "
            "rules' outline stands and the scan says so."
        )
    if "given" in ways:
        told.append(
            "Lungs that were made elsewhere were used as given; the outline by rules served as a check."
        )
    return " ".join(told)


def _lesions(story: Story) -> Iterator[Paragraph]:
    """Each network that was asked, and masks made elsewhere."""
    origins = [scan.origin for scan in story.scans if scan.origin is not None]
    networks = {origin.network: origin for origin in origins if origin.lesions == "network"}
    for name, origin in networks.items():
        trained = f" Trained on: {origin.trained_on.rstrip('.')}." if origin.trained_on else ""
        limits = f" Limits: {origin.limits.rstrip('.')}." if origin.limits else ""
        yield Paragraph(
            f"Lesions by {name}",
            f"The network {name} (weights {origin.digest}) read the lungs slice by slice, each slice as it "
            f"is and mirrored, and tells {listing(list(origin.kinds))}. A voxel of the lungs is lesion where "
            "the probability of all lesions together is 0.5 or more; the map of that probability is kept "
            "beside the mask. A rule-based score says how far to trust the lesions: how sure the network "
            "was, whether the scan is like those it learned from, whether density tells much more or less, "
            f"and whether the lungs can be trusted.{trained}{limits}",
        )
    if any(origin.lesions == "given" for origin in origins):
        yield Paragraph(
            "Lesions made elsewhere",
            "The mask of lesions was given and not judged here; what of it lies outside the lungs does not "
            "count.",
        )


def _diagnoses(story: Story) -> Iterator[Paragraph]:
    """Each classifier that was asked: what it saw, how its answer was read, how its reasons were found."""
    asked = {one.classifier: one for scan in story.scans if (one := scan.diagnosis) is not None}
    for name, one in asked.items():
        bias = f" and added {one.bias:.2f}" if one.bias else ""
        text = (
            f"The classifier {name} ({one.method}, {one.digest}) saw {one.shown or SHOWN}. Its log-odds of "
            f"{one.finding} were divided by {one.temperature:.2f}{bias}, fitted on {one.validation.scans} "
            "validation scans, to make them a probability that holds on such scans. The conformal answer "
            f"keeps each class to which the scan is not stranger than {one.level:.0%} of the validation "
            "scans of that class; it promises as much for scans of the same sources. Distance is that of the "
            "network's last features from those of the training scans, told as the share of validation scans "
            "that lie nearer."
        )
        if one.explanation is not None:
            text += (
                f" Relevance was handed back from the log-odds to every voxel ({one.explanation.method}); "
                "regions are compared by what spoke for the finding."
            )
        yield Paragraph(f"{one.finding} by {name}", text)


def _density() -> Iterator[Paragraph]:
    yield Paragraph(
        "Density bands", f"Each lung voxel, vessels included, is in one band: {listing(_band_ranges())}."
    )
    used = Opacity()
    yield Paragraph(
        "Opacity and involvement, by density",
        f"Opacity is tissue denser than the scan's own healthy lung (by {used.over_healthy_sd:g} of its "
        f"spreads and at least {used.over_healthy_hu:g} HU) and, away from the pleura, thicker than "
        f"{2 * used.ball_mm:g} mm, so that vessels and airway walls stay out; above "
        f"{_hu(used.consolidation_hu)} HU it is called consolidation, below ground glass; parts under "
        f"{used.least_ml:g} ml are dropped. It cannot tell disease from collapse, tumour or scar, nor see "
        "thinner lesions. Involvement is the volume of opacity over the volume of both lungs, in per cent.",
    )


def _band_ranges() -> list[str]:
    """'emphysema-like (up to -950 HU)', 'aerated (-950 to -700)', ..."""
    told = []
    for band in BANDS:
        low, high = (_hu(edge) for edge in (band.over_hu, band.to_hu))
        span = f"to {high}" if band.over_hu is None else f"above {low}"
        told.append(f"{band.name} ({span if not (low and high) else f'above {low} to {high}'}{SPACE}HU)")
    return told


def _hu(edge: float | None) -> str:
    return "" if edge is None else f"{edge:g}".replace("-", MINUS)


def _change(story: Story) -> str:
    """How days came about, and what was compared."""
    days = {
        "dicom dates": "Days are whole days between the acquisition dates in the DICOM headers.",
        "given": "Days are those given by the user.",
    }
    known = days.get(story.days_known, "The days are not known, so no rate is given; the order is as given.")
    return (
        f"The figures of each scan are compared with those of the one before it. {known} A difference "
        "between two percentages is in percentage points (pp)."
    )


def _registration(story: Story) -> Iterator[Paragraph]:
    """How scans were laid on one another, where any were."""
    if not any(one.dice_after is not None for one in story.comparisons):
        return
    yield Paragraph(
        "Lesions from scan to scan",
        "The earlier scan is brought onto the later one by an affine transform and a B-spline with knots "
        f"{KNOTS_MM:g} mm apart, by mutual information around the lungs on a grid of {GRID_MM:g} mm "
        "(SimpleITK). The lungs, which were not matched by, judge the outcome: below a Dice of "
        f"{LEAST_DICE:g}, or where space is folded in more than {100 * MOST_FOLDED:g} % of them, nothing is "
        f"compared. A lesion is what touches in either scan; it counts as grown or shrunk from a change of "
        f"{100 * CHANGED:.0f} % on, and below {LEAST_ML:g} ml it is not followed.",
    )


def _courses(story: Story) -> Iterator[Paragraph]:
    """Whose law joins the scans."""
    laws = list(dict.fromkeys(one.law for one in story.trajectory if one.law))
    if laws:
        yield Paragraph(
            "Course over the days",
            "The curves are Gaussian processes: one course common to a cohort, each patient's smooth "
            f"departure from it, and the error of a measurement. The cohort: {listing(laws)}; the burden is "
            "followed as its square root. Bands hold 95 % of the courses that fit; peak, slope and bend are "
            "of 500 of these courses, between the first scan and the last.",
        )


def _prognosis(story: Story) -> Iterator[Paragraph]:
    told = story.prognosis
    if told is not None:
        by = f", by {told.groups_by}" if told.groups_by else ""
        yield Paragraph(
            f"Prognosis by {told.model}",
            f"The model {told.model} ({told.digest}) read figures of {listing(list(told.scans))}, not "
            f"pictures. {told.score} says how well it orders patients it never saw. Groups of lower and "
            f"higher risk are of such patients{by}.",
        )


def _pictures(story: Story) -> str:
    text = "Axial planes stand at equal shares of the lungs' height."
    if any(scan.geometry is Geometry.ASSUMED for scan in story.scans):
        text += " Where the file carries no position, sides follow the radiological convention unchecked."
    return text + " Pictures are for orientation; figures come from the full-resolution scan."
