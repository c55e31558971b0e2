"""The arithmetic of bench/load.py: when a stage holds, what is tried next, what a ramp came to."""

from __future__ import annotations

import math
import socket
import ssl
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import _latency_machine as machine  # noqa: E402
from bench._load_show import drawing, line, summary, table  # noqa: E402
from bench._load_tls import TlsSocket, make_papers, server_context  # noqa: E402
from bench._load_verdict import (  # noqa: E402
    BUSY,
    NOTHING,
    SIZES,
    Allowance,
    Point,
    asked,
    at,
    capacity,
    learned,
    memory_kib,
    next_size,
    objections,
    p99,
    stands,
    sum_up,
)


def svg(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def point(
    calls: int, *why: str, cpu_ms: float = 2.0, rss_kib: float = 0.0, busy: float = 0.1
) -> Point:
    figures = sum_up({"inbound": [1.0, 2.0], "outbound": [1.0], "onset": [1.0]})
    return Point(calls, cpu_ms, rss_kib, busy, (0.0, 0.1), figures, why)


# ---- does a stage hold? ---------------------------------------------------------------------


def why(allowed: Allowance = NOTHING, faults: tuple[str, ...] = (), **delays: float) -> list[str]:
    figures = sum_up({"inbound": [1.0], "outbound": [1.0], "onset": [1.0]})
    figures.update(sum_up({name: [ms] for name, ms in delays.items()}))
    return list(objections(figures, faults, allowed))


def test_a_frame_of_delay_is_allowed_and_no_more() -> None:
    assert why(inbound=20.0, outbound=20.0, gap=20.0) == []
    assert why(inbound=20.1) == ["inbound p99 20.1 ms (at most 20)"]
    assert why(outbound=33.0) == ["outbound p99 33.0 ms (at most 20)"]
    assert why(gap=44.0) == ["a gap of 44 ms"]


def test_a_fault_and_a_missing_figure_speak_against_a_stage() -> None:
    assert why(faults=("no answer", "no answer")) == ["no answer"]
    assert objections({}, (), NOTHING) == (
        "inbound: nothing was measured",
        "outbound: nothing was measured",
    )


def test_a_relay_that_paces_is_judged_by_an_answers_first_sound_and_by_its_own_delay() -> None:
    paced = Allowance(paced=True, own_ms=100.0)
    assert why(paced, inbound=119.0, outbound=2000.0) == []
    assert why(paced, onset=21.0) == ["onset p99 21.0 ms (at most 20)"]
    assert why(paced, inbound=121.0) == ["inbound p99 121.0 ms (at most 120)"]


def test_what_a_relay_is_let_off_is_measured_before_anything_is_judged_by_it() -> None:
    unknown = Allowance(paced=True, own_ms=math.inf)
    assert asked([10, 50], unknown) == [1, 10, 50]
    assert asked([10, 50], NOTHING) == [10, 50]
    assert asked([], unknown) == []  # a ramp begins with one call
    known = learned(unknown, point(1))
    assert known == Allowance(paced=True, own_ms=2.0)
    assert learned(known, point(10)) == known
    assert learned(unknown, point(1, "a gap")).own_ms == 0.0
    assert learned(NOTHING, point(1)) == NOTHING


def test_a_run_stands_when_calls_were_carried_and_all_that_were_asked_for() -> None:
    ramp = [point(1), point(10), point(25, "a gap")]
    assert stands(ramp, None)
    assert not stands(ramp, [1, 10, 25])
    assert stands(ramp[:2], [1, 10])
    assert not stands([point(1, "a gap")], None)
    assert not stands([point(1), point(10, busy=BUSY + 0.01)], None)


def test_a_p99_of_few_says_of_how_many() -> None:
    few, many = sum_up({"few": [1.0, 2.0], "many": [1.0] * 100}).values()
    assert p99(few) == "2.00 of 2"
    assert p99(many) == "1.00"


# ---- the ramp -------------------------------------------------------------------------------


@given(limit=st.integers(0, 900), most=st.integers(1, 800))
def test_the_ramp_ends_and_finds_the_capacity_closely(limit: int, most: int) -> None:
    tried: dict[int, bool] = {}
    for _ in range(60):
        calls = next_size(tried, most)
        if calls is None:
            break
        assert calls not in tried
        assert 0 < calls <= most
        tried[calls] = calls <= limit
    else:
        pytest.fail("it does not end")
    found = capacity([point(calls, *([] if held else ["no"])) for calls, held in tried.items()])
    assert found <= limit
    fits = max((size for size in SIZES if size <= most), default=0)
    assert found >= min(0.85 * limit - 1, fits)


def test_a_number_that_holds_above_one_that_did_not_is_luck() -> None:
    points = [point(10), point(50, "a gap"), point(75)]
    assert capacity(points) == 10
    assert next_size({10: True, 50: False, 75: True}, 800) == 30


def test_memory_is_counted_beyond_the_first_call_and_below_a_bound() -> None:
    points = [point(1, rss_kib=1000), point(51, rss_kib=6000), point(300, rss_kib=90_000)]
    assert memory_kib(points, 100) == 100.0
    assert memory_kib(points[:1], 100) is None


def test_stages_that_did_not_hold_are_not_compared() -> None:
    assert at([point(50, "a gap")], 50) is None
    assert at([point(50)], 50) == point(50)


# ---- what people see ------------------------------------------------------------------------


def test_generators_that_were_the_bottleneck_are_named() -> None:
    choked = [point(10), point(100, cpu_ms=3.0, busy=BUSY + 0.01)]
    lines = summary("relay", choked)
    assert lines[0] == "relay: at least 100 calls on a core"
    assert "1.50 times what it costs at 10" in lines[1]
    assert lines[-1].startswith("FAULT")
    assert not any(text.startswith("FAULT") for text in summary("relay", [point(10)]))


def test_a_stage_tells_its_reason() -> None:
    assert line(point(10)).endswith("holds")
    assert line(point(10, "a gap of 44 ms")).endswith("NO: a gap of 44 ms")
    assert line(Point(9, 0, 0, 0, (), {}, ("call 3 was not let in",))).endswith("was not let in")


def test_table_and_picture_hold_every_stage() -> None:
    ramps = {"plain": [point(1), point(50, "a gap")], "tls": [point(1)]}
    rows = table(ramps).splitlines()
    assert len(rows) == 2 + 3
    assert len({row.count("|") for row in rows}) == 1
    root = svg(drawing(ramps, "title"))
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == 3 * 3
    assert sum(circle.get("fill") == "white" for circle in circles) == 3


# ---- what a process costs -------------------------------------------------------------------

# A parent with a child, both of which live until their input ends.
FAMILY = """
import subprocess, sys
program = "import sys; x = bytearray(b'x' * 50_000_000); print(1, flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", program])
sys.stdin.read()
"""


def family() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", FAMILY]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    return parent


async def test_a_process_is_sampled_with_its_children_until_it_is_gone() -> None:
    parent = family()
    assert machine.sample(parent.pid).rss_kib > 50_000
    parent.communicate()
    taken: list[machine.Sample] = []
    with trio.fail_after(5):
        await machine.watch(partial(machine.sample, parent.pid), taken)
    assert taken == []


# ---- TLS ------------------------------------------------------------------------------------


def test_a_tls_socket_reads_as_a_plain_one_for_whoever_trusts_the_ca(tmp_path: Path) -> None:
    papers = make_papers(tmp_path)
    listener = socket.create_server(("127.0.0.1", 0))
    trusting = ssl.create_default_context(cafile=str(papers.trusted))

    def talk() -> None:
        with (
            socket.create_connection(listener.getsockname()) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            client.sendall(b"x" * 40_000)
            assert client.recv(10) == b"heard"

    thread = threading.Thread(target=talk)
    thread.start()
    accepted, _ = listener.accept()
    served = TlsSocket(accepted, server_context(papers.certificate, papers.key))
    heard = b""
    while len(heard) < 40_000:
        heard += served.recv(1 << 16)
    served.setblocking(False)
    with pytest.raises(BlockingIOError):
        served.recv(1)
    assert served.send(b"heard") == 5
    thread.join(5)
    served.close()
    listener.close()
