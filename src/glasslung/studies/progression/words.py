"""What the page of the progression study says around its figures: lead, cautions, methods, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.studies.progression.crisisverdict import poor_references
from glasslung.studies.progression.ground import Ground

Found = Mapping[str, Any]


def lead(numbers: Found, ground: Ground) -> str:
    """What was asked, of whom."""
    training, unseen = numbers["ground"]["training"], numbers["ground"]["unseen"]
    where = (
        "people who were never scanned (phantoms), so that everyone's other days are known"
        if ground.world
        else f"the cohort {ground.name}, where every patient was seen at one age only"
    )
    return (
        f"U-SVAE, CAGE and remedies against its tourist crisis, trained on {training['patients']} people "
        f"and asked about {unseen['patients']} that none of them saw: {where}."
    )


def cautions(numbers: Found, ground: Ground) -> list[str]:
    """Why the figures may not be believed, beyond their intervals."""
    said = []
    seconds = numbers["plan"]["budget"]["seconds"]
    if numbers["plan"]["quick"]:
        said.append(
            f"Quick: every method was trained for {seconds:g} seconds of one core, far too short for "
            "conclusions about any of them. The page shows what is measured, not what is true."
        )
    if len(numbers["seeds_trained"]) == 1:
        said.append(
            "One training of each method: the intervals hold the luck of patients and samples, not that of "
            "training. Ask for --seeds 3 to see it."
        )
    if weak := weak_references(numbers["outcomes"]):
        said.append(
            "A crisis ratio divides by the models of one age alone, and some of these make few slices that "
            f"look real: {'; '.join(weak)}. There a ratio near 1 means as poor, not cured."
        )
    if ground.world:
        said.append("Phantoms are drawn, not scanned: what wins here has not won on patients.")
    elif not numbers["ground"]["days known"]:
        said.append("Days are missing for some of the ill: only the group says how long they had been ill.")
    return said


def weak_references(outcomes: Found) -> list[str]:
    """The models of one age whose slices look real far more seldom than real ones do, by features.

    'precision on plain features CAGE-T0 0.00 beside 0.99': the interval of the first ends below half of
    the second, that of real slices.
    """
    return [
        f"precision on {features} features "
        + ", ".join(f"CAGE-T{age} {made:.2f} beside {real:.2f}" for age, (made, real) in ages.items())
        for features, ages in poor_references(outcomes).items()
    ]


METHODS = """\
Slices. {people}
Contest. Every method gets {seconds:g} seconds of process time on one core, the same slices, {batch} in
 a batch, mirrored by chance, and averaged weights. Steps differ, and are told. Each then makes
 {samples} lungs of every age and carries every unseen slice {carried} times to every other age.
Methods. CAGE-T0 to T3 know one age. CAGE-ALL A0 has the released code's faults, A3 has them corrected.
 R1 gates the evidence bound by owner, R2 matches aggregated posteriors, R3b adds a critic at every age,
 R4 is an age-conditional latent flow, R5 pairs ages by optimal transport in it, R6 moves slices between
 ages by a learned transport. U-SVAE and CAGE share one slim ladder: minutes, not hours.
Distances. Unbiased kernel distance on eleven plain features and on those of a small classifier that was
 trained on the training slices to see blur, noise and mixtures. The floor is the distance of training
 slices from unseen ones.
Intervals. 95 % percentile intervals over {draws} resamples of patients; all methods meet the same
 resamples. They do not hold the luck of training.
Not identified. Everyone was seen once. How lungs of one age are paired with those of another is not in
 the data; every method brings its own principle.
"""
PHANTOMS = (
    "{each} phantoms of every age to train on, everyone seen once; {people} others whose whole course is "
    "kept. In the paper's table each of them is scored at one age."
)
COHORT = (
    "Split by patient: the table's own split, or 70 % to train on, 10 % left alone, 20 % to test on, by "
    "group. Slices are padded to a square and resized to 64 x 64 without anti-aliasing."
)


def methods_told(numbers: Found, ground: Ground) -> list[tuple[str, str]]:
    """How it was done, a paragraph each: (name, text)."""
    plan, budget = numbers["plan"], numbers["plan"]["budget"]
    people = PHANTOMS.format(each=plan["each"], people=plan["people"]) if ground.world else COHORT
    text = METHODS.replace("\n ", " ").format(
        people=people,
        seconds=budget["seconds"],
        batch=budget["slices"],
        samples=budget["samples"],
        carried=budget["draws"],
        draws=plan["draws"],
    )
    parts = [line.partition(". ") for line in text.splitlines()]
    return [(name, words) for name, _, words in parts]


def provenance(numbers: Found) -> list[tuple[str, str]]:
    """Command, versions, seeds and hashes: enough to make it again, but for the steps that a budget buys."""
    ground = numbers["ground"]
    versions = ", ".join(f"{name} {version}" for name, version in numbers["versions"].items())
    return [
        ("Command", numbers["command"]),
        ("Drawn", numbers["created"]),
        ("Seeds", ", ".join(map(str, numbers["seeds_trained"]))),
        ("Versions", versions),
        ("Trained on", f"{ground['training']['patients']} people, SHA-256 {ground['training']['sha256']}"),
        ("Asked about", f"{ground['unseen']['patients']} people, SHA-256 {ground['unseen']['sha256']}"),
        ("All figures", "numbers.json beside this page; weights and pictures in outcomes/"),
        (
            "Made again",
            "the same command makes the same slices; a budget of time makes a few steps more or less",
        ),
    ]
