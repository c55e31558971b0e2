"""The real disk: what the spool relies on, on the file system that the tests run on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.shell.disk import Disk


def test_what_is_written_is_read(tmp_path: Path) -> None:
    disk, path = Disk(), tmp_path / "a"
    fd = disk.create(path)
    disk.write(fd, b"one ")
    disk.write(fd, b"two")
    disk.sync(fd)
    disk.sync_folder(tmp_path)
    disk.close(fd)
    assert disk.size(path) == 7
    assert disk.read(path, 0, 100) == b"one two"
    assert disk.read(path, 2, 3) == b"e t"
    assert disk.read(path, 7, 10) == b""
    disk.truncate(path, 3)
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_write_is_whole_however_little_the_system_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    disk, path = Disk(), tmp_path / "a"
    fd = disk.create(path)
    disk.write(fd, b"a long sentence")
    disk.close(fd)
    assert path.read_bytes() == b"a long sentence"


def test_a_file_is_created_once(tmp_path: Path) -> None:
    disk = Disk()
    disk.close(disk.create(tmp_path / "a"))
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "a")


def test_a_lock_is_one_s_own_until_it_is_closed(tmp_path: Path) -> None:
    disk = Disk()
    lock = disk.lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        disk.lock(tmp_path / "lock")
    disk.close(lock)
    disk.close(disk.lock(tmp_path / "lock"))


def test_a_folder_is_made_but_not_its_parents(tmp_path: Path) -> None:
    disk = Disk()
    disk.make_folder(tmp_path / "spool")
    disk.make_folder(tmp_path / "spool")
    with pytest.raises(FileNotFoundError):
        disk.make_folder(tmp_path / "volume" / "spool")


def test_files_are_listed_renamed_and_removed(tmp_path: Path) -> None:
    disk = Disk()
    for name in ("a", "b"):
        disk.close(disk.create(tmp_path / name))
    disk.rename(tmp_path / "a", tmp_path / "c")
    disk.remove(tmp_path / "b")
    assert disk.names(tmp_path) == ["c"]
