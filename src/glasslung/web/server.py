"""The explorer on 127.0.0.1: pictures of the opened folder, and walks, for the page of this machine's own
browser.

Nothing is listened to from outside, other names for this machine are refused (a page elsewhere cannot rename
itself to it), pictures are asked for by number, and a file is opened only if it still lies inside the folder
that was opened. Anything else is answered with 404.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import DataError, UsageError
from glasslung.web.atlas import png
from glasslung.web.page import STATIC, live_page
from glasslung.web.pictures import grey_of
from glasslung.web.scene import Scene, as_json
from glasslung.web.walks import WAYS

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

HOST = "127.0.0.1"
NAMES = [HOST, "localhost"]
FRAMES = range(2, 66)  # steps of a walk that may be asked for
KEPT_WALKS = 32
KINDS = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


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


def guard_all(app: FastAPI) -> None:
    """Every answer of an application says what a browser may do with it."""
    from fastapi import Request, Response

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Any]) -> Response:
        response: Response = await answer(request)
        response.headers.update(HEADERS)
        return response


def row_below(text: str, count: int) -> int | None:
    """A whole number below `count`, written as we write it; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < count else None


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


def static_file(path: str) -> bytes | None:
    """A file of the page; None for what is not there, or lies elsewhere."""
    with as_file(files("glasslung.web") / STATIC) as folder:
        wanted = _inside(folder, path)
        return None if wanted is None else wanted.read_bytes()


def _inside(folder: Path, path: str) -> Path | None:
    """The file that a path names inside a folder, links followed; None for all else."""
    if "\0" in path or "\\" in path:
        return None
    try:
        wanted = (folder / path).resolve()
        return wanted if wanted.is_relative_to(folder.resolve()) and wanted.is_file() else None
    except OSError:  # a name longer than any file's
        return None


def open_socket(port: int) -> socket.socket:
    """A socket on this machine alone; port 0: a free one. UsageError where the port is taken."""
    if not 0 <= port < 65536:
        raise UsageError(f"port {port}: choose 0 (any free one) to 65535")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
    except OSError as problem:
        listening.close()
        raise UsageError(
            f"port {port} cannot be listened to ({problem.strerror}); choose another with --port"
        ) from problem
    return listening


def serve(app: FastAPI, listening: socket.socket, started: Callable[[str], None]) -> None:
    """Serve until stopped by hand; `started` is told the address once the page can be opened."""
    make_server(app, lambda: started(address_of(listening))).run([listening])


def address_of(listening: socket.socket) -> str:
    """Where the page is."""
    return f"http://{HOST}:{listening.getsockname()[1]}/"


def make_server(app: FastAPI, started: Callable[[], None]) -> uvicorn.Server:
    """A server that is not running yet; `started` is called once it answers."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    return Server(config)
