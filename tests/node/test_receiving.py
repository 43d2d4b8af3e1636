"""The DICOM door, asked by a real sender: who is let in, and what is answered."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from io import BytesIO

import pydicom
import pytest
from made_objects import CT, MR, ct_object, made_settings
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode

from glasslung.errors import UsageError
from glasslung.node import intake as intake_room
from glasslung.node.dimse import VERIFICATION
from glasslung.node.node import Node
from glasslung.node.receiving import SYNTAXES, caller
from glasslung.node.settings import Limits, Peer

# pynetdicom leaves the socket of an association that ends while the other side is ending it, too, to the
# garbage collector, which tells so whenever it runs.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def node(tmp_path):
    node = Node(made_settings(tmp_path / "node"))
    node.receiver.start()
    yield node
    node.receiver.stop()
    node.close()


def call(node, title="SCU", called="GLASSLUNG", classes=(CT,), seconds=20):
    ae = AE(title)
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    ae.add_requested_context(VERIFICATION)
    for sop_class in classes:
        ae.add_requested_context(sop_class)
    return ae.associate("127.0.0.1", node.receiver.port, ae_title=called)


def store(node, *datasets, **how):
    """Send over one association; the statuses, None where the association was ended."""
    association = call(node, **how)
    assert association.is_established
    statuses = []
    for ds in datasets:
        try:
            statuses.append(association.send_c_store(ds).get("Status"))
        except RuntimeError:
            statuses.append(None)
    association.release()
    return statuses


def test_objects_arrive_and_echo_is_answered(node):
    assert store(node, ct_object(slice_=0), ct_object(slice_=1)) == [0, 0]
    (study,) = node.queue.studies()
    assert study.objects == 2
    association = call(node)
    assert association.send_c_echo().Status == 0
    association.release()


def test_what_arrives_is_what_was_sent(node):
    ds = ct_object()
    store(node, ds)
    (kept,) = node.store.studies.rglob("*.dcm")
    assert pydicom.dcmread(kept) == ds


def test_a_stranger_is_rejected(node, caplog):
    caplog.set_level(logging.WARNING, "glasslung.node")
    for how in ({"title": "OTHER"}, {"called": "SOMEBODY"}):
        association = call(node, **how)
        assert association.is_rejected
    assert "OTHER" in caplog.text


def test_a_wrong_address_is_cut_off(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "glasslung.node")
    node = Node(made_settings(tmp_path / "node", peers=(Peer("SCU", ("10.0.0.1",)),)))
    node.receiver.start()
    try:
        with socket.create_connection(("127.0.0.1", node.receiver.port), timeout=20) as heard:
            assert heard.recv(1) == b"", "closed before a word was said"
    finally:
        node.receiver.stop()
        node.close()
    assert "127.0.0.1" in caplog.text


def test_a_pdu_that_announces_gigabytes_is_not_waited_for(node, caplog):
    caplog.set_level(logging.WARNING, "glasslung.node")
    with socket.create_connection(("127.0.0.1", node.receiver.port), timeout=15) as heard:
        heard.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(1000))
        with contextlib.suppress(ConnectionResetError):
            assert heard.recv(1) == b""
    assert "announces a PDU" in caplog.text
    assert store(node, ct_object()) == [0]


def test_too_many_connections_are_cut_off(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "glasslung.node")
    limits = Limits(associations=1, stop_gib=0, resume_gib=0, idle_seconds=5)
    node = Node(made_settings(tmp_path / "node", limits=limits))
    node.receiver.start()
    with contextlib.ExitStack() as connections:
        for _ in range(4):
            where = ("127.0.0.1", node.receiver.port)
            connections.enter_context(socket.create_connection(where, timeout=15))
        end = time.monotonic() + 15
        while len(node.receiver._server.active_associations) < 4 and time.monotonic() < end:
            time.sleep(0.02)
        with socket.create_connection(where, timeout=15) as one_more:
            assert one_more.recv(1) == b""
    assert "too many" in caplog.text
    node.receiver.stop()
    node.close()


def test_a_title_belongs_to_its_own_addresses():
    peers = (Peer("A", ("10.0.0.1",)), Peer("B", ("10.0.0.2",)))
    assert caller(peers, "A", "10.0.0.1")
    assert not caller(peers, "A", "10.0.0.2")
    assert not caller(peers, "C", "10.0.0.1")


def test_only_ct_is_negotiated(node):
    association = call(node, classes=(CT, MR))
    accepted = {context.abstract_syntax for context in association.accepted_contexts}
    association.release()
    assert accepted == {VERIFICATION, CT}
    assert "1.2.840.10008.1.2.1.99" not in SYNTAXES


def test_another_object_in_ct_clothes_is_refused(node):
    """The command announces CT, the object inside says MR: written so by hand, as no honest sender would."""
    ds = ct_object(sop_class=MR)
    ds.file_meta.MediaStorageSOPClassUID = CT
    association = call(node)
    context = next(one for one in association.accepted_contexts if one.abstract_syntax == CT)
    request = C_STORE()
    request.MessageID, request.Priority = 7, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT, ds.SOPInstanceUID
    request.DataSet = BytesIO(encode(ds, False, True))
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, context.context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    assert answer.Status == 0xA900


def test_statuses(node):
    damaged = ct_object(slice_=1)
    damaged.PixelData = damaged.PixelData[:10]
    nameless = ct_object(slice_=2)
    nameless.StudyInstanceUID = ""
    large = ct_object(slice_=3, side=800)
    assert store(node, damaged, nameless, large, ct_object(slice_=4)) == [0xC000, 0xC000, 0xA700, 0]
    assert store(node, ct_object(slice_=4)) == [0]
    assert node.queue.studies()[0].objects == 1


def test_far_too_large_an_object_ends_the_association(node):
    assert store(node, ct_object(side=1100), ct_object(), seconds=1) == [None, None]
    assert node.queue.studies() == []
    assert store(node, ct_object()) == [0]


def test_many_objects_on_one_association_are_not_one_large_one(node):
    many = [ct_object(slice_=n, side=500) for n in range(6)]
    assert store(node, *many) == [0] * 6


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    node = Node(made_settings(tmp_path / "node", limits=Limits(stop_gib=5, resume_gib=8)))
    monkeypatch.setattr(intake_room.Store, "free_bytes", lambda store: 1 << 30)
    node.receiver.start()
    assert store(node, ct_object()) == [0xA700]
    node.receiver.stop()
    node.close()


def test_a_disk_that_fails_is_told(node, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(intake_room.Store, "keep", fail)
    assert store(node, ct_object()) == [0xA700]
    monkeypatch.undo()
    assert store(node, ct_object()) == [0]


def test_logs_name_nobody(node, caplog):
    caplog.set_level(logging.DEBUG)
    bad = ct_object(patient="Mustermann", slice_=1)
    bad.PixelData = b"\0\0"
    store(node, ct_object(patient="Mustermann"), bad)
    assert "refused" in caplog.text
    assert "ustermann" not in caplog.text


def test_a_port_that_is_taken_is_told(node, tmp_path):
    other = Node(made_settings(tmp_path / "other", port=node.receiver.port))
    with pytest.raises(UsageError, match="another port"):
        other.receiver.start()
    other.close()
