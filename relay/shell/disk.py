"""What the spool asks of a file system: a seam, so that tests can have one that fails.

Every method blocks and raises OSError as the system does.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path


class Disk:
    """The real one."""

    def make_folder(self, path: Path) -> None:
        """Not its parents: a volume that is missing must not be made up."""
        path.mkdir(exist_ok=True, mode=0o700)

    def names(self, folder: Path) -> Sequence[str]:
        return [each.name for each in folder.iterdir()]

    def lock(self, path: Path) -> int:
        """Lock a file for as long as the process lives. Raises BlockingIOError: somebody has."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def create(self, path: Path) -> int:
        """Open a file to write at its end. Raises FileExistsError when it is there."""
        return os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )

    def write(self, fd: int, data: bytes) -> None:
        """Write all of it, or raise: then a part may be there."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def sync_folder(self, folder: Path) -> None:
        """Make the names of its files last, too."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def read(self, path: Path, start: int, length: int) -> bytes:
        """At most so many bytes; fewer only at the file's end."""
        with path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def truncate(self, path: Path, size: int) -> None:
        os.truncate(path, size)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def remove(self, path: Path) -> None:
        path.unlink()
