"""Two relays on one PostgreSQL behind a balancer: calls outlive both. On the real clock.

`make handover` makes 20 calls of it (CALLS), and only there it is judged how long the gaps are.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio

from relay.adapters.store import upgrade
from relay.sim.person import Person
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import open_internet
from relay.sim.ulaw import tone
from tests.databases import Row, reading, rows
from tests.handover.balancer import Balancer
from tests.started import Begun, begun

ROOT = Path(__file__).resolve().parents[2]
CALLS = int(os.environ.get("HANDOVER_CALLS", "4"))
GAPS_COUNT = "HANDOVER_CALLS" in os.environ
PUBLIC = "https://relay.example.com"
ACCOUNT, TOKEN, OURS, HUMAN = "AC" + "0" * 32, "12345-auth", "+15125550100", "+15125550199"
VOICE = tone(200.0, 500, -12.0)
GAP_S, REATTACHED_S = 2.0, 6.0


def postgres() -> Any:
    path = ROOT / "tests/adapters/postgres.py"
    spec = importlib.util.spec_from_file_location("relay_tests_handover_postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def database() -> Iterator[Callable[[], str]]:
    """Makes a new database, with its tables."""
    module = postgres()
    with module.running() as home:
        module.execute(home, "CREATE DATABASE migrated")
        upgrade(str(module.url(home, "migrated")))

        def make() -> str:
            name = f"handover_{secrets.token_hex(4)}"
            module.execute(home, f"CREATE DATABASE {name} TEMPLATE migrated")
            return str(module.url(home, name))

        yield make


@dataclass(frozen=True)
class Model:
    """The model's end (model.py). What it says in one test it says in no other."""

    process: subprocess.Popen[str]
    port: int

    def sessions(self) -> list[tuple[list[tuple[str, str]], list[str]]]:
        """What each session, of all tests so far, was told, and what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        report, faults = json.loads(self.process.stdout.readline())
        assert faults == []
        return [([(role, text) for role, text in told], said) for told, said in report]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """One for all tests of a file: it takes longer to begin than to answer."""
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/handover/model.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Model(process, int(process.stdout.readline()))
        process.stdin.close()


# ---- the place ------------------------------------------------------------------------------


@dataclass
class Place:
    """Two relays, one model, one network. read: the rows of a table."""

    folder: Path
    url: str
    read: Callable[[str], list[Row]]
    model: Model
    ports: list[int]
    balancer: Balancer
    cloud: TwilioCloud
    relays: dict[int, Begun | subprocess.Popen[bytes]] = field(default_factory=dict)
    calls: list[PhoneCall] = field(default_factory=list)
    enough: trio.Event = field(default_factory=trio.Event)

    def start(self, port: int, *options: str, **settings: str) -> None:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_PHONE_NUMBER": OURS,
            "HUMAN_TRANSFER_NUMBER": HUMAN,
            "DESK_HOURS": "always",
            "PUBLIC_URL": PUBLIC,
            "OPENAI_API_KEY": "sk-none",
            "OPENAI_REALTIME_URL": f"ws://127.0.0.1:{self.model.port}/v1/realtime",
            "CLIPS": "packaged",
            "DATABASE_URL": self.url,
            "SPOOL_DIR": str(self.folder / f"spool-{port}"),
            "PROMPTS_DIR": str(ROOT / "prompts"),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DRAIN_S": "1",
            **settings,
        }
        out = self.folder / f"log-{port}"
        if not options:
            self.relays[port] = begun("serve", folder=self.folder, env=env, out=out, err=out)
            return
        with out.open("ab") as log:  # a parent starts its workers as it was started itself
            command = [sys.executable, "-m", "relay", "serve", *options]
            self.relays[port] = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log
            )

    async def ended(self, port: int, within_s: float = 90.0) -> int:
        with trio.fail_after(within_s):
            while (status := self.relays[port].poll()) is None:  # noqa: ASYNC110 - another process
                await trio.sleep(0.05)
        return status

    async def call(self, number: int) -> None:
        base = f"{PUBLIC}/twilio"
        dialled = Number(OURS, f"{base}/incoming", f"{base}/fallback", f"{base}/status")
        call = self.cloud.place(dialled, f"+1415555{number:04}")
        self.calls.append(call)
        await self.cloud.run(call, self._talk, time_limit_s=120)

    async def _talk(self, person: Person) -> None:
        """Speak, be answered, and so on until it is enough."""
        while not self.enough.is_set():
            with trio.move_on_after(1.5):
                await person.hear_until_silence(timeout_s=20)
            if not self.enough.is_set():
                await person.say(VOICE)
                await trio.sleep(0.9)
        person.hang_up()

    async def talking(self, answers: int) -> None:
        """Until the model has spoken so often in each call, told by the rows."""
        with trio.fail_after(180):
            while True:
                lines = await trio.to_thread.run_sync(self.read, "transcripts")
                heard = [
                    row["call_sid"]
                    for row in lines
                    if row["speaker"] == "agent" and row["item_id"].startswith("item_")
                ]
                if all(heard.count(call.sid) >= answers for call in self.calls):
                    return
                await trio.sleep(0.3)

    async def settled(self) -> None:
        """Until each call has its outcome: its own, and not what a status callback guessed."""
        with trio.fail_after(90):
            while True:
                outcomes = await trio.to_thread.run_sync(self.read, "call_outcomes")
                if sum(row["ended_at"] is not None for row in outcomes) == CALLS:
                    return
                await trio.sleep(0.1)

    def gaps(self) -> list[float]:
        """From the end of each stream to the first sound of the next."""
        found = []
        for call in self.calls:
            ends = [event.at for event in call.log.events if event.kind == "stream-ended"]
            for end, following in zip(ends, call.streams[1:], strict=False):
                first = following.playout.chunks[0]
                found.append(call.line.time(first.start) - end)
        return found

    def whys(self, call: PhoneCall) -> list[str]:
        return [leg.parameters.get("why", "") for leg in call.streams]


@asynccontextmanager
async def open_place(
    folder: Path, url: str, model: Model, *, workers: int = 0, metrics: int = 0, **account: Any
) -> AsyncIterator[Place]:
    """Two relays; with workers one, of so many processes. metrics: the port of the first one's."""
    ports = [free_port()] if workers else [free_port(), free_port()]
    options = ["--workers", str(workers)] if workers else []
    settings = {"METRICS_PORT": str(metrics)} if metrics else {}
    balancer = Balancer(ports)
    async with AsyncExitStack() as stack:
        read = stack.enter_context(reading(url))
        nursery = await stack.enter_async_context(trio.open_nursery())
        front = await nursery.start(balancer.run)
        async with open_internet({PUBLIC: f"http://127.0.0.1:{front}"}) as internet:
            cloud = TwilioCloud(ACCOUNT, TOKEN, internet, **account)
            place = Place(folder, url, read, model, ports, balancer, cloud)
            try:
                for port in ports:
                    place.start(port, *options, **settings)
                await balancer.until_ready(*ports)
                yield place
            finally:
                for relay in place.relays.values():
                    relay.kill()  # a worker whose parent is gone ends by itself
                    relay.wait()
        nursery.cancel_scope.cancel()


def free_port(count: int = 1) -> int:
    """The first of so many ports in a row of which none is in use."""
    while True:
        with ExitStack() as probes:
            first = probes.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for further in range(port + 1, port + count):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", further))
            except (OSError, OverflowError):
                continue
            return port


# ---- what is proven -------------------------------------------------------------------------


async def test_a_rolling_restart_loses_no_call(
    database: Callable[[], str], model: Model, tmp_path: Path
) -> None:
    url = await trio.to_thread.run_sync(database)
    async with open_place(tmp_path, url, model) as place:
        async with trio.open_nursery() as callers:
            for number in range(CALLS):
                callers.start_soon(place.call, number)
            await place.talking(1)
            for port in place.ports:
                place.relays[port].send_signal(signal.SIGTERM)
                assert await place.ended(port) == 0
                place.start(port)
                await place.balancer.until_ready(port)
            await place.talking(3)
            place.enough.set()
        await place.settled()
        sessions = await trio.to_thread.run_sync(model.sessions)
    await check(place, sessions, "moved")
    gaps = sorted(place.gaps())
    sys.stdout.write(
        f"{CALLS} calls, {len(gaps)} moves: gap p50 {statistics.median(gaps):.2f} s,"
        f" worst {gaps[-1]:.2f} s\n"
    )
    assert len(gaps) >= CALLS
    assert gaps[-1] <= GAP_S or not GAPS_COUNT


@pytest.mark.parametrize("asks_action", [True, False], ids=["action", "next verb"])
async def test_a_killed_relay_s_calls_go_on_in_the_other(
    database: Callable[[], str], model: Model, tmp_path: Path, asks_action: bool
) -> None:
    url = await trio.to_thread.run_sync(database)
    async with open_place(tmp_path, url, model, action_after_crash=asks_action) as place:
        async with trio.open_nursery() as callers:
            for number in range(CALLS):
                callers.start_soon(place.call, number)
            await place.talking(1)
            busier = max(place.ports, key=lambda port: place.balancer.open[port])
            place.relays[busier].kill()
            await place.ended(busier)
            await trio.sleep(1.0)
            await place.talking(2)
            place.enough.set()
        await place.settled()
        sessions = await trio.to_thread.run_sync(model.sessions)
    await check(place, sessions, "broke")
    gaps = sorted(place.gaps())
    pages = {
        urlsplit(exchange.url).path.rpartition("/")[2]
        for call in place.calls
        for exchange in call.exchanges
        if len(call.streams) > 1 and 'name="why"' in exchange.text
    }
    assert pages == ({"after-stream"} if asks_action else {"fallback"})
    sys.stdout.write(f"{len(gaps)} of {CALLS} calls were cut: back after {gaps[-1]:.2f} s\n")
    assert gaps
    assert gaps[-1] <= REATTACHED_S or not GAPS_COUNT


async def check(
    place: Place, sessions: list[tuple[list[tuple[str, str]], list[str]]], why: str
) -> None:
    """Every call went on to its caller's own end, knew what was said, and has one outcome."""
    lines = await trio.to_thread.run_sync(rows, place.url, "transcripts")
    outcomes = await trio.to_thread.run_sync(rows, place.url, "call_outcomes")
    assert sorted(row["call_sid"] for row in outcomes) == sorted(c.sid for c in place.calls)
    assert {row["outcome"] for row in outcomes} == {"resolved"}
    for call in place.calls:
        assert call.ended_by == "caller", call.log.kinds()
        assert call.dials == []
        assert place.whys(call) == ["", *[why] * (len(call.streams) - 1)]
        story = [row for row in lines if row["call_sid"] == call.sid]
        story.sort(key=lambda row: row["position"])
        for earlier in range(1, len(call.streams)):
            # The lines of the streams so far, as the session of the next one must have been told.
            known = [
                ("user" if row["speaker"] == "caller" else "assistant", row["heard_text"])
                for row in story
                if row["heard_text"]
            ]
            own = [text for role, text in known if "This is answer" in text]
            matching = [told for told, _ in sessions if own[0] in [text for _, text in told]]
            assert len(matching) == len(call.streams) - 1, "each new session was told of the first"
            told = [pair for pair in matching[earlier - 1] if pair[0] != "system"]
            assert told == known[: len(told)], "in order, as it was heard, and nothing else"
            assert len(told) >= 2 * earlier
