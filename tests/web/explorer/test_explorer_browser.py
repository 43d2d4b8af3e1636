"""The explorer in a real Chromium: loaded, clicked, dragged, and what is seen compared with what Python
computed.
"""

import base64
import io

import numpy as np
import pytest
from browsing import Watched, chromium, correlation, served
from PIL import Image

from glasslung.web.explorer.page import export_page

MODES = ("exported", "live")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module", params=MODES)
def opened(request, browser, scene, tmp_path_factory):
    """The explorer as one file without a network, and from the server."""
    if request.param == "exported":
        path = export_page(scene, tmp_path_factory.mktemp("page") / "explorer.html")
        found = Watched(browser, path.as_uri(), offline=True)
        found.live = False
        yield found
        found.close()
        return
    with served(scene) as address:
        found = Watched(browser, address)
        found.live = True
        yield found
        found.close()


@pytest.fixture
def page(opened):
    """Every test begins with nothing chosen, all shown, seen whole; none leaves an error behind."""
    page = opened
    page.page.keyboard.press("Escape")
    page.tell("explorer.legend.showAll(); explorer.setMode('turn'); explorer.cloud.fit()")
    page.settle()
    yield page
    assert page.wrong == []


def canvas_of(page, script):
    """The grey values of a canvas."""
    url = page.tell(f"(() => {{ const c = {script}; return c.toDataURL('image/png'); }})()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("L"))


def test_it_asks_for_nothing_from_outside(page):
    kinds = {url.split(":")[0] for url in page.asked}
    if page.live:
        assert kinds <= {"http", "data", "blob"}
        assert all(url.startswith(("http://127.0.0.1:", "data:", "blob:")) for url in page.asked)
    else:
        assert kinds <= {"file", "data", "blob"}
        assert sum(url.startswith("file:") for url in page.asked) == 1


def test_a_thumbnail_on_the_screen_is_the_picture(page, scene):
    row = page.foremost(1)[0]
    page.tell(f"explorer.cloud.centre({row}); explorer.cloud.nearer(0.6)")
    page.tell(f"{{ const c = explorer.cloud; c.states.fill(0); c.states[{row}] = 1; c.showStates(); }}")
    x, y, half = page.spot(row)
    seen = page.drawn()
    inner = 0.6 * half  # without frame and mark
    crop = seen[round(y - inner) : round(y + inner), round(x - inner) : round(x + inner)].mean(2)
    assert half > 30
    likeness = [correlation(crop.astype(np.uint8), one[13:-13, 13:-13]) for one in scene.collection.thumbs]
    assert likeness[row] > 0.95
    assert int(np.argmax(likeness)) == row


def test_frames_have_the_colours_of_the_legend(page):
    row = page.foremost(1)[0]
    label = page.tell(f"explorer.legend.column.groups[explorer.legend.column.of[{row}]].text")
    wanted = {"healthy": (86, 180, 233), "covid": (230, 159, 0)}[label]
    if page.tell("explorer.legend.column.groups[0].text") == "healthy":
        wanted = {"healthy": (230, 159, 0), "covid": (86, 180, 233)}[label]
    page.tell(f"explorer.cloud.centre({row}); explorer.cloud.nearer(0.5)")
    x, y, half = page.spot(row)
    seen = page.drawn()
    edge = seen[round(y), round(x - half * 0.97)].astype(int)
    assert np.abs(edge - wanted).max() < 40


def test_a_click_tells_facts_and_neighbours(page, scene):
    row = page.foremost(3)[2]
    x, y, _ = page.spot(row)
    page.page.mouse.click(x, y)
    assert page.tell("explorer.chosen") == row
    facts = {
        line.locator("th").inner_text(): line.locator("td").inner_text()
        for line in page.page.locator("#pane-picture .facts tr").all()
    }
    for name in ("label", "stage", "source", "severity", "patient"):
        assert facts[name] == scene.collection.columns[name][row]
    tiles = page.page.locator("#pane-picture .near button").all()
    assert [int(tile.get_attribute("data-row")) for tile in tiles] == scene.near.rows[row].tolist()
    shown = float(tiles[0].locator("span").inner_text())
    assert shown == pytest.approx(scene.near.distances[row, 0], rel=0.01)
    tiles[1].click()
    assert page.tell("explorer.chosen") == scene.near.rows[row, 1]
    if page.live:
        page.page.wait_for_function("() => document.querySelector('img.big').naturalWidth === 64")


@pytest.mark.parametrize("way", ["linear", "spherical"])
def test_dragging_from_one_to_another_shows_what_the_model_decodes(page, scene, way):
    first, second = page.foremost(8)[:: 7 if len(page.foremost(8)) == 8 else 1][:2]
    (x1, y1, _), (x2, y2, _) = page.spot(first), page.spot(second)
    page.page.keyboard.down("Shift")
    page.page.mouse.move(x1, y1)
    page.page.mouse.down()
    page.page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2, steps=3)
    assert page.page.locator("#rubber").is_visible()
    page.page.mouse.move(x2, y2, steps=3)
    page.page.mouse.up()
    page.page.keyboard.up("Shift")
    page.page.locator("#walk-way").select_option(way)
    page.page.wait_for_function("() => explorer.walkState?.whole")
    assert page.tell("[explorer.walkState.first, explorer.walkState.second]") == [first, second]
    wanted = scene.codes.walker.walk(first, second, 33, way)
    for at in (0, 7, 16, 32):
        seen = canvas_of(page, f"explorer.walkState.frames[{at}]")
        assert np.abs(seen.astype(int) - wanted[at]).max() <= 2
    assert wanted[16].std() > 1 and np.abs(wanted[0].astype(int) - wanted[32]).max() > 2
    page.tell("explorer.walkTo(16, false)")
    large = canvas_of(page, "document.getElementById('walk-now')")
    assert correlation(large, wanted[16]) > 0.98
    assert page.page.locator("#walk-at").inner_text() == "50 %"
    path = np.array(page.tell("explorer.walkState.path"))
    assert np.allclose(path[[0, -1]], scene.layout.places[[first, second]], atol=1e-4)


def test_walks_are_called_what_they_are(page, scene):
    stages = [
        ["healthy", "days 0 to 4", "days 5 to 9", "days 10 to 14"].index(s)
        for s in scene.collection.columns["stage"]
    ]
    healthy, late, other = stages.index(0), stages.index(3), stages.index(0, 1)
    title = page.page.locator("#walk-title")
    page.tell(f"explorer.walk({healthy}, {late})")
    assert title.inner_text() == "Interpolation: healthy to days 10 to 14"
    assert "nobody's observed course" in page.page.locator("#pane-walk").inner_text()
    page.tell(f"explorer.walk({healthy}, {other})")
    assert title.inner_text() == "Interpolation"
    assert "Not a course of the disease" in page.page.locator("#pane-walk").inner_text()


def test_the_legend_hides_and_shows(page, scene):
    healthy = scene.collection.columns["label"].count("healthy")
    page.page.locator("#groups input[data-group=covid]").uncheck()
    assert page.page.locator("#status").inner_text().startswith(f"{healthy} of 40")
    rows = {
        page.tell(f"explorer.cloud.states[{row}]")
        for row in range(40)
        if scene.collection.columns["label"][row] == "covid"
    }
    assert rows == {0}
    page.page.locator("#colour").select_option("stage")
    assert page.page.locator("#groups li").count() == 4
    assert page.page.locator("#status").inner_text().startswith(f"{healthy} of 40")  # still hidden by label
    page.page.locator("#all-groups").click()
    assert page.page.locator("#status").inner_text().startswith("40 of 40")
    page.page.locator("#colour").select_option("label")


def test_dragging_the_ground_turns_and_the_wheel_comes_nearer(page):
    where = "explorer.cloud.camera.position.clone().sub(explorer.cloud.controls.target).toArray()"
    before = np.array(page.tell(where))
    box = page.page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] - 30, box["y"] + 30
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x - 200, y + 60, steps=6)
    page.page.mouse.up()
    page.settle()
    turned = np.array(page.tell(where))
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(before), rel=0.02)
    assert np.linalg.norm(turned - before) > 0.2
    page.page.mouse.wheel(0, -400)
    page.page.wait_for_timeout(300)
    page.settle()
    assert np.linalg.norm(page.tell(where)) < 0.97 * np.linalg.norm(turned)


def test_everything_by_keys(page, scene):
    page.page.locator("#view").focus()
    keys = page.page.keyboard
    keys.press(".")
    assert page.tell("explorer.chosen") == 0
    keys.press(".")
    keys.press("m")
    keys.press("2")
    assert page.tell("explorer.chosen") == scene.near.rows[1, 1]
    keys.press("Enter")
    assert page.tell("[explorer.walkState.first, explorer.walkState.second]") == [
        1,
        int(scene.near.rows[1, 1]),
    ]
    keys.press(" ")
    assert page.tell("explorer.walkState.playing") is False
    before = page.tell("explorer.cloud.camera.position.x")
    keys.press("ArrowRight")
    assert page.tell("explorer.cloud.camera.position.x") != before
    keys.press("Escape")
    assert page.tell("[explorer.chosen, explorer.walkState]") == [-1, None]


def test_outliers_and_batch_effects_are_those_of_python(page, scene):
    page.page.locator("#tab-outliers").click()
    rows = [int(tile.get_attribute("data-row")) for tile in page.page.locator("#pane-outliers button").all()]
    assert rows == np.argsort(-scene.near.apart, kind="stable")[:40].tolist()
    page.page.locator("#tab-sources").click()
    told = dict(scene.tellings)["source"]
    text = page.page.locator("#pane-sources section[data-column=source]").inner_text()
    assert f"{100 * told.accuracy.value:.0f} %" in text and "by chance" in text
    page.page.locator("#tab-about").click()
    assert "Not a medical device" in page.page.locator("#pane-about").inner_text()


def test_fingers_choose_and_walk(browser, scene, tmp_path):
    path = export_page(scene, tmp_path / "explorer.html")
    page = Watched(browser, path.as_uri(), offline=True, has_touch=True)
    first, second = page.foremost(6)[:: 5 if len(page.foremost(6)) == 6 else 1][:2]
    (x1, y1, _), (x2, y2, _) = page.spot(first), page.spot(second)
    page.page.touchscreen.tap(x1, y1)
    assert page.tell("explorer.chosen") == first
    page.page.locator("#mode-walk").tap()
    finger = page.context.new_cdp_session(page.page)
    steps = [("touchStart", x1, y1), ("touchMove", (x1 + x2) / 2, (y1 + y2) / 2), ("touchMove", x2, y2)]
    (x1, y1, _), (x2, y2, _) = page.spot(first), page.spot(second)
    for kind, x, y in steps:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.page.wait_for_function("() => explorer.walkState !== null")
    assert page.tell("[explorer.walkState.first, explorer.walkState.second]") == [first, second]
    assert page.wrong == []
    page.close()
