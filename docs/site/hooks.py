"""What the site has beyond the text in docs/: verbs and files, told by the program; links out of docs/.

mkdocs calls these functions by their names while it builds.
"""

from __future__ import annotations

import logging
import re
from inspect import getdoc
from pathlib import Path
from typing import Any

from schema import schema_page
from verbs import verbs_page

from glasslung.forecast.outlook import Forecast
from glasslung.types import Story

FILES = {"story": Story, "forecast": Forecast}
DOCS = Path(__file__).parent.parent
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
WRITTEN = re.compile(r"<!-- written when the site is built: (\w+) -->")
log = logging.getLogger("mkdocs.glasslung")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page as it stands in docs/, with what is written anew in every build."""
    here = DOCS / page.file.src_uri
    inside = LINK.sub(lambda link: _within_docs(link, here), markdown)
    return WRITTEN.sub(lambda mark: _written(mark[1]), inside)


def _written(what: str) -> str:
    if what == "verbs":
        return verbs_page()
    return schema_page(DOCS / f"{what}.schema.json", getdoc(FILES[what]) or "")


def _within_docs(link: re.Match[str], here: Path) -> str:
    """A link to a file of the repository outside docs/ becomes its path: the site does not carry it."""
    target = link["target"].partition("#")[0]
    if not target.startswith("../"):
        return link[0]
    there = (here.parent / target).resolve()
    if there.is_relative_to(DOCS):
        return link[0]
    if not there.exists():
        log.warning(f"{here.relative_to(DOCS)} links to {target}, which is not there")
    return f"{link['text']} (`{there.relative_to(DOCS.parent)}`)"
