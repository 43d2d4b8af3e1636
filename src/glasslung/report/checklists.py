"""Checklists: what journals ask of a study, filled from what the study knows of itself.

Beside its page every study leaves two files:

    checklist.md  the items of TRIPOD+AI and of CLAIM, answered from the study's own settings and figures,
                  or left to the authors with a word on what is wanted
    methods.txt   the same as prose, to begin a methods section with

Numbers and topics of the items are the checklists'; what they ask is told in our words (`checklists.json`).
Nothing is guessed: a study states what it knows as `Facts`, and what nobody stated is the authors' to write.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glasslung.files import write_whole
from glasslung.types import DISCLAIMER

if TYPE_CHECKING:
    from glasslung.report.studypage import StudyPage

SHEET, METHODS = "checklist.md", "methods.txt"
AUTHORS = "**For the authors.**"
NOT_DONE = "Not done in this study."
NOBODY = "No person was scanned: every picture was drawn by the package (phantoms)."
WIDE = 100  # letters in a line of prose


@dataclass(frozen=True)
class Facts:
    """What a study states of itself, in sentences. '' leaves an item to the authors.

    run      what `studies.folder.about_run` told: command, versions, seeds, jobs
    people   whether pictures of people were used; phantoms are nobody's
    """

    run: Mapping[str, Any]
    people: bool

    # what it stands on
    data: str
    partitions: str
    disjoint: str
    sites: str = ""
    left_out: str = ""
    preparation: str = ""
    subsets: str = ""
    reference: str = ""
    test_truth: str = ""
    masks: str = ""
    predictors: str = ""
    missing: str = ""

    # what was done
    model: str = ""
    start: str = ""
    training: str = ""
    selection: str = ""
    asked: str = ""
    output: str = ""
    metrics: str = ""
    uncertainty: str = ""
    balance: str = NOT_DONE
    ensemble: str = NOT_DONE
    robustness: str = NOT_DONE
    reasons: str = NOT_DONE
    internal: str = NOT_DONE
    external: str = NOT_DONE
    failures: str = NOT_DONE
    updating: str = NOT_DONE


class Item(NamedTuple):
    """One item of a checklist, answered.

    answer   sentences from the study; '' where it has none
    authors  what only the authors can tell; '' where nothing is left to them
    """

    item: str
    topic: str
    asks: str
    answer: str
    authors: str


class Sheet(NamedTuple):
    """One checklist, answered."""

    name: str
    of: str
    items: tuple[Item, ...]


def write_checklists(page: StudyPage, folder: Path) -> tuple[Path, Path]:
    """Write `checklist.md` and `methods.txt` of a study beside its page; returns both paths."""
    sheet, prose = folder / SHEET, folder / METHODS
    write_whole(sheet, render(page))
    write_whole(prose, methods_text(page))
    return sheet, prose


def filled(page: StudyPage) -> tuple[Sheet, ...]:
    """Both checklists with what the study states."""
    known = _known(page)
    return tuple(
        Sheet(one["name"], one["of"], tuple(_item(item, known) for item in one["items"]))
        for one in _templates()
    )


def render(page: StudyPage) -> str:
    """Both checklists as Markdown."""
    opening = (
        f"Filled by glasslung {_version(page)} from this study's own settings and figures (`numbers.json`). "
        f"{AUTHORS} marks what no program can know. Read each answer before you hand it in: it says what was "
        f"done, not whether that was enough. {DISCLAIMER}"
    )
    parts = [f"# Reporting checklists: {page.title}", opening]
    for sheet in filled(page):
        parts += [f"## {sheet.name}", _tally(sheet), _table(sheet.items)]
    return "\n\n".join(parts) + "\n"


def methods_text(page: StudyPage) -> str:
    """The methods as plain prose: what the study stood on, how it was done, with what."""
    facts, run = page.facts, page.facts.run
    ground = (facts.data, facts.left_out, facts.reference, facts.partitions, facts.disjoint)
    told = [
        ("Data", _sentences(ground)),
        *page.methods,
        ("Models", facts.model),
        ("Weights at the start", facts.start),
        ("Weights that were asked", facts.selection),
        ("Software", _software(run)),
        ("Command", f"{run['command']} ({run['created']})"),
    ]
    paragraphs = [textwrap.fill(f"{name}. {text}", WIDE) for name, text in told if text]
    left = textwrap.fill(
        "To be written by the authors: where the patients came from, when and how they were scanned, who "
        "judged the outcome, ethics, funding. checklist.md lists it item by item.",
        WIDE,
    )
    return "\n\n".join([page.title, *paragraphs, left, DISCLAIMER]) + "\n"


# ------------------------------------------------------------------------------------------- its parts


@cache
def _templates() -> list[dict[str, Any]]:
    text = (files("glasslung.report") / "checklists.json").read_text("utf-8")
    lists: list[dict[str, Any]] = json.loads(text)["lists"]
    return lists


def _known(page: StudyPage) -> dict[str, str]:
    """Every fact by its name, those that the page itself holds among them."""
    facts = page.facts
    stated = {
        one.name: getattr(facts, one.name) for one in fields(facts) if one.name not in ("run", "people")
    }
    return stated | {
        "title": f"\u201c{page.title}\u201d is the title of the study\u2019s page.",
        "goal": page.lead,
        "design": "The data were there before the study was run." if facts.people else NOBODY,
        "ethics": "" if facts.people else NOBODY,
        "results": _sentences(page.verdicts),
        "limits": _sentences(page.cautions),
        "software": _software(facts.run),
        "protocol": f"`study.json` holds what was asked, before anything was trained. {_command(page)}",
        "code": f"glasslung {_version(page)}, Apache-2.0. {_command(page)}",
        "weights": _weights(facts.run),
        "use": "Research use only, not a medical device; validated on no clinical population.",
    }


def _item(told: Mapping[str, Any], known: Mapping[str, str]) -> Item:
    answers = dict.fromkeys(known[name] for name in told["facts"])
    answer = _sentences(list(answers))
    authors = told["authors"] or ("" if answer else "The study states nothing.")
    return Item(told["item"], told["topic"], told["asks"], answer, authors)


def _tally(sheet: Sheet) -> str:
    """How far a checklist is filled."""
    done = sum(bool(one.answer) and not one.authors for one in sheet.items)
    begun = sum(bool(one.answer) and bool(one.authors) for one in sheet.items)
    return (
        f"{sheet.of}. Of {len(sheet.items)} items {done} are answered, {begun} are begun and wait for the "
        f"authors, {len(sheet.items) - done - begun} are the authors' alone. Numbers and topics are the "
        "checklist's, the wording is ours: hand in the journal's own form."
    )


def _table(items: Sequence[Item]) -> str:
    rows = ["| item | topic | what is asked | answer |", "| --- | --- | --- | --- |"]
    for one in items:
        left = f"{AUTHORS} {one.authors}" if one.authors else ""
        cells = (one.item, one.topic, one.asks, _sentences((one.answer, left)))
        rows.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _sentences(texts: Sequence[str]) -> str:
    """Texts as one, each with a full stop."""
    return " ".join(text if text.endswith((".", "?", ":")) else f"{text}." for text in texts if text)


def _software(run: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    seeds = ", ".join(map(str, run["seeds_trained"]))
    spent = sum(_seconds(job) for job in run["jobs"])
    time = f"{spent / 60:.0f} minutes" if spent >= 120 else f"{spent:.0f} s"
    trained = f" {len(run['jobs'])} jobs took {time} of processor time." if spent else ""
    return f"Versions: {versions}." + (f" Seeds of training: {seeds}." if seeds else "") + trained


def _weights(run: Mapping[str, Any]) -> str:
    kept = sum(bool(job.get("weights_sha256")) for job in run["jobs"])
    return f"Weights of {kept} trainings lie in `outcomes/`, their SHA-256 in `numbers.json`." if kept else ""


def _seconds(job: Mapping[str, Any]) -> float:
    """Processor time of a job; 0 where it tells none."""
    return float(job.get("seconds") or job.get("told", {}).get("seconds") or 0.0)


def _command(page: StudyPage) -> str:
    return f"Made by `{page.facts.run['command']}`."


def _version(page: StudyPage) -> str:
    return str(page.facts.run["versions"].get("glasslung", ""))
