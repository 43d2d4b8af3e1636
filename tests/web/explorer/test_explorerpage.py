"""The exported page: one file, nothing asked of a network, no file name unless wanted, no text that breaks
out.
"""

import json
import re

import pytest
from made_pictures import write_codes

from glasslung.errors import UsageError
from glasslung.web.assets import asset
from glasslung.web.explorer.opening import Wish, open_explorer
from glasslung.web.explorer.page import MODULES, export_page, whole_page


def told_in(page):
    return json.loads(re.search(r'<script type="application/json" id="scene">(.*?)</script>', page, re.S)[1])


def test_one_file_holds_everything(scene, tmp_path):
    page = export_page(scene, tmp_path / "explorer.html").read_text(encoding="utf-8")
    modules = json.loads(re.search(r'<script type="importmap">(.*?)</script>', page, re.S)[1])["imports"]
    assert set(modules) == set(MODULES)
    assert all(address.startswith("data:text/javascript;base64,") for address in modules.values())
    outside = page.replace("The MIT License", "")
    assert not re.search(r'(src|href|url)\s*[=(]\s*["\']?(https?:)?//', outside)
    assert "default-src 'none'" in page and "connect-src" not in page
    assert "Permission is hereby granted" in page  # three.js' licence goes where three.js goes
    told = told_in(page)
    assert told["count"] == 40 and told["atlas"]["urls"][0].startswith("data:image/png;base64,")


def test_file_names_are_told_only_when_wanted(scene):
    assert "000.png" not in whole_page(scene) and told_in(whole_page(scene))["names"] is None
    assert told_in(whole_page(scene, names=True))["names"][0] == "s0"


def test_texts_of_a_table_cannot_end_the_script(tmp_path):
    evil = "</script><script>alert(1)</script><!--"
    rows = [[f"{n:03d}.png", n, -n, evil if n % 2 else "b"] for n in range(12)]
    page = whole_page(open_explorer(Wish(write_codes(tmp_path, rows, ["image", "z0", "z1", "label"]))))
    assert "alert(1)</script>" not in page
    assert evil in told_in(page)["columns"][0]["values"]


def test_the_same_page_twice(scene):
    assert whole_page(scene) == whole_page(scene)


@pytest.mark.parametrize("name", ["explorer.png", "explorer", "folder.html"])
def test_another_ending_is_refused(scene, tmp_path, name):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UsageError, match=r"\.html"):
        export_page(scene, tmp_path / name)


def luminance(colour):
    """Relative luminance of '#rrggbb', WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [":root", '[data-theme="light"]'])
def test_words_stand_out_from_their_ground(theme):
    """At least 4.5 to 1, WCAG's AA for small text, on either ground."""
    block = asset("explore/explore.css").partition(theme + " {")[2].partition("}")[0]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    pairs = [(ink, ground) for ink in ("ink", "soft", "faint", "accent") for ground in ("panel", "ground")]
    for first, second in [*pairs, ("care", "care-ground"), ("ink", "raised"), ("soft", "raised")]:
        low, high = sorted(luminance(colours[name]) for name in (first, second))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (first, second)
