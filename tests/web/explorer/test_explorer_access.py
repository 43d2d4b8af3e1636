"""The explorer on a phone, by keys alone, with less motion, on a light ground and on a slow machine."""

import numpy as np
import pytest
from browsing import Watched, chromium

from glasslung.web.explorer.page import export_page

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
FINGER = 40  # CSS pixels that a finger hits


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def exported(scene, tmp_path_factory):
    return export_page(scene, tmp_path_factory.mktemp("page") / "explorer.html").as_uri()


@pytest.fixture(scope="module")
def page(browser, exported):
    found = Watched(browser, exported, offline=True)
    yield found
    assert found.wrong == []
    found.close()


def focused(page):
    """What has the keyboard: its id, the group it stands for, and the pane it lies in."""
    return page.tell(
        """(() => { const e = document.activeElement;
        return [e.id, e.dataset.group ?? "", e.closest("[role=tabpanel]")?.id ?? ""]; })()"""
    )


def test_the_keyboard_stays_where_it_was(page):
    box = page.page.locator("#groups input[data-group=covid]")
    box.focus()
    page.page.keyboard.press("Space")
    assert not box.is_checked() and focused(page)[1] == "covid"
    page.page.keyboard.press("Space")
    assert box.is_checked()
    page.page.keyboard.press(".")  # a key of the explorer's, on a box too
    assert page.tell("explorer.chosen") == 0
    page.page.locator("#pane-picture .near button").first.focus()
    page.page.keyboard.press("Enter")
    assert page.tell("explorer.chosen") != 0 and focused(page)[2] == "pane-picture"
    page.tell("explorer.walk(0, 3)")
    page.page.locator("#walk-way").focus()
    page.page.locator("#walk-way").select_option("spherical")
    assert focused(page)[0] == "walk-way" and page.tell("explorer.walkState.way") == "spherical"
    page.page.locator("#tab-walk").focus()
    page.page.keyboard.press("ArrowRight")
    assert focused(page)[0] == "tab-outliers" and page.page.locator("#pane-outliers").is_visible()
    page.tell("explorer.endWalk(); explorer.choose(-1)")


def test_all_that_can_be_reached_by_tab_is_reached_once_round(page):
    page.page.locator("#mode-turn").focus()
    seen = [focused(page)[0]]
    for _ in range(30):
        page.page.keyboard.press("Tab")
        seen.append(focused(page)[0])
    for wanted in ("mode-turn", "mode-walk", "size", "fit", "theme", "help-open", "view", "colour"):
        assert wanted in seen
    assert len({name for name in seen if name.startswith("tab-")}) == 1  # the others by arrows


def test_a_light_ground_shows_what_is_chosen(page):
    page.page.locator("#theme").click()
    row = page.foremost(1)[0]
    page.tell(f"explorer.choose({row}, true)")
    x, y, half = page.spot(row)
    seen = page.drawn().astype(int)
    frame = seen[round(y), round(x - 0.97 * half)]
    page.tell("explorer.choose(-1); explorer.cloud.states.fill(0); explorer.cloud.showStates()")
    ground = page.drawn().astype(int)[round(y), round(x)]
    page.page.locator("#theme").click()
    page.tell("explorer.restate()")
    assert np.abs(ground - (244, 246, 248)).max() <= 3
    assert np.abs(frame - ground).min() > 120


def test_marks_differ_in_shape_where_colours_may_look_alike(page):
    marks = page.tell(
        """import("explore/marks").then(({ colourOf, shapeOf }) => Array.from({ length: 16 }, (_, mark) =>
        [colourOf({ mark, step: null }), shapeOf({ mark, step: null })]))"""
    )
    assert len({shape for _, shape in marks[:8]}) == len({colour for colour, _ in marks[:8]}) == 8
    assert len({tuple(one) for one in marks}) == 16


def test_a_slow_machine_draws_coarsely_while_something_moves_and_sharply_when_still(page):
    ratios = page.tell(
        """import("explore/pace").then(({ Pace }) => {
          const pace = new Pace(2), told = [];
          let now = 0;
          const tick = (gap, drew) => pace.next((now += gap), drew);
          const move = (gap, count) => { for (let n = 0; n < count; n++) told.push(tick(gap, true)); };
          const rest = (length) => { tick(16, false); told.push(tick(length, false)); };
          move(60, 40); rest(300); move(16, 3); rest(100); rest(300);
          return told;
        })"""
    )
    moving, still, again = ratios[:40], ratios[40], ratios[41:44]
    assert moving[0] == 2 and moving[-1] == 0.5 and sorted(moving, reverse=True) == moving
    assert still == 2
    assert again[0] == 2 and 0.5 < again[1] < 1  # one step finer than it was
    assert ratios[44:] == [again[2], 2]  # a short rest changes nothing


def test_all_pictures_of_a_sheet_are_one_draw_call(page, scene):
    page.tell("explorer.cloud.fit(); explorer.cloud.draw()")
    calls, triangles = page.tell(
        "(({ calls, triangles }) => [calls, triangles])(explorer.cloud.renderer.info.render)"
    )
    assert calls == len(scene.atlases.pngs)
    assert triangles == 2 * len(scene.collection)


def test_who_asks_for_less_motion_gets_none_that_goes_on_by_itself(browser, exported):
    page = Watched(browser, exported, offline=True, reduced_motion="reduce")
    page.tell("explorer.walk(0, 3)")
    page.page.wait_for_function("() => explorer.walkState.whole")
    assert page.tell("[explorer.walkState.playing, explorer.walkState.at]") == [False, 0]
    assert page.tell("explorer.cloud.controls.staticMoving") is True
    page.page.locator("#walk-share").fill("16")
    assert page.page.locator("#walk-at").inner_text() == "50 %"
    page.page.locator("#walk-play").click()  # who wants it can have it
    assert page.tell("explorer.walkState.playing") is True
    assert page.wrong == []
    page.close()


def test_on_a_phone_all_can_be_hit_and_nothing_is_wider_than_the_screen(browser, exported):
    page = Watched(browser, exported, offline=True, **PHONE)
    assert page.tell("document.documentElement.scrollWidth") == 390
    assert not page.page.locator("#groups").is_visible()  # the legend does not cover the cloud
    page.page.locator("#legend-fold summary").tap()
    assert page.page.locator("#groups li").first.is_visible()
    page.page.locator("#groups input").first.tap()
    assert page.tell("explorer.legend.shown") < 40
    page.page.locator("#all-groups").tap()
    page.page.locator("#legend-fold summary").tap()
    for control in page.page.locator("button:visible, select:visible, summary:visible").all():
        assert control.bounding_box()["height"] >= FINGER, control.inner_text()
    page.tell("explorer.choose(3, true)")
    x, y, _ = page.spot(3)
    page.tell("explorer.choose(-1)")
    page.page.touchscreen.tap(x, y)
    assert page.tell("explorer.chosen") >= 0
    assert page.page.locator("#pane-picture .facts").is_visible()
    page.tell("explorer.walk(0, 3)")
    page.settle()
    for row in (0, 3):  # both ends are brought into view
        at = page.tell(f"explorer.cloud.onScreen({row})")
        assert 0 < at["x"] < 390 and 0 < at["y"] < page.page.locator("#view").bounding_box()["height"]
    assert page.wrong == []
    page.close()
