"""Markup: text can never become an element."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.report.markup import Html, escaped, joined, tag


class Reader(HTMLParser):
    """What a browser would find: elements, attributes and text."""

    def __init__(self):
        super().__init__()
        self.elements, self.words = [], []

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@settings(deadline=None, max_examples=150)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"])))
def test_any_text_stays_text_in_content_and_attributes(text):
    reader = read(tag("p", text, title=text))
    assert reader.elements == [("p", {"title": text})]
    assert "".join(reader.words) == text


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&lt;", "' onload='x"]
)
def test_what_would_be_markup_is_shown_letter_for_letter(hostile):
    reader = read(tag("p", hostile, title=hostile))
    assert reader.elements == [("p", {"title": hostile})]
    assert "".join(reader.words) == hostile


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\ud800", "\udfff", "\x85", "\uffff"])
def test_unprintable_characters_are_replaced(bad):
    assert escaped(f"a{bad}b") == "a\ufffdb"
    escaped(f"a{bad}b").encode("utf-8")


def test_html_passes_and_nothing_is_escaped_twice():
    assert joined("a<", Html("<b>"), None, ["c", ("&",)]) == "a&lt;<b>c&amp;"
    assert tag("td", tag("b", "<"), class_="num") == '<td class="num"><b>&lt;</b></td>'


def test_attributes_are_named_as_html_names_them():
    made = tag(
        "input", type="radio", checked=True, hidden=False, value=None, data_scan="x", aria_label="y", name="z"
    )
    assert made == '<input type="radio" checked data-scan="x" aria-label="y" name="z">'


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "1"), (0.126, "0.13"), (100.0, "100"), (10, "10"), (-0.5, "-0.5")]
)
def test_numbers_in_attributes_are_short(value, shown):
    assert tag("rect", x=value) == f'<rect x="{shown}"></rect>'
