"""Who is who without saying who: one-way keys for patients and series, hashes for contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

KEY_HEX_DIGITS = 12
CHUNK_BYTES = 1 << 20


def one_way_key(what: str, identifier: str) -> str:
    """A short key that is equal for equal patients (or series) and does not show the identifier.

    what  'patient' or 'series': equal identifiers of different things get different keys.
    Returns 12 hex digits of SHA-256. Whoever can guess the identifier can check the guess, so this hides an
    identifier from readers; it does not make data anonymous.
    """
    text = f"glasslung {what} key\n{identifier.strip()}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:KEY_HEX_DIGITS]


def file_digest(path: Path) -> str:
    """SHA-256 of one file's content, hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def combined_digest(digests: Iterable[str]) -> str:
    """One hash for a scan of several files, the same whatever the files are called and however ordered.

    A scan of one file keeps the file's own SHA-256, so that `sha256sum` shows the same.
    """
    unique = sorted(set(digests))
    if len(unique) == 1:
        return unique[0]
    return hashlib.sha256("\n".join(unique).encode()).hexdigest()
