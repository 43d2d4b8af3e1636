"""Earlier studies out of a real Orthanc, by C-FIND and C-MOVE; results into it, by C-STORE."""

from __future__ import annotations

import json

import pytest
from made_nodes import idle, states, tell
from made_objects import SEG, ct_object, made_settings, uid_of, write_object, write_result
from made_orthanc import TITLE, Orthanc, free_port

from glasslung.node import dimse
from glasslung.node.earlier import patient_id
from glasslung.node.exchange import RefusedResult, Unreachable, read_result
from glasslung.node.node import Node
from glasslung.node.sending import send, wanted
from glasslung.node.settings import Destination, Earlier, Peer

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # see test_receiving


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Orthanc with three studies of one patient, a later one of theirs, and another patient's."""
    folder = tmp_path_factory.mktemp("archive")
    port = free_port()
    orthanc = Orthanc(folder / "orthanc", {"node": ("GLASSLUNG", port)})
    orthanc.node_port = port
    for day in ("20200301", "20200302", "20200305", "20200309"):
        for n in range(2):
            write_object(folder / day, patient="A", day=day, slice_=n)
        orthanc.upload(folder / day)
    write_object(folder / "other", patient="AB", day="20200302")
    orthanc.upload(folder / "other")
    seg = ct_object(patient="A", day="20200305", slice_=9, sop_class=SEG)  # a study is rarely CT alone
    seg.SeriesInstanceUID, seg.Modality = uid_of("seg"), "SEG"
    (folder / "seg").mkdir()
    seg.save_as(folder / "seg" / "seg.dcm", enforce_file_format=True)
    assert orthanc.upload(folder / "seg") == orthanc_id(orthanc, "A", "20200305")
    yield orthanc
    orthanc.stop()


@pytest.fixture
def node(tmp_path, archive):
    place = {"title": TITLE, "address": "127.0.0.1", "port": archive.dicom}
    jobs = []

    def look(job, *rest):
        jobs.append([len(list(scan.iterdir())) for scan in job.scans])
        return tell(job, *rest)

    settings = made_settings(
        tmp_path / "node",
        port=archive.node_port,
        peers=(Peer(TITLE, ("127.0.0.1",)),),
        earlier=Earlier(**place, most=2),
        destinations=(Destination(**place, name="archive"),),
    )
    node = Node(settings, look)
    node.jobs = jobs
    node.receiver.start()
    yield node
    node.receiver.stop()
    node.close()


def orthanc_id(archive, patient, day):
    query = {"Level": "Study", "Query": {"StudyInstanceUID": uid_of(f"{patient} {day}")}}
    (found,) = archive.post("/tools/find", json.dumps(query).encode())
    return found


def send_from(archive, patient, day):
    wish = {"Resources": [orthanc_id(archive, patient, day)], "Permissive": True}
    return archive.post("/modalities/node/store", json.dumps(wish).encode())


def test_the_latest_earlier_studies_are_fetched_and_the_results_come_back(node, archive):
    send_from(archive, "A", "20200305")
    idle(node)
    assert node.jobs == [[2, 2, 2]]
    assert sorted(states(node).values()) == ["kept", "kept", "sent"]
    days = {study.day: str(study.state) for study in node.queue.studies()}
    assert days == {"20200301": "kept", "20200302": "kept", "20200305": "sent"}
    assert len(archive.get("/instances")) == 10 + 1, "one result came"


def test_what_is_held_is_not_fetched_again(node, archive, monkeypatch):
    for day in ("20200301", "20200302"):
        send_from(archive, "A", day)
    idle(node)
    moved = []
    monkeypatch.setattr(dimse, "move_series", lambda *what: moved.append(what))
    send_from(archive, "A", "20200305")
    idle(node)
    assert moved == []
    assert node.jobs == [[2], [2, 2], [2, 2, 2]]


def test_a_patient_id_with_a_wildcard_asks_nobody(node, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(dimse, "find_studies", lambda *what: pytest.fail("asked"))
    for patient in ("A*", "A?"):
        archive.upload(write_object(tmp_path / patient[1:], patient=patient, day="20200309").parent)
        send_from(archive, patient, "20200309")
    idle(node)
    assert node.jobs == [[1], [1]]


def test_the_patients_id_is_read_from_an_object(tmp_path):
    assert patient_id(write_object(tmp_path, patient="A")) == "A"


def test_an_archive_that_does_not_know_us_is_told(node, archive):
    stranger = Destination(title="NOBODY", address="127.0.0.1", port=archive.dicom, name="it")
    with pytest.raises(Unreachable, match="rejects"):
        dimse.find_studies(stranger, "GLASSLUNG", "A", "20200309")
    with pytest.raises(Unreachable, match="cannot be reached"):
        dimse.find_studies(
            Destination(title="X", address="127.0.0.1", port=9, name="it"), "G", "A", "20200309"
        )


def test_a_class_that_nobody_takes_is_refused(archive, tmp_path):
    place = Destination(title=TITLE, address="127.0.0.1", port=archive.dicom, name="it")
    odd = write_result(tmp_path / "odd.dcm", 1, sop_class="1.2.3.4.5.6")
    with pytest.raises(RefusedResult, match="takes no"):
        list(send(place, "GLASSLUNG", [odd]))


def test_a_destination_gets_what_it_takes(tmp_path):
    seg = write_result(tmp_path / "seg.dcm", 1)
    report = write_result(tmp_path / "sr.dcm", 2, sop_class="1.2.840.10008.5.1.4.1.1.88.34")
    assert read_result(seg).kind == "segmentation"
    assert read_result(seg).sop_class == SEG
    for kinds, files in (("segmentation", [seg]), ("report", [report]), ("pdf", [])):
        assert wanted(Destination(name="it", results=(kinds,)), [seg, report]) == files
