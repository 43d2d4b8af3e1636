"""A small DICOMweb server written from the standard (PS3.18, sections 10.4 to 10.6), for tests."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pydicom

BOUNDARY = "made-by-the-test"
STUDIES = re.compile(r"/web/studies")
SERIES = re.compile(r"/web/studies/([\d.]+)/series")
OBJECTS = re.compile(r"/web/studies/([\d.]+)/series/([\d.]+)")


def element(vr, value):
    return {"vr": vr, "Value": [value]}


class DicomWeb:
    """Holds files by UID.

    pages     False: limit and offset are not known
    refusing  what STOW is answered: ('HTTP', 503), ('DICOM', 0xA700)
    cut       how many bytes of an answer with objects come
    """

    def __init__(self, files=(), *, pages=True, authorization=None) -> None:
        self.held = {}
        for file in files:
            self.add(file.read_bytes())
        self.pages, self.authorization = pages, authorization
        self.refusing: tuple[str, int] | None = None
        self.cut: int | None = None
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                web.get(self)

            def do_POST(self):
                web.post(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/web"

    def add(self, content: bytes) -> str:
        ds = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        self.held[str(ds.SOPInstanceUID)] = (ds, content)
        return str(ds.SOPInstanceUID)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, request) -> None:
        self.asked.append(request.path)
        url = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if self.authorization is not None and request.headers["Authorization"] != self.authorization:
            self._answer(request, 401, b"", "text/plain")
        elif STUDIES.fullmatch(url.path):
            self._rows(request, self._studies(query), query)
        elif match := SERIES.fullmatch(url.path):
            self._rows(request, self._series(match[1], query), query)
        elif match := OBJECTS.fullmatch(url.path):
            self._objects(request, match[1], match[2])
        else:
            self._answer(request, 404, b"", "text/plain")

    def _studies(self, query):
        low, _, high = query.get("StudyDate", "").partition("-")
        rows = {}
        for ds, _ in self.held.values():
            fits = query.get("PatientID", ds.PatientID) == ds.PatientID
            if fits and low <= ds.StudyDate <= (high or "9") and ds.Modality == query["ModalitiesInStudy"]:
                rows[ds.StudyInstanceUID] = {
                    "0020000D": element("UI", ds.StudyInstanceUID),
                    "00080020": element("DA", ds.StudyDate),
                    "00100020": element("LO", ds.PatientID),
                }
        return list(rows.values())

    def _series(self, study, query):
        inside = [ds for ds, _ in self.held.values() if ds.StudyInstanceUID == study]
        uids = {ds.SeriesInstanceUID for ds in inside if ds.Modality == query["Modality"]}
        return [
            {
                "0020000E": element("UI", uid),
                "00080060": element("CS", "CT"),
                "00201209": element("IS", sum(ds.SeriesInstanceUID == uid for ds in inside)),
            }
            for uid in sorted(uids)
        ]

    def _rows(self, request, rows, query):
        if self.pages:
            start = int(query.get("offset", 0))
            rows = rows[start : start + int(query.get("limit", 10))]
        if rows:
            self._answer(request, 200, json.dumps(rows).encode(), "application/dicom+json")
        else:
            self._answer(request, 204, b"", "application/dicom+json")

    def _objects(self, request, study, series):
        parts = [
            content
            for ds, content in self.held.values()
            if (ds.StudyInstanceUID, ds.SeriesInstanceUID) == (study, series)
        ]
        mark = BOUNDARY.encode()
        body = b"".join(
            b"--" + mark + b"\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in parts
        )
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        self._answer(request, 200, (body + b"--" + mark + b"--\r\n")[: self.cut], kind)

    def post(self, request) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        boundary = re.search(r"boundary=(\S+)", request.headers["Content-Type"])[1].encode()
        content = body.split(b"--" + boundary)[1].partition(b"\r\n\r\n")[2][:-2]
        by, status = self.refusing or ("", 0)
        if by == "HTTP":
            self._answer(request, status, b"", "text/plain")
        elif by == "DICOM":
            told = {"00081198": {"vr": "SQ", "Value": [{"00081197": element("US", status)}]}}
            self._answer(request, 409, json.dumps(told).encode(), "application/dicom+json")
        else:
            uid = self.add(content)
            told = {"00081199": {"vr": "SQ", "Value": [{"00081155": element("UI", uid)}]}}
            self._answer(request, 200, json.dumps(told).encode(), "application/dicom+json")

    def _answer(self, request, status, body, kind) -> None:
        request.send_response(status)
        if 300 <= status < 400:
            request.send_header("Location", self.url + "/studies")
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
