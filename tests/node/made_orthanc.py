"""A real Orthanc on free ports of this machine, for tests: started, asked by REST, ended."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
TITLE = "ORTHANC"


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Orthanc:
    """One server in a folder; `modalities`: name -> (AE title, port) of those it may speak with."""

    def __init__(self, folder: Path, modalities: dict[str, tuple[str, int]]) -> None:
        if PROGRAM is None:
            pytest.skip("Orthanc is not installed (Debian: apt-get install orthanc)")
        self.http, self.dicom = free_port(), free_port()
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "orthanc.json").write_text(json.dumps(self._settings(modalities)))
        self._log = (folder / "log.txt").open("wb")
        self._process = subprocess.Popen(
            [PROGRAM, str(folder / "orthanc.json")], stdout=self._log, stderr=self._log
        )
        self._wait()

    def _settings(self, modalities):
        return {
            "Name": "test",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "index"),
            "Plugins": [],
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": TITLE,
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {
                name: [title, "127.0.0.1", port] for name, (title, port) in modalities.items()
            },
            "ConcurrentJobs": 1,
            "HttpThreadsCount": 4,
        }

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self._process.poll() is not None:
                pytest.fail((self.folder / "log.txt").read_text()[-2000:])
            try:
                self.get("/system")
            except OSError:
                time.sleep(0.1)
            else:
                return
        pytest.fail("Orthanc did not start")

    def get(self, path: str):
        """What a path of the REST interface tells, as values."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=20) as answer:
            return json.loads(answer.read())

    def file(self, path: str) -> bytes:
        """What a path of the REST interface holds, as bytes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=20) as answer:
            return answer.read()

    def post(self, path: str, body: bytes):
        """Send bytes to a path of the REST interface."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"{}")

    def upload(self, folder: Path) -> str:
        """Bring in all files of a folder; the Orthanc id of their study."""
        answers = [self.post("/instances", path.read_bytes()) for path in sorted(folder.glob("*.dcm"))]
        return answers[0]["ParentStudy"]

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()
