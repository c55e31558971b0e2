"""How much memory is left before the kernel ends the process, and all its calls with it.

    less than a fifth, and less than 256 MiB   tight: new calls are refused, the running ones need
                                               what there is
    a quarter more than that is free again     new calls are taken

What counts is the nearest limit: of the machine, or of a control group around the process (a
container's), whatever else lives below it. Files that the kernel keeps in memory only because there
is room for them do not count as used. Where there is no /proc, nothing is known and nobody refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
import trio

LOOK_S: Final = 2.0
TIGHT_SHARE: Final = 0.2  # of the limit
TIGHT_BYTES: Final = 256 * 1024 * 1024  # hundreds of calls
EASED: Final = 1.25

_log = structlog.get_logger("relay.memory")


@dataclass(frozen=True, slots=True)
class Room:
    """What is used of a limit, in bytes."""

    used: int
    limit: int

    @property
    def free(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def wanted(self) -> float:
        """Less than this is tight."""
        return min(TIGHT_SHARE * self.limit, TIGHT_BYTES)


class Memory:
    """The nearest limit. room: as of the last look; tight: new calls shall be refused."""

    def __init__(self, read: Callable[[], Room | None] = lambda: nearest(Path("/"))) -> None:
        self.room = Room(0, 0)
        self.tight = False
        self._read = read

    async def run(self) -> None:
        """Look for ever."""
        while True:
            # The kernel may have to add up a while before it answers.
            self.note(await trio.to_thread.run_sync(self._read))
            await trio.sleep(LOOK_S)

    def note(self, room: Room | None) -> None:
        """This is how it is now; None: it cannot be known."""
        self.room = room or Room(0, 0)
        enough = self.room.wanted * (EASED if self.tight else 1)
        if (self.room.free < enough) is not self.tight:
            self.tight = not self.tight
            mib = {"used_mib": self.room.used >> 20, "limit_mib": self.room.limit >> 20}
            _log.warning("! memory is tight" if self.tight else "= memory is there", **mib)


def nearest(root: Path) -> Room | None:
    """The limit that would be met first, of those that can be read below root."""
    return min(_limits(root), key=lambda room: room.free / room.wanted, default=None)


def _limits(root: Path) -> Iterator[Room]:
    machine = _numbers(root / "proc/meminfo")
    if "MemAvailable" in machine and machine.get("MemTotal"):
        total = machine["MemTotal"] * 1024
        yield Room(total - machine["MemAvailable"] * 1024, total)
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield from _groups(root / "sys/fs/cgroup", path, _V2)
        elif "memory" in controllers.split(","):
            yield from _groups(root / "sys/fs/cgroup/memory", path, _V1)


@dataclass(frozen=True, slots=True)
class _Files:
    """What a version of control groups calls things. cache: what the kernel can do without."""

    limit: str
    used: str
    cache: tuple[str, str]


_V1: Final = _Files(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_V2: Final = _Files("memory.max", "memory.current", ("inactive_file", "active_file"))


def _groups(base: Path, path: str, files: _Files) -> Iterator[Room]:
    """The group and those around it that have a limit. In a container only base may be there."""
    group = base / path.lstrip("/")
    for folder in (group, *group.parents):
        limit, used = _text(folder / files.limit).strip(), _text(folder / files.used).strip()
        if limit.isdecimal() and int(limit) and used.isdecimal():
            stat = _numbers(folder / "memory.stat")
            cache = sum(stat.get(name, 0) for name in files.cache)
            yield Room(max(0, int(used) - cache), int(limit))
        if folder == base:
            return


def _numbers(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    lines = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}


def _text(path: Path) -> str:
    """ "" for what is not there, or is not ours to read."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
