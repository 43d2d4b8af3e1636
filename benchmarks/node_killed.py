"""A node is killed again and again while studies come, are analysed and are sent; what is left at the end?

    python benchmarks/node_killed.py FOLDER [--kills 50] [--studies 12] [--seed 0]

A real node in a process of its own takes small studies by C-STORE and sends their results by C-STORE to an
archive in this process. It is killed (SIGKILL) at random moments and started again on its folder. A sender
sends again what was never acknowledged, as every DICOM sender does. Only the analysis is not the real one: it
writes one result from what it was given, so that fifty kills take minutes and hit every part of the way.
What is compared with an undisturbed run: studies, their objects, their states, and the archive's objects.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import shutil
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from glasslung.node.node import Node, end_state
from glasslung.node.settings import Destination, Limits, NodeSettings, Peer, Sending, Work
from glasslung.node.working import Done, Job

CT = "1.2.840.10008.5.1.4.1.1.2"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LITTLE = "1.2.840.10008.1.2.1"
SLICES = 4
LONGEST_LIFE = 2.5  # seconds until a kill: a study's way takes about one
SECONDS_TO_END = 120.0


def uid_of(*words: object) -> str:
    return f"2.25.{int(hashlib.sha256(repr(words).encode()).hexdigest()[:24], 16)}"


def dataset(study: int, n: int, sop_class: str = CT, uid: str = "") -> Any:
    """A small slice, or a result with the UID given."""
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid or uid_of(study, n)
    meta.TransferSyntaxUID = LITTLE
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(study), uid_of(study, "series")
    # Two studies of each patient, so that the later one waits for the earlier one.
    ds.PatientID, ds.StudyDate, ds.Modality = f"P{study // 2}", f"202003{study % 2 + 1:02d}", "CT"
    ds.Rows = ds.Columns = 8
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 16, 16, 15
    ds.PixelRepresentation, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.PixelData = bytes(128)
    return ds


def tell(job: Job, work: Work, folder: Path, stopping: Any) -> Done:
    """In place of an analysis: one result, whose UID comes from what was read."""
    time.sleep(0.2)  # so that kills find it running
    read = [sorted(file.name for file in scan.iterdir()) for scan in job.scans]
    job.results.mkdir(parents=True)
    ds = dataset(0, 0, SEGMENTATION, uid_of(read))
    ds.save_as(job.results / "scan-01-seg.dcm", enforce_file_format=True)
    return Done((job.results / "scan-01-seg.dcm",), "")


def settings_of(folder: Path, port: int) -> NodeSettings:
    return NodeSettings(
        folder,
        (Peer("SENDER", ("127.0.0.1",)),),
        (Destination("ARCHIVE", "127.0.0.1", port, name="archive"),),
        port=0,
        limits=Limits(stop_gib=0.1, resume_gib=0.1),
        work=Work(quiet_seconds=0.3),
        sending=Sending(first_seconds=0.2, longest_seconds=0.5),
    )


class Archive:
    """Takes results and counts them."""

    def __init__(self) -> None:
        from pynetdicom import AE, evt

        self.times: dict[str, int] = {}
        ae = AE("ARCHIVE")
        ae.add_supported_context(SEGMENTATION, [LITTLE])
        ae.add_supported_context("1.2.840.10008.1.1")
        self.server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._take)]
        )
        self.port = self.server.server_address[1]

    def _take(self, event: Any) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.times[uid] = self.times.get(uid, 0) + 1
        return 0


class Sender:
    """Sends every object until it is acknowledged."""

    def __init__(self, studies: int) -> None:
        self.left = [(study, n) for study in range(studies) for n in range(SLICES)]

    def send(self, port: int, most: int) -> None:
        from pynetdicom import AE

        ae = AE("SENDER")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 5
        ae.add_requested_context(CT, LITTLE)
        association = ae.associate("127.0.0.1", port, ae_title="GLASSLUNG")
        for wanted in self.left[:most] if association.is_established else ():
            try:
                if association.send_c_store(dataset(*wanted)).get("Status") == 0:
                    self.left.remove(wanted)
            except RuntimeError:
                break
        if association.is_established:
            association.release()


def serve(folder: Path, port: int, told: Connection) -> None:
    """What a node's process does."""
    Node(settings_of(folder, port), tell).run(told.send)


def start(folder: Path, port: int) -> tuple[BaseProcess, int]:
    """A node in a process of its own, and the port at which it listens.

    It is forked from a server that has the libraries already: half a life would be imports otherwise.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["glasslung.node.node", "glasslung.data.formats", "pynetdicom", "pydicom"])
    here, there = forks.Pipe()
    node = forks.Process(target=serve, args=(folder, port, there))
    node.start()
    there.close()
    return node, int(here.recv())


def run(folder: Path, studies: int, kills: int, draw: random.Random) -> tuple[dict[str, Any], int]:
    """Send all studies through a node that is killed so many times; the end, and how many kills there were.

    Each life gets its share of the objects, so that no kill comes when everything is done.
    """
    archive, sender, done = Archive(), Sender(studies), 0
    while done < kills:
        node, port = start(folder, archive.port)
        until = time.monotonic() + draw.uniform(0, LONGEST_LIFE)
        share = max(1, len(sender.left) // max(1, kills - done))
        while time.monotonic() < until:
            if share:
                sender.send(port, share)
                share = 0
            time.sleep(0.02)
            if not node.is_alive():
                raise SystemExit("the node has ended by itself")
        node.kill()
        node.join()
        done += 1
    node, port = start(folder, archive.port)
    end = time.monotonic() + SECONDS_TO_END
    while sender.left and time.monotonic() < end:
        sender.send(port, 1000)
    while time.monotonic() < end and any(one["state"] != "sent" for one in end_state(folder)):
        time.sleep(0.2)
    node.terminate()
    node.join()
    archive.server.shutdown()
    told = end_state(folder)
    return {
        "studies": [
            (one["key"], one["state"], one["objects"]) for one in sorted(told, key=lambda o: o["key"])
        ],
        "files": sorted(path.name for path in (folder / "studies").rglob("*.dcm")),
        "archive": sorted(archive.times),
        "sent more than once": sum(count > 1 for count in archive.times.values()),
    }, done


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--kills", type=int, default=50)
    asked.add_argument("--studies", type=int, default=12)
    asked.add_argument("--seed", type=int, default=0)
    told = asked.parse_args()
    shutil.rmtree(told.folder, ignore_errors=True)
    whole, _ = run(told.folder / "whole", told.studies, 0, random.Random(told.seed))
    killed, kills = run(told.folder / "killed", told.studies, told.kills, random.Random(told.seed))
    same = all(killed[what] == whole[what] for what in ("studies", "files"))
    lost = len(set(whole["archive"]) - set(killed["archive"]))
    new = len(set(killed["archive"]) - set(whole["archive"]))
    print(json.dumps({
        "kills": kills, "studies": told.studies, "objects": len(whole["files"]),
        "studies and objects equal": same,
        "results": len(whole["archive"]), "results lost": lost, "results of studies not yet whole": new,
        "results that were sent twice under one UID": killed["sent more than once"],
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
