"""The whole way with a real Orthanc: two studies go out, results come back, and a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from made_orthanc import Orthanc, free_port

from glasslung.data.formats.identity import one_way_key
from glasslung.data.phantom import draw_patient, write_patient
from glasslung.data.story import read_story
from glasslung.node.node import end_state

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # see test_receiving
SHAPE = (40, 96, 96)
DAYS = (0, 9)
PATIENT_SECONDS = 900.0  # a test machine may be busy
SETTINGS = """
folder = "node"
port = {port}
[[peers]]
title = "ORTHANC"
addresses = ["127.0.0.1"]
[[destinations]]
name = "archive"
title = "ORTHANC"
address = "127.0.0.1"
port = {pacs}
[limits]
stop_gib = 0.1
resume_gib = 0.1
[work]
quiet_seconds = 1.0
segmenter = "none"
classifier = "none"
prognosis = "none"
[sending]
first_seconds = 0.5
"""


class Trip:
    """Orthanc, a node in a process of its own, and a phantom patient's two studies."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.orthanc = Orthanc(folder / "orthanc", {"node": ("GLASSLUNG", self.port)})
        self.config = folder / "node.toml"
        self.config.write_text(SETTINGS.format(port=self.port, pacs=self.orthanc.dicom))
        scans = write_patient(
            draw_patient(4, severity=0.7), DAYS, folder / "scans", as_dicom=True, shape=SHAPE
        )
        self.scans = dict(zip(DAYS, scans, strict=True))
        self.studies = {day: self.orthanc.upload(scan) for day, scan in self.scans.items()}
        self.log = (folder / "node.log").open("wb")
        self.node: subprocess.Popen[str] | None = None

    def glasslung(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "glasslung", "node", *words]

    def start(self) -> None:
        self.node = subprocess.Popen(
            self.glasslung("run", str(self.config)),
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert "listening" in self.node.stdout.readline(), (self.folder / "node.log").read_text()

    def told(self) -> list[dict]:
        return end_state(self.folder / "node")

    def wait_until(self, fits) -> None:
        end = time.monotonic() + PATIENT_SECONDS
        while not fits(self.told()):
            assert self.node.poll() is None, (self.folder / "node.log").read_text()
            assert time.monotonic() < end, self.told()
            time.sleep(0.3)

    def end(self, how: signal.Signals) -> int:
        self.node.send_signal(how)
        self.node.stdout.read()
        code = self.node.wait(60)
        self.node.stdout.close()
        return code

    def close(self) -> None:
        if self.node is not None and self.node.poll() is None:
            self.end(signal.SIGKILL)
        self.log.close()
        self.orthanc.stop()


@pytest.fixture(scope="module")
def trip(tmp_path_factory):
    """Both studies sent, the later one first; the node killed once while it analyses; all results back."""
    trip = Trip(tmp_path_factory.mktemp("trip"))
    try:
        trip.start()
        for day in reversed(DAYS):
            trip.orthanc.post("/modalities/node/store", trip.studies[day].encode())
        trip.wait_until(lambda told: any(one["state"] == "analysing" for one in told))
        trip.end(signal.SIGKILL)
        trip.start()
        trip.wait_until(
            lambda told: (
                [one["state"] for one in told] == ["sent", "sent"]
                or any(one["state"] == "failed" for one in told)
            )
        )
        trip.code = trip.end(signal.SIGTERM)
        yield trip
    finally:
        trip.close()


def results(trip, day):
    """Modality -> objects that Orthanc has of a study besides its CT."""
    found = {}
    for series in trip.orthanc.get(f"/studies/{trip.studies[day]}")["Series"]:
        told = trip.orthanc.get(f"/series/{series}")
        if told["MainDicomTags"]["Modality"] != "CT":
            for instance in told["Instances"]:
                content = trip.orthanc.file(f"/instances/{instance}/file")
                found.setdefault(told["MainDicomTags"]["Modality"], []).append(
                    pydicom.dcmread(BytesIO(content))
                )
    return found


def story(trip, day):
    """The node's story of a study."""
    uid = trip.orthanc.get(f"/studies/{trip.studies[day]}")["MainDicomTags"]["StudyInstanceUID"]
    (folder,) = (trip.folder / "node" / "stories").glob(f"{one_way_key('study', uid)}-*")
    return read_story(folder)


def numbers_in(items):
    """Every numeric value of a structured report."""
    for item in items:
        if item.ValueType == "NUM" and "MeasuredValueSequence" in item:
            yield float(item.MeasuredValueSequence[0].NumericValue)
        yield from numbers_in(item.get("ContentSequence", []))


@pytest.mark.parametrize("day", DAYS)
def test_each_study_gets_one_segmentation_and_one_report(trip, day):
    found = results(trip, day)
    assert len(found["SEG"]) == 1
    assert len(found["SR"]) == 1
    ct = pydicom.dcmread(sorted(trip.scans[day].glob("*.dcm"))[0], stop_before_pixels=True)
    for result in (*found["SEG"], *found["SR"]):
        assert (result.PatientID, result.StudyInstanceUID) == (ct.PatientID, ct.StudyInstanceUID)


@pytest.mark.parametrize("day", DAYS)
def test_what_came_back_says_what_the_story_says(trip, day):
    import highdicom

    found, scan = results(trip, day), story(trip, day).scans[-1]
    seg = highdicom.seg.Segmentation.from_dataset(found["SEG"][0], copy=False)
    voxels = {
        seg.get_segment_description(number).segment_label: int(
            np.count_nonzero(seg.get_volume(segment_numbers=[number]).array)
        )
        for number in seg.segment_numbers
    }
    lungs = sum(count for label, count in voxels.items() if "lung" in label.lower())
    assert lungs == scan.region("both lungs").voxels
    told = list(numbers_in(found["SR"][0].ContentSequence))
    assert any(abs(value - scan.region("both lungs").ml) < 0.5 for value in told)


def test_the_later_study_is_compared_with_the_earlier_one(trip):
    assert [len(story(trip, day).scans) for day in DAYS] == [1, 2]
    (pair,) = story(trip, DAYS[1]).comparisons
    assert pair.compared


def test_a_kill_loses_and_doubles_nothing(trip):
    assert trip.code == 0
    assert [(one["state"], one["objects"], one["revision"]) for one in trip.told()] == [("sent", 40, 40)] * 2
    for one in trip.told():
        assert one["results"]
        assert all(places == ["archive"] for places in one["results"].values())
    log = (trip.folder / "node.log").read_text()
    assert "1 analyses begin again" in log


def test_neither_log_nor_names_nor_the_queue_know_the_patient(trip):
    identifier = pydicom.dcmread(next(trip.scans[0].glob("*.dcm")), stop_before_pixels=True).PatientID
    assert identifier not in (trip.folder / "node.log").read_text()
    node = trip.folder / "node"
    assert not any(identifier in path.name for path in node.rglob("*"))
    assert identifier.encode() not in (node / "queue.sqlite").read_bytes()


def test_the_status_is_a_table(trip):
    shown = subprocess.run(
        trip.glasslung("status", str(trip.config)), capture_output=True, text=True, check=True, timeout=120
    )
    lines = shown.stdout.strip().splitlines()
    assert lines[0].split()[:3] == ["study", "state", "patient"]
    assert [line.split()[1] for line in lines[1:]] == ["sent", "sent"]
    shown = subprocess.run(
        trip.glasslung("status", str(trip.config), "--json"), capture_output=True, text=True, check=True
    )
    assert [json.loads(line) for line in shown.stdout.splitlines()] == json.loads(json.dumps(trip.told()))
