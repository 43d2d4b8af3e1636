"""The model of critical illness that comes with the package."""

import shutil

import pytest

from glasslung.data.sources import open_cohort
from glasslung.models.shipped import FOLDER
from glasslung.studies.critical.evaluation import evaluate_critical
from glasslung.studies.critical.keeping import open_kept
from glasslung.studies.critical.nested import CHOSEN


def test_the_shipped_model_is_small_and_says_what_it_is():
    place = FOLDER / "critical-8bit"
    assert sum(path.stat().st_size for path in place.iterdir()) < 2e6
    card = (place / "card.md").read_text()
    for words in (
        "not a medical device",
        "CC BY 3.0 CN",
        "progression_days",
        "glasslung evaluate critical-8bit",
    ):
        assert words in card
    model = open_kept("critical-8bit")
    assert model.about["patients"] == len(model.about["pictures"])


@pytest.mark.real
def test_the_shipped_model_knows_its_own_pictures(real, tmp_path):
    rows = (real / "cage" / "labels.csv").read_text().splitlines()
    sick = [row for row in rows[1:] if row.startswith("ncp/") and row.split(",")[11]][::6]
    for row in sick:
        path = row.split(",")[0]
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real / "cage" / path, tmp_path / path)
    (tmp_path / "labels.csv").write_text("\n".join([rows[0], *sick]) + "\n")
    scored = evaluate_critical("critical-8bit", open_cohort(tmp_path), draws=50)
    assert scored.figures["ranking"]["auc"][CHOSEN]["value"] > 0.8
    assert any(f"trained on {len(sick)} of these" in remark.text for remark in scored.remarks)
