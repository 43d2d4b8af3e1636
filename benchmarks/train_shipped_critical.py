"""Make the shipped model of critical illness: nested figures first, then one fit on every patient.

    python benchmarks/train_shipped_critical.py --data CAGE --out FOLDER --numbers STUDY

CAGE is a folder in the layout of the CAGE set, STUDY a new or finished folder of `glasslung study
prognosis` on it, or of this command: its features are used again. FOLDER is new; the card is written
beside it by hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from glasslung.data.sources import open_cohort
from glasslung.studies.critical.ground import critical_ground
from glasslung.studies.critical.keeping import fit_all, in_single, write_kept
from glasslung.studies.critical.nested import CHOSEN
from glasslung.studies.critical.scores import auc_of
from glasslung.studies.critical.study import FEATURES, FULL, deal_all, look
from glasslung.studies.folder import one_thread
from glasslung.studies.trained import picture_digest
from glasslung.train.rundir import library_versions

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--numbers", type=Path, required=True)
    args = parser.parse_args()
    import numpy as np

    ground = critical_ground(open_cohort(args.data))
    args.numbers.mkdir(parents=True, exist_ok=True)
    with one_thread():
        tables = look(ground, args.numbers / FEATURES)
        deals = deal_all(ground, tables, FULL, compared=False)
        models, hazards, middle = fit_all(ground, tables, deals)
    scores = np.stack([deal.log_odds for deal in deals], 1)
    nested = auc_of(ground.event, scores, ground.patients, np.random.default_rng(0), FULL.draws)
    about = {
        "seed": FULL.seed,
        "middle": middle,
        "patients": len(ground),
        "events": int(ground.event.sum()),
        "nested_auc": nested,
        "pictures": [picture_digest(ground.picture(row)) for row in range(len(ground))],
        "versions": library_versions(),
    }
    write_kept(args.out, {name: in_single(one) for name, one in models.items()}, hazards, about)
    chosen = models[CHOSEN]
    print(
        f"{chosen.model.candidate.name}; nested AUC {nested['value']:.3f} "
        f"[{nested['low']:.3f}, {nested['high']:.3f}]"
    )
    print("hazards per unit", hazards)
