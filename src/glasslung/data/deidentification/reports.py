"""What is said about a de-identified folder: what was changed, what was set aside, by which profile.

None of it holds a value of a source file. Who became whom stands in a file of its own, for whoever keeps the
key, and only where it was asked for.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glasslung import __version__
from glasslung.data.deidentification.actions import Action
from glasslung.data.deidentification.dicom_cleaning import OUR_VERSION, REMOVED_FROM_FILES
from glasslung.data.deidentification.headers import METHOD, Count, Options, claims
from glasslung.data.deidentification.kept import MAKERS, kept_words
from glasslung.data.deidentification.keys import OWNER_ONLY
from glasslung.data.deidentification.nifti_cleaning import REMOVED_FROM_VOLUMES
from glasslung.data.deidentification.picture_cleaning import REMOVED_FROM_PICTURES
from glasslung.data.deidentification.setting_aside import Aside, Reason
from glasslung.data.formats.header_words import BODY_PARTS, MODALITIES
from glasslung.data.formats.survey import Kind
from glasslung.errors import UsageError
from glasslung.files import write_json, write_whole
from glasslung.types import DISCLAIMER

CHANGES, ASIDE, ABOUT = "changes.csv", "set_aside.csv", "deidentification.json"
PICTURES, VOLUMES = "pictures", "volumes"
CHANGES_HEAD, ASIDE_HEAD = ("attribute", "action", "count"), ("file", "kind", "reason")
LINKS_HEAD = ("input", "output or reason")
DONE_WORDS = {
    Action.REMOVED: "removed",
    Action.EMPTIED: "emptied",
    Action.REPLACED: "replaced",
    Action.NEW_UID: "new UID",
    Action.CLEANED: "changed",
}


def write_reports(
    folder: Path, changes: Count, aside: Sequence[Aside], written: int, options: Options, keep_flagged: bool
) -> None:
    """Write changes.csv, set_aside.csv and deidentification.json into a folder of results."""
    rows = sorted((name, DONE_WORDS[Action(action)], count) for (name, action), count in changes.items())
    write_whole(folder / CHANGES, _table(CHANGES_HEAD, rows))
    write_whole(folder / ASIDE, _table(ASIDE_HEAD, [(one.number, one.kind, one.reason) for one in aside]))
    about = {
        "made_by": f"glasslung {__version__}",
        "method": METHOD,
        "profile": [{"code": code, "meaning": meaning} for code, meaning in claims(options)],
        "options": {**asdict(options), "keep_flagged": keep_flagged},
        "files_written": written,
        "files_set_aside": len(aside),
        "disclaimer": DISCLAIMER,
    }
    write_json(folder / ABOUT, about)


def write_links(path: Path, links: Mapping[Path, str]) -> None:
    """Write which input file became which, for its owner's eyes alone: identity, kept with the key."""
    text = _table(LINKS_HEAD, [(str(source), became) for source, became in links.items()])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
            file.write(text)
    except OSError as problem:
        raise UsageError(
            f"--links {path.name} cannot be written ({problem.strerror}): name another"
        ) from problem


def _table(head: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def header_words(options: Options) -> list[str]:
    """All texts that a header can get here, whoever the patient is."""
    lists = (kept_words("terms"), kept_words("descriptions"), BODY_PARTS, MODALITIES, MAKERS.values())
    marks = (METHOD, OUR_VERSION, "YES", "NO", "MODIFIED", "DCM", "M", "F", "O", "study", "series", "dcm")
    codes = (text for code in claims(options) for text in code)
    return [*(word for words in lists for word in words), *marks, *codes]


def report_words() -> list[str]:
    """All that the reports, and the names of their files and folders, can say."""
    from pydicom.datadict import DicomDictionary, RepeatersDictionary

    keywords = [entry[4] for entry in (*DicomDictionary.values(), *RepeatersDictionary.values())]
    names = (CHANGES, ASIDE, ABOUT, PICTURES, VOLUMES, "png", "nii.gz", "link", f"glasslung {__version__}")
    heads = (*CHANGES_HEAD, *ASIDE_HEAD, *Options.__dataclass_fields__, "true", "false")
    about = (
        "made_by method profile code meaning options",
        "keep_flagged files_written files_set_aside disclaimer",
    )
    counted = ("private creator xx", *REMOVED_FROM_VOLUMES, *REMOVED_FROM_PICTURES, *REMOVED_FROM_FILES)
    return [*keywords, *names, *heads, *about, *counted, *DONE_WORDS.values(), *Reason, *Kind, DISCLAIMER]
