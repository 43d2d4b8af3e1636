"""A real browser for tests: Chromium without a window, which draws WebGL in software."""

from __future__ import annotations

import io
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]
PATIENCE = 240_000  # milliseconds: a busy machine draws slowly, and nothing hangs that a test waits for
READY = "() => window.explorer !== undefined"


def find_browser() -> str:
    """The browser's path; the test is skipped, saying so, where none is installed."""
    found = os.environ.get("GLASSLUNG_BROWSER") or next(
        (path for n in NAMES if (path := shutil.which(n))), None
    )
    if not found:
        pytest.skip("no Chromium on PATH, so nothing was clicked (Debian: apt install chromium)")
    return found


@contextmanager
def chromium() -> Iterator[object]:
    """A browser driven by playwright."""
    path = find_browser()
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(scene) -> Iterator[str]:
    """The address of a running explorer."""
    from glasslung.web.explorer.server import make_app

    with serving(make_app(scene)) as address:
        yield address


@contextmanager
def serving(app) -> Iterator[str]:
    """The address of any application of ours, running."""
    from glasslung.web.serving import address_of, make_server, open_socket

    listening, ready = open_socket(0), threading.Event()
    server = make_server(app, ready.set)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert ready.wait(30)
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


class Watched:
    """A page, what it asked for and what went wrong in it."""

    def __init__(self, browser, address: str, **context: object) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **context})
        self.context.set_default_timeout(PATIENCE)
        self.context.set_default_navigation_timeout(PATIENCE)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda problem: self.wrong.append(str(problem)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.goto(address)
        self.page.wait_for_function(READY)

    def tell(self, script: str):
        return self.page.evaluate(script)

    def spot(self, row: int) -> tuple[float, float, float]:
        """Where a picture is in the window: middle, and half its side."""
        box = self.page.locator("#view").bounding_box()
        at = self.tell(f"explorer.cloud.onScreen({row})")
        return box["x"] + at["x"], box["y"] + at["y"], at["half"]

    def foremost(self, count: int) -> list[int]:
        """Pictures whose middle nothing covers, and which are far enough from the legend and the edges."""
        return self.tell(
            """(() => {
              const box = document.getElementById("view").getBoundingClientRect(), free = [];
              for (let row = 0; row < explorer.scene.count; row++) {
                const at = explorer.cloud.onScreen(row);
                const inside = at.x > 270 && at.y > 60 && at.x < box.width - 60 && at.y < box.height - 80;
                if (inside && explorer.cloud.pick(at.x, at.y) === row) free.push(row);
              }
              return free;
            })()"""
        )[:count]

    def drawn(self) -> np.ndarray:
        """What is on the screen, (H, W, 3) uint8."""
        self.settle()
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB"))

    def settle(self) -> None:
        """Wait until nothing is left to be drawn."""
        self.page.wait_for_function("() => explorer.cloud.sharp")
        self.page.evaluate(
            "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
        )

    def close(self) -> None:
        self.context.close()


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """How alike two grey pictures of any size are, 1 the same."""
    sides = [np.asarray(Image.fromarray(one).resize((24, 24)), float).ravel() for one in (first, second)]
    return float(np.corrcoef(*sides)[0, 1])
