"""The secret key, and all that follows from it: pseudonyms, new UIDs, days by which dates move.

Nothing that this makes can be made, or undone, without the key; with the key, the same patient, UID and day
give the same answer in every run. The key file holds no identity, only the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from glasslung.errors import DataError, UsageError
from glasslung.files import read_json

KIND = "glasslung de-identification key"
WARNING = (
    "KEEP APART FROM THE DE-IDENTIFIED DATA, AND SECRET. Whoever holds this key and a list of patients can "
    "tell who is who, and can undo the moved dates. Not encrypted. Needed again to give the same pseudonyms."
)
SECRET_BYTES = 32
OWNER_ONLY = 0o600
# Days back. From 10 years on no shifted date meets a true one of the same patient's course, so that the last
# check can search for true dates; 20 years of possible shifts (12.8 bits) hide which day it was.
NEAREST_DAYS, FARTHEST_DAYS = 3653, 10957
PSEUDONYM_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
PSEUDONYM_LENGTH = 12  # 60 bits: a million patients meet with a chance of one in two million


@dataclass(frozen=True)
class Secret:
    """A key of 256 bits; its answers are HMAC-SHA256 of what is asked."""

    key: bytes

    def _number(self, what: str, text: str) -> int:
        digest = hmac.new(self.key, f"{what}\n{text}".encode("utf-8", "surrogateescape"), hashlib.sha256)
        return int.from_bytes(digest.digest(), "big")

    def pseudonym(self, patient: str) -> str:
        """'GL-7KQ2...': the name of a patient, from any text that identifies him."""
        number, letters = self._number("patient", patient), ""
        for _ in range(PSEUDONYM_LENGTH):
            number, letter = divmod(number, len(PSEUDONYM_LETTERS))
            letters += PSEUDONYM_LETTERS[letter]
        return f"GL-{letters}"

    def uid(self, uid: str) -> str:
        """A new UID below 2.25 (UIDs made from 128-bit numbers, DICOM PS3.5 B.2)."""
        return f"2.25.{self._number('uid', uid) >> 128}"

    def days_back(self, patient: str) -> int:
        """By how many days the dates of a patient move into the past."""
        return NEAREST_DAYS + self._number("days", patient) % (FARTHEST_DAYS - NEAREST_DAYS + 1)

    def name(self, what: str, text: str) -> str:
        """12 hex digits, for files and folders."""
        return f"{self._number(what, text) >> 208:012x}"


def open_key(path: Path) -> Secret:
    """The key in a file, which is made, for its owner's eyes alone, where there is none.

    Raises DataError for a file that is no key of ours, UsageError for one that others can read.
    """
    if not path.exists():
        return _new_key(path)
    told = read_json(path)
    text = told.get("secret")
    if told.get("kind") != KIND or not isinstance(text, str) or not re.fullmatch(r"[0-9a-f]{64}", text):
        raise DataError(f"{path.name}: is no key of `glasslung deidentify`; name another --keys file")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UsageError(f"{path.name}: others can read this key; make it yours alone: chmod 600 FILE")
    return Secret(bytes.fromhex(text))


def _new_key(path: Path) -> Secret:
    """Made beside its place and linked into it, so that nobody else reads it and no key is overwritten."""
    secret = Secret(secrets.token_bytes(SECRET_BYTES))
    content = json.dumps({"kind": KIND, "warning": WARNING, "secret": secret.key.hex()}, indent=1) + "\n"
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except OSError as problem:
        raise UsageError(
            f"--keys {path.name} cannot be written ({problem.strerror}): name another"
        ) from problem
    finally:
        part.unlink(missing_ok=True)
    return secret
