"""Checklists of a study: every item is there, answered from what the study states or left to the authors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from glasslung.report import checklists
from glasslung.report.checklists import AUTHORS, NOBODY, NOT_DONE, Facts, filled, methods_text, render
from glasslung.report.studypage import StudyPage, write_study_page

RUN: Mapping[str, Any] = {
    "command": "glasslung study it --out OUT",
    "created": "2026-01-01T00:00:00+00:00",
    "versions": {"python": "3.11", "glasslung": "0.1.0"},
    "seeds_trained": [0, 1],
    "jobs": [{"told": {"seconds": 90.0}, "weights_sha256": "ab"}, {"seconds": 30.0}],
}
FACTS = Facts(RUN, True, "12 scans | of 4 patients", "By patient", "No patient is in two parts")


def page(facts: Facts = FACTS) -> StudyPage:
    return StudyPage(
        "A study of lungs",
        "What was asked.",
        ["It helps: 0.80 [0.70, 0.90]."],
        [],
        [("Split", "By patient.")],
        [("Command", RUN["command"])],
        facts,
        ["Far too short."],
    )


def answers(facts: Facts = FACTS) -> dict[tuple[str, str], checklists.Item]:
    return {(sheet.name[:5], one.item): one for sheet in filled(page(facts)) for one in sheet.items}


def test_every_item_of_both_checklists_is_there_once_and_in_order():
    tripod, claim = filled(page())
    numbers = [one.item for one in tripod.items]
    assert len(set(numbers)) == len(numbers) == 52
    assert sorted({int(re.sub(r"\D", "", one)) for one in numbers}) == list(range(1, 28))
    assert [one.item for one in claim.items] == [str(number) for number in range(1, 45)]


def test_every_fact_that_a_template_names_is_known_and_every_stated_one_is_used():
    named = {name for one in checklists._templates() for item in one["items"] for name in item["facts"]}
    assert named <= set(checklists._known(page()))
    stated = {one.name for one in fields(Facts)} - {"run", "people"}
    assert stated <= named


def test_answers_are_the_study_s_own():
    told = answers()
    assert told["TRIPO", "5a"].answer == "12 scans | of 4 patients."
    assert "4 patients" in told["CLAIM", "7"].answer
    assert told["CLAIM", "37"].answer == "It helps: 0.80 [0.70, 0.90]."
    assert told["TRIPO", "26"].answer == "Far too short."
    assert "glasslung 0.1.0" in told["CLAIM", "23"].answer
    assert "2 minutes of processor time" in told["CLAIM", "23"].answer
    assert "1 trainings" in told["TRIPO", "22"].answer


def test_what_nobody_stated_is_left_to_the_authors_and_what_was_not_done_is_said():
    told = answers()
    assert not told["CLAIM", "44"].answer and told["CLAIM", "44"].authors
    assert told["CLAIM", "33"].answer == NOT_DONE
    for one in told.values():
        assert one.answer or one.authors
    richer = answers(replace(FACTS, external="A hospital that nobody learned from."))
    assert richer["CLAIM", "33"].answer == "A hospital that nobody learned from."


@pytest.mark.parametrize(("people", "told"), [(True, ""), (False, NOBODY)])
def test_phantoms_need_no_ethics(people: bool, told: str):
    assert answers(replace(FACTS, people=people))["TRIPO", "17"].answer == told


def test_the_sheet_is_a_table_with_four_cells_in_every_row():
    rows = [line for line in render(page()).splitlines() if line.startswith("| ")]
    assert len(rows) == 52 + 44 + 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    counts = [
        list(map(int, re.findall(r"(\d+) (?:items|are)", line))) for line in render(page()).splitlines()
    ]
    for whole, *parts in filter(None, counts):
        assert whole == sum(parts)
    assert render(page()).count(AUTHORS) > 10


def test_prose_holds_the_methods_and_says_what_is_missing():
    text = methods_text(page())
    assert "Split. By patient." in text
    assert "12 scans" in text
    assert "glasslung study it --out OUT" in text
    assert "To be written by the authors" in text
    assert max(len(line) for line in text.splitlines()) <= checklists.WIDE


def test_they_lie_beside_the_page_that_names_them(tmp_path):
    path = write_study_page(page(), tmp_path / "index.html")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["checklist.md", "index.html", "methods.txt"]
    assert "checklist.md" in path.read_text("utf-8")
