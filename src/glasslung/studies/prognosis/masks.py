"""What drawn masks hide: burdens as the product finds them, on some of the scans whose masks were drawn.

Finding lungs and lesions costs two seconds a scan, which a study of a thousand scans can save by using the
masks that phantoms bring. How far the burdens would differ is measured here on a few of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glasslung.data.exams import BODY
from glasslung.predict.exams import MaskMaker, make_exam
from glasslung.studies.prognosis.burden import AFFECTED, burden_of
from glasslung.studies.prognosis.ground import PrognosisGround
from glasslung.studies.prognosis.readings import asked_rows
from glasslung.types import Progress


def compare_masks(
    ground: PrognosisGround, scans: int, masks: MaskMaker, progress: Progress | None = None
) -> dict[str, Any] | None:
    """Affected lung as found beside as drawn, on landmarks evenly taken; None where there is nothing to ask.

    -> {'scans', 'drawn', 'found': means in per cent, 'off': mean absolute difference, 'correlation'}
    """
    from scipy.stats import spearmanr

    rows = np.flatnonzero(asked_rows(ground))
    if not ground.plan or ground.masks != "drawn" or len(rows) < 3 or scans < 3:
        return None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, scans).astype(int))]
    found = []
    for number, row in enumerate(rows):
        if progress:
            progress(f"masks: scan {number + 1} of {len(rows)}", number / len(rows))
        chest = ground.plan[row].render()
        lungs, lesions, _ = masks.of(chest.volume)
        exam = make_exam(chest.volume, lungs, lesions, ground.exams.size, BODY)
        found.append(burden_of(exam)[AFFECTED])
    drawn = ground.burdens[AFFECTED][rows]
    return {
        "scans": len(rows),
        "drawn": float(drawn.mean()),
        "found": float(np.mean(found)),
        "off": float(np.abs(np.array(found) - drawn).mean()),
        "correlation": float(spearmanr(found, drawn).statistic),
    }
