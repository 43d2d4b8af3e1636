"""Damaged scans by the thousand: what do the readers make of them?

    python benchmarks/fuzz_readers.py --cases 6000 [--data FOLDER] [--seed 0] [--seconds 40]

Small good files of every format (written here, and real ones where the data folder is present) are cut short,
flipped, spliced and overwritten with the numbers that break parsers. Each one is read in a process of its own
making, which can be lost, hang or run out of memory without taking the count with it. A line per format says
what came back:

    same        the very volume of the good file (the damage hit nothing that matters)
    changed     a volume whose grey values or geometry differ: no reader can see a flipped voxel
    DataError   one line that names the file: what is wanted
    FAILED      anything else: another exception, a message of many lines or without the name, a full
                path in a message, a hang, a lost process. The command then ends with code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from glasslung.data.formats import DicomLabel, read_scan, write_volume
from glasslung.errors import DataError
from glasslung.types import Intensity, Volume

MEMORY_BYTES = 3 << 30  # a worker's address space; importing SimpleITK and GDCM takes about half of it
HEADER_BYTES = 1500  # where most headers lie; half of all damage goes there
NASTY = [
    *(b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff\xff", b"\x00"),  # integers
    *(b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f"),  # float32 NaN and infinity
    *(b"nan ", b"1e308", b"-1", b"99999999", b"\\", b"\n", b"../"),  # text
]


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Turn one to eight bits, half of them in the header."""
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        reach = min(len(out), HEADER_BYTES) if rng.random() < 0.5 else len(out)
        out[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """Stop early, as a broken download does."""
    return content[: int(rng.integers(len(content)))]


def overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    """Put a number that breaks parsers somewhere, mostly into the header."""
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        nasty = NASTY[int(rng.integers(len(NASTY)))]
        at = int(rng.integers(min(len(out), HEADER_BYTES) if rng.random() < 0.8 else len(out)))
        out[at : at + len(nasty)] = nasty
    return bytes(out)


def splice(content: bytes, rng: np.random.Generator) -> bytes:
    """Leave a piece out, or repeat one."""
    a, b = sorted(int(x) for x in rng.integers(len(content), size=2))
    return content[:a] + content[b:] if rng.random() < 0.5 else content[:b] + content[a:]


def blank(content: bytes, rng: np.random.Generator) -> bytes:
    """A run of zeros or noise, as a bad disk block leaves it."""
    a = int(rng.integers(len(content)))
    length = int(rng.integers(1, 513))
    run = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    return content[:a] + run + content[a + length :]


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flip": flip, "cut": cut, "overwrite": overwrite, "splice": splice, "blank": blank,
}  # fmt: skip


def good_files(folder: Path) -> dict[str, bytes]:
    """One small file of each format, by name."""
    from PIL import Image

    rng = np.random.default_rng(0)
    affine = np.array([[0, 0, 0.8, -120], [0, 0.7, 0, -100], [2.5, 0, 0, -300], [0, 0, 0, 1]])
    voxels = (-300 + 600 * np.sin(np.indices((3, 24, 20)).sum(0) / 5) + rng.normal(0, 9, (3, 24, 20))).astype(
        "i2"
    )
    volume = Volume(voxels, affine, Intensity.HU)
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        write_volume(volume, folder / name)
    write_volume(volume, folder / "series", DicomLabel("P", "GLASSLUNG^PHANTOM"))
    grey = ((voxels[0] + 1000) / 8).clip(0, 255).astype("u1")
    for name in ("a.png", "a.jpg", "a.tif", "a.gif", "a.webp", "a.jp2", "a.bmp"):
        Image.fromarray(grey).save(folder / name)
    Image.fromarray(np.dstack([grey, grey, grey // 2])).save(folder / "colour.png")
    found = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    one = folder / "series" / "0001.dcm"
    found["a.dcm"] = one.read_bytes()
    found |= compressed(one, folder)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((folder / "series").iterdir()):
            archive.write(file, file.name)
    return found | {"a.zip": packed.getvalue()}


def compressed(file: Path, folder: Path) -> dict[str, bytes]:
    """The slice in each compressed transfer syntax that can be written here."""
    import gdcm
    import pydicom

    found = {}
    for name, uid in (("rle.dcm", "1.2.840.10008.1.2.5"), ("jpegls.dcm", "1.2.840.10008.1.2.4.80")):
        dataset = pydicom.dcmread(file)
        dataset.compress(uid, generate_instance_uid=False)
        dataset.save_as(folder / name)
        found[name] = (folder / name).read_bytes()
    kinds = {"jpeg70.dcm": "4.70", "jpeg57.dcm": "4.57", "j2k.dcm": "4.90"}
    for name, ending in kinds.items():
        reader, coder, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(file))
        if not reader.Read():
            raise RuntimeError("GDCM cannot read a series written here")
        coder.SetTransferSyntax(
            gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(f"1.2.840.10008.1.2.{ending}"))
        )
        coder.SetInput(reader.GetImage())
        if not coder.Change():
            raise RuntimeError(f"GDCM cannot write {ending}")
        writer.SetFileName(str(folder / name))
        writer.SetFile(reader.GetFile())
        writer.SetImage(coder.GetOutput())
        writer.Write()
        found[name] = (folder / name).read_bytes()
    return found


def real_files(data: Path) -> dict[str, bytes]:
    """Real scans of small size, where the data folder is present."""
    paths = [
        "dicom/cip_ct64_series/IMG0040.dcm",
        "dicom/lungmask_testdata/0.dcm",
        "chest_ct_hu/cip_ct-64.nrrd",
        "covid_volume_8bit/IMG-0001-00028.jpg",
    ]
    return {f"real {Path(p).name}": (data / p).read_bytes() for p in paths if (data / p).is_file()}


def fingerprint(volume: Volume) -> str:
    digest = hashlib.sha256(volume.voxels.tobytes())
    digest.update(np.round(volume.affine, 6).tobytes() + repr((volume.shape, volume.intensity)).encode())
    return digest.hexdigest()


def outcome(path: Path) -> tuple[str, str]:
    """Read one file: ('volume', its fingerprint), ('DataError', text) or ('FAILED', why)."""
    try:
        volume = read_scan(path)
    except DataError as error:
        text = str(error)
        if "\n" in text or str(path.parent) in text or (path.name not in text and ".zip" not in path.name):
            return "FAILED", f"a message that is not one line with the file's name: {text[:200]!r}"
        return "DataError", text
    except Exception as error:
        return "FAILED", f"{type(error).__name__}: {str(error)[:200]}"
    if not np.isfinite(volume.affine).all() or min(volume.spacing_mm) <= 0:
        return "FAILED", "a volume with a geometry that is none"
    return "volume", fingerprint(volume)


def work(pipe: Connection) -> None:
    """A worker: reads the paths it is sent until it is told to stop; C libraries' chatter goes nowhere."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while (path := pipe.recv()) is not None:
        pipe.send(outcome(Path(path)))


class Worker:
    """A process that reads scans for us, replaced when it hangs or dies."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start()

    def start(self) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, path: Path) -> tuple[str, str]:
        self.pipe.send(str(path))
        try:
            if self.pipe.poll(self.seconds):
                return self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.start()
            return "FAILED", f"the process was lost (exit code {code})"
        self.process.kill()
        self.process.join()
        self.start()
        return "FAILED", f"no answer in {self.seconds:g} s"

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join(5)


def run(
    good: dict[str, bytes], cases: int, seed: int, worker: Worker, folder: Path
) -> tuple[dict, list[str]]:
    """Damage and read; returns counts by (format, what came back) and a line for each failure."""
    truth = {}
    for name, content in good.items():
        path = folder / name.replace(" ", "_")
        path.write_bytes(content)
        kind, what = worker.ask(path)
        truth[name] = what if kind == "volume" else ""
    counts: dict[str, Counter] = {name: Counter() for name in good}
    failures = []
    names, damages = list(good), list(DAMAGES)
    for case in range(cases):
        rng = np.random.default_rng([seed, case])
        name, damage = names[case % len(names)], damages[int(rng.integers(len(damages)))]
        path = folder / name.replace(" ", "_")
        path.write_bytes(DAMAGES[damage](good[name], rng))
        kind, what = worker.ask(path)
        if kind == "volume":
            kind = "same" if what == truth[name] else "changed"
        counts[name][kind] += 1
        if kind == "FAILED":
            failures.append(f"case {case} ({name}, {damage}, seed {seed}): {what}")
    return counts, failures


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="formats whose name holds this, such as .dcm")
    parser.add_argument("--seconds", type=float, default=40.0, help="limit for one file")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GLASSLUNG_DATA", "../shared/data")))
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, "cases")
        folder.mkdir()
        seeds = Path(home, "good")
        seeds.mkdir()
        good = good_files(seeds) | real_files(asked.data)
        good = {name: content for name, content in good.items() if asked.only in name}
        worker = Worker(asked.seconds)
        counts, failures = run(good, asked.cases, asked.seed, worker, folder)
        worker.stop()
    columns = ["same", "changed", "DataError", "FAILED"]
    print(f"| {'file':<24} | inputs | " + " | ".join(columns) + " |")
    print("|---|--:|" + "--:|" * len(columns))
    for name, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"| {name:<24} | {sum(found.values())} | " + " | ".join(str(found[c]) for c in columns) + " |")
    print(f"\n{asked.cases} damaged files, seed {asked.seed}, {time.monotonic() - started:.0f} s")
    for line in failures[:40]:
        print(line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
