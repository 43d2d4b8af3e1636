"""The DCGAN as released, at its real size, under the watchdog: what is told, and when.

    python benchmarks/released_dcgan_watched.py PICTURES --label covid --seconds 540 --numbers FILE

128 x 128 pixels, 287.5 million weights: some 14 s a step on one core. Looks every ten steps.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from glasslung.files import write_json
from glasslung.models import dcgan
from glasslung.studies.folder import one_thread
from glasslung.studies.synthesis.contest import Budget, Method, train_one
from glasslung.studies.synthesis.study import FULL, study_pictures

PAPERS_SIZE, PAPERS_WIDTH, PAPERS_HALF = 128, 64, 25


def watch(wanted: argparse.Namespace) -> dict[str, Any]:
    """Train until the time is up; steps, alarms, and every look."""
    budget = Budget(
        seconds=wanted.seconds,
        size=wanted.size,
        width=wanted.width,
        batch=PAPERS_HALF,
        look_every=10,
        samples=16,
    )
    train, unseen = study_pictures(wanted.pictures, replace(FULL, budget=budget), wanted.label, None)
    method = Method("dcgan", {"width": wanted.width} | dcgan.literal(), halves=True)

    def tell(what: str, share: float) -> None:
        print(f"{what}, {100 * share:.0f} % of the time", flush=True)

    found = train_one(method, train, unseen, budget, wanted.seed, tell)
    return {"steps": found.steps, "alarms": found.alarms, "looks": found.looks}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=540.0, help="of processor time on one core")
    parser.add_argument("--size", type=int, default=PAPERS_SIZE)
    parser.add_argument("--width", type=int, default=PAPERS_WIDTH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--numbers", type=Path)
    wanted = parser.parse_args()
    with one_thread():
        found = watch(wanted)
    for step, sign, fact, remedy in found["alarms"]:
        print(f"step {step}: {sign}: {fact}; {remedy}")
    if wanted.numbers:
        write_json(wanted.numbers, found)


if __name__ == "__main__":
    main()
