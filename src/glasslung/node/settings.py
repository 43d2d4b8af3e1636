"""What a site says about its node, in one TOML file: who may send, where results go, and how much is taken.

Every key has a default with its reason, except those that only the site can know: the folder, the peers, the
destinations. A key that is not known is refused by name, so that a slip of the pen never changes who may
send.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from glasslung.errors import UsageError

GIB = 1 << 30
MIB = 1 << 20
KINDS = ("segmentation", "report", "pdf", "map")
"""What results there are, as a destination may choose among them."""
LONGEST_TITLE = 16  # characters of an AE title, DICOM PS3.5 table 6.2-1
Made = TypeVar("Made")


@dataclass(frozen=True)
class Peer:
    """Who may send: an AE title, and the addresses or networks ('10.1.2.0/24') from which it may call."""

    title: str
    addresses: tuple[str, ...]

    def calls_from(self, address: str) -> bool:
        """Whether this address is one of the peer's."""
        here = plain_address(address)
        return here is not None and any(here in ipaddress.ip_network(known) for known in self.addresses)


@dataclass(frozen=True)
class Place:
    """A DICOM application (`title`, `address`, `port`) or a DICOMweb server (`url`).

    authorization_file  holds the value of the Authorization header, for DICOMweb
    """

    title: str = ""
    address: str = ""
    port: int = 104
    url: str = ""
    authorization_file: Path | None = None


@dataclass(frozen=True)
class Destination(Place):
    """Where results go.

    name     what status and log call it
    results  which kinds it takes: not every archive takes parametric maps
    """

    name: str = ""
    results: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class Watch(Place):
    """A DICOMweb server that is asked again and again for new studies.

    every_seconds  between two questions; a minute is short beside a chest CT's way to the archive
    last_days      studies of so many days are looked at; 2 bridges a night
    """

    every_seconds: float = 60.0
    last_days: int = 2


@dataclass(frozen=True)
class Earlier(Place):
    """Where earlier studies of a patient come from, beside the node's own folder; nowhere if nothing is set.

    most  how many are compared with; each costs the time of an analysis
    """

    most: int = 3


@dataclass(frozen=True)
class Limits:
    """How much is taken, so that no peer can fill memory or disk.

    object_mib    one object; 1000 slices of 512 x 512 in one enhanced CT object are 0.5 GiB, ordinary ones
                  0.5 MiB. An object is held in memory while it arrives, once for each association
    study_gib     all objects of a study
    study_objects objects of a study
    associations  at once
    idle_seconds  of silence after which an association is ended
    stop_gib, resume_gib  free disk below which objects are refused, and above which they are taken again
    """

    object_mib: int = 512
    study_gib: float = 8.0
    study_objects: int = 20_000
    associations: int = 4
    idle_seconds: float = 60.0
    stop_gib: float = 5.0
    resume_gib: float = 8.0


@dataclass(frozen=True)
class Work:
    """How studies are analysed, one at a time, in a process of their own.

    quiet_seconds  a study is complete when nothing of it has come for so long; senders pause between series
    minutes        an analysis that takes longer is ended: a bound for what hangs, far above what works
    memory_gib     an analysis that wants more is ended: likewise, below what such a machine has
    tries          how often one that was lost (not refused) is begun
    segmenter, classifier, prognosis  as in `glasslung analyze`
    """

    quiet_seconds: float = 30.0
    minutes: float = 60.0
    memory_gib: float = 12.0
    tries: int = 2
    segmenter: str = ""
    classifier: str = ""
    prognosis: str = ""


@dataclass(frozen=True)
class Sending:
    """How results go out.

    tries         before a study is set aside; with the waits below, 100 last a day
    first_seconds, longest_seconds  wait after the first failure; it doubles up to the longest
    """

    tries: int = 100
    first_seconds: float = 10.0
    longest_seconds: float = 900.0


@dataclass(frozen=True)
class NodeSettings:
    """A node.

    folder        everything it keeps: objects, the queue, stories, results
    title, port   its own application entity
    listen        the address of this machine at which it listens
    peers, destinations  see above
    watch, earlier       see above; None: no server is asked
    keep_days     a study that was sent or set aside is removed after so many days; within them a patient's
                  next scan is compared without asking the archive
    """

    folder: Path
    peers: tuple[Peer, ...] = ()
    destinations: tuple[Destination, ...] = ()
    title: str = "GLASSLUNG"
    port: int = 11112
    listen: str = "127.0.0.1"
    watch: Watch | None = None
    earlier: Earlier = field(default_factory=Earlier)
    limits: Limits = field(default_factory=Limits)
    work: Work = field(default_factory=Work)
    sending: Sending = field(default_factory=Sending)
    keep_days: float = 30.0


def read_settings(path: Path) -> NodeSettings:
    """The settings of a node's TOML file; folder and authorization files are relative to the file.

    Raises UsageError, in one line, for a file that cannot be read and for whatever in it makes no sense.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read as settings ({error}); `glasslung node init` writes one"
        ) from error
    if not isinstance(table.get("folder"), str):
        raise UsageError(f"{path}: say where the node keeps its studies: folder = '...'")
    settings = _beside(_settings(table, str(path)), path.parent)
    check_settings(settings, str(path))
    return settings


def _beside(settings: NodeSettings, home: Path) -> NodeSettings:
    """The same with every relative path taken from the settings file's folder."""

    def moved(place: Any) -> Any:
        file = None if place is None else place.authorization_file
        return place if file is None else replace(place, authorization_file=home / file)

    return replace(
        settings,
        folder=home / settings.folder,
        destinations=tuple(moved(one) for one in settings.destinations),
        watch=moved(settings.watch),
        earlier=moved(settings.earlier),
    )


def _settings(table: Mapping[str, Any], where: str) -> NodeSettings:
    parts: dict[str, Any] = dict(table)
    for name, kind in (("earlier", Earlier), ("limits", Limits), ("work", Work), ("sending", Sending)):
        if name in parts:
            parts[name] = _filled(kind, parts[name], f"{where}: [{name}]")
    if "watch" in parts:
        parts["watch"] = _filled(Watch, parts["watch"], f"{where}: [watch]")
    for name, many in (("peers", Peer), ("destinations", Destination)):
        rows = parts.get(name, [])
        if not isinstance(rows, list):
            raise UsageError(f"{where}: {name} are tables, each under [[{name}]]")
        parts[name] = tuple(
            _filled(many, row, f"{where}: [[{name}]] {n}") for n, row in enumerate(rows, start=1)
        )
    return _filled(NodeSettings, parts, where)


def _filled(kind: type[Made], table: Any, where: str) -> Made:
    """A dataclass from a table, with every key known and of the kind that the dataclass says."""
    if not isinstance(table, dict):
        raise UsageError(f"{where}: is a table of keys")
    kinds = {one.name: str(one.type) for one in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(kinds)):
        raise UsageError(f"{where}: {unknown[0]!r} is not known; there are {', '.join(kinds)}")
    try:
        return kind(**{name: _fitting(value, kinds[name]) for name, value in table.items()})
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from error


def _fitting(value: Any, kind: str) -> Any:
    """A TOML value as the field wants it; ValueError says what was wanted."""
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind.startswith("Path") and isinstance(value, str):
        return Path(value)
    if kind == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind not in ("float", "int", "str", "tuple[str, ...]") and not kind.startswith("Path"):
        return value  # a part, made before
    raise ValueError(f"{value!r} is no {kind.replace('tuple[str, ...]', 'list of words')}")


def check_settings(settings: NodeSettings, where: str = "settings") -> None:
    """UsageError for settings with which a node could not work, or would be open to anybody."""

    def refuse(fact: str) -> None:
        raise UsageError(f"{where}: {fact}")

    if not settings.peers and settings.watch is None:
        refuse("nobody may send: give a [[peers]] with title and addresses, or a [watch] with its url")
    if not settings.destinations:
        refuse("results go nowhere: give a [[destinations]]")
    for title in (settings.title, *(peer.title for peer in settings.peers)):
        if (
            not title.strip()
            or len(title) > LONGEST_TITLE
            or "\\" in title
            or not (title.isascii() and title.isprintable())
        ):
            refuse(f"{title!r} is no AE title: 1 to {LONGEST_TITLE} characters of ASCII")
    for peer in settings.peers:
        _check_addresses(peer, refuse)
    names = [one.name for one in settings.destinations]
    if len(set(names)) < len(names) or "" in names:
        refuse("every destination has a name of its own")
    for one in settings.destinations:
        _check_place(one, f"destination {one.name!r}", refuse)
        if not one.results or set(one.results) - set(KINDS):
            refuse(f"destination {one.name!r}: results are some of {', '.join(KINDS)}")
    if settings.watch is not None:
        _check_place(settings.watch, "watch", refuse, web=True)
    if settings.earlier.url or settings.earlier.title or settings.earlier.address:
        _check_place(settings.earlier, "earlier", refuse)
    _check_networks(settings.work, refuse)
    _check_numbers(settings, refuse)


def _check_networks(work: Work, refuse: Any) -> None:
    """A name that nobody knows would set every study aside, one after the other."""
    from glasslung.predict.opening import FOLDER, NONE

    for what in ("segmenter", "classifier", "prognosis"):
        name = getattr(work, what)
        if name not in ("", NONE) and not (FOLDER / name).is_dir():
            refuse(f"{what} {name!r} is neither a shipped name nor a run's folder")


def _check_addresses(peer: Peer, refuse: Any) -> None:
    if not peer.addresses:
        refuse(f"peer {peer.title!r} has no addresses: say from where it may call")
    for address in peer.addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            refuse(f"peer {peer.title!r}: {address!r} is no IP address or network (names are not looked up)")


def _check_place(place: Place, what: str, refuse: Any, web: bool = False) -> None:
    if place.url:
        _check_url(place, what, refuse)
    elif web:
        refuse(f"{what} has no url")
    elif not (place.title and place.address and 0 < place.port < 65536):
        refuse(f"{what} needs title, address and port, or the url of a DICOMweb server")


def _check_url(place: Place, what: str, refuse: Any) -> None:
    try:
        parts = urlsplit(place.url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        refuse(f"{what}: its url is no http or https address")
    if parts.scheme not in ("http", "https") or not whole or parts.query or parts.fragment:
        refuse(f"{what}: its url is no http or https address")
    if parts.username is not None or parts.password is not None:
        refuse(f"{what}: a password in the url would be logged on its way; use authorization_file")
    here = plain_address(parts.hostname or "")
    loopback = parts.hostname == "localhost" or (here is not None and here.is_loopback)
    if place.authorization_file is not None and parts.scheme == "http" and not loopback:
        refuse(f"{what}: authorization over http can be read on the way; use https")


def _check_numbers(settings: NodeSettings, refuse: Any) -> None:
    limits, work, sending = settings.limits, settings.work, settings.sending
    above_zero = {
        "object_mib": limits.object_mib, "study_gib": limits.study_gib, "associations": limits.associations,
        "study_objects": limits.study_objects, "idle_seconds": limits.idle_seconds, "minutes": work.minutes,
        "memory_gib": work.memory_gib, "work.tries": work.tries, "sending.tries": sending.tries,
        "first_seconds": sending.first_seconds, "longest_seconds": sending.longest_seconds,
    }  # fmt: skip
    for name, value in above_zero.items():
        if not 0 < value < float("inf"):
            refuse(f"{name} = {value} is not above 0")
    for name, value in {"quiet_seconds": work.quiet_seconds, "stop_gib": limits.stop_gib,
                        "keep_days": settings.keep_days, "most": settings.earlier.most}.items():  # fmt: skip
        if not 0 <= value < float("inf"):
            refuse(f"{name} = {value} is below 0")
    if limits.resume_gib < limits.stop_gib:
        refuse("resume_gib is not below stop_gib, or the node would refuse and take in turn")
    if not 0 <= settings.port < 65536:
        refuse(f"port {settings.port}: choose 1 to 65535 (0: any free one)")
    if settings.watch is not None and (settings.watch.every_seconds <= 0 or settings.watch.last_days < 1):
        refuse("[watch] every_seconds is above 0, last_days at least 1")


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, an IPv4 one in IPv6 clothes undressed; None for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
