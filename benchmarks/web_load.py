"""A hundred clients at once, some of them hostile, ask a running viewer or explorer; nothing else is needed.

    glasslung view STORY --no-browser --port 8765        (or: glasslung explore ... --port 8765)
    python benchmarks/web_load.py http://127.0.0.1:8765 [--clients 100] [--rounds 3] [--pid SERVER]

First every good path is asked for once, alone. Then all clients ask at once for good paths, whose bytes must
be those, and for hostile ones, which must be answered with an error and none of this machine's files. A third
of the clients begin by leaving connections open with half a request in them. Prints counts, times, and the
memory of the server before and after.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

GOOD = (
    "/",
    "/view.json",
    "/scene.json",
    "/scan/0/facts.json",
    "/scan/0/volume/lungs.nii.gz",
    "/scan/0/volume/scan.nii.gz",
)
GOOD += ("/atlas/0.png", "/picture/0.png", "/static/view/main.js", "/static/explore/main.js")
HOSTILE = (
    *(
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2f..%2ferrors.py",
        "/static//etc/passwd",
    ),
    *(
        "/static/%2fetc%2fpasswd",
        "/static/..%5cserver.py",
        "/static/%00",
        "/../../../../etc/passwd",
        "//etc/passwd",
    ),
    *(
        "/scan/-1/facts.json",
        "/scan/99999999999999999999/facts.json",
        "/scan/0/volume/..%2f..%2fstory.json.nii.gz",
    ),
    *("/scan/0/correction/..%2f..%2f..%2fetc%2fpasswd", "/scan/%d9%a3/facts.json", "/picture/..%2f1.png"),
    *("/picture/1e1.png", "/docs", "/openapi.json", "/story.json", "/.git/config", "/" + "a" * 20_000),
)
SECRETS = (b"root:", b"import ", b"Traceback")
FINE = range(400, 500)
PATIENCE = 300.0


def ask(place: tuple[str, int], path: str, host: str = "", method: str = "GET") -> tuple[int, bytes]:
    """Status and content; the path goes out as it stands here, not tidied up."""
    client = http.client.HTTPConnection(*place, timeout=PATIENCE)
    try:
        client.putrequest(method, path, skip_host=True)
        client.putheader("Host", host or f"{place[0]}:{place[1]}")
        client.endheaders()
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def leave_half(place: tuple[str, int]) -> socket.socket:
    """A connection with half a request in it, left open."""
    half = socket.create_connection(place, timeout=PATIENCE)
    half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    return half


class Client(threading.Thread):
    """One client: asks for everything, in an order of its own, and counts what is not as it should be."""

    def __init__(
        self, number: int, place: tuple[str, int], good: dict[str, bytes], rounds: int, go: threading.Event
    ) -> None:
        super().__init__()
        self.number, self.place, self.good, self.rounds, self.go = number, place, good, rounds, go
        self.told: Counter[str] = Counter()
        self.times: list[float] = []

    def run(self) -> None:
        """All rounds, once everybody is there."""
        halves = [leave_half(self.place)] if self.number % 3 == 0 else []
        self.go.wait()
        for turn in range(self.rounds):
            paths = [*self.good, *HOSTILE[(self.number + turn) % 3 :: 3]]
            shift = (self.number * 7) % len(paths)
            for path in paths[shift:] + paths[:shift]:
                self.one(path)
        for half in halves:
            half.close()

    def one(self, path: str) -> None:
        """Ask once and judge the answer."""
        begun = time.monotonic()
        try:
            status, content = ask(self.place, path)
        except (OSError, http.client.HTTPException) as problem:
            self.told[f"no answer: {type(problem).__name__}"] += 1
            return
        self.times.append(time.monotonic() - begun)
        if path in self.good:
            self.told[
                "good, the same bytes"
                if (status, content) == (200, self.good[path])
                else f"good, WRONG {status}"
            ] += 1
        else:
            leaked = status not in FINE or any(word in content for word in SECRETS)
            self.told[
                f"hostile, LEAKED {status} {path[:40]}" if leaked else f"hostile, refused {status}"
            ] += 1


def memory_mb(process: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {process} has ended")


def main() -> None:
    """Ask alone, ask all at once, print the counts; exit code 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pid", type=int, default=0)
    asked = parser.parse_args()
    split = urlsplit(asked.address)
    place = (split.hostname or "127.0.0.1", split.port or 80)
    good = {path: content for path in GOOD for status, content in [ask(place, path)] if status == 200}
    print(f"{len(good)} good paths, {sum(map(len, good.values())) / 1e6:.1f} MB; {len(HOSTILE)} hostile ones")
    print(
        "another host's name:",
        ask(place, "/", host="evil.example")[0],
        " PUT:",
        ask(place, "/", method="PUT")[0],
    )
    before = memory_mb(asked.pid) if asked.pid else 0.0
    go = threading.Event()
    clients = [Client(n, place, good, asked.rounds, go) for n in range(asked.clients)]
    for client in clients:
        client.start()
    begun = time.monotonic()
    go.set()
    for client in clients:
        client.join()
    told: Counter[str] = sum((client.told for client in clients), Counter())
    times = sorted(one for client in clients for one in client.times)
    print(f"{asked.clients} clients, {len(times)} answers in {time.monotonic() - begun:.1f} s wall")
    print(f"an answer took {times[len(times) // 2]:.2f} s in the middle, {times[-1]:.2f} s at most")
    if asked.pid:
        print(f"memory of the server: {before:.0f} MB before, {memory_mb(asked.pid):.0f} MB after")
    print(json.dumps(dict(sorted(told.items())), indent=1))
    again = all(ask(place, path) == (200, content) for path, content in good.items())
    print("asked alone again:", "the same" if again else "DIFFERENT")
    raise SystemExit(
        not again or any("WRONG" in what or "LEAK" in what or "no answer" in what for what in told)
    )


if __name__ == "__main__":
    main()
