"""The study from pictures to page: stopped and gone on with, figures in range, sentences that follow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from glasslung.errors import DataError, UsageError
from glasslung.studies.synthesis.contest import AS_RELEASED, PUT_RIGHT, RECIPE, Budget
from glasslung.studies.synthesis.study import QUICK, choose_methods, phantom_pictures, run_synthesis
from glasslung.studies.synthesis.verdict import cautions_of, sentences_of

TINY = replace(
    QUICK,
    budget=Budget(seconds=0.2, size=32, width=8, batch=4, samples=16, look_every=3, reader_steps=4),
    draws=20,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    lines = ["patient,scan,image,intensity,label,split"]
    for number in range(40):
        rows, columns = np.mgrid[:24, :24]
        y, x = rng.uniform(9, 15, 2)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < 50) * rng.uniform(120, 230)
        Image.fromarray(disc.astype(np.uint8)).save(folder / f"{number}.png")
        lines.append(f"p{number},s{number},{number}.png,display8,covid,{'train' if number < 26 else 'val'}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_study_makes_its_page_and_goes_on(pictures, tmp_path):
    chosen = choose_methods(f"{AS_RELEASED}; {PUT_RIGHT}; {RECIPE}", TINY)
    page = run_synthesis(pictures, tmp_path / "study", TINY, 1, chosen, ("covid",))
    numbers = json.loads((tmp_path / "study" / "numbers.json").read_text())
    assert list(numbers["methods"]) == [AS_RELEASED, PUT_RIGHT, RECIPE]
    released = numbers["methods"][AS_RELEASED]["0"]
    assert released["first_alarms"]["black training pictures"] == 3
    shares = [released[name] for name in ("precision", "recall", "coverage", "copies", "told_apart")]
    shares += [released["own"][name] for name in ("precision", "recall", "coverage")]
    assert all(0 <= one["low"] <= one["value"] <= one["high"] <= 1 for one in shares)
    assert numbers["reader"].startswith("realism (64 features")
    assert numbers["together"][RECIPE]["counts"]["made"] == 16
    assert len(released["nearest"]) == 8 and all(0 <= real < 2 * 26 for _, real in released["nearest"])
    text = page.read_text()
    assert "Nearest to training pictures" in text and "nearest training picture" in text
    assert "black training pictures" in text and "The first pictures, not chosen" in text
    assert "too short for conclusions" in text and 'src="http' not in text
    before = (tmp_path / "study" / "outcomes" / "leangan-0.npz").read_bytes()
    run_synthesis(pictures, tmp_path / "study", TINY, 1, chosen, ("covid",))
    assert (tmp_path / "study" / "outcomes" / "leangan-0.npz").read_bytes() == before
    with pytest.raises(UsageError, match="another study"):
        run_synthesis(pictures, tmp_path / "study", replace(TINY, draws=21), 1, chosen, ("covid",))


def figures(kid: float, recall: float, black: int = 0, copies: float = 0.01, **more) -> dict:
    def limits(value):
        return {"value": value, "low": value - 0.01, "high": value + 0.01}

    alarms = {"first_alarms": more.get("first", {}), "ended": more.get("ended", "")}
    return {
        "kid": limits(kid), "own": {"kid": limits(kid)}, "recall": limits(recall),
        "black_looks": black, "looks": 20, "copies": limits(copies), "copies_expected": 0.01, **alarms,
    }  # fmt: skip


def together(methods: dict) -> dict:
    return {name: seeds["0"] for name, seeds in methods.items()}


def test_sentences_follow_from_the_figures():
    methods = {
        AS_RELEASED: {"0": figures(3.0, 0.0, 19, first={"black training pictures": 50})},
        PUT_RIGHT: {"0": figures(0.9, 0.1)},
        RECIPE: {"0": figures(0.05, 0.6)},
    }
    told = " ".join(sentences_of(methods, together(methods)))
    assert "clearly below that of DCGAN 0.900 [0.890, 0.910] on the study's own" in told
    assert "clearly below that of DCGAN 0.900 [0.890, 0.910] on the features that ship" in told
    assert "the intervals of no two overlap" in told and "at least half" in told
    assert "black in 0 of 20" in told and "no more than chance" in told
    assert "black training pictures (step 50)" in told
    methods[RECIPE] = {"0": figures(0.895, 0.3, 2, copies=0.4)}
    worse = " ".join(sentences_of(methods, together(methods)))
    assert "not clearly below that of DCGAN 0.900" in worse and "less than half" in worse
    assert "the intervals of some overlap" in worse
    assert "black in 2 of 20" in worse and "more than chance." in worse.replace("no more than chance", "")


def test_cautions_are_told():
    methods = {RECIPE: {"0": figures(0.1, 0.5, ended="step 3: total is not a number")}}
    told = " ".join(cautions_of(methods, True, 54))
    assert "quick" in told and "1 training(s)" in told and "54 held-out" in told and "Ended early" in told
    assert cautions_of({RECIPE: {str(n): figures(0.1, 0.5) for n in range(3)}}, False, 200) == []


def test_phantoms_stand_in_where_there_is_no_cohort():
    train, unseen = phantom_pictures(8, 16, None)
    assert len(train) == 6 and len(unseen) == 2 and train.images.max() > 0.5
    assert not set(train.patient.tolist()) & set(unseen.patient.tolist())


def test_what_cannot_be_is_refused(pictures, tmp_path):
    with pytest.raises(UsageError, match="no 'GAN'"):
        choose_methods("GAN", TINY)
    with pytest.raises(UsageError, match="needs a seed"):
        run_synthesis(pictures, tmp_path / "a", TINY, 0)
    with pytest.raises(DataError, match="no picture labelled"):
        run_synthesis(pictures, tmp_path / "b", TINY, labels=("flu",))
    with pytest.raises(UsageError, match="minutes"):
        TINY.for_minutes(0)
