"""A client that calls the application as uvicorn does, with paths exactly as they are written."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass
class Answer:
    """Status, headers and body of one request."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Client:
    """Asks an application; `host` is what the browser believes that it talks to."""

    def __init__(self, app) -> None:
        self.app = app

    def get(self, path: str, host: str = "127.0.0.1:8000") -> Answer:
        return self.ask("GET", path, host)

    def ask(
        self,
        method: str,
        path: str,
        host: str = "127.0.0.1:8000",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        answer = Answer()
        further = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", host.encode()), *further],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }

        left = [body]

        async def receive():
            if left:
                return {"type": "http.request", "body": left.pop(), "more_body": False}
            await asyncio.Event().wait()  # a client that stays until it has its answer
            raise AssertionError("nobody sets it")

        async def send(message):
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        asyncio.run(self.app(scope, receive, send))
        return answer
