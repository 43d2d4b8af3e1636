"""The documentation as a site: built strictly, it asks nothing of the network and leaves no verb out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

from glasslung.cli import app
from glasslung.data.story import story_schema

ROOT = Path(__file__).parent.parent
pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install -e '.[docs]'")
pytest.importorskip("material", reason="mkdocs-material is not installed: pip install -e '.[docs]'")

ASKING = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "form": "action"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


class Asked(HTMLParser):
    """Addresses that a browser would ask for by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "link" and told.get("rel") in ("canonical", "prev", "next"):
            return
        self.found += [value] if (value := told.get(ASKING.get(tag, ""))) else []


def text_of(page: Path) -> str:
    """What a page says, without its tags."""
    return unescape(re.sub(r"<[^>]+>", " ", page.read_text("utf-8")))


def test_asks_nothing_of_the_network(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        asked = Asked()
        asked.feed(page.read_text("utf-8"))
        assert asked.found
        outside = [one for one in asked.found if re.match(r"(?:https?:)?//", one)]
        assert not outside, f"{page.relative_to(site)} asks for {outside}"
    for sheet in site.rglob("*.css"):
        outside = re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]+", sheet.read_text("utf-8"))
        assert not outside, f"{sheet.relative_to(site)} asks for {outside}"


def test_tells_every_verb_and_its_options(site: Path) -> None:
    told = text_of(site / "reference" / "verbs.html")
    groups = [("glasslung", typer.main.get_command(app))]
    count = 0
    while groups:
        name, command = groups.pop()
        inner = getattr(command, "commands", {})
        groups += [(f"{name} {word}", one) for word, one in inner.items()]
        if not inner:
            count += 1
            assert name in told
            for option in command.params:
                assert option.param_type_name == "argument" or option.opts[0] in told, (name, option.opts)
    assert count > 20


def test_tells_every_field_of_a_story(site: Path) -> None:
    told = text_of(site / "reference" / "story.html")
    nouns = [story_schema(), *story_schema()["$defs"].values()]
    fields = {field for noun in nouns for field in noun.get("properties", {})}
    assert len(fields) > 50
    assert not [field for field in fields if not re.search(rf"\b{field}\b", told)]


def test_tells_what_python_can_call(site: Path) -> None:
    """Every door that a page of the API names has its signature and its words on that page."""
    for page in (ROOT / "docs" / "api").glob("*.md"):
        told = text_of(site / "api" / f"{page.stem}.html")
        for door in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.M):
            assert door in told


def test_carries_no_program_of_its_own(site: Path) -> None:
    """Python files of docs/site make the site and are no part of it."""
    assert not list(site.rglob("*.py"))
