"""When memory is tight: which limit is meant, what is used of it, and who is refused."""

from __future__ import annotations

import re
import socket
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest
import structlog.testing
import trio

from relay.memory import Memory, Room, nearest
from relay.seeing import Process
from relay.sim.twilio_net import sign
from relay.trust import authorities
from tests.test_wiring import CALLER, PUBLIC, make_settings, open_relay, scripted_model

MIB = 1024 * 1024
MEMINFO = "MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 786432 kB\nHugePages_Total: 0\n"
MACHINE = Room(256 * MIB, 1024 * MIB)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


def group(folder: str, limit: str, used: int, inactive: int = 0, active: int = 0) -> dict[str, str]:
    """A control group of version 2."""
    stat = f"anon 1\nfile 99\ninactive_file {inactive}\nactive_file {active}\nshmem 7\n"
    return {
        f"sys/fs/cgroup/{folder}memory.max": f"{limit}\n",
        f"sys/fs/cgroup/{folder}memory.current": f"{used}\n",
        f"sys/fs/cgroup/{folder}memory.stat": stat,
    }


# ---- which limit ----------------------------------------------------------------------------


def test_without_a_group_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert nearest(write(tmp_path, {"proc/meminfo": MEMINFO})) == MACHINE


def test_a_group_without_a_limit_is_none(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n"}
    write(tmp_path, {**files, **group("a/b/", "max", 900 * MIB), **group("a/", "max", 900 * MIB)})
    assert nearest(tmp_path) == MACHINE


def test_the_limit_that_would_be_met_first_counts_wherever_it_stands(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/pod/relay\n"}
    outer, inner = group("pod/", str(512 * MIB), 500 * MIB), group("pod/relay/", str(MIB * 700), 0)
    write(tmp_path, {**files, **inner, **outer})
    assert nearest(tmp_path) == Room(500 * MIB, 512 * MIB)


def test_files_that_the_kernel_could_drop_are_not_used(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", **group("", str(512 * MIB), 500 * MIB, 300, 40)}
    assert nearest(write(tmp_path, files)) == Room(500 * MIB - 340, 512 * MIB)


def test_in_a_container_of_version_one_the_group_is_at_the_top(tmp_path: Path) -> None:
    """Its path is the host's, which the container does not see."""
    top = "sys/fs/cgroup/memory/memory."
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/f00\n4:memory:/docker/f00\n0::/\n",
        f"{top}limit_in_bytes": str(256 * MIB),
        f"{top}usage_in_bytes": str(200 * MIB),
        f"{top}stat": "inactive_file 5\ntotal_inactive_file 30\ntotal_active_file 3\n",
    }
    assert nearest(write(tmp_path, files)) == Room(200 * MIB - 33, 256 * MIB)


@pytest.mark.parametrize("nonsense", ["", "0", "-1", "max", "9 9", "\xff"])
def test_what_cannot_be_read_limits_nobody(tmp_path: Path, nonsense: str) -> None:
    base = tmp_path / "sys/fs/cgroup"
    write(tmp_path, {"proc/meminfo": "MemTotal:\nMemAvailable: x kB\n", "proc/self/cgroup": "0::/"})
    write(tmp_path, group("", "1", 1))
    (base / "memory.max").write_text(nonsense, encoding="latin-1")
    assert nearest(tmp_path) is None
    assert nearest(tmp_path / "nowhere") is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_here_there_is_a_limit() -> None:
    room = nearest(Path("/"))
    assert room is not None
    assert 0 < room.used < room.limit


# ---- when it is tight -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit_mib", "tight_below_mib"), [(100, 20), (512, 102.4), (1280, 256), (64 * 1024, 256)]
)
def test_tight_is_a_fifth_and_never_more_than_256_mib(limit_mib: int, tight_below_mib: int) -> None:
    limit, edge = limit_mib * MIB, round(tight_below_mib * MIB)
    memory = Memory()
    memory.note(Room(limit - edge - 1000, limit))
    assert not memory.tight
    memory.note(Room(limit - edge + 1000, limit))
    assert memory.tight


def test_it_is_over_when_a_quarter_more_is_free_and_told_once() -> None:
    memory = Memory()
    with structlog.testing.capture_logs() as logs:
        for used in (79, 81, 90, 120, 79, 76, 74, 79):
            memory.note(Room(used, 100))
            assert memory.tight is (used in {81, 90, 120, 76} or (used == 79 and len(logs) == 1))
    assert [line["event"] for line in logs] == ["! memory is tight", "= memory is there"]


def test_where_nothing_can_be_read_nobody_is_refused() -> None:
    memory = Memory()
    memory.note(Room(99, 100))
    memory.note(None)
    assert (memory.tight, memory.room) == (False, Room(0, 0))


# ---- a relay --------------------------------------------------------------------------------


async def test_a_relay_whose_memory_is_tight_gives_new_calls_to_others_until_it_is_not(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        metrics = free.getsockname()[1]
    settings = make_settings(tmp_path, METRICS_PORT=str(metrics))
    rooms = [Room(90 * MIB, 100 * MIB)]
    process = Process(memory=Memory(lambda: rooms[0]))
    with trio.fail_after(20):
        models = partial(scripted_model, [])
        async with (
            open_relay(settings, model_dialer=models, process=process) as served,
            httpx.AsyncClient(trust_env=False, verify=authorities()) as client,
        ):
            page_url = f"http://127.0.0.1:{metrics}/metrics"
            tight = await _until(client, page_url, "relay_memory_tight 1.0")
            refused = await _tell(client, served.port, "incoming", CallSid="CA1")
            counted = (await client.get(page_url)).text
            rooms[0] = Room(10 * MIB, 100 * MIB)
            await _until(client, page_url, "relay_memory_tight 0.0")
            taken = await _tell(client, served.port, "incoming", CallSid="CA2")
            over = {"CallSid": "CA2", "CallStatus": "completed"}
            await _tell(client, served.port, "status", **over)
    assert float(tight.partition("\nrelay_memory_used_bytes ")[2].split()[0]) == 90 * MIB
    assert float(tight.partition("\nrelay_memory_limit_bytes ")[2].split()[0]) == 100 * MIB
    assert "<Stream" not in refused
    assert settings.human_transfer_number in refused or "<Record" in refused, "by the hour"
    assert 'relay_calls_refused_total{reason="memory"} 1.0' in counted
    assert "<Stream" in taken


async def _until(client: httpx.AsyncClient, url: str, line: str) -> str:
    while True:
        try:
            page = (await client.get(url)).text
        except httpx.TransportError:
            page = ""
        if re.search(f"^{re.escape(line)}$", page, re.MULTILINE):
            return page
        await trio.sleep(0.05)


async def _tell(client: httpx.AsyncClient, port: int, what: str, **fields: str) -> str:
    """A webhook of Twilio's, and the document that answers it."""
    url = f"{PUBLIC}/twilio/{what}"
    form = {"From": CALLER, "To": "+14155550100", **fields}
    headers = {"X-Twilio-Signature": sign("12345", url, list(form.items()))}
    local = f"http://127.0.0.1:{port}/twilio/{what}"
    return (await client.post(local, data=form, headers=headers)).text
