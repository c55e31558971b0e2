"""The desk, with a wall clock of its own and a store that can go away."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
import trio

from relay import lines, returns
from relay import switchboard as module
from relay.core.events import CallResumed
from relay.core.records import ConsentNoted, SpendAdded, TranscriptLine
from relay.limits import NumberRules
from relay.lines import Step
from relay.ports import Consented, Entry
from relay.switchboard import Switchboard
from relay.wire import signature
from tests.fakes import FakeStore, ask_inline

AUTH = "12345"
BASE = "wss://relay.example.com"


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    board: Switchboard
    store: FakeStore
    clock: Clock

    async def open(self, token: str, *, signed: str | None = None) -> str | None:
        path = f"/twilio/stream/{token}"
        if signed is None:
            signed = signature.sign(AUTH, BASE + path, ())
        return await self.board.admit(path, token, signed)

    def expect(self, call_sid: str = "CA1") -> str:
        token = self.board.expect(call_sid, "+14155550123", "+14155550100")
        assert token is not None
        return token


def make_desk(max_calls: int | None = None, store: FakeStore | None = None, **options: Any) -> Desk:
    store, clock = store or FakeStore(), Clock()
    board = Switchboard(
        store, auth_token=AUTH, stream_base=BASE, max_calls=max_calls, wall_clock=clock, **options
    )
    return Desk(board, store, clock)


async def test_a_token_opens_one_stream_once() -> None:
    desk = make_desk()
    token = desk.expect()
    assert await desk.open(token) == "CA1"
    assert await desk.open(token) is None
    assert desk.board.counts["refused:used_token"] == 1


async def test_of_racing_streams_with_one_token_one_is_admitted() -> None:
    desk = make_desk()
    token = desk.expect()
    admitted = []

    async def race() -> None:
        admitted.append(await desk.open(token))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(race)
    assert sorted(admitted, key=str) == ["CA1"] + [None] * 7


async def test_a_token_that_another_process_saw_is_used_up_here_too() -> None:
    first = make_desk()
    second = make_desk(store=first.store)
    token = first.expect()
    assert await second.open(token) == "CA1", "any process may take any stream"
    assert await first.open(token) is None


@pytest.mark.parametrize("signed", ["", "x", "GvWf1cFY/Q7PnoempGyD5oXAezc="])
async def test_an_unsigned_handshake_leaves_the_token_unused(signed: str) -> None:
    desk = make_desk()
    token = desk.expect()
    assert await desk.open(token, signed=signed) is None
    assert desk.board.counts["refused:bad_signature"] == 1
    assert await desk.open(token) == "CA1"


async def test_a_crowd_of_strangers_writes_one_line() -> None:
    desk = make_desk()
    token = desk.expect()
    with structlog.testing.capture_logs() as logs:
        for _ in range(500):
            assert await desk.open(token, signed="x") is None
    assert [line["why"] for line in logs] == ["bad_signature"]
    assert desk.board.counts["refused:bad_signature"] == 500


async def test_the_signature_is_of_the_wss_url_with_that_very_token() -> None:
    desk = make_desk()
    ours, other = desk.expect("CA1"), desk.expect("CA2")
    https = signature.sign(AUTH, f"https://relay.example.com/twilio/stream/{ours}", ())
    elsewhere = signature.sign(AUTH, f"{BASE}/twilio/stream/{other}", ())
    assert await desk.open(ours, signed=https) is None
    assert await desk.open(ours, signed=elsewhere) is None


@pytest.mark.parametrize("token", ["", "x", "a.b.c.d", "/", "..", "é", "x?y=1", "x" * 5000])
async def test_a_foreign_token_is_refused(token: str) -> None:
    desk = make_desk()
    assert await desk.open(token) is None
    assert desk.board.counts["refused:bad_token"] == 1
    assert desk.store.nonces == {}


async def test_a_token_of_another_account_is_refused() -> None:
    stranger = Switchboard(FakeStore(), auth_token="other", stream_base=BASE)
    token = stranger.expect("CA1", "", "")
    assert token is not None
    assert await make_desk().open(token) is None


async def test_a_stale_token_is_refused() -> None:
    desk = make_desk()
    token = desk.expect()
    desk.clock.now += 60
    assert await desk.open(token) is None
    assert desk.board.counts["refused:stale_token"] == 1


async def test_the_same_call_gets_the_same_token_until_it_is_stale() -> None:
    desk = make_desk(max_calls=1)
    token = desk.expect()
    assert desk.expect() == token
    assert await desk.open(token) == "CA1"
    assert desk.expect() == token, "a late repeat of the webhook opens no second stream"
    other = make_desk()
    token = other.expect()
    other.clock.now += 61
    assert other.expect() != token


async def test_a_second_stream_of_a_call_is_refused_whatever_its_token() -> None:
    desk, other = make_desk(), make_desk()
    assert await desk.open(desk.expect()) == "CA1"
    assert await desk.open(other.expect()) is None
    assert desk.board.counts["refused:second_stream"] == 1


@pytest.mark.parametrize("fault", ["away", "hung"])
async def test_without_the_database_this_process_alone_decides(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLAIM_TIMEOUT_S", 0.05)
    desk = make_desk(store=FakeStore(**{fault: True}))
    token = desk.expect()
    assert await desk.open(token) == "CA1"
    assert await desk.open(token) is None
    assert desk.board.counts["claimed_without_store"] == 1
    desk.store.release.set()


async def story(desk: Desk, here: Consented | None = None) -> CallResumed:
    return await desk.board.story("CA1", journal_flushed=trio.lowlevel.checkpoint, here=here)


async def test_a_call_that_comes_back_brings_what_it_has_cost() -> None:
    desk = make_desk(store=FakeStore())
    for micro in (12_500, 25_000):
        row = SpendAdded(0.0, "phone_MZ1", "phone", micro)
        desk.store.write([Entry("CA1", datetime.now(UTC), row)])
    desk.expect("CA1")
    assert await story(desk) == CallResumed(), "it begins"
    desk.board.expect_again("CA1", "", "", "broke")
    assert (await story(desk)).spent == 25_000
    desk.store.away = True
    assert await story(desk) == CallResumed(consent="unknown", returns=1), (
        "there may have been a refusal"
    )
    assert desk.board.counts["store_silent"] == 2


async def test_a_refusal_that_anybody_knows_of_comes_back_with_the_call() -> None:
    desk = make_desk(store=FakeStore())
    desk.board.expect_again("CA1", "", "", "broke")
    said = TranscriptLine(1.0, "u1", "caller", 1, "Hello.", "Hello.")
    asked = ConsentNoted(0.0, "always", "US", "TX", "", True, "ab", 1.0, "stayed")
    desk.store.write([Entry("CA1", datetime.now(UTC), record) for record in (asked, said)])
    past = await story(desk)
    assert (past.consent, past.lines) == ("stayed", (("user", "Hello."),))
    assert (await story(desk, Consented("declined"))).consent == "declined", "as this process knows"
    no = replace(asked, at=2.0, answer="declined")
    desk.store.write([Entry("CA1", datetime.now(UTC), no)])
    past = await story(desk, Consented("stayed", "RE1"))
    assert (past.consent, past.lines, past.recording) == ("declined", (), "")
    desk.store.away = True
    assert (await story(desk, Consented("stayed", "RE1"))).recording == "RE1"


async def test_a_day_whose_money_is_spent_has_no_room_for_a_new_call() -> None:
    affords = [True, False]
    desk = make_desk(affords_a_call=lambda: affords[0])
    token = desk.expect("CA1")
    affords.reverse()
    assert desk.board.expect("CA2", "", "") is None
    assert desk.board.counts["turned_away:over_budget"] == 1
    assert await desk.open(token) == "CA1", "who was let in is let in"


async def test_while_the_model_is_away_a_call_gets_no_stream_and_a_living_one_goes_on() -> None:
    answers = [True, False]
    desk = make_desk(model_admits=lambda: answers.pop(0))
    token = desk.expect("CA1")
    assert desk.board.expect("CA2", "", "") is None
    assert desk.board.counts["turned_away:model_away"] == 1
    assert await desk.open(token) == "CA1"
    assert await desk.open(desk.board.expect_again("CA3", "", "", "moved")) == "CA3"


async def test_a_call_that_is_refused_anyway_is_no_trial_of_the_model() -> None:
    asked: list[bool] = []
    desk = make_desk(max_calls=0, model_admits=lambda: bool(asked.append(True)) or True)
    assert desk.board.expect("CA1", "", "") is None
    assert asked == []


async def test_max_calls_counts_live_calls_and_those_that_may_still_come() -> None:
    desk = make_desk(max_calls=2)
    first, second = desk.expect("CA1"), desk.expect("CA2")
    assert desk.board.expect("CA3", "", "") is None
    desk.clock.now += 61  # their streams never came
    first, second = desk.expect("CA3"), desk.expect("CA4")
    assert await desk.open(first) == "CA3"
    with desk.board.on_line("CA3"):
        desk.clock.now += 600
        assert desk.board.busy() == desk.board.live() == 1
        desk.expect("CA5")
        assert desk.board.expect("CA6", "", "") is None
        desk.board.hung_up("CA5")
        desk.expect("CA6")
    assert desk.board.busy() == 1
    assert second


async def test_only_a_call_that_goes_on_counts_against_its_number() -> None:
    desk = make_desk(rules=NumberRules(at_once=1, an_hour=3))
    caller, other = "+14155550123", "+14155550124"
    await desk.open(desk.expect("CA1"))
    with desk.board.on_line("CA1"):
        assert desk.board.expect("CA2", caller, "") is None
        assert desk.board.expect("CA3", other, "") is not None
    for number in (4, 5):
        desk.expect(f"CA{number}")
        desk.board.hung_up(f"CA{number}")
    assert desk.board.expect("CA6", caller, "") is None
    assert desk.board.counts["turned_away:number_at_once"] == 1
    assert desk.board.counts["turned_away:number_an_hour"] == 1
    desk.clock.now += 3600
    desk.expect("CA7")


async def test_the_same_call_asked_about_twice_is_one_call() -> None:
    desk = make_desk(rules=NumberRules(at_once=1, an_hour=1))
    assert desk.expect("CA1") == desk.expect("CA1")


@pytest.mark.parametrize(
    ("wanting", "reason"), [("strained", "strained"), ("memory_tight", "memory")]
)
async def test_a_process_without_time_takes_no_new_call(wanting: str, reason: str) -> None:
    late = [False]
    desk = make_desk(**{wanting: lambda: late[0]})
    token = desk.expect("CA1")
    late[0] = True
    assert desk.board.expect("CA2", "", "") is None
    assert desk.board.counts[f"turned_away:{reason}"] == 1
    assert await desk.open(token) == "CA1", "what was promised is held"


async def test_draining_takes_what_is_expected_and_nothing_else() -> None:
    desk, other = make_desk(), make_desk()
    token = desk.expect("CA1")
    desk.board.drain()
    assert desk.board.expect("CA2", "", "") is None
    assert desk.expect("CA1") == token
    assert await desk.open(other.expect("CA3")) is None
    assert desk.board.counts["refused:draining"] == 1
    assert await desk.open(token) == "CA1"


async def test_a_disposition_comes_from_memory_then_from_the_store_then_is_fallback() -> None:
    desk = make_desk()
    await desk.open(desk.expect())
    with desk.board.on_line("CA1") as choose:
        choose("transfer")
    assert await desk.board.follows("CA1") == "transfer"
    desk.store.change("CA2", disposition="hang_up")
    assert await desk.board.follows("CA2") == "hang_up"
    assert await desk.board.follows("CA3") == "fallback"
    desk.store.away = True
    assert await desk.board.follows("CA2") == "fallback"
    assert await desk.board.follows("CA1") == "transfer"


async def test_a_hung_store_is_waited_for_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(returns, "ASK_S", 0.05)
    desk = make_desk(store=FakeStore(hung=True))
    with trio.fail_after(2):
        for _ in range(module.THREADS + 2):  # more questions than threads: still in time
            assert await desk.board.follows("CA1") == "fallback"
    desk.store.release.set()


async def test_a_call_that_crashes_is_over_and_keeps_what_it_chose() -> None:
    desk = make_desk()
    await desk.open(desk.expect())

    def crash() -> None:
        with desk.board.on_line("CA1") as choose:
            choose("hang_up")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    line = desk.board.line("CA1")
    assert line is not None
    assert (line.step, line.disposition) == (Step.OVER, "hang_up")
    desk.board.hung_up("CA1")
    assert line.step is Step.OVER


async def test_finished_calls_are_forgotten_and_live_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "MAX_REMEMBERED", 5)
    desk = make_desk()
    await desk.open(desk.expect("CAlive"))
    with desk.board.on_line("CAlive"):
        for number in range(20):
            desk.expect(f"CA{number}")
            desk.board.hung_up(f"CA{number}")
        assert desk.board.live() == 1
        assert desk.board.line("CAlive") is not None
        assert desk.board.line("CA0") is None
        assert desk.board.line("CA19") is not None


async def test_used_nonces_are_forgotten_once_their_tokens_are_stale() -> None:
    desk = make_desk()
    for number in range(10):
        await desk.open(desk.expect(f"CA{number}"))
        desk.clock.now += 61
    assert len(desk.board._used) == 1


async def test_a_return_that_another_process_carried_is_history() -> None:
    """A stream that was announced here may have come there, and ended there as it was meant to."""
    ours = make_desk(ask=ask_inline)
    theirs = make_desk(store=ours.store, ask=ask_inline)
    token = ours.board.expect_again("CA1", "+14155550123", "", "moved")
    assert await theirs.open(token) == "CA1"
    with theirs.board.on_line("CA1") as choose:
        choose("hang_up")
        ours.store.change("CA1", disposition="hang_up")
    ours.clock.now += module.FRESH_S
    assert await ours.board.follows("CA1") == "hang_up"


@pytest.mark.parametrize("over", [True, False])
async def test_a_call_that_another_process_brings_back_may_come_to_where_it_was(over: bool) -> None:
    """Of workers on one port the kernel chooses one for each connection. over: its stream's end has
    been noticed; a line that broke may not have told."""
    ours = make_desk(ask=ask_inline)
    theirs = make_desk(store=ours.store, ask=ask_inline)
    assert await ours.open(ours.expect()) == "CA1"
    with ours.board.on_line("CA1"):
        token = theirs.board.expect_again("CA1", "+14155550123", "", "broke")
        if not over:
            assert await ours.open(token) == "CA1"
    if over:
        assert await ours.open(token) == "CA1"
    line = ours.board.line("CA1")
    assert line is not None
    assert (line.step, line.caller, bool(line.again)) == (Step.ADMITTED, "+14155550123", True)


async def test_a_return_that_is_asked_for_again_has_the_same_token_for_a_moment_only() -> None:
    desk = make_desk(ask=ask_inline)
    token = desk.board.expect_again("CA1", "", "", "moved")
    assert await desk.board.follows("CA1") == "moved"
    assert desk.board.expect_again("CA1", "", "", "moved") == token
    desk.clock.now += module.FRESH_S
    assert desk.board.expect_again("CA1", "", "", "moved") != token


async def test_a_stream_that_cannot_be_opened_is_not_announced_for_ever() -> None:
    desk = make_desk(ask=ask_inline)
    desk.store.change("CA1", caller="+14155550123")
    desk.board.expect_again("CA1", "", "", "moved")
    assert [await desk.board.follows("CA1") for _ in range(3)] == ["moved", "fallback", "fallback"]
