"""Results go to a destination: by C-STORE, or by STOW to a DICOMweb server.

What a destination has taken is written down at once, so that after a kill only the rest is sent again. A
result sent twice is stored once, because it keeps its UID. A destination that cannot be reached or has no
room is tried again later; one that will not take a result says so in a status, and the study is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from glasslung.node import dicomweb, dimse
from glasslung.node.exchange import read_result
from glasslung.node.settings import Destination


def wanted(destination: Destination, paths: Sequence[Path]) -> list[Path]:
    """Those results whose kind a destination takes."""
    return [path for path in paths if read_result(path).kind in destination.results]


def send(destination: Destination, own_title: str, paths: Sequence[Path]) -> Iterator[Path]:
    """Send results one by one; each is handed back when the destination has said that it holds it.

    Raises Unreachable, RefusedResult.
    """
    results = [read_result(path) for path in paths]
    if destination.url:
        sent = dicomweb.send_results(destination, results)
    else:
        sent = dimse.store_results(destination, own_title, results)
    for one in sent:
        yield one.path
