"""Where records wait on disk while the database is away.

    SPOOL_DIR/lock                   held while the process lives: a second one is refused
    SPOOL_DIR/00000007.spool         a segment: MAGIC, then frames
    SPOOL_DIR/aside-00000008.spool   frames that nobody could take; at the next start, a segment
    SPOOL_DIR/00000006.damaged       a segment with something behind its valid frames

    frame    length   4 bytes, little-endian, of the payload; never 0
             check    4 bytes, little-endian: CRC-32 of the length's bytes and the payload
             payload

CRC-32 and not CRC-32C, because zlib's is in the standard library and in C. Both find every burst
of up to 32 bits, and let one in four thousand million of all other changes pass.

An append is one write and one fsync for a whole group; what it returned for will be read again,
whatever kills the process. After any error its descriptor is closed and never used again: the
kernel reports a failed fsync once, and forgets the pages. A segment of an earlier life is never
added to. What is read is the longest run of valid frames; what follows it is reported, and the
file is kept under another name, for it may hold what callers said.

A segment is removed once all of it is stored. How far a segment has been stored is not written
down: a process that starts again replays it from its beginning, and the store's upserts make
that harmless. Every method blocks, and one thread at a time may be in here.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from relay.errors import ConfigError, SpoolError
from relay.shell.disk import Disk

MAGIC: Final = b"relay spool 1\n"
SUFFIX: Final = ".spool"
# Small enough that a replay after a crash repeats little, large enough that files are few.
SEGMENT_BYTES: Final = 4 * 1024 * 1024
# Days of fifty busy calls; the disk has others on it.
MAX_BYTES: Final = 1024 * 1024 * 1024
# Read at a time.
CHUNK_BYTES: Final = 512 * 1024

_HEAD: Final = struct.Struct("<II")
_NAME: Final = re.compile(r"(aside-)?(\d{8})\.(spool|damaged)")

_log = structlog.get_logger("relay.spool")


@dataclass(frozen=True, slots=True)
class Damage:
    """What follows the valid frames of a file: where it begins, and how much it is."""

    file: str
    at: int
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that wait, oldest first. end: where in their segment they end."""

    payloads: tuple[bytes, ...]
    end: int


@dataclass(slots=True)
class _Segment:
    """size, frames: of what is known to be good; damaged: something lies behind it."""

    path: Path
    size: int
    frames: int
    damaged: bool = False


def framed(payload: bytes) -> bytes:
    """A payload as it stands in a segment."""
    length = len(payload).to_bytes(4, "little")
    check = zlib.crc32(payload, zlib.crc32(length))
    return length + check.to_bytes(4, "little") + payload


def frames(data: bytes, limit: int | None = None) -> tuple[list[bytes], int]:
    """The valid frames that data begins with, and how many bytes they fill."""
    found: list[bytes] = []
    at = 0
    while limit is None or len(found) < limit:
        begin = at + _HEAD.size
        if begin > len(data):
            break
        length, check = _HEAD.unpack_from(data, at)
        payload = data[begin : begin + length]
        if not length or len(payload) < length:
            break
        if zlib.crc32(payload, zlib.crc32(data[at : at + 4])) != check:
            break
        found.append(payload)
        at = begin + length
    return found, at


def open_spool(folder: Path, disk: Disk | None = None) -> Spool:
    """Open a folder, whoever left what in it. Blocks.

    Raises ConfigError when it cannot be used, or another process uses it.
    """
    disk = disk or Disk()
    try:
        disk.make_folder(folder)
        return Spool(folder, disk, disk.lock(folder / "lock"))
    except BlockingIOError:
        raise ConfigError(
            f"SPOOL_DIR {folder} is in use by another relay: give each process its own"
        ) from None
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"SPOOL_DIR {folder} cannot be used: {why}") from None


def waiting_in(folder: Path) -> list[bytes]:
    """The frames that wait in a folder and those of its workers, without opening it: a relay may be
    using it. One that is being written, or is stored meanwhile, may be among them or not. Blocks.
    """
    found: list[bytes] = []
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        with suppress(FileNotFoundError):  # stored just now
            data = path.read_bytes()
            if data.startswith(MAGIC):
                found += frames(data[len(MAGIC) :])[0]
    return found


class Spool:
    """An open folder. waiting: frames that are not stored yet, also those of earlier lives.

    damages: what could not be read; it is logged, too
    """

    def __init__(self, folder: Path, disk: Disk, lock: int) -> None:
        self.waiting = 0
        self.damages: list[Damage] = []
        self._folder = folder
        self._disk = disk
        self._lock = lock
        self._segments: deque[_Segment] = deque()
        self._fd: int | None = None  # of the last segment, if it is being written to
        self._at = len(MAGIC)  # how far the first segment is stored
        self._number = 0
        for path in self._found():
            self._take(path)

    def close(self) -> None:
        """Let another process have the folder."""
        self._close_segment()
        self._disk.close(self._lock)

    # ---- writing ----------------------------------------------------------------------------

    def append(self, payloads: Sequence[bytes]) -> None:
        """Put frames behind all others, for good. Raises SpoolError: then they are not there."""
        data = b"".join(map(framed, payloads))
        if sum(segment.size for segment in self._segments) + len(data) > MAX_BYTES:
            raise SpoolError(f"{self._folder} holds {MAX_BYTES >> 20} MiB already")
        segment, fd = self._writable(len(data))
        try:
            self._disk.write(fd, data)
            self._disk.sync(fd)
        except OSError as error:
            self._give_up(segment)
            raise self._failed(error) from error
        segment.size += len(data)
        segment.frames += len(payloads)
        self.waiting += len(payloads)

    def set_aside(self, payloads: Sequence[bytes]) -> None:
        """Keep frames that nobody can take; they are tried again at the next start."""
        path = self._new_path("aside-")
        try:
            self._drop(self._write_new(path, MAGIC + b"".join(map(framed, payloads))))
        except OSError as error:
            with suppress(OSError):
                self._disk.remove(path)
            raise self._failed(error) from error

    def _writable(self, more: int) -> tuple[_Segment, int]:
        if self._fd is not None and self._segments[-1].size + more > SEGMENT_BYTES:
            self._close_segment()
        if self._fd is not None:
            return self._segments[-1], self._fd
        path = self._new_path()
        try:
            self._fd = self._write_new(path, MAGIC)
        except OSError as error:
            with suppress(OSError):
                self._disk.remove(path)
            raise self._failed(error) from error
        self._segments.append(_Segment(path, len(MAGIC), 0))
        return self._segments[-1], self._fd

    def _write_new(self, path: Path, data: bytes) -> int:
        """A file with this in it, and its name, on disk. Returns the descriptor."""
        fd = self._disk.create(path)
        try:
            self._disk.write(fd, data)
            self._disk.sync(fd)
            self._disk.sync_folder(self._folder)
        except OSError:
            self._drop(fd)
            raise
        return fd

    def _give_up(self, segment: _Segment) -> None:
        """A write failed: what is in the file behind its good part is anybody's guess."""
        self._close_segment()
        if not segment.frames and segment.size == len(MAGIC):
            self._segments.pop()
            with suppress(OSError):
                self._disk.remove(segment.path)
            return
        with suppress(OSError):
            self._disk.truncate(segment.path, segment.size)

    def _close_segment(self) -> None:
        if self._fd is not None:
            self._drop(self._fd)
            self._fd = None

    def _drop(self, fd: int) -> None:
        with suppress(OSError):  # what matters was synced, or has failed already
            self._disk.close(fd)

    def _failed(self, error: OSError) -> SpoolError:
        return SpoolError(f"{self._folder}: {error.strerror or error}")

    # ---- reading ----------------------------------------------------------------------------

    def oldest(self, limit: int) -> Group:
        """At most so many frames that wait, oldest first; an empty group: none does."""
        while self._segments:
            segment = self._segments[0]
            payloads, used = self._read(segment, limit)
            if payloads:
                return Group(tuple(payloads), self._at + used)
            if self._at < segment.size:  # whole when it was written or opened, and no more
                self._report(segment, self._at, segment.size - self._at)
            self._finish(segment)
        return Group((), 0)

    def done(self, group: Group) -> None:
        """A group that `oldest` gave is stored: forget it, and remove what is all forgotten."""
        segment = self._segments[0]
        self._at = group.end
        segment.frames -= len(group.payloads)
        self.waiting -= len(group.payloads)
        if self._at >= segment.size:
            self._finish(segment)

    def _read(self, segment: _Segment, limit: int) -> tuple[list[bytes], int]:
        left = segment.size - self._at
        try:
            for length in (min(left, CHUNK_BYTES), left):
                data = self._disk.read(segment.path, self._at, length)
                payloads, used = frames(data, limit)
                if payloads:
                    return payloads, used
        except OSError as error:
            _log.exception("! spool cannot be read", file=segment.path.name, error=error.strerror)
        return [], 0

    def _finish(self, segment: _Segment) -> None:
        if len(self._segments) == 1:
            self._close_segment()
        self._segments.popleft()
        self.waiting -= segment.frames
        self._at = len(MAGIC)
        self._put_away(segment)

    def _put_away(self, segment: _Segment) -> None:
        try:
            if segment.damaged:
                self._disk.rename(segment.path, segment.path.with_suffix(".damaged"))
            else:
                self._disk.remove(segment.path)
        except OSError as error:  # it will be replayed at the next start, which is harmless
            _log.warning("! spool keeps a file", file=segment.path.name, error=error.strerror)

    # ---- what was there ---------------------------------------------------------------------

    def _found(self) -> Iterable[Path]:
        """The segments of earlier lives, oldest first; what was set aside is one again."""
        paths: dict[int, Path] = {}
        for name in self._disk.names(self._folder):
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            number = int(match[2])
            self._number = max(self._number, number)
            if match[3] == "spool":
                paths[number] = self._folder / f"{match[2]}{SUFFIX}"
                if match[1]:
                    self._disk.rename(self._folder / name, paths[number])
        return [paths[number] for number in sorted(paths)]

    def _take(self, path: Path) -> None:
        try:
            whole = self._disk.size(path)
            data = self._disk.read(path, 0, whole)
        except OSError as error:
            _log.exception("! spool cannot be read", file=path.name, error=error.strerror)
            return
        begin = len(MAGIC) if data.startswith(MAGIC) else 0
        payloads, used = frames(data[begin:]) if begin else ([], 0)
        segment = _Segment(path, begin + used, len(payloads))
        self._segments.append(segment)
        self.waiting += segment.frames
        if segment.size < whole:
            self._report(segment, segment.size, whole - segment.size)
        if not payloads:  # nothing to replay; killed behind the first write, say
            self._segments.pop()
            self._put_away(segment)

    def _report(self, segment: _Segment, at: int, size: int) -> None:
        segment.damaged = True
        self.damages.append(Damage(segment.path.name, at, size))
        _log.error("! spool is damaged", file=segment.path.name, at=at, bytes=size)

    def _new_path(self, prefix: str = "") -> Path:
        self._number += 1
        return self._folder / f"{prefix}{self._number:08}{SUFFIX}"
