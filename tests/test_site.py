"""The documentation as a site: built strictly, it asks nothing of the network and leaves no verb out."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="module")
def making() -> Iterator[SimpleNamespace]:
    """The modules of docs/site, as mkdocs finds them."""
    names = ("columns", "schema", "verbs", "hooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "site"))
        found = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**found)
    for name in names:
        sys.modules.pop(name)


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


def test_columns_of_a_docstring_become_a_list(making):
    text = """What it does.

    cohort   a folder
             or a table; None: phantoms
    a, b     numbers
    Raises DataError where it is not there."""
    told = making.columns.as_markdown(inspect.cleandoc(text))
    assert told.split("\n\n") == [
        "What it does.",
        "- `cohort`: a folder or a table; None: phantoms\n- `a, b`: numbers",
        "Raises DataError where it is not there.",
    ]
    prose = "One line\nand another one."
    assert making.columns.as_markdown(prose) == prose


def test_links_out_of_docs_become_paths_and_dead_ones_are_told(making, caplog):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="models/index.md"))
    here = "[a](../../LICENSE) [b](../results.md) [c](lesions-hu.md)"
    told = making.hooks.on_page_markdown(here, page=page)
    assert told == "a (`LICENSE`) [b](../results.md) [c](lesions-hu.md)"
    with caplog.at_level(logging.WARNING):
        making.hooks.on_page_markdown("[a](../../nowhere.md)", page=page)
    assert "models/index.md links to ../../nowhere.md, which is not there" in caplog.text


def test_kinds_of_a_schema_are_told_in_words(making):
    kind = making.schema._kind
    assert kind({"anyOf": [{"type": "number"}, {"type": "null"}]}) == "number or null"
    assert kind({"type": "array", "items": {"$ref": "#/$defs/Amount"}}) == "list of [Amount](#amount)"
    assert kind({"type": "object", "additionalProperties": {"type": "string"}}) == "table of text by name"


def test_no_page_shows_a_link_as_it_is_written(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    raw = re.compile(r"\]\([\w./-]+\.md[)#]")
    assert pages and [page.name for page in pages if raw.search(page.read_text("utf-8"))] == []
