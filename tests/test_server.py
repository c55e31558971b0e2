"""A whole server on real sockets, with calls that echo: admission, drain and end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
import pytest
import trio
import trio.testing
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)
from twilio.request_validator import RequestValidator

from relay import server
from relay.errors import ConfigError, SocketClosed
from relay.ports import Socket
from relay.server import Parts, Served
from relay.shell.journal import Journal
from relay.shell.recordings import Recordings
from relay.stop import Stop
from relay.switchboard import Switchboard
from relay.trust import authorities
from relay.web.app import create_app
from relay.web.desk import FrontDesk
from relay.web.health import Probe
from relay.web.outcomes import Outcomes
from tests.fakes import FakePhone, FakeStore, make_humans, memory_spool

AUTH, OURS, HUMAN = "12345", "+14155550100", "+14155550199"
PUBLIC = "relay.example.com"


@dataclass
class Site:
    """A running server and the ways to reach it, signed as Twilio signs."""

    served: Served
    store: FakeStore
    stop: Stop
    http: httpx.AsyncClient
    carried: list[str] = field(default_factory=list)
    ended: trio.Event = field(default_factory=trio.Event)

    def sign(self, url: str, form: dict[str, str] | None = None) -> dict[str, str]:
        return {"X-Twilio-Signature": RequestValidator(AUTH).compute_signature(url, form or {})}

    async def post(self, page: str, **params: str) -> ElementTree.Element | None:
        form = {"CallSid": "CA1", "From": "+14155550123", "To": OURS, **params}
        headers = self.sign(f"https://{PUBLIC}/twilio/{page}", form)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = await self.http.post(f"/twilio/{page}", content=urlencode(form), headers=headers)
        answer.raise_for_status()
        return ElementTree.fromstring(answer.text) if answer.text else None  # noqa: S314

    async def ring(self, call_sid: str = "CA1") -> str:
        """The path of a call's stream."""
        document = await self.post("incoming", CallSid=call_sid)
        url = document.find("Connect/Stream").get("url")
        return url.removeprefix(f"wss://{PUBLIC}")

    @asynccontextmanager
    async def stream(self, path: str, *, signed: bool = True) -> AsyncIterator[WebSocketConnection]:
        signature = self.sign(f"wss://{PUBLIC}{path}")["X-Twilio-Signature"] if signed else "x"
        # trio-websocket leaves a TCP connection open that died without a goodbye: keep our own.
        tcp = await trio.open_tcp_stream("127.0.0.1", self.served.port)
        async with tcp, trio.open_nursery() as nursery:
            headers = [(b"X-Twilio-Signature", signature.encode())]
            phone = await wrap_client_stream(nursery, tcp, PUBLIC, path, extra_headers=headers)
            yield phone
            with trio.move_on_after(1):
                await phone.aclose()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_site(*, drain_s: float = 5.0, **options: int) -> AsyncIterator[Site]:
    store, stop, carried = FakeStore(), Stop(), []

    async def carry(phone: Socket, call_sid: str, choose: Callable[[str], None]) -> None:
        carried.append(call_sid)
        try:
            while (text := await phone.receive()) != "bye":
                await phone.send(f"{call_sid} heard {text}")
        except SocketClosed:
            return
        choose("hang_up")
        await phone.aclose()

    stream_base = f"wss://{PUBLIC}"
    board = Switchboard(store, auth_token=AUTH, stream_base=stream_base, **options)
    journal = Journal(store, memory_spool())
    outcomes = Outcomes(journal.keep)
    humans = make_humans(FakePhone(), store)
    desk = FrontDesk(
        board,
        outcomes,
        humans,
        journal.keep,
        AUTH,
        f"https://{PUBLIC}",
        stream_base,
        OURS,
        {"": HUMAN},
        Recordings(FakePhone(), journal.keep, status_url=f"https://{PUBLIC}/twilio/recording"),
    )
    app = create_app(desk, Probe(lambda: store.write([]), journal))
    parts = Parts(board, journal, app, carry)
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Served]) -> None:
            await server.serve(
                parts,
                host="127.0.0.1",
                port=0,
                drain_s=drain_s,
                stop=stop,
                task_status=task_status,
            )
            site.ended.set()

        served = await nursery.start(run)
        base = f"http://127.0.0.1:{served.port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, verify=authorities()) as http:
            site = Site(served, store, stop, http, carried)
            with trio.fail_after(10):
                yield site
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER_S", 0.2)
    monkeypatch.setattr(server, "LOOK_S", 0.02)


def verbs(document: ElementTree.Element) -> list[str]:
    return [verb.tag for verb in document]


async def test_a_call_rings_streams_and_hangs_up() -> None:
    async with open_site() as site:
        path = await site.ring()
        async with site.stream(path) as phone:
            await phone.send_message("hello")
            assert await phone.get_message() == "CA1 heard hello"
            assert site.served.board.live() == 1
            await phone.send_message("bye")
            with pytest.raises(ConnectionClosed) as closed:
                await phone.get_message()
            assert closed.value.reason.code == 1000
        assert verbs(await site.post("after-stream")) == ["Hangup"]
        assert site.served.board.busy() == 0


async def test_twenty_streams_do_not_mix() -> None:
    async with open_site() as site:

        async def call(call_sid: str) -> None:
            async with site.stream(await site.ring(call_sid)) as phone:
                for turn in range(10):
                    await phone.send_message(f"turn {turn}")
                    assert await phone.get_message() == f"{call_sid} heard turn {turn}"

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(call, f"CA{number}")
        assert sorted(site.carried) == sorted(f"CA{number}" for number in range(20))


async def test_a_stranger_s_stream_is_refused_before_the_upgrade_and_reaches_no_call() -> None:
    async with open_site() as site:
        path = await site.ring()
        strangers = [(path, False), (path + "x", True), ("/twilio/stream/", True)]
        for wrong, signed in strangers:
            with pytest.raises(ExceptionGroup) as refused:
                async with site.stream(wrong, signed=signed):
                    pass
            assert refused.group_contains(ConnectionRejected)
        async with site.stream(path):
            pass
        with pytest.raises(ExceptionGroup):
            async with site.stream(path):
                pass
        assert site.carried == ["CA1"]
        assert site.served.door.counts["refused:403"] == 4


async def test_a_call_that_breaks_off_comes_back_once() -> None:
    async with open_site() as site:
        async with site.stream(await site.ring()):
            pass
        back = await site.post("after-stream")
        assert verbs(back) == ["Connect", "Redirect"]
        path = back.find("Connect/Stream").get("url").removeprefix(f"wss://{PUBLIC}")
        async with site.stream(path) as phone:
            await phone.send_message("again")
            assert await phone.get_message() == "CA1 heard again"
        assert verbs(await site.post("after-stream")) == ["Say", "Dial"], "not a second time"


async def test_draining_refuses_new_calls_and_lets_running_and_expected_ones_end() -> None:
    async with open_site() as site:
        expected = await site.ring("CA2")
        async with site.stream(await site.ring("CA1")) as phone:
            site.stop.ask()
            await trio.testing.wait_all_tasks_blocked()
            assert (await site.http.get("/readyz")).status_code == 503
            assert (await site.http.get("/healthz")).status_code == 200
            assert verbs(await site.post("incoming", CallSid="CA3")) == ["Say", "Dial"]
            await phone.send_message("still here")
            assert await phone.get_message() == "CA1 heard still here"
            async with site.stream(expected) as late:
                await late.send_message("bye")
            assert verbs(await site.post("after-stream", CallSid="CA2")) == ["Hangup"]
            assert not site.ended.is_set()
            await phone.send_message("bye")
        await site.ended.wait()


async def test_a_server_without_calls_ends_at_once() -> None:
    async with open_site() as site:
        began = trio.current_time()
        site.stop.ask()
        await site.ended.wait()
        assert trio.current_time() - began < 1


async def test_calls_that_outlast_the_drain_are_asked_to_move_and_nobody_goes_on_here() -> None:
    async with open_site(drain_s=0.3) as site:
        path, late = await site.ring(), await site.ring("CA2")
        async with site.stream(path) as phone:
            site.stop.ask()
            with trio.fail_after(2):
                await site.served.board.moving.wait()
            with pytest.raises(ExceptionGroup) as refused:
                async with site.stream(late):
                    pass
            assert refused.group_contains(ConnectionRejected)
            await phone.send_message("bye")
        await site.ended.wait()


async def test_a_patient_drain_ends_with_the_last_call_and_a_signal_gives_it_a_limit() -> None:
    async with open_site(drain_s=0.1) as site:
        path, other = await site.ring(), await site.ring("CA2")
        async with site.stream(other) as second:
            async with site.stream(path) as phone:
                site.stop.ask_patiently()
                await trio.sleep(0.3)
                assert (await site.http.get("/readyz")).status_code == 503
                assert not site.served.board.moving.is_set(), "no clock runs"
                await phone.send_message("bye")
            site.stop.ask()
            assert not site.stop.now.is_set()
            await site.served.board.moving.wait()
            await second.send_message("bye")
        await site.ended.wait()


async def test_calls_that_do_not_let_go_are_closed_and_go_to_the_human(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MOVE_S", 0.2)
    async with open_site(drain_s=0.3) as site, site.stream(await site.ring()) as phone:
        began = trio.current_time()
        site.stop.ask()
        with pytest.raises(ConnectionClosed) as closed:
            await phone.get_message()
        assert closed.value.reason.code == 1001
        assert verbs(await site.post("after-stream")) == ["Say", "Dial"]
        await site.ended.wait()
        assert 0.3 <= trio.current_time() - began < 2


async def test_asked_twice_a_server_ends_at_once() -> None:
    async with open_site(drain_s=300) as site, site.stream(await site.ring()):
        site.stop.ask()
        site.stop.ask()
        await site.ended.wait()


async def test_what_calls_left_behind_is_written_before_the_end() -> None:
    async with open_site() as site:
        await site.ring()
        await site.post("after-dial", DialCallStatus="completed", DialBridged="true")
        site.stop.ask()
        site.stop.ask()
        await site.ended.wait()
        row = site.store.rows["CA1"]
        assert (row.caller, row.outcome) == ("+14155550123", "transferred")


async def test_a_store_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "FLUSH_S", 0.2)
    async with open_site() as site:
        site.store.away = True
        await site.ring()
        site.stop.ask()
        site.stop.ask()
        await site.ended.wait()


async def test_a_peer_that_never_reads_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MOVE_S", 0.2)
    monkeypatch.setattr(server, "CUT_OFF_S", 0.3)
    async with open_site(drain_s=0.2) as site:
        path = await site.ring()
        stream = await trio.open_tcp_stream("127.0.0.1", site.served.port)
        async with stream:
            signed = site.sign(f"wss://{PUBLIC}{path}")["X-Twilio-Signature"]
            head = (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                f"X-Twilio-Signature: {signed}\r\n\r\n"
            )
            await stream.send_all(head.encode())
            assert b"101" in await stream.receive_some()
            frame = b"\x81\xfe\xc3\x50" + bytes(4) + b"x" * 50_000
            with trio.move_on_after(0.5):
                while True:
                    await stream.send_all(frame)
            began = trio.current_time()
            site.stop.ask()
            await site.ended.wait()
            assert trio.current_time() - began < 2


@pytest.mark.parametrize("host", ["256.1.1.1", "no.such.host.invalid", "127.0.0.1"])
async def test_an_address_that_cannot_be_had_is_one_clear_line(host: str) -> None:
    async with open_site() as site:
        parts = Parts(site.served.board, None, None, None)
        with pytest.raises(ConfigError, match=f"cannot listen on HOST {host}, PORT") as caught:
            await server.serve(parts, host=host, port=site.served.port, drain_s=1, stop=Stop())
        assert len(str(caught.value).splitlines()) == 1


class LateBoard:
    """One call, which ends by itself after so long."""

    def __init__(self, ends_after_s: float) -> None:
        self._ends_at = trio.current_time() + ends_after_s
        self.moved = False

    def busy(self) -> int:
        return int(trio.current_time() < self._ends_at)

    live = busy

    def drain(self) -> None:
        pass

    def move(self) -> None:
        self.moved = True


class NoReception:
    def cut_off(self) -> None:
        raise AssertionError("there is nobody to cut off")


@pytest.mark.parametrize(("ends_after_s", "moves"), [(9.5, False), (19.5, True)])
async def test_the_last_webhook_is_waited_for_though_the_time_for_calls_is_over_by_then(
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    ends_after_s: float,
    moves: bool,
) -> None:
    monkeypatch.setattr(server, "LINGER_S", 2.0)
    monkeypatch.setattr(server, "MOVE_S", 10.0)
    board, stop = LateBoard(ends_after_s), Stop()
    stop.ask()
    await server._until_over(cast("Switchboard", board), cast("Any", NoReception()), 10.0, stop)
    assert trio.current_time() >= ends_after_s + 2.0
    assert board.moved is moves
