"""Too many at once, over real sockets: who is slow on purpose, and who comes in a flood.

Waiting is measured in CPU time of this process, in which both ends run: work that stands before an
answer counts, and what a busy machine gives to other programs does not.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from urllib.parse import urlencode

import trio

from tests.test_server import OURS, PUBLIC, Site, open_site

SLOW = 300
RINGS = 40
FLOOD, FLOOD_S = 250, 2.5  # a hundred calls a second
AT_ONCE = 100


def request(site: Site, call_sid: str) -> bytes:
    """A ringing call's webhook, as it stands on the wire."""
    form = {"CallSid": call_sid, "From": "+14155550123", "To": OURS}
    signed = site.sign(f"https://{PUBLIC}/twilio/incoming", form)["X-Twilio-Signature"]
    body = urlencode(form).encode()
    head = (
        f"POST /twilio/incoming HTTP/1.1\r\nHost: {PUBLIC}\r\nX-Twilio-Signature: {signed}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(site: Site, wire: bytes) -> tuple[float, bytes]:
    """How much was worked from the first byte sent to the last one read, in s; and the answer."""
    began, answer = time.process_time(), b""
    async with await trio.open_tcp_stream("127.0.0.1", site.served.port) as stream:
        await stream.send_all(wire)
        async for some in stream:
            answer += some
    return time.process_time() - began, answer


def p99(times: Sequence[float]) -> float:
    return sorted(times)[math.ceil(0.99 * len(times)) - 1]


async def dribble(site: Site, wire: bytes) -> None:
    """Send the last 20 bytes one by one, but for the very last, until the door has had enough."""
    async with await trio.open_tcp_stream("127.0.0.1", site.served.port) as stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(wire[:-20])
            for at in range(len(wire) - 20, len(wire) - 1):
                await stream.send_all(wire[at : at + 1])
                await trio.sleep(0.5)
            await stream.receive_some()


async def test_three_hundred_slow_sockets_hold_nobody_up() -> None:
    """Heads that never end, bodies that drip, and sockets that say nothing at all."""
    async with open_site() as site, site.stream(await site.ring("CAtalks")) as phone:
        wire = request(site, "CAslow")
        slow = [wire, b"", wire[: wire.index(b"\r\n\r\n")]]
        times = []
        async with trio.open_nursery() as nursery:
            for n in range(SLOW):
                nursery.start_soon(dribble, site, slow[n % 3])
            await trio.sleep(1)
            for n in range(RINGS):
                took, answer = await ask(site, request(site, f"CA{n}"))
                assert answer.startswith(b"HTTP/1.1 200"), answer[:60]
                times.append(took)
                await phone.send_message(str(n))
                assert await phone.get_message() == f"CAtalks heard {n}"
            nursery.cancel_scope.cancel()
        assert p99(times) < 0.2, sorted(times)[-3:]


async def test_a_flood_is_answered_in_time_and_lets_in_no_more_than_there_is_room_for() -> None:
    """A hundred calls a second: ten have room, the others are sent to the human at once."""
    async with open_site(max_calls=10) as site, site.stream(await site.ring("CAtalks")) as phone:
        times, answers, heard = [], [], []

        async def one(n: int) -> None:
            took, answer = await ask(site, request(site, f"CA{n}"))
            times.append(took)
            answers.append(answer)

        async def talk() -> None:
            while True:
                began = time.process_time()
                await phone.send_message("x")
                await phone.get_message()
                heard.append(time.process_time() - began)
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk)
            async with trio.open_nursery() as callers:
                for n in range(FLOOD):
                    callers.start_soon(one, n)
                    await trio.sleep(FLOOD_S / FLOOD)
            nursery.cancel_scope.cancel()
        assert sum(b"<Stream" in answer for answer in answers) == 9
        assert sum(b"<Dial" in answer for answer in answers) == FLOOD - 9
        assert p99(times) < 0.5, sorted(times)[-3:]
        assert p99(heard) < 0.2, "the call that is under way does not feel it"


async def test_a_hundred_at_the_same_moment_are_answered_long_before_twilio_gives_up() -> None:
    async with open_site() as site:
        wires, times = [request(site, f"CA{n}") for n in range(AT_ONCE)], []

        async def one(wire: bytes) -> None:
            took, answer = await ask(site, wire)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:60]
            times.append(took)

        async with trio.open_nursery() as nursery:
            for wire in wires:
                nursery.start_soon(one, wire)
        assert len(times) == AT_ONCE
        assert max(times) < 1, "they share one core; each is 2 ms of it, with both ends"


async def test_without_a_file_descriptor_calls_go_on_and_new_ones_wait() -> None:
    """Real exhaustion: for a while no socket can be accepted, and then it can."""
    async with open_site() as site, site.stream(await site.ring("CAtalks")) as phone:
        late = trio.SocketStream(trio.socket.socket())
        with no_more_files():
            await late.socket.connect(("127.0.0.1", site.served.port))
            await late.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            for n in range(20):
                await phone.send_message(str(n))
                assert await phone.get_message() == f"CAtalks heard {n}"
                await trio.sleep(0.01)
            with trio.move_on_after(0.05) as nothing:
                await late.receive_some()
            assert nothing.cancelled_caught
        async with late:
            with trio.fail_after(3):
                assert (await late.receive_some()).startswith(b"HTTP/1.1 200")


@contextmanager
def no_more_files() -> Iterator[None]:
    """No new descriptor can be had; those that are open stay so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)  # the lowest number that there is
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
