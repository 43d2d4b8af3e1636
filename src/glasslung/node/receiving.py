"""The node's DICOM door: C-ECHO, and C-STORE of CT images, for configured peers alone.

Who calls from an address that no peer has is cut off before anything is read. Who names an AE title that is
not a peer's at this address is rejected. Only CT images are negotiated, in the transfer syntaxes that the
decoders read. Success is answered when an object would survive a power cut, and not before.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from glasslung.errors import UsageError
from glasslung.node.dimse import VERIFICATION, quiet_library
from glasslung.node.intake import CT_CLASSES, Intake, RefusedObject
from glasslung.node.settings import MIB, NodeSettings, Peer
from glasslung.node.store import Store, write_incoming
from glasslung.node.studies import Admission

LOG = logging.getLogger("glasslung.node")
SUCCESS = 0x0000
SYNTAXES = (
    "1.2.840.10008.1.2.1",  # explicit VR little endian
    "1.2.840.10008.1.2",  # implicit VR little endian
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.57",  # JPEG lossless, process 14
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.5",  # RLE lossless
    "1.2.840.10008.1.2.4.50",  # JPEG baseline
    "1.2.840.10008.1.2.4.51",  # JPEG extended
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
)
"""What is negotiated; deflated is not: a small file could unfold to any size."""
PDU_BYTES = 128 << 10
LONGEST_PDU = 1 << 20  # larger than any that was negotiated, and than any proposal of 128 contexts
CONNECTIONS = 4  # times the associations allowed: what is above these, but below that, is rejected politely
CALLING_TITLE_NOT_RECOGNISED = (0x01, 0x01, 0x03)  # rejected for good, by the service user; PS3.8 table 9-21


class Receiver:
    """The listening part of a node."""

    def __init__(self, settings: NodeSettings, store: Store, intake: Intake) -> None:
        self.settings, self.store, self.intake = settings, store, intake
        self._server: Any = None
        self._arriving: dict[int, int] = {}  # bytes of the object under way, by association

    def start(self) -> None:
        """Listen, in threads of its own; UsageError where the port is taken."""
        from pynetdicom import AE, evt

        quiet_library()
        limits = self.settings.limits
        ae = AE(self.settings.title)
        ae.require_called_aet = True
        ae.maximum_associations = limits.associations
        ae.maximum_pdu_size = PDU_BYTES
        ae.network_timeout = ae.dimse_timeout = limits.idle_seconds
        ae.add_supported_context(VERIFICATION)
        for sop_class in CT_CLASSES:
            ae.add_supported_context(sop_class, list(SYNTAXES))
        handlers: list[tuple[Any, Callable[[Any], Any]]] = [
            (evt.EVT_REQUESTED, self._check_caller),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_CONN_CLOSE, self._closed),
        ]
        where = (self.settings.listen, self.settings.port)
        try:
            self._server = _make_server(ae, where, handlers, self._is_admitted)
        except OSError as error:
            raise UsageError(
                f"{where[0]} port {where[1]} cannot be listened at ({error.strerror}); choose another port"
            ) from error
        _in_thread(self._server.serve_forever)

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """End all associations and stop listening."""
        if self._server is not None:
            for association in self._server.active_associations:
                if association.is_established:
                    association.abort()
                else:  # whoever has called and not yet said what for
                    association.kill()
            self._server.shutdown()
            self._server = None

    def _is_admitted(self, address: str) -> bool:
        """Whether a connection is listened to at all: a peer's address, and not too many of them."""
        known = any(peer.calls_from(address) for peer in self.settings.peers)
        if not known:
            LOG.warning("cut off: a call from %s, which is no peer's address", address)
        busy = len(self._server.active_associations) >= CONNECTIONS * self.settings.limits.associations
        if known and busy:
            LOG.warning("cut off: a call from %s, too many connections are open", address)
        return known and not busy

    def _check_caller(self, event: Any) -> None:
        """Reject a title that no peer at this address has."""
        requestor = event.assoc.requestor
        title, address = requestor.primitive.calling_ae_title.strip(), requestor.address
        if not caller(self.settings.peers, title, address):
            LOG.warning("rejected: %s calls itself %r, which is no peer there", address, title)
            event.assoc.acse.send_reject(*CALLING_TITLE_NOT_RECOGNISED)
            event.assoc.kill()

    def _count(self, event: Any) -> None:
        """End an association that sends far more than an object may have, before memory is full."""
        key, most = id(event.assoc), 2 * self.settings.limits.object_mib * MIB
        self._arriving[key] = self._arriving.get(key, 0) + len(event.data)
        if self._arriving[key] > most:
            LOG.warning("cut off: %s sends an object of more than %d MiB", _who(event), most // MIB)
            self._arriving[key] = 0
            event.assoc.abort(block=False)

    def _closed(self, event: Any) -> None:
        self._arriving.pop(id(event.assoc), None)

    def _store(self, event: Any) -> int:
        """One object: its status."""
        self._arriving[id(event.assoc)] = 0
        request = event.request
        announced = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        try:
            self.intake.check_room()
            self.intake.check_size(len(request.DataSet.getbuffer()))
            part = write_incoming(self.store, (_file_meta(event), request.DataSet.getbuffer()))
            admission = self.intake.take(
                part, announced, fetched=_mover(request) == self.settings.title.strip()
            )
        except RefusedObject as refused:
            LOG.warning("refused an object of %s: %s", _who(event), refused)
            return refused.status
        except (OSError, sqlite3.Error) as error:
            LOG.warning("an object of %s could not be kept: %s", _who(event), type(error).__name__)
            return RefusedObject.OUT_OF_RESOURCES
        if admission is Admission.REPLACED:
            LOG.warning("%s has sent an object anew with another content", _who(event))
        return SUCCESS


def _make_server(
    ae: Any, where: tuple[str, int], handlers: list[Any], admitted: Callable[[str], bool]
) -> Any:
    """pynetdicom's server, which reads nothing of who is not admitted, and no PDU that is too long."""
    from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            return admitted(client_address[0])

    class Handler(RequestHandler):
        def _create_association(self) -> Any:
            association = super()._create_association()
            heard = association.dul.socket.recv

            def bounded(count: int) -> Any:
                if count > LONGEST_PDU:  # the library would collect up to 4 GiB on the sender's word
                    LOG.warning("cut off: %s announces a PDU of %d bytes", self.client_address[0], count)
                    raise OSError("the PDU is too long")
                return heard(count)

            association.dul.socket.recv = bounded
            return association

    server = ae.make_server(where, evt_handlers=handlers, server_class=Server, request_handler=Handler)
    ae._servers.append(server)
    return server


def caller(peers: Sequence[Peer], title: str, address: str) -> bool:
    """Whether a peer of this title calls from this address."""
    return any(peer.title.strip() == title and peer.calls_from(address) for peer in peers)


def _mover(request: Any) -> str:
    """Who asked for the object to be moved here; '' where its sender sends it on its own account."""
    return str(request.MoveOriginatorApplicationEntityTitle or "").strip()


def _who(event: Any) -> str:
    requestor = event.assoc.requestor
    return f"{requestor.ae_title.strip()} at {requestor.address}"


def _file_meta(event: Any) -> bytes:
    """Preamble and file meta of a received data set."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_file_meta_info

    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    head.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(head, event.file_meta)
    return head.getvalue()


def _in_thread(run: Callable[[], None]) -> None:
    import threading

    threading.Thread(target=run, name="glasslung-receiver", daemon=True).start()
