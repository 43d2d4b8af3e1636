"""The page: valid, self-contained, the same every time, and whole or not there."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import made_stories
import pytest

from glasslung.errors import DataError
from glasslung.report.methods import methods
from glasslung.report.page import write_report
from glasslung.types import DISCLAIMER

VOID = {"meta", "br", "input", "hr", "col"}
NAMES = sorted(made_stories.EXAMPLES)


class Checker(HTMLParser):
    """Notes elements that do not close in order, ids, links to ids, headings, and pictures without words."""

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.ids, self.links, self.headings, self.words = [], [], [], [], [], []

    def handle_starttag(self, name, attributes):
        given = dict(attributes)
        if len(given) < len(attributes):
            self.faults.append(f"<{name}> has an attribute twice")
        if name not in VOID:
            self.open.append(name)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"][1:]] if given.get("href", "").startswith("#") else []
        self.headings += [int(name[1])] if re.fullmatch("h[1-6]", name) else []
        if given.get("role") == "img" and not given.get("aria-label"):
            self.faults.append(f"<{name}> is a picture without words")

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.faults.append(f"</{name}> closes something else")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    return checker


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_well_formed(pages, name):
    found = check(pages[name])
    assert not found.faults
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert set(found.links) <= set(found.ids)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(found.headings, found.headings[1:], strict=False))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_fetched(pages, name):
    without_names = pages[name].replace(
        "http://www.w3.org/2000/svg", ""
    )  # the name of a vocabulary, not an address
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]{2,}", without_names, flags=re.I)
    assert not re.search(r"<(link|iframe|object|embed|base)\b|@import|url\(", pages[name])
    assert all(
        uri.startswith("data:image/") for uri in re.findall(r'(?:src|href)="([^#"][^"]*)"', pages[name])
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', pages[name])[1].replace("&#x27;", "'")
    script = re.search(r"<script>(.*?)</script>", pages[name], flags=re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("name", NAMES)
def test_each_page_says_what_it_is_not_and_what_it_cannot_say(pages, name):
    words = " ".join(check(pages[name]).words)
    assert words.count("Research use only.") == 2  # on top and at the foot
    assert DISCLAIMER in words
    assert "What this report cannot say" in words
    assert "Which disease this is." in words
    for text in ("SHA-256", "glasslung analyze SCAN", "numpy 2.4.6"):
        assert text in words


def test_drawn_again_it_is_the_same_byte_for_byte(drawn, pages):
    write_report(drawn["four"])
    assert (drawn["four"] / "report.html").read_text(encoding="utf-8") == pages["four"]


def test_hostile_words_stay_words(pages):
    page = pages["hostile"]
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert(&quot;B70f&quot;)&lt;/script&gt; &amp; &quot;kernel&quot;" in page
    assert "\x00" not in page


def test_the_course_is_there_for_several_scans_and_not_for_one(pages):
    for anchor in ("course", "beside", "changes"):
        assert f'id="{anchor}"' in pages["four"]
        assert f'id="{anchor}"' not in pages["single"]
    assert pages["four"].count('class="panel"') == 4


def test_side_by_side_names_the_scan_that_has_no_level(pages):
    assert "Not shown, for want of lungs to go by: scan-02." in pages["untrusted"]
    assert "Not shown" not in pages["four"]


def test_a_picture_is_in_the_page_once(pages):
    planes = pages["four"].count('class="tile big"')
    assert pages["four"].count("data:image/webp") == 2 * planes  # two windows each
    assert pages["four"].count("<use ") == 3 * 4  # three levels of four scans stand side by side


def test_every_plane_has_its_place_and_window(pages):
    words = " ".join(check(pages["single"]).words)
    assert words.count(" of 24") >= 8
    for text in (
        "lung window, level \u2212600, width 1\u202f500\u00a0HU",
        "Coronal",
        "Sagittal, left lung",
        "most opacity",
    ):
        assert text in words


def test_pictures_without_geometry_have_no_marks(pages):
    words = " ".join(check(pages["pictures"]).words)
    assert "No side marks and no scale bar" in words
    assert "No density figures." in words
    assert 'class="mark"' not in pages["pictures"]
    assert " ml" not in words.replace("\u00a0", " ")


def test_a_scan_without_pictures_says_so(pages):
    assert "No pictures were kept of this scan." in pages["refused"]


def test_methods_tell_only_what_was_done(drawn):
    from glasslung.data.story import read_story

    four = [p.heading for p in methods(read_story(drawn["four"]))]
    flat = [p.heading for p in methods(read_story(drawn["pictures"]))]
    assert "Density bands" in four
    assert "CT severity score" in four
    assert "Change" in four
    assert not {"Density bands", "CT severity score", "Change", "Opacity and involvement"} & set(flat)


def test_nothing_is_left_behind_and_a_failure_leaves_the_old_page(tmp_path):
    made_stories.make_story(tmp_path, made_stories.small(made_stories.EXAMPLES["single"][0]))
    write_report(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    old = (tmp_path / "report.html").read_bytes()
    preview = tmp_path / "masks" / "scan-01" / "preview.npz"
    preview.write_bytes(preview.read_bytes()[:200])
    with pytest.raises(DataError, match=r"preview\.npz"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("path", ["../outside.npz", "/etc/passwd", "masks/../../outside.npz"])
def test_pictures_outside_the_folder_are_not_read(tmp_path, path):
    made_stories.make_story(tmp_path / "story", made_stories.small(made_stories.EXAMPLES["single"][0]))
    file = tmp_path / "story" / "story.json"
    plain = json.loads(file.read_text())
    plain["scans"][0]["preview"] = path
    file.write_text(json.dumps(plain))
    with pytest.raises(DataError, match="outside"):
        write_report(tmp_path / "story")


def test_no_story_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="glasslung analyze"):
        write_report(tmp_path)
