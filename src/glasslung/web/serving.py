"""A server on this machine alone: what explorer and viewer have in common.

Nothing is listened to from outside, and other names for this machine are refused (a page elsewhere cannot
rename itself to it).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glasslung.errors import UsageError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

HOST = "127.0.0.1"
NAMES = [HOST, "localhost"]
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


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
