"""The viewer on 127.0.0.1: scans and masks of the opened case by number, and a door for corrected masks.

What can be asked for is listed here; files are found by the case, never by a path that was sent, and
anything else is answered with 404. A correction is taken only from the page itself: it carries a token that
the page was given, and a page elsewhere can neither read that nor send it along. Scans are streamed, so that
many who ask at once cost no memory; what has to be computed is computed once, however many ask.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import DataError, UsageError
from glasslung.types import Lesion
from glasslung.web.assets import KINDS, static_file
from glasslung.web.serving import NAMES, guard_all, row_below
from glasslung.web.viewer import corrections, told
from glasslung.web.viewer.case import ViewCase
from glasslung.web.viewer.layers import outline, surface
from glasslung.web.viewer.page import viewer_page

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

kept_file = lru_cache(maxsize=32)(static_file)  # megabytes that all clients share
NIFTI = "application/gzip"
TOKEN = "x-glasslung-token"
WHO, START = "x-glasslung-reader", "x-glasslung-start"
SURFACES = {"lungs": ("lungs", None), "opacities": ("opacities", None)} | {
    f"lesions-{int(lesion)}": ("lesions", int(lesion)) for lesion in Lesion if lesion
}


class Once:
    """Answers that are computed once and kept, however many ask at the same time."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._locks: dict[tuple[Any, ...], threading.Lock] = {}
        self._door = threading.Lock()

    def get(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """What was kept under the key, or what `make` gives now."""
        with self._door:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]


def make_viewer(case: ViewCase, reader: str = "") -> FastAPI:
    """The server of one case, as an application that tests can call without a socket.

    reader  the name that corrections are offered to be signed with
    """
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES)
    guard_all(app)
    _tell_damage(app)
    token = secrets.token_urlsafe(32)
    _page_routes(app, case, reader, token)
    _scan_routes(app, case, Once())
    _saving_route(app, case, token)
    return app


def _tell_damage(app: FastAPI) -> None:
    """A file that cannot be read is told in one line; all else of the case stays in view."""
    from fastapi.responses import JSONResponse

    @app.exception_handler(DataError)
    async def tell(request: Request, problem: Exception) -> JSONResponse:
        return JSONResponse({"problem": str(problem)}, 422)


def _page_routes(app: FastAPI, case: ViewCase, reader: str, token: str) -> None:
    from fastapi import Response

    page, policy = viewer_page(token)
    known = told.view_told(case, reader)

    @app.get("/")
    def index() -> Response:
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    @app.get("/view.json")
    def view() -> dict[str, Any]:
        return known

    @app.get("/static/{path:path}")
    def static(path: str) -> Response:
        return _found(kept_file(path), KINDS.get(Path(path).suffix, "application/octet-stream"))


def _scan_routes(app: FastAPI, case: ViewCase, once: Once) -> None:
    def number(text: str) -> int:
        row = row_below(text, len(case.scans))
        if row is None:
            raise _missing()
        return row

    @app.get("/scan/{scan}/facts.json")
    def facts(scan: str) -> dict[str, Any]:
        n = number(scan)
        found: dict[str, Any] = once.get(("facts", n), lambda: told.scan_facts(case, n))
        return found | {"corrections": told.corrections_told(case, n)}

    @app.get("/scan/{scan}/lesions/{what}.json")
    def lesions(scan: str, what: str) -> dict[str, Any]:
        n = number(scan)
        path = told.lesion_file(case, n, what)
        if path is None:
            raise _missing()
        found: dict[str, Any] = once.get(("lesions", n, what), lambda: told.lesions_told(case, n, what, path))
        return found

    @app.get("/scan/{scan}/volume/{what}.nii.gz")
    def volume(scan: str, what: str) -> Response:
        shown = case.scans[number(scan)]
        lungs = shown.file("lungs")
        if what == "outline" and lungs is not None:
            return _found(once.get(("outline", shown.name), lambda: outline(lungs)), NIFTI)
        return _streamed(shown.file(what))

    @app.get("/scan/{scan}/correction/{name}")
    def correction(scan: str, name: str) -> Response:
        n = number(scan)
        return _streamed(told.lesion_file(case, n, name) if name.endswith(".nii.gz") else None)

    @app.get("/scan/{scan}/surface/{what}.mz3")
    def solid(scan: str, what: str) -> Response:
        n = number(scan)
        layer, label = SURFACES.get(what, ("", None))
        path = case.scans[n].file(layer)
        if path is None:
            raise _missing()
        content = once.get(("surface", n, what), lambda: surface(path, label))
        return _found(content, "application/octet-stream")  # empty where the scan has none of it


def _saving_route(app: FastAPI, case: ViewCase, token: str) -> None:
    from fastapi import HTTPException
    from fastapi.responses import JSONResponse
    from starlette.concurrency import run_in_threadpool

    one_at_a_time = threading.Lock()

    def keep(n: int, body: bytes, who: str, start: str) -> dict[str, Any]:
        assert case.folder is not None, "asked before"
        with one_at_a_time:
            kept = corrections.keep_sent(case.folder, case.scans[n], body, who, start)
        return corrections.told_of(kept)

    async def save(request: Request) -> Response:
        n = row_below(request.path_params["scan"], len(case.scans))
        if n is None or case.folder is None:
            raise _missing()
        if not secrets.compare_digest(request.headers.get(TOKEN, "").encode(), token.encode()):
            raise HTTPException(403)
        body = await _bounded(request)
        who, start = (_heard(request, name) for name in (WHO, START))
        try:
            return JSONResponse(await run_in_threadpool(keep, n, body, who, start), 201)
        except (UsageError, DataError) as problem:
            return JSONResponse({"problem": str(problem)}, 422)

    app.router.add_route("/scan/{scan}/corrections", save, methods=["POST"])


def _heard(request: Request, name: str) -> str:
    """A header as text; a browser sends other than Latin letters percent-encoded."""
    from urllib.parse import unquote

    return unquote(request.headers.get(name, ""))


async def _bounded(request: Request) -> bytes:
    """The body, if it is no larger than a mask can be: 413 otherwise, without reading on."""
    from fastapi import HTTPException

    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > corrections.LARGEST_BYTES:
            raise HTTPException(413)
    return bytes(content)


def _streamed(path: Path | None) -> Response:
    from fastapi.responses import FileResponse

    if path is None:
        raise _missing()
    return FileResponse(path, media_type=NIFTI)


def _found(content: bytes | None, kind: str) -> Response:
    from fastapi import Response

    if content is None:
        raise _missing()
    return Response(content, media_type=kind)


def _missing() -> Exception:
    from fastapi import HTTPException

    return HTTPException(404)
