"""How much memory there is, so that what does not fit is told before it is tried."""

from __future__ import annotations

from pathlib import Path

from glasslung.errors import UsageError

GIB = 2**30
SPARED = 0.9  # of what is free: a library's own buffers are not counted, and the system needs some
MEMINFO = Path("/proc/meminfo")
LIMITS = (  # what a container may use and uses: version 2 and version 1 of control groups
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def free_bytes() -> int | None:
    """Bytes that may still be used here; None where the system does not say."""
    found = [left for left in (_of_the_machine(), *(_of_a_group(*files) for files in LIMITS)) if left]
    return min(found, default=None)


def check_fits(needed: int, what: str, remedy: str, free: int | None = None) -> None:
    """UsageError where `needed` bytes are more than there are.

    what    needs them, as the sentence begins: 'a training step of i3d on 8 scans'
    remedy  what to lower, as it ends
    free    None: what is free now
    """
    left = free_bytes() if free is None else free
    if left is not None and needed > SPARED * left:
        raise UsageError(
            f"{what} needs about {needed / GIB:.1f} GiB of memory, and {left / GIB:.1f} are free: {remedy}"
        )


def _of_the_machine() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _of_a_group(limit: Path, used: Path) -> int | None:
    """What a container has left; None where it has no limit of its own."""
    try:
        most = limit.read_text().strip()
        return None if most == "max" else max(1, int(most) - int(used.read_text()))
    except (OSError, ValueError):
        return None
