"""JPEG decoders in a process of their own, because damaged streams take them down.

GDCM (JPEG lossless, 12-bit JPEG) and CharLS (JPEG-LS) are C++: on some streams with a few flipped bits they
end the process or never come back, and no Python can catch that. So these codings are decoded by a child:
when it is lost or too slow, the file is damaged and the error says so. The other codings stay here.

Run as `python -m glasslung.data.formats.decoder_process` it is the child: for each slice a JSON line in, and
a JSON line and the stored values out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from glasslung.data.formats.damage import COPY_AGAIN, silenced
from glasslung.errors import DataError

FRAGILE = {
    "1.2.840.10008.1.2.4.57",  # JPEG lossless, process 14
    "1.2.840.10008.1.2.4.70",  # JPEG lossless, first-order prediction: what most archives send
    "1.2.840.10008.1.2.4.80",  # JPEG-LS
    "1.2.840.10008.1.2.4.81",  # JPEG-LS, near lossless
}
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
# One decoder for each coding: the first that can may be the one that crashes.
PLUGIN = {
    "1.2.840.10008.1.2.4.50": "pillow",
    JPEG_EXTENDED: "pillow",
    "1.2.840.10008.1.2.4.57": "gdcm",
    "1.2.840.10008.1.2.4.70": "gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pillow",
    "1.2.840.10008.1.2.4.91": "pillow",
}
START_SECONDS = 20.0  # starting Python and its imports takes about one, on a busy machine several
SLICE_SECONDS = 6.0  # a 512 x 512 slice takes 0.02
BYTES_PER_SECOND = 2 << 20  # more for larger files: multi-frame ones are parsed as a whole


def is_fragile(dataset: Any) -> bool:
    """Whether a slice must be decoded by the child."""
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    return syntax in FRAGILE or (syntax == JPEG_EXTENDED and int(dataset.get("BitsStored") or 8) > 8)


class Decoder:
    """The child, started at the first slice that needs it and stopped at the end of the `with` block."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def stored_values(self, path: Path, index: int) -> np.ndarray:
        """Stored values of one frame, (H, W). DataError when the stream is damaged, in whatever way."""
        seconds = SLICE_SECONDS + path.stat().st_size / BYTES_PER_SECOND
        if self._child is None:
            seconds += START_SECONDS
            self._child = _start()
        watch = threading.Timer(seconds, self._child.kill)
        watch.start()
        try:
            return _ask(self._child, path, index)
        except (OSError, ValueError) as error:
            raise DataError(f"{path.name}: its pixels are damaged or cut short; {COPY_AGAIN}") from error
        finally:
            watch.cancel()


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "glasslung.data.formats.decoder_process"]
    paths = os.pathsep.join(path for path in sys.path if path)  # the child finds this package where we did
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere, env=environment)


def _ask(child: subprocess.Popen[bytes], path: Path, index: int) -> np.ndarray:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps({"path": str(path.absolute()), "index": index}).encode() + b"\n")
    child.stdin.flush()
    answer = json.loads(child.stdout.readline() or b"{}")  # nothing: the child is gone
    if "shape" not in answer:
        raise ValueError("the decoder gave up")
    values = np.empty(answer["shape"], dtype=answer["dtype"])
    content = child.stdout.read(values.nbytes)
    if len(content) != values.nbytes:
        raise ValueError("the decoder was lost")
    return np.frombuffer(content, dtype=values.dtype).reshape(values.shape)


def decode(dataset: Any, path: Path, index: int) -> np.ndarray:
    """Stored values of one frame by the library that reads its coding, in this process."""
    from pydicom.pixels import pixel_array

    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax == JPEG_EXTENDED and int(dataset.BitsStored) > 8:
        return _by_gdcm(dataset, path, index)
    many = int(dataset.get("NumberOfFrames") or 1) > 1
    values = pixel_array(dataset, index=index if many else None, decoding_plugin=PLUGIN.get(syntax, ""))
    return values[0] if values.ndim == 3 and values.shape[0] == 1 else values


def _by_gdcm(dataset: Any, path: Path, index: int) -> np.ndarray:
    """12-bit JPEG Extended, which GDCM decodes and pydicom does not hand to it."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        raise ValueError("GDCM cannot read it")
    content = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    values = np.frombuffer(content, dtype="<i2" if dataset.PixelRepresentation else "<u2")
    return values.reshape(-1, int(dataset.Rows), int(dataset.Columns))[index]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """The child: answer each request until there are no more."""
    import pydicom

    opened: tuple[str, Any] = ("", None)
    for line in requests:
        request = json.loads(line)
        try:
            with silenced():
                if opened[0] != request["path"]:
                    opened = (request["path"], pydicom.dcmread(request["path"], force=True))
                values = np.ascontiguousarray(decode(opened[1], Path(request["path"]), request["index"]))
        except Exception:  # whatever it is, the parent says which file
            answers.write(b"{}\n")
        else:
            answers.write(json.dumps({"shape": values.shape, "dtype": values.dtype.str}).encode() + b"\n")
            answers.write(values.tobytes())
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
