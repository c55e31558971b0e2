"""The spool: what was appended is read again, whatever becomes of file, disk or process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.errors import ConfigError, SpoolError
from relay.shell import spool as module
from relay.shell.spool import MAGIC, Damage, Spool, framed, frames, open_spool
from tests.fakes import MemoryDisk

FOLDER = Path("spool")
FIRST = FOLDER / "00000001.spool"
PAYLOADS = st.lists(st.binary(min_size=1, max_size=60), max_size=12)


def disk_with(data: bytes) -> MemoryDisk:
    """A disk that a process left behind."""
    return MemoryDisk(files={FIRST: bytearray(data)})


def drained(spool: Spool, limit: int = 3) -> list[bytes]:
    """Take everything out, as a replay does."""
    found: list[bytes] = []
    while (group := spool.oldest(limit)).payloads:
        found += group.payloads
        spool.done(group)
    return found


def filled(spool: Spool, payload: bytes) -> list[bytes]:
    """Append until the spool takes no more. Returns what it has taken."""
    kept: list[bytes] = []
    with suppress(SpoolError):
        while len(kept) < 10_000:
            spool.append([payload])
            kept.append(payload)
    assert 0 < len(kept) < 10_000
    return kept


# ---- the format -----------------------------------------------------------------------------


@given(PAYLOADS)
def test_frames_come_back(payloads: list[bytes]) -> None:
    data = b"".join(map(framed, payloads))
    assert frames(data) == (payloads, len(data))
    assert frames(data, 2)[0] == payloads[:2]


def boundaries(payloads: list[bytes]) -> list[int]:
    """Where each frame of a segment ends; the first: where the first begins."""
    ends = [len(MAGIC)]
    for payload in payloads:
        ends.append(ends[-1] + len(framed(payload)))
    return ends


@given(PAYLOADS, st.data())
def test_any_truncation_leaves_all_whole_frames(payloads: list[bytes], data: st.DataObject) -> None:
    ends = boundaries(payloads)
    cut = data.draw(st.integers(0, ends[-1]))
    whole = MAGIC + b"".join(map(framed, payloads))
    with structlog.testing.capture_logs():
        spool = open_spool(FOLDER, disk_with(whole[:cut]))
    intact = [payload for payload, end in zip(payloads, ends[1:], strict=True) if end <= cut]
    assert spool.waiting == len(intact)
    assert drained(spool) == intact
    good = max((end for end in ends if end <= cut), default=0)
    assert spool.damages == ([Damage(FIRST.name, good, cut - good)] if cut > good else [])


@given(PAYLOADS.filter(bool), st.data())
@settings(max_examples=300)
def test_any_flipped_byte_spoils_its_frame_and_is_reported(
    payloads: list[bytes], data: st.DataObject
) -> None:
    ends = boundaries(payloads)
    at = data.draw(st.integers(0, ends[-1] - 1))
    flip = data.draw(st.integers(1, 255))
    whole = bytearray(MAGIC + b"".join(map(framed, payloads)))
    whole[at] ^= flip
    disk = disk_with(bytes(whole))
    with structlog.testing.capture_logs() as logs:
        spool = open_spool(FOLDER, disk)
    intact = [payload for payload, end in zip(payloads, ends[1:], strict=True) if end <= at]
    good = max((end for end in ends if end <= at), default=0)
    assert spool.damages == [Damage(FIRST.name, good, ends[-1] - good)]
    assert [line["log_level"] for line in logs] == ["error"]
    assert drained(spool) == intact
    assert disk.files == {FIRST.with_suffix(".damaged"): whole}, "nothing is thrown away"


@given(st.binary(max_size=200))
@example(bytes(64))
@example(MAGIC + bytes(64))
def test_any_bytes_are_survived(data: bytes) -> None:
    with structlog.testing.capture_logs():
        drained(open_spool(FOLDER, disk_with(data)))
        drained(open_spool(FOLDER, disk_with(MAGIC + data)))


def test_a_tail_of_zeros_is_no_frame() -> None:
    """What some file systems leave behind after a power cut."""
    assert frames(bytes(100)) == ([], 0)


# ---- a life ---------------------------------------------------------------------------------


def test_what_is_stored_is_removed_and_the_rest_stays_in_order() -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    spool.append([b"one", b"two"])
    group = spool.oldest(1)
    spool.append([b"three"])
    spool.done(group)
    assert (group.payloads, spool.waiting) == ((b"one",), 2)
    assert drained(spool) == [b"two", b"three"]
    assert spool.waiting == 0
    assert disk.files == {}
    spool.append([b"four"])
    assert drained(spool) == [b"four"]


def test_each_group_is_synced_before_append_returns() -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    for n in range(3):
        before = len(disk.synced)
        spool.append([b"a", b"b", b"c"])
        assert disk.synced[before:][-1] == FIRST
        assert len(disk.synced) - before == (2 if n == 0 else 1)


def test_segments_rotate_and_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    payloads = [bytes([n]) * 30 for n in range(1, 10)]
    for payload in payloads:
        spool.append([payload])
    assert len(disk.files) == 5
    assert max(map(len, disk.files.values())) <= 100
    group = spool.oldest(100)
    assert len(group.payloads) == 2, "a group stays within its segment"
    spool.done(group)
    assert len(disk.files) == 4
    assert drained(spool) == payloads[2:]
    assert disk.files == {}


def test_a_frame_larger_than_a_chunk_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 16)
    spool = open_spool(FOLDER, MemoryDisk())
    payloads = [b"x" * 100, b"y", b"z" * 50]
    spool.append(payloads)
    assert drained(spool) == payloads


def test_a_new_life_replays_what_the_last_one_left_before_its_own() -> None:
    disk = MemoryDisk()
    old = open_spool(FOLDER, disk)
    old.append([b"a", b"b", b"c"])
    old.done(old.oldest(2))
    new = open_spool(FOLDER, disk)
    new.append([b"d"])
    assert FIRST in disk.files, "a segment of an earlier life is never added to"
    assert new.waiting == 4
    assert drained(new) == [b"a", b"b", b"c", b"d"], "twice is harmless, never is not"
    assert disk.files == {}


def test_what_was_set_aside_is_tried_again_in_the_next_life() -> None:
    disk = MemoryDisk()
    old = open_spool(FOLDER, disk)
    old.set_aside([b"odd"])
    old.append([b"plain"])
    assert (old.waiting, drained(old)) == (1, [b"plain"])
    new = open_spool(FOLDER, disk)
    assert drained(new) == [b"odd"]
    assert disk.files == {}


def test_a_folder_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    spool = open_spool(FOLDER, MemoryDisk())
    filled(spool, b"x" * 50)
    assert 10 < spool.waiting < 20
    assert len(drained(spool)) > 10
    spool.append([b"x" * 50])


# ---- a disk that fails ----------------------------------------------------------------------


class Failing:
    """Fails the nth of a kind of step, once or from then on."""

    def __init__(self, step: str, code: int, *, nth: int = 1, times: int = 1) -> None:
        self.step, self.code = step, code
        self.left, self.times = nth, times

    def __call__(self, step: str) -> None:
        if step != self.step or not self.times:
            return
        self.left -= 1
        if self.left <= 0:
            self.times -= 1
            raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("step", ["create", "write", "sync", "sync_folder"])
@pytest.mark.parametrize("before", [0, 3])
def test_a_failed_append_loses_nothing_and_leaves_its_descriptor(
    step: str, code: int, before: int
) -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    expected = [b"%d" % n for n in range(before)]
    for payload in expected:
        spool.append([payload])
    if step in {"create", "sync_folder"}:
        spool = open_spool(FOLDER, disk)  # which makes a file for its first frame
    used = set(disk.open_files)
    disk.fail = Failing(step, code)
    with pytest.raises(SpoolError, match=os.strerror(code)):
        spool.append([b"lost", b"too"])
    assert spool.waiting == before
    disk.synced.clear()
    spool.append([b"kept"])
    if step in {"write", "sync"}:
        assert not used & set(disk.open_files), "never used again"
    assert disk.synced, "the new one is synced"
    survivor = open_spool(FOLDER, disk)
    assert survivor.damages == []
    assert drained(survivor) == [*expected, b"kept"]


def test_half_a_write_that_cannot_be_cut_off_is_read_past() -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    spool.append([b"one"])

    def fail(step: str) -> None:
        if step in {"write", "truncate"}:
            raise OSError(errno.EIO, "Input/output error")

    disk.fail = fail
    with pytest.raises(SpoolError):
        spool.append([b"two" * 50])
    disk.fail = lambda step: None
    spool.append([b"three"])
    with structlog.testing.capture_logs():
        survivor = open_spool(FOLDER, MemoryDisk(files=dict(disk.files)))
    assert drained(spool) == [b"one", b"three"]
    assert spool.damages == [], "the writer knows how far its file is good"
    assert drained(survivor) == [b"one", b"three"]
    assert len(survivor.damages) == 1


def test_a_segment_that_rots_while_it_waits_is_reported() -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    spool.append([b"one", b"two", b"three"])
    disk.files[FIRST][boundaries([b"one"])[-1] + 9] ^= 1
    with structlog.testing.capture_logs() as logs:
        assert drained(spool) == [b"one"]
    assert [line["event"] for line in logs] == ["! spool is damaged"]
    assert spool.waiting == 0
    assert list(disk.files) == [FIRST.with_suffix(".damaged")]


@pytest.mark.parametrize("step", ["read", "size"])
def test_an_unreadable_file_does_not_stop_the_start(step: str) -> None:
    disk = disk_with(MAGIC + framed(b"one"))
    disk.fail = Failing(step, errno.EIO)
    with structlog.testing.capture_logs() as logs:
        spool = open_spool(FOLDER, disk)
    assert [line["log_level"] for line in logs] == ["error"]
    spool.append([b"two"])
    assert drained(spool) == [b"two"]
    assert FIRST in disk.files


def test_a_file_that_cannot_be_removed_is_only_told() -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    spool.append([b"one"])
    disk.fail = Failing("remove", errno.EROFS)
    with structlog.testing.capture_logs() as logs:
        assert drained(spool) == [b"one"]
    assert [line["event"] for line in logs] == ["! spool keeps a file"]
    spool.append([b"two"])
    assert drained(spool) == [b"two"]


@pytest.mark.parametrize("step", ["create", "write", "sync"])
def test_setting_aside_fails_loudly_and_cleanly(step: str) -> None:
    disk = MemoryDisk()
    spool = open_spool(FOLDER, disk)
    disk.fail = Failing(step, errno.ENOSPC)
    with pytest.raises(SpoolError):
        spool.set_aside([b"odd"])
    assert disk.files == {}


# ---- real files -----------------------------------------------------------------------------


def test_on_a_real_disk(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = open_spool(folder)
    spool.append([b"one", b"two"])
    spool.done(spool.oldest(1))
    spool.set_aside([b"odd"])
    spool.close()
    assert folder.stat().st_mode & 0o077 == 0, "what callers said is not everybody's"
    again = open_spool(folder)
    assert drained(again) == [b"one", b"two", b"odd"]
    again.append([b"three"])
    assert drained(again) == [b"three"]
    again.close()
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_two_processes_never_share_a_spool(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    with pytest.raises(ConfigError, match="in use by another relay"):
        open_spool(tmp_path)
    program = (
        "import sys, pathlib; from relay.errors import ConfigError\n"
        "from relay.shell.spool import open_spool\n"
        "try: open_spool(pathlib.Path(sys.argv[1]))\n"
        "except ConfigError as error: print(error)"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "in use by another relay: give each process its own" in other.stdout
    spool.close()
    open_spool(tmp_path).close()


@pytest.mark.parametrize("step", ["make_folder", "lock", "names", "rename"])
def test_a_folder_that_cannot_be_used_is_one_clear_line(step: str) -> None:
    disk = MemoryDisk(files={FOLDER / "aside-00000001.spool": bytearray(MAGIC)})
    disk.fail = Failing(step, errno.EROFS)
    with pytest.raises(ConfigError, match="SPOOL_DIR spool cannot be used: Read-only file system"):
        open_spool(FOLDER, disk)


def test_a_full_disk_of_the_real_kind(tiny_disk: Path) -> None:
    spool = open_spool(tiny_disk / "spool")
    kept = filled(spool, b"x" * 500)
    with pytest.raises(SpoolError):
        spool.append([b"x" * 300_000])
    assert drained(spool, limit=50) == kept
    spool.append([b"room again"])
    spool.close()
    survivor = open_spool(tiny_disk / "spool")
    assert drained(survivor) == [b"room again"]
    assert survivor.damages == []
    survivor.close()
