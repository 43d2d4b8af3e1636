"""The viewer in a real Chromium: opened, scrolled, clicked, drawn in and saved, and the pictures compared."""

import io
import json
import urllib.request

import numpy as np
import pytest
from browsing import PATIENCE, chromium, serving
from PIL import Image

from glasslung.data.formats.reading import read_labels
from glasslung.web.viewer.case import open_case
from glasslung.web.viewer.server import make_viewer
from made_views import BOXES, drawn, write_made_story

SMALL = {"width": 960, "height": 600}  # software draws every pixel
LAPTOP = {"width": 1366, "height": 768}


class Viewer:
    """A page with a viewer, what it asked for and what went wrong in it."""

    def __init__(self, browser, address):
        self.context = browser.new_context(viewport=SMALL, accept_downloads=True)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.asked, self.wrong = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda problem: self.wrong.append(str(problem)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.goto(address)
        self.page.wait_for_function("() => window.viewer?.ready")

    def tell(self, script):
        return self.page.evaluate(script)

    def until(self, script):
        self.page.wait_for_function(f"() => {script}")

    def key(self, *keys):
        for one in keys:
            self.page.keyboard.press(one)

    def pane(self, n):
        """The rectangle of a scan's pane in the window."""
        return self.page.locator(f".pane[data-scan=scan-{n + 1:02d}]").bounding_box()

    def seen(self, n):
        """What a pane shows, (H, W, 3) float."""
        self.tell("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
        box = self.pane(n)
        shot = self.page.screenshot(clip=box)
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), float)

    def spot(self, n, frac):
        """Where a place of a scan (shares of its extent, RAS) is on the axial plane, in the window."""
        at = self.tell(f"viewer.panes.open.get({n}).nv.frac2canvasPos({json.dumps(frac)})")
        box = self.pane(n)
        return box["x"] + at[0], box["y"] + at[1]

    def show(self, mode):
        self.tell(f"viewer.view({mode!r})")
        self.until("viewer.panes.shown.every((k) => viewer.panes.open.get(k)?.box.style.visibility === '')")


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view") / "story"
    write_made_story(folder)
    return folder


@pytest.fixture(scope="module")
def opened(story):
    with (
        chromium() as browser,
        open_case(story, ()) as case,
        serving(make_viewer(case, "Dr. Test")) as address,
    ):
        yield Viewer(browser, address)


@pytest.fixture
def viewer(opened):
    opened.tell("viewer.panes.showCross(false)")  # it lies over what is looked at
    yield opened
    assert opened.wrong == []


def test_it_opens_the_last_scan_at_its_largest_lesion_and_asks_nobody_else(viewer):
    assert viewer.tell("viewer.panes.now") == 2
    assert viewer.tell("viewer.panes.active.place.map(Math.round)") == [55, 5, -12]
    assert all(url.startswith(("http://127.0.0.1:", "blob:", "data:")) for url in viewer.asked)
    assert "Not a medical device" in viewer.page.locator("#disclaimer").inner_text()
    letters = viewer.page.locator(".pane[data-scan=scan-03] .sides span").all_inner_texts()
    assert letters[:4] == ["R", "L", "A", "P"]
    seen = viewer.seen(2)
    grey = seen.max(2) - seen.min(2) < 12
    assert seen[grey].std() > 20  # a picture, and not one grey
    assert viewer.tell("viewer.panes.solid.nv.meshes.length") == 3  # two kinds of lesion, lungs


def test_lesions_lie_where_they_were_drawn_and_fade_with_their_slider(viewer):
    viewer.show("axial")
    viewer.tell("viewer.panes.go([55, 5, -12])")
    (z, y, x), shape = (tuple((s.start + s.stop) / 2 for s in BOXES[0][1])), drawn(2)[0].shape
    # LPS indices to RAS shares: right and front are high
    frac = [1 - x / shape[2], 1 - (y + 2) / shape[1], z / shape[0]]
    at = viewer.spot(2, frac)
    box = viewer.pane(2)
    row, column = round(at[1] - box["y"]), round(at[0] - box["x"])
    with_lesion = viewer.seen(2)[row, column]
    viewer.page.locator(".overlay[data-layer=lesions] input[type=range]").fill("0")
    viewer.until("viewer.panes.active.images.get('lesions').opacity === 0")
    without = viewer.seen(2)[row, column]
    viewer.page.locator(".overlay[data-layer=lesions] input[type=range]").fill("45")
    assert with_lesion[0] - with_lesion[2] > 50  # orange
    assert np.ptp(without) < 12  # grey
    again = viewer.seen(2)[row, column]
    assert np.abs(again - with_lesion).max() < 12
    viewer.key("h")
    assert np.abs(viewer.seen(2) - with_lesion).max() > 40  # the cross is back


def test_a_window_changes_every_grey_and_no_voxel(viewer):
    viewer.show("axial")
    before = viewer.seen(2)
    viewer.key("2")
    assert viewer.tell("[viewer.state.windows.low, viewer.state.windows.high]") == [-160, 240]
    viewer.until("viewer.panes.active.nv.volumes[0].cal_max === 240")
    soft = viewer.seen(2)
    assert soft.mean() < before.mean() - 10  # lung is black in it
    assert "mediastinum" in viewer.page.locator(".pane[data-scan=scan-03] .bottom").inner_text()
    viewer.key("1")
    viewer.until("viewer.panes.active.nv.volumes[0].cal_max === 150")
    assert np.abs(viewer.seen(2) - before).mean() < 1


def test_the_wheel_and_the_keys_go_from_slice_to_slice(viewer):
    viewer.show("axial")
    before, at = viewer.seen(2), [int(v) for v in viewer.tell("viewer.panes.active.voxel")]
    box = viewer.pane(2)
    viewer.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    viewer.page.mouse.wheel(0, -100)
    viewer.until(f"viewer.panes.active.voxel[2] === {at[2] + 1}")
    viewer.key("ArrowUp", "ArrowUp")
    viewer.until(f"viewer.panes.active.voxel[2] === {at[2] + 3}")
    assert np.abs(viewer.seen(2) - before).mean() > 1
    viewer.key("ArrowDown", "ArrowDown", "ArrowDown")
    viewer.until(f"viewer.panes.active.voxel[2] === {at[2]}")
    told = viewer.page.locator(".pane[data-scan=scan-03] .caption").inner_text()
    assert f"slice {at[2] + 1} of 20" in told and "day 12" in told


def test_nearer_keeps_the_cross_in_its_place_and_a_drag_moves_it(viewer):
    viewer.show("axial")
    viewer.tell("viewer.panes.go([40, 20, 0])")
    cross = "viewer.panes.active.nv.frac2canvasPos(viewer.panes.active.nv.scene.crosshairPos)"
    before = np.array(viewer.tell(cross))
    viewer.key("+", "+")
    assert viewer.tell("viewer.panes.active.nearness") == pytest.approx(1.5625)
    assert np.array(viewer.tell(cross)) == pytest.approx(before, abs=1)
    box = viewer.pane(2)
    viewer.page.keyboard.down("Shift")
    viewer.page.mouse.move(box["x"] + 200, box["y"] + 200)
    viewer.page.mouse.down()
    viewer.page.mouse.move(box["x"] + 240, box["y"] + 230)
    viewer.page.mouse.up()
    viewer.page.keyboard.up("Shift")
    assert np.array(viewer.tell(cross)) - before == pytest.approx(np.array([40, 30]), abs=1.5)
    viewer.key("0")
    assert viewer.tell("viewer.panes.active.nearness") == 1


def test_a_lesion_and_a_day_are_gone_to(viewer):
    viewer.show("axial")
    viewer.page.locator("#found-rows tr").nth(1).click()
    place = np.array(viewer.tell("viewer.panes.active.place"))
    label = BOXES[1][0]
    volume, _, lesions = drawn(2)
    index = np.linalg.inv(volume.affine) @ [-place[0], -place[1], place[2], 1]
    assert lesions[tuple(np.rint(index[:3]).astype(int))] == label
    viewer.page.locator("#found-tabs button").nth(1).click()
    assert viewer.page.locator("#found-rows tr").all_inner_texts()[0].split() == [
        "▲grown",
        "3.0",
        "9.0",
        "+6.0",
    ]
    viewer.page.locator("#chart .point").nth(1).click()
    viewer.until("viewer.panes.now === 1 && viewer.panes.active.box.style.visibility === ''")
    # the second scan lies two slices lower on the table: the same place of the lungs is 12 mm lower
    assert viewer.tell("viewer.panes.active.place[2]") == pytest.approx(place[2] - 12, abs=3.1)
    assert viewer.page.locator("#scans button[aria-pressed=true]").inner_text() == "day 5"


def test_days_side_by_side_move_together(viewer):
    viewer.show("serial")
    assert viewer.tell("viewer.panes.shown") == [0, 1, 2]
    viewer.tell("viewer.panes.activate(viewer.panes.open.get(2)); viewer.panes.go([20, 10, 0])")
    places = [viewer.tell(f"viewer.panes.open.get({n}).place") for n in range(3)]
    assert places[0][:2] == pytest.approx(places[2][:2], abs=5.1)
    assert places[0][2] - places[1][2] == pytest.approx(12, abs=6.1)  # by registration
    assert places[0][2] == pytest.approx(places[2][2], abs=6.1)
    viewer.key("2")
    for n in range(3):
        viewer.until(f"viewer.panes.open.get({n}).nv.volumes[0].cal_max === 240")
    viewer.key("1")
    viewer.page.mouse.move(*[viewer.pane(0)[k] + 100 for k in ("x", "y")])
    viewer.page.mouse.wheel(0, -100)
    viewer.until(f"viewer.panes.open.get(2).place[2] > {places[2][2]} + 3")


def test_maps_of_change_and_relevance_have_their_colours(viewer):
    viewer.show("axial")
    viewer.tell("viewer.open(2)")
    viewer.until("viewer.panes.now === 2 && viewer.panes.active.box.style.visibility === ''")
    viewer.tell("viewer.panes.go([-40, -5, 12])")
    plain = viewer.seen(2)
    viewer.key("v")
    viewer.until("viewer.panes.active.images.get('change')?.opacity > 0.5")
    change = viewer.seen(2) - plain
    viewer.key("v", "m")
    viewer.until("viewer.panes.active.images.get('relevance')?.opacity > 0.5")
    heat = viewer.seen(2) - plain
    viewer.key("m")
    viewer.until("viewer.panes.active.images.get('relevance').opacity === 0")
    assert np.abs(change).max() > 40
    assert (heat[..., 2] - heat[..., 0]).max() > 60  # the left lung speaks against it: blue


def paint(viewer, n, fracs):
    """Drag over places of the axial plane."""
    for number, frac in enumerate(fracs):
        viewer.page.mouse.move(*viewer.spot(n, frac))
        if number == 0:
            viewer.page.mouse.down()
    viewer.page.mouse.up()


def test_a_lesion_is_drawn_undone_erased_and_saved_beside_the_original(viewer, story):
    n = 1  # the scan whose file lies in another order
    viewer.show("axial")
    viewer.tell(f"viewer.open({n})")
    viewer.until("viewer.panes.now === 1 && viewer.panes.active.box.style.visibility === ''")
    viewer.tell("viewer.panes.go([-40, 20, -24])")
    original = (story / "masks" / "scan-02" / "lesions.nii.gz").read_bytes()
    viewer.key("e")
    viewer.until("viewer.editor.pane !== null")
    before = viewer.seen(n)
    viewer.tell("viewer.editor.size(12)")
    viewer.key("3")
    vox = np.array(viewer.tell("viewer.panes.active.voxel"))
    shape = np.array([44, 40, 20])
    frac = ((vox + 0.5) / shape).tolist()
    paint(viewer, n, [frac, [frac[0] - 0.06, *frac[1:]]])
    drawn_one = viewer.seen(n)
    assert np.abs(drawn_one - before).max() > 40
    painted = viewer.tell("viewer.editor.brush.done[0].at.length")
    assert 4 <= painted <= 40
    viewer.key("Control+z")
    assert np.abs(viewer.seen(n) - before).mean() < 0.5
    viewer.key("Control+Shift+Z")
    assert np.abs(viewer.seen(n) - drawn_one).mean() < 0.5
    viewer.key("x")
    paint(viewer, n, [frac])
    erased = viewer.tell("viewer.editor.brush.done[1].at.length")
    assert 1 <= erased < painted
    viewer.key("Control+s")
    viewer.until("viewer.editor.pane === null")
    assert "Saved: corrections/scan-02-lesions-" in viewer.page.locator("#message").inner_text()
    note = json.loads(next((story / "corrections").glob("*.json")).read_text())
    assert note["who"] == "Dr. Test" and note["from"] == "masks/scan-02/lesions.nii.gz"
    assert note["voxels_changed"] == painted - erased == note["voxels"]["crazy paving"]
    assert (story / "masks" / "scan-02" / "lesions.nii.gz").read_bytes() == original
    labels, affine = read_labels(next((story / "corrections").glob("*.nii.gz")))
    found = np.argwhere(labels == 3)
    places = (affine @ np.c_[found, np.ones(len(found))].T)[:3] * np.array([[-1], [-1], [1]])
    wanted = np.array(viewer.tell("viewer.panes.active.place"))
    assert np.abs(places[2] - wanted[2]).max() < 3.1  # in the slice that was drawn in
    assert np.linalg.norm(places[:2].T - wanted[:2], axis=1).max() < 30
    assert np.array_equal(labels == 2, drawn(n)[2] == 2)
    assert np.abs(viewer.seen(n) - before).max() > 40  # the corrected mask is shown now
    assert "corrected" in viewer.page.locator("#found-note").inner_text()


def test_a_picture_of_the_view_is_saved(viewer):
    viewer.show("planes")
    with viewer.page.expect_download() as coming:
        viewer.key("c")
    picture = np.asarray(Image.open(coming.value.path()).convert("RGB"), float)
    assert picture.shape[1] == round(viewer.page.locator("#stage").bounding_box()["width"])
    assert picture[: picture.shape[0] // 2].std() > 20
    assert picture[-26:].max() > 150  # the words below


def test_all_keys_are_told_and_light_is_possible(viewer):
    viewer.key("?")
    assert "Ctrl+S" in viewer.page.locator("dialog[open]").inner_text()
    viewer.key("Escape")
    viewer.key("t")
    assert viewer.tell("document.documentElement.dataset.theme") == "light"
    viewer.key("t")


def test_a_laptop_s_window_holds_everything(viewer):
    viewer.page.set_viewport_size(LAPTOP)
    assert viewer.tell("document.body.scrollWidth <= innerWidth && document.body.scrollHeight <= innerHeight")
    boxes = [
        one.bounding_box()
        for one in viewer.page.locator("header button, aside > section:visible, footer").all()
    ]
    assert all(
        box["x"] >= 0 and box["x"] + box["width"] <= 1366 and box["y"] + box["height"] <= 768 for box in boxes
    )
    assert viewer.page.locator("#found .scroll").bounding_box()["height"] > 60
    viewer.page.set_viewport_size(SMALL)


def test_the_page_alone_may_save(viewer):
    """A request without the page's token changes nothing."""
    address = viewer.page.url + "scan/0/corrections"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(address, b"x", method="POST"))
