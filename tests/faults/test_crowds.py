"""Too many at once, over real sockets: who is slow on purpose, and who comes in a flood.

Both ends are in this process, and what stands before an answer is counted in turns and steps of its
loop, which know neither how fast nor how busy the machine is. How long it takes is printed
(`pytest -s`), and judged by nobody here.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from urllib.parse import urlencode

import pytest
import trio
from trio_websocket import WebSocketConnection

from relay import door
from tests.test_server import OURS, PUBLIC, Site, open_site
from tests.turns import Loop, Took

SLOW = 300
RINGS = 40
FLOOD, FLOOD_S = 250, 2.5  # a hundred calls a second
AT_ONCE = 100
GENEROUS = 3  # times what the same takes when nobody else is there


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


async def ask(site: Site, wire: bytes) -> bytes:
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", site.served.port) as stream:
        await stream.send_all(wire)
        async for some in stream:
            answer += some
    assert answer.startswith(b"HTTP/1.1 200"), answer[:60]
    return answer


async def echo(phone: WebSocketConnection, text: str) -> None:
    await phone.send_message(text)
    assert await phone.get_message() == f"CAtalks heard {text}"


def most(times: list[Took], shown: str) -> Took:
    """The most that one of them took, of each measure."""
    turns, steps = max(took.turns for took in times), max(took.steps for took in times)
    ms = sorted(took.ms for took in times)
    print(f"{shown}: at most {turns} turns, {steps} steps; {ms[len(ms) // 2]:.1f} ms, {ms[-1]:.1f}")  # noqa: T201
    return Took(turns, steps, ms[-1])


async def test_three_hundred_slow_sockets_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that never end, bodies that drip, and sockets that say nothing at all.

    Whoever rings is answered while all of them are still there, and with no more work.
    """
    monkeypatch.setattr(door, "HEAD_TIMEOUT_S", 600)  # nobody is given up meanwhile
    async with open_site() as site, site.stream(await site.ring("CAtalks")) as phone:
        loop, alone, among, gone = Loop(), [], [], []
        wire = request(site, "CAslow")
        kinds = [(wire[:-20], wire[-20:-1]), (b"", b""), (wire[:20], wire[20:39])]

        async def ring(call_sid: str, times: list[Took]) -> None:
            with loop.counting(times):
                await ask(site, request(site, call_sid))
            await echo(phone, call_sid)

        async def listen(slow: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError):
                await slow.receive_some()
            gone.append(slow)

        for n in range(RINGS):
            await ring(f"CAalone{n}", alone)
        async with trio.open_nursery() as nursery, AsyncExitStack() as open_ones:
            slow = [
                await open_ones.enter_async_context(
                    await trio.open_tcp_stream("127.0.0.1", site.served.port)
                )
                for _ in range(SLOW)
            ]
            for n, one in enumerate(slow):
                await one.send_all(kinds[n % 3][0])
                nursery.start_soon(listen, one)
            for n in range(RINGS):
                for at in range(n % 2, SLOW, 2):
                    await slow[at].send_all(kinds[at % 3][1][n // 2 : n // 2 + 1])
                await ring(f"CAamong{n}", among)
            assert not gone
            nursery.cancel_scope.cancel()
        quiet, crowded = most(alone, "alone"), most(among, "among slow ones")
        assert crowded.turns <= GENEROUS * quiet.turns
        assert crowded.steps <= GENEROUS * quiet.steps


async def test_a_flood_is_answered_in_time_and_lets_in_no_more_than_there_is_room_for() -> None:
    """A hundred calls a second: ten have room, the others are sent to the human at once."""
    async with open_site(max_calls=10) as site, site.stream(await site.ring("CAtalks")) as phone:
        loop, answers = Loop(), []
        alone, among, echoes, echoes_among = [], [], [], []

        async def talk(times: list[Took]) -> None:
            while True:
                with loop.counting(times):
                    await echo(phone, "x")
                await trio.sleep(0.02)

        async def one(n: int) -> None:
            with loop.counting(among):
                answers.append(await ask(site, request(site, f"CA{n}")))

        for _ in range(RINGS):
            with loop.counting(echoes):
                await echo(phone, "x")
            with loop.counting(alone):
                await ask(site, request(site, "CAtalks"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, echoes_among)
            async with trio.open_nursery() as callers:
                for n in range(FLOOD):
                    callers.start_soon(one, n)
                    await trio.sleep(FLOOD_S / FLOOD)
            nursery.cancel_scope.cancel()
        assert sum(b"<Stream" in answer for answer in answers) == 9
        assert sum(b"<Dial" in answer for answer in answers) == FLOOD - 9
        quiet, flooded = most(alone, "alone"), most(among, "in the flood")
        assert flooded.turns <= GENEROUS * quiet.turns
        quiet, flooded = most(echoes, "an echo alone"), most(echoes_among, "an echo in the flood")
        assert flooded.turns <= GENEROUS * quiet.turns, "the call under way does not feel it"


async def test_a_hundred_at_the_same_moment_are_answered_long_before_twilio_gives_up() -> None:
    """They take turns: nobody waits for the others' answers but in the line to be accepted."""
    async with open_site() as site:
        loop, alone, among = Loop(), [], []
        for _ in range(RINGS):
            with loop.counting(alone):
                await ask(site, request(site, "CA0"))

        async def one(wire: bytes) -> None:
            with loop.counting(among):
                await ask(site, wire)

        async with trio.open_nursery() as nursery:
            for wire in [request(site, f"CA{n}") for n in range(AT_ONCE)]:
                nursery.start_soon(one, wire)
        assert len(among) == AT_ONCE
        quiet, crowded = most(alone, "alone"), most(among, "a hundred at once")
        assert crowded.turns <= GENEROUS * (quiet.turns + AT_ONCE)


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
            with trio.fail_after(30):
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
