"""The server of the explorer: pictures of the opened folder, and walks, for this machine's own browser.

Pictures are asked for by number, and a file is opened only if it still lies inside the folder that was
opened. Anything else is answered with 404.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import DataError
from glasslung.web.assets import KINDS, STATIC, static_file
from glasslung.web.explorer.atlas import png
from glasslung.web.explorer.page import live_page
from glasslung.web.explorer.pictures import grey_of
from glasslung.web.explorer.scene import Scene, as_json
from glasslung.web.explorer.walks import WAYS
from glasslung.web.serving import NAMES, guard_all, row_below

if TYPE_CHECKING:
    from fastapi import FastAPI

FRAMES = range(2, 66)  # steps of a walk that may be asked for
KEPT_WALKS = 32


def make_app(scene: Scene) -> FastAPI:
    """The server of one scene, as an application that tests can call without a socket."""
    from fastapi import FastAPI, HTTPException, Response
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES)
    page, policy = live_page()
    told = as_json(scene, live=True, names=True)
    walk = _walks_of(scene)

    guard_all(app)

    def found(content: bytes | None, kind: str) -> Response:
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type=kind)

    @app.get("/")
    def index() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    @app.get("/scene.json")
    def facts() -> dict[str, Any]:
        return told

    @app.get("/atlas/{number}.png")
    def atlas(number: str) -> Response:
        row = row_below(number, len(scene.atlases.pngs))
        return found(None if row is None else scene.atlases.pngs[row], "image/png")

    @app.get("/picture/{number}.png")
    def picture(number: str) -> Response:
        row = row_below(number, len(scene.collection))
        return found(None if row is None else whole_picture(scene, row), "image/png")

    @app.get("/walk/{first}/{second}/{way}/{steps}.png")
    def between(first: str, second: str, way: str, steps: str) -> Response:
        rows = [row_below(text, len(scene.collection)) for text in (first, second)]
        frames = row_below(steps, FRAMES.stop)
        if walk is None or None in rows or way not in WAYS or frames not in FRAMES:
            raise HTTPException(404)
        return found(walk(rows[0], rows[1], way, frames), "image/png")

    @app.get(f"/{STATIC}/{{path:path}}")
    def static(path: str) -> Response:
        return found(static_file(path), KINDS.get(Path(path).suffix, "application/octet-stream"))

    return app


def _walks_of(scene: Scene) -> Callable[..., bytes] | None:
    walker = scene.codes.walker
    if walker is None:
        return None

    @lru_cache(KEPT_WALKS)
    def walk(first: int, second: int, way: str, steps: int) -> bytes:
        frames = walker.walk(first, second, steps, way)
        return png(frames.reshape(-1, frames.shape[2]))

    return walk


def whole_picture(scene: Scene, row: int) -> bytes | None:
    """A picture of the collection as PNG; None where it is gone, damaged, or leads out of its folder by
    now.
    """
    entry = scene.collection.entries[row]
    if entry.path is not None and not entry.path.resolve().is_relative_to(entry.root.resolve()):
        return None
    try:
        return png(grey_of(entry)[0])
    except DataError:
        return None
