"""Notices are delivered: the webhook at least once, texts never twice, whatever dies when."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog.testing
import trio
from hypothesis import event, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from relay.adapters.store import SqlStore, open_store
from relay.adapters.store_engine import make_engine, parse_url
from relay.adapters.store_tables import notices as table
from relay.core.records import CallOpened, OwnerNotice, failed_notice
from relay.errors import NoticeError, PhoneControlError, StoreError
from relay.ports import Entry, Leg
from relay.shell import notices
from relay.shell.notifier import FAILED_EVERY_S, LEASE_S, LONGEST_S, MAX_TRIES, Notifier
from tests.core.driver import TIMES
from tests.databases import migrated

START = datetime(2026, 11, 26, 9, 40, tzinfo=UTC)
OWNER, CALLER = "+14155550188", "+14155550123"
MORE = re.compile(r"And (\d+) more calls?")
EVERYBODY = partial(notices.channels, webhook=True, sms_owner=True, sms_caller=True)


class Killed(BaseException):
    """What `kill -9` looks like from within: nothing is handled, nothing is finished."""


@dataclass
class World:
    """The outside of one or more notifiers: a database, a receiver, a telephone network.

    posting, texting, asking: how the next requests go, in order; then all go well
    posts, texts: what arrived, whether or not the sender learned of it
    ahead_s: how far the wall clock has been moved ahead
    """

    url: str
    posting: list[str] = field(default_factory=list)
    texting: list[str] = field(default_factory=list)
    asking: list[str] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    post_times: list[float] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    ahead_s: float = 0.0

    def __post_init__(self) -> None:
        self.store = open_store(self.url, channels=EVERYBODY)
        self.engine = make_engine(parse_url(self.url))

    def close(self) -> None:
        self.store.close()
        self.engine.dispose()

    def clock(self) -> datetime:
        return START + timedelta(seconds=trio.current_time() + self.ahead_s)

    def keep(self, number: int = 1, kind: str = "booked", caller: str = CALLER) -> None:
        sid = f"CA{number}"
        opened = CallOpened(0.0, "MZ1", caller)
        notice = OwnerNotice(0.0, "call_1", kind, f"Ann {kind}: number {number}.")
        self.store.write([Entry(sid, START, opened), Entry(sid, START, notice)])

    def fail(self, number: int) -> None:
        sid = f"CA{number}"
        opened = CallOpened(0.0, "MZ1", f"+1415555{number:04}")
        notice = failed_notice(0.0, "model_unreachable")
        self.store.write([Entry(sid, START, opened), Entry(sid, self.clock(), notice)])

    def rows(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            query = sa.select(table).order_by(table.c.call_sid, table.c.channel)
            return [dict(row) for row in connection.execute(query).mappings()]

    def states(self) -> dict[str, str]:
        return {row["channel"]: row["state"] for row in self.rows()}

    async def settled(self, *channels: str) -> None:
        """Wait until nothing is left to do, in these channels or in all."""
        with trio.fail_after(7200):
            while True:
                await trio.sleep(5)
                states = {
                    row["state"]
                    for row in self.rows()
                    if not channels or row["channel"] in channels
                }
                if not states & {"pending", "sending"}:
                    return

    def age(self, tries: int) -> None:
        """As if everything had been tried so often already."""
        with self.engine.begin() as connection:
            connection.execute(sa.update(table).values(tries=tries))

    def process(self, **changes: Any) -> Process:
        return Process(self, changes)


@dataclass
class Process:
    """One process: its notifier, and ends of the ports that die with it."""

    world: World
    changes: dict[str, Any]
    dead: bool = False

    def notifier(self) -> Notifier:
        return Notifier(
            self.world.store,
            **{
                "webhook": self,
                "secret": "a-secret-of-ours",
                "phone_control": self,
                "sms_to": OWNER,
                "confirm": True,
                "business": lambda: "Test Clinic",
                "wall_clock": self.world.clock,
                "draw": lambda: 0.0,
                "run_sync": self.ask,
                **self.changes,
            },
        )

    async def run(self) -> None:
        try:
            await self.notifier().run()
        except* Killed:
            assert self.dead

    async def run_again_and_again(self) -> None:
        """As a supervisor would."""
        while True:
            await self.run()
            self.dead = False
            await trio.sleep(1)

    def step(self, fate: str, where: str) -> None:
        self.dead = self.dead or fate == f"die {where}"
        if self.dead:
            raise Killed

    async def ask(self, question: Callable[[], Any]) -> Any:
        await trio.lowlevel.checkpoint()
        fate = self.world.asking.pop(0) if self.world.asking else "ok"
        self.step(fate, "before")
        if fate == "fails":
            raise StoreError("away")
        answer = question()
        self.step(fate, "after")
        if fate == "lost":
            raise StoreError("the connection broke at COMMIT")
        return answer

    async def post(self, body: bytes, headers: dict[str, str]) -> None:
        await trio.sleep(0.1)
        fate = self.world.posting.pop(0) if self.world.posting else "ok"
        self.step(fate, "before")
        if fate == "fails":
            raise NoticeError("HTTP 500")
        self.world.posts.append(json.loads(body))
        self.world.headers.append(headers)
        self.world.post_times.append(trio.current_time())
        self.step(fate, "after")
        if fate == "lost":
            await trio.sleep(10)
            raise NoticeError("no answer within 10 s")

    async def text(self, to: str, body: str) -> str:
        await trio.sleep(0.1)
        fate = self.world.texting.pop(0) if self.world.texting else "ok"
        self.step(fate, "before")
        if fate == "busy":
            raise PhoneControlError("HTTP 429")
        if fate == "refused":
            raise PhoneControlError("HTTP 400, Twilio error 21211", refused=True)
        if fate == "vanished":
            raise PhoneControlError("no answer in time", doubtful=True)
        self.world.texts.append((to, body))
        await trio.sleep(0.3)
        self.step(fate, "after")
        if fate == "lost":
            raise PhoneControlError("no answer in time", doubtful=True)
        return "SM1"

    async def place(self, leg: Leg) -> str:
        raise AssertionError(leg)

    async def hang_up(self, call_sid: str) -> None:
        raise AssertionError(call_sid)

    redirect = start_recording = pause_recording = hang_up
    resume_recording = stop_recording = delete_recording = hang_up


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notices")


@contextmanager
def open_world(folder: Path, **script: list[str]) -> Iterator[World]:
    for old in folder.glob("one.db*"):
        old.unlink()
    world = World(migrated(folder / "one.db"), **script)
    try:
        yield world
    finally:
        world.close()


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
    with open_world(folder) as world:
        yield world


# ---- when all goes well ---------------------------------------------------------------------


async def test_everybody_is_told_once(world: World, autojump_clock, nursery) -> None:
    nursery.start_soon(world.process().run)
    await trio.sleep(3)
    world.keep()
    await trio.sleep(3)
    [post] = world.posts
    assert (post["kind"], post["caller"], post["text"]) == (
        "booked",
        CALLER,
        "Ann booked: number 1.",
    )
    assert sorted(world.texts) == [
        (CALLER, "Test Clinic: Your appointment is booked. number 1."),
        (OWNER, f"Ann booked: number 1. ({CALLER})"),
    ]
    assert set(world.states().values()) == {"sent"}
    await trio.sleep(600)
    assert (len(world.posts), len(world.texts)) == (1, 2)


async def test_an_outage_is_texted_now_and_then_and_posted_call_by_call(
    world: World, autojump_clock, nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.shell.notifier.POLL_S", 20.0)
    nursery.start_soon(world.process().run)
    for number in range(32):  # a call each minute
        world.fail(number)
        await trio.sleep(60)
    await trio.sleep(FAILED_EVERY_S)
    assert len({post["caller"] for post in world.posts}) == len(world.posts) == 32
    told = [int(found[1]) if (found := MORE.search(body)) else 0 for _, body in world.texts]
    assert {to for to, _ in world.texts} == {OWNER}
    assert told == [0, 14, 14, 0], "each call is told of once"


async def test_what_waited_for_a_process_is_delivered(
    world: World, autojump_clock, nursery
) -> None:
    for number in range(30):
        world.keep(number, "message")
    nursery.start_soon(world.process().run)
    await trio.sleep(4)
    assert len({post["id"] for post in world.posts}) == len(world.posts) == 30
    assert len(set(world.texts)) == len(world.texts) == 30


async def test_tries_are_counted(world: World, autojump_clock, nursery) -> None:
    world.posting, world.texting = ["fails", "fails"], ["vanished"]
    world.keep(kind="message")
    process = world.process()
    notifier = process.notifier()
    nursery.start_soon(notifier.run)
    await world.settled()
    assert notifier.counts == {
        ("webhook", "pending"): 2,
        ("webhook", "sent"): 1,
        ("sms_owner", "unknown"): 1,
    }


async def test_only_what_is_configured_is_delivered(world: World, autojump_clock, nursery) -> None:
    world.keep()
    nursery.start_soon(world.process(webhook=None, confirm=False).run)
    await trio.sleep(60)
    assert world.posts == []
    assert [to for to, _ in world.texts] == [OWNER]
    await world.process(webhook=None, sms_to=None, confirm=False).run()  # nothing to do: it ends


async def test_two_processes_share_the_work(world: World, autojump_clock, nursery) -> None:
    for number in range(40):
        world.keep(number)
    for _ in range(2):
        nursery.start_soon(world.process().run)
    await world.settled()
    assert len({post["id"] for post in world.posts}) == len(world.posts) == 40
    assert len(set(world.texts)) == len(world.texts) == 80


# ---- a webhook that does not answer ---------------------------------------------------------


async def test_a_post_is_made_again_with_the_same_id_and_a_new_signature(
    world: World, autojump_clock, nursery
) -> None:
    world.posting = ["lost", "fails", "lost"]
    world.keep()
    nursery.start_soon(world.process().run)
    await world.settled()
    first, second, third = world.posts
    assert first == second == third
    signatures = [headers["Relay-Signature"] for headers in world.headers]
    assert len(set(signatures)) == 3
    waits = [b - a for a, b in zip(world.post_times, world.post_times[1:], strict=False)]
    assert 40 <= waits[0] <= 46  # 10 s of silence, 10 s, a refusal, 20 s
    assert 50 <= waits[1] <= 54  # 10 s of silence, 40 s


async def test_a_receiver_that_is_away_for_good_is_given_up_after_a_day(
    world: World, autojump_clock, nursery
) -> None:
    for draw in (0.0, 1.0):
        notifier = Notifier(world.store, draw=lambda draw=draw: draw)
        hours = sum(notifier.wait_s(tries) for tries in range(1, MAX_TRIES)) / 3600
        assert 24 <= hours <= 31

    world.posting = ["fails"] * 9
    world.keep()
    world.age(MAX_TRIES - 2)
    with structlog.testing.capture_logs() as lines:
        nursery.start_soon(world.process().run)
        await trio.sleep(60)
        assert world.states()["webhook"] == "pending"
        world.ahead_s += LONGEST_S
        await world.settled()
        await trio.sleep(60)
    assert world.states()["webhook"] == "failed"
    assert len(world.posting) == 9 - 2
    assert [line["log_level"] for line in lines if "given up" in line["event"]] == ["error"]


async def test_a_slow_receiver_holds_up_no_text(world: World, autojump_clock, nursery) -> None:
    world.posting = ["lost"] * 30
    for number in range(30):
        world.keep(number, "message")
    nursery.start_soon(world.process().run)
    await trio.sleep(5)
    assert len(world.texts) == 30


# ---- a text in doubt ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "state", "arrived"),
    [
        ("lost", "unknown", 1),
        ("vanished", "unknown", 0),
        ("refused", "failed", 0),
        ("busy", "sent", 1),
    ],
)
async def test_a_text_is_repeated_only_when_it_was_certainly_not_sent(
    world: World, autojump_clock, nursery, *, fate: str, state: str, arrived: int
) -> None:
    world.texting = [fate]
    world.keep(kind="message")
    with structlog.testing.capture_logs() as lines:
        nursery.start_soon(world.process().run)
        await world.settled()
        await trio.sleep(60)
    assert world.states()["sms_owner"] == state
    assert len(world.texts) == arrived
    loud = [line for line in lines if line["log_level"] == "error"]
    assert len(loud) == (state != "sent")
    for secret in (CALLER, OWNER, "number 1"):
        assert secret not in repr(lines)


@pytest.mark.parametrize("caller", ["", "anonymous", "client:jenny"])
async def test_without_a_number_nobody_is_texted(
    world: World, autojump_clock, nursery, caller: str
) -> None:
    world.keep(caller=caller)
    nursery.start_soon(world.process().run)
    await world.settled()
    assert world.states() == {"sms_caller": "failed", "sms_owner": "sent", "webhook": "sent"}
    assert [to for to, _ in world.texts] == [OWNER]


async def test_a_confirmation_waits_for_its_call_to_be_stored(
    world: World, autojump_clock, nursery
) -> None:
    notice = OwnerNotice(0.0, "call_1", "booked", "x")
    world.store.write([Entry("CA1", START, notice)])
    nursery.start_soon(world.process().run)
    await trio.sleep(5)
    assert world.states()["sms_caller"] == "pending"
    world.store.write([Entry("CA1", START, CallOpened(0.0, "MZ1", CALLER))])
    await world.settled()
    assert CALLER in [to for to, _ in world.texts]


async def test_a_process_that_ends_brings_its_texts_to_their_end(
    world: World, autojump_clock
) -> None:
    world.keep(kind="message")
    with trio.move_on_after(0.2):
        await world.process(webhook=None).run()
    assert 0.2 < trio.current_time() < 1
    assert world.states()["sms_owner"] == "sent"


# ---- a database that is away ----------------------------------------------------------------


async def test_a_database_that_is_away_is_waited_for(world: World, autojump_clock, nursery) -> None:
    world.asking = ["fails"] * 20
    world.keep()
    with structlog.testing.capture_logs() as lines:
        nursery.start_soon(world.process().run)
        await world.settled()
    assert (len(world.posts), len(world.texts)) == (1, 2)
    assert len([line for line in lines if "cannot be read" in line["event"]]) == 1


async def test_a_report_that_fails_is_made_again(world: World, autojump_clock, nursery) -> None:
    world.keep(kind="message")
    nursery.start_soon(world.process(webhook=None).run)
    await trio.sleep(0.2)
    world.asking = ["fails", "lost", "fails"]
    await world.settled("sms_owner")
    assert world.states()["sms_owner"] == "sent"
    assert len(world.texts) == 1


# ---- kill -9 --------------------------------------------------------------------------------


async def test_a_killed_senders_post_is_made_again(world: World, autojump_clock, nursery) -> None:
    world.posting = ["die after"]
    world.keep()
    nursery.start_soon(world.process(sms_to=None, confirm=False).run_again_and_again)
    await trio.sleep(LEASE_S - 1)
    assert len(world.posts) == 1
    await trio.sleep(5)
    assert world.posts[0] == world.posts[1]
    assert world.states()["webhook"] == "sent"


@pytest.mark.parametrize(("fate", "arrived"), [("die after", 1), ("die before", 0)])
async def test_a_killed_senders_text_is_in_doubt(
    world: World, autojump_clock, nursery, fate: str, arrived: int
) -> None:
    world.texting = [fate]
    world.keep(kind="message")
    nursery.start_soon(world.process(webhook=None).run_again_and_again)
    with structlog.testing.capture_logs() as lines:
        await trio.sleep(LEASE_S + 5)
    assert world.states()["sms_owner"] == "unknown"
    assert len(world.texts) == arrived
    assert [line["error"] for line in lines if line["log_level"] == "error"] == ["sender died"]


# ---- everything at once ---------------------------------------------------------------------

DEATHS = ["die before", "die after"]


@settings(max_examples=6 * TIMES)  # `make fuzz` makes many more
@given(
    count=st.integers(1, 4),
    processes=st.integers(1, 3),
    posting=st.lists(st.sampled_from(["ok", "fails", "lost", *DEATHS]), max_size=6),
    texting=st.lists(
        st.sampled_from(["ok", "busy", "refused", "vanished", "lost", *DEATHS]), max_size=6
    ),
    asking=st.lists(st.sampled_from(["ok", "ok", "fails", "lost", *DEATHS]), max_size=20),
)
def test_every_post_arrives_and_no_text_arrives_twice(
    folder: Path,
    *,
    count: int,
    processes: int,
    posting: list[str],
    texting: list[str],
    asking: list[str],
) -> None:
    """The law of the whole: whatever fails or dies, wherever, in whichever order."""
    calm = not {*posting, *texting, *asking} - {"ok"}

    async def live(world: World) -> None:
        for number in range(count):
            world.keep(number)
        async with trio.open_nursery() as nursery:
            for _ in range(processes):
                nursery.start_soon(world.process().run_again_and_again)
            await world.settled()
            nursery.cancel_scope.cancel()

    with open_world(folder, posting=posting, texting=texting, asking=asking) as world:
        trio.run(live, world, clock=MockClock(autojump_threshold=0))
        check(world, count)
        event("calm" if calm else "stormy")
        if calm:
            assert (len(world.posts), len(world.texts)) == (count, 2 * count)


def check(world: World, count: int) -> None:
    for row in world.rows():
        posted = sum(post["id"] == row["id"] for post in world.posts)
        to = {"sms_owner": OWNER, "sms_caller": CALLER}.get(row["channel"])
        texted = sum(
            row["text"].partition(": ")[2] in body and number == to for number, body in world.texts
        )
        match row["channel"], row["state"]:
            case "webhook", "sent":
                assert posted >= 1
            case _, "sent":
                assert texted == 1
            case _, "failed":
                assert texted == 0
            case _, "unknown":
                assert texted <= 1
            case other:
                raise AssertionError(other)
    assert len(world.rows()) == 3 * count


def test_the_store_is_a_notice_store() -> None:
    assert {"claim_notices", "settle_notice"} <= set(dir(SqlStore))
