"""Writes happen once: whoever asks again, however often, and whatever was killed meanwhile."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import pytest
import structlog
import trio

from relay.core.commands import RunTool
from relay.core.events import ToolFinished
from relay.core.records import OwnerNotice, ToolCalled
from relay.errors import BusinessAway, BusinessError, StoreError
from relay.ports import WriteBegun, WriteEnded
from relay.shell import intents as module
from relay.shell.intents import (
    ABANDONED_S,
    COMMIT_S,
    FRESH_S,
    LAST_WORD_S,
    LOOK_S,
    Answer,
    Intents,
)
from relay.shell.journal import Journal
from relay.shell.tool_runner import NOT_ASKED, TOOL_S, UNAVAILABLE, attempt, attempt_again, run_tool
from relay.tools.tool import (
    Arguments,
    BadArguments,
    ToolPorts,
    ToolResult,
    idempotency_key,
    tool,
)
from tests.fakes import FakeStore, MemoryDisk, memory_spool
from tests.shell.house import clock, inline

CALLER = "+15551230001"
NOBODY = None  # no wish here asks for a human


class Wish(Arguments):
    """Wish for something."""

    what: str = "a slot"


@dataclass
class Clerk:
    """A business's clerk behind one tool: acts once per key, and can be slow, deaf or broken."""

    slow_s: float = 0.0
    deaf: int = 0
    away: int = 0
    lost: int = 0
    answers: dict[str, ToolResult] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def run(self, args: Wish, ports: ToolPorts) -> ToolResult:
        self.asked.append(ports.key)
        await trio.sleep(self.slow_s)
        if args.what == "bug":
            raise ZeroDivisionError
        if args.what == "nonsense":
            raise BadArguments("say it better")
        if self.deaf:
            self.deaf -= 1
            raise BusinessError("nobody answers")
        if self.away:
            self.away -= 1
            raise BusinessAway("not asked")
        if self.refusals:
            return ToolResult({"booked": False, "reason": self.refusals.pop(0)})
        notice = f"somebody booked {args.what}"
        done = self.answers.setdefault(
            ports.key, ToolResult({"booked": True, "number": len(self.answers)}, "booked", notice)
        )
        if self.lost:
            self.lost -= 1
            raise BusinessError("the answer got lost")
        return done


class Town:
    """As much of a business as intents look at: its wall clock, five hours behind UTC."""

    async def now(self) -> datetime:
        return (clock() - timedelta(hours=5)).replace(tzinfo=None)


class Desk:
    """One process: a store and a disk that outlive it, a journal, intents, and calls."""

    def __init__(self, nursery: trio.Nursery, clerk: Clerk, before: Desk | None = None) -> None:
        self.store = before.store if before else FakeStore()
        self.disk = before.disk if before else MemoryDisk()
        self.clerk = clerk
        self.slow_store_s = 0.0
        self.told: list[ToolFinished] = []
        self.nursery = nursery
        self.tool = tool("wish", Wish, effect="write", run=clerk.run)
        self.business = Town()
        self.journal = Journal(self.store, memory_spool(self.disk), run_sync=inline)
        self.intents = Intents(
            self.store,
            self.journal,
            unavailable=UNAVAILABLE,
            wall_clock=clock,
            run_sync=self._in_store,
        )
        nursery.start_soon(self.journal.run)

    async def _in_store(self, function):
        await trio.sleep(self.slow_store_s)
        return function()

    async def ask(self, call_id: str = "call_1", what: str = "a slot", sid: str = "CA1") -> None:
        await run_tool(
            self.tool,
            RunTool(call_id, "wish", f'{{"what":"{what}"}}'),
            business=self.business,
            caller=CALLER,
            call_sid=sid,
            human=NOBODY,
            intents=self.intents,
            tell=partial(self._hear, sid),
        )

    def _hear(self, sid: str, event: ToolFinished) -> None:
        """What the core does with an answer, as far as it is written down."""
        self.told.append(event)
        keep = self.intents._keep
        status = "ok" if event.ok else "error"
        keep(sid, ToolCalled(0.0, event.call_id, "wish", "{}", status, event.output))
        if event.notice:
            ref = event.told_as or event.call_id
            keep(sid, OwnerNotice(0.0, ref, event.outcome, event.notice))

    def recover(self) -> None:
        again = partial(attempt_again, tools={"wish": self.tool}, business=self.business)
        self.nursery.start_soon(self.intents.finish_others, again, self.business)

    async def ended(self) -> None:
        """Wait until a write has ended."""
        while not self.rows(WriteEnded):  # noqa: ASYNC110 - a store sets no event
            await trio.sleep(0.1)

    def outputs(self) -> list[str]:
        return [each.output for each in self.told]

    def rows(self, kind: type) -> list:
        found = [each.record for each in self.store.entries if isinstance(each.record, kind)]
        return list(dict.fromkeys(found))

    def statuses(self) -> list[str]:
        return [row.status for row in self.rows(WriteEnded)]


BOOKED = '{"booked":true,"number":0}'


# ---- once -----------------------------------------------------------------------------------


async def test_the_intent_is_committed_before_and_the_end_written_after(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk(slow_s=1.0))
    nursery.start_soon(desk.ask)
    await trio.sleep(0.5)
    (row,) = desk.store.writes.values()
    assert (row.call_sid, row.caller, row.tool, row.call_id) == ("CA1", CALLER, "wish", "call_1")
    assert (row.arguments, row.status) == ('{"what":"a slot"}', None)
    await trio.sleep(1)
    await desk.journal.flushed()
    assert desk.outputs() == [BOOKED]
    (row,) = desk.store.writes.values()
    assert (row.status, row.output, row.outcome) == ("done", BOOKED, "booked")
    kinds = [type(each.record) for each in desk.store.entries]
    assert kinds == [WriteBegun, ToolCalled, OwnerNotice, WriteEnded], "the end comes last"


async def test_a_repeat_gets_the_first_answer_and_nobody_is_asked_or_told_again(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk())
    for n in range(3):
        await desk.ask(f"call_{n}")
    await desk.journal.flushed()
    assert len(desk.clerk.asked) == 1
    assert desk.outputs() == [BOOKED] * 3
    assert [each.outcome for each in desk.told] == ["booked"] * 3
    assert len(desk.rows(OwnerNotice)) == 1
    assert desk.intents.repeated == 2


async def test_other_arguments_or_another_call_are_another_wish(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk())
    await desk.ask("call_1")
    await desk.ask("call_2", what="another slot")
    await desk.ask("call_1", sid="CA2")
    assert len(set(desk.clerk.asked)) == 3


async def test_the_same_thing_in_other_words_is_told_to_the_owner_once(
    autojump_clock, nursery
) -> None:
    """ "tomorrow" and its date are two keys; the business answers with the one appointment."""
    desk = Desk(nursery, Clerk())
    await desk.ask("call_1", "a slot")
    await desk.ask("call_2", "A Slot")
    await desk.ask("call_3", "a slot", sid="CA2")
    await desk.journal.flushed()
    assert [(row.ref, row.text) for row in desk.rows(OwnerNotice)] == [
        ("call_1", "somebody booked a slot"),
        ("call_3", "somebody booked a slot"),
    ]
    await desk.ask("call_4", "another")
    await desk.ask("call_5", "A slot ")
    await desk.journal.flushed()
    assert [row.ref for row in desk.rows(OwnerNotice)] == ["call_1", "call_3", "call_4", "call_5"]


async def test_what_a_process_died_with_is_told_to_the_owner_under_its_own_request(
    autojump_clock, nursery
) -> None:
    """Its notice was written and its end was not; or somebody else finishes it just now."""
    desk = Desk(nursery, Clerk())
    await desk.ask("call_1")
    await desk.journal.flushed()
    (key,) = desk.store.writes
    desk.store.writes[key] = replace(desk.store.writes[key], status=None)
    other = Desk(nursery, desk.clerk, before=desk)
    await other.ask("call_2")
    await other.journal.flushed()
    assert [row.ref for row in desk.rows(OwnerNotice)] == ["call_1"]


async def test_what_another_process_has_told_the_owner_is_not_told_again_in_other_words(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk())
    await desk.ask("call_1", "a slot")
    await desk.journal.flushed()
    other = Desk(nursery, desk.clerk, before=desk)
    other.intents.owner_knows("CA1", "somebody booked a slot")  # as its next stream is told
    await other.ask("call_2", "A Slot")
    await other.ask("call_3", "another")
    await other.journal.flushed()
    assert [row.ref for row in desk.rows(OwnerNotice)] == ["call_1", "call_3"]


async def test_a_repeat_after_another_write_is_asked_again_with_the_same_key(
    autojump_clock, nursery
) -> None:
    """Booked, cancelled, and asked for once more: only the business knows what stands."""
    desk = Desk(nursery, Clerk())
    await desk.ask("call_1")
    await desk.ask("call_2", what="cancelled")
    await desk.ask("call_3")
    await desk.ask("call_4", what="cancelled")
    await desk.journal.flushed()
    first, second, third = desk.clerk.asked
    assert first == third != second
    assert [bool(each.notice) for each in desk.told] == [True, True, False, False]
    assert len(desk.rows(OwnerNotice)) == 2
    assert desk.statuses() == ["done", "done"]


async def test_a_repeat_that_comes_meanwhile_joins(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk(slow_s=2.0))
    async with trio.open_nursery() as calls:
        for n in range(4):
            calls.start_soon(desk.ask, f"call_{n}")
            await trio.sleep(0.1)
    assert len(desk.clerk.asked) == 1
    assert desk.outputs() == [BOOKED] * 4
    assert sorted(each.notice for each in desk.told)[:3] == [""] * 3
    assert desk.intents.joined == 3


async def test_another_process_gives_the_first_answer(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk())
    await desk.ask()
    await desk.journal.flushed()
    other = Desk(nursery, desk.clerk, before=desk)
    await other.ask("call_9")
    assert other.outputs() == [BOOKED]
    assert other.told[0].notice == ""
    assert len(desk.clerk.asked) == 1


async def test_another_process_asks_again_what_was_overtaken(autojump_clock, nursery) -> None:
    """Booked and cancelled there, wished for again here: the old answer would be a lie."""
    desk = Desk(nursery, Clerk())
    await desk.ask()
    await desk.journal.flushed()
    (key,) = desk.store.writes
    desk.store.writes[key] = replace(desk.store.writes[key], overtaken=True)
    other = Desk(nursery, desk.clerk, before=desk)
    await other.ask("call_9")
    assert len(desk.clerk.asked) == 2
    assert len(set(desk.clerk.asked)) == 1
    assert other.told[0].notice == ""


async def test_an_answer_is_forgotten_at_last_but_not_by_the_store(
    autojump_clock, nursery, monkeypatch
) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    desk = Desk(nursery, Clerk())
    for n in range(5):
        await desk.ask(sid=f"CA{n}")
    await desk.journal.flushed()
    await desk.ask("call_again", sid="CA0")
    assert (len(desk.intents._done), len(desk.intents._latest)) == (2, 2)
    assert len(desk.clerk.asked) == 5


async def test_a_write_is_finished_when_its_call_is_cancelled(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk(slow_s=3.0))
    async with trio.open_nursery() as call:
        call.start_soon(desk.ask)
        await trio.sleep(1)
        call.cancel_scope.cancel()
    await desk.journal.flushed()
    assert desk.outputs() == [BOOKED]
    assert desk.statuses() == ["done"]


# ---- refused, failed ------------------------------------------------------------------------


async def test_what_was_refused_may_be_asked_again(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk(refusals=["taken"]))
    await desk.ask("call_1")
    await desk.journal.flushed()
    assert desk.statuses() == ["refused"]
    await desk.ask("call_2")
    await desk.journal.flushed()
    assert desk.outputs() == ['{"booked":false,"reason":"taken"}', BOOKED]
    assert len(desk.clerk.asked) == 2
    assert len(set(desk.clerk.asked)) == 1
    assert desk.statuses() == ["refused", "done"]
    assert desk.store.unfinished_writes(clock() + timedelta(days=1)) == []


async def test_bad_arguments_are_a_refusal(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk())
    await desk.ask(what="nonsense")
    await desk.journal.flushed()
    assert desk.told[0].ok is False
    assert "say it better" in desk.outputs()[0]
    assert desk.statuses() == ["refused"]


async def test_an_answer_that_got_lost_is_asked_for_again_with_the_same_key(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk(lost=2))
    await desk.ask()
    assert desk.outputs() == [BOOKED]
    assert len(desk.clerk.asked) == 3
    assert len(desk.clerk.answers) == 1
    assert 1 < trio.current_time() < 3


async def test_a_business_that_stays_deaf_is_told_to_the_owner(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk(deaf=100))
    await desk.ask()
    await desk.journal.flushed()
    assert desk.outputs() == [UNAVAILABLE]
    assert len(desk.clerk.asked) == 4
    assert desk.statuses() == ["failed"]
    (notice,) = desk.rows(OwnerNotice)
    assert notice.kind == "failed"
    assert CALLER in notice.text
    assert "did not answer: wish (what: a slot) for" in notice.text
    desk.clerk.deaf = 0
    await desk.ask("call_2")
    assert desk.outputs()[1] == BOOKED


async def test_a_slow_business_has_its_deadline(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk(slow_s=1000))
    await desk.ask()
    assert desk.outputs() == [UNAVAILABLE]
    assert trio.current_time() == pytest.approx(TOOL_S)
    await desk.journal.flushed()
    assert desk.statuses() == ["failed"]


async def test_a_bug_in_a_tool_is_an_answer_too(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk())
    with structlog.testing.capture_logs() as logs:
        await desk.ask(what="bug")
    assert [line["event"] for line in logs] == ["tool failed"]
    assert desk.told[0].ok is False
    assert "ZeroDivision" not in desk.outputs()[0]


# ---- the database is away -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["away", "slow"])
async def test_without_the_database_the_intent_is_on_disk_before_the_business_is_asked(
    autojump_clock, nursery, how: str
) -> None:
    desk = Desk(nursery, Clerk(slow_s=1.0))
    desk.store.away = True
    desk.slow_store_s = 60.0 if how == "slow" else 0.0
    nursery.start_soon(desk.ask)
    await trio.sleep(COMMIT_S + 0.1)
    assert len(desk.clerk.asked) == 1
    (written,) = desk.disk.files.values()
    assert b"WriteBegun" in written
    assert desk.disk.synced
    await trio.sleep(2)
    assert desk.outputs() == [BOOKED]
    desk.store.away = False
    await desk.journal.drained()
    assert desk.statuses() == ["done"]


async def test_a_repeat_without_the_database_is_answered_from_memory(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk())
    desk.store.away = True
    await desk.ask("call_1")
    await desk.ask("call_2")
    assert desk.outputs() == [BOOKED] * 2
    assert len(desk.clerk.asked) == 1


async def test_an_intent_that_cannot_be_kept_is_not_carried_out(autojump_clock, nursery) -> None:
    def broken(step: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    desk = Desk(nursery, Clerk())
    desk.store.away, desk.disk.fail = True, broken
    await desk.ask()
    assert desk.outputs() == [UNAVAILABLE]
    assert desk.clerk.asked == []
    desk.store.away = False
    await desk.ask("call_2")
    assert desk.outputs()[1] == BOOKED


async def test_an_intent_that_was_kept_after_all_is_not_carried_out_behind_the_caller(
    autojump_clock, nursery
) -> None:
    """The database was only slow: it commits when the caller has heard that it does not work."""

    def broken(step: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def commits_late(function):
        nursery.start_soon(later, function)
        await trio.sleep_forever()

    async def later(function):
        await trio.sleep(1.0)
        function()

    desk = Desk(nursery, Clerk())
    desk.disk.fail, desk.intents._run_sync = broken, commits_late
    await desk.ask()
    assert desk.outputs() == [UNAVAILABLE]
    desk.disk.fail = lambda _: None
    other = Desk(nursery, desk.clerk, before=desk)
    other.recover()
    await trio.sleep(2 * LOOK_S + ABANDONED_S)
    assert desk.clerk.asked == []
    assert desk.statuses() == ["refused"]
    assert desk.rows(OwnerNotice) == []


# ---- killed ---------------------------------------------------------------------------------


async def killed(clerk: Clerk, *, after_s: float, away: bool = False) -> Desk:
    """A process that is gone in the middle of a write: its store and disk stay."""
    arguments = '{"what":"a slot"}'
    key = idempotency_key("CA1", "wish", arguments)
    wish = WriteBegun(key, CALLER, "wish", arguments, "call_1")
    with trio.move_on_after(after_s):
        async with trio.open_nursery() as life:
            desk = Desk(life, clerk)
            desk.store.away = away
            ports = ToolPorts(desk.business, CALLER, "CA1", key, NOBODY)
            # Without the shield of run_tool, which no kill respects.
            perform = partial(attempt, desk.tool, arguments, ports)
            await desk.intents.once("CA1", wish, perform, lambda answer: None)
    return desk


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("away", [False, True])
async def test_the_next_process_finishes_what_was_begun(
    autojump_clock, nursery, heard: bool, away: bool
) -> None:
    """Whether the business had heard of it or not, and whether the intent is on disk or stored."""
    clerk = Clerk(slow_s=2.0)
    before = await killed(clerk, after_s=1.0, away=away)
    assert len(clerk.asked) == 1
    before.store.away = False
    if heard:
        result = ToolResult({"booked": True, "number": 0}, "booked", "somebody booked a slot")
        clerk.answers[clerk.asked[0]] = result
    desk = Desk(nursery, clerk, before=before)
    began = trio.current_time()
    desk.recover()
    with structlog.testing.capture_logs():
        await desk.ended()
    assert trio.current_time() - began < ABANDONED_S + LOOK_S + LAST_WORD_S + 5
    assert len(clerk.answers) == 1
    assert len(set(clerk.asked)) == 1
    assert desk.statuses() == ["done"]
    (called,) = desk.rows(ToolCalled)
    assert (called.call_id, called.status, called.output) == ("call_1", "ok", BOOKED)
    (notice,) = desk.rows(OwnerNotice)
    assert (notice.ref, notice.kind, notice.text) == ("call_1", "booked", "somebody booked a slot")
    asked = len(clerk.asked)
    await trio.sleep(300)
    assert len(clerk.asked) == asked


async def test_a_write_that_runs_is_nobody_else_s_to_finish(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk(slow_s=9.0))
    other = Desk(nursery, desk.clerk, before=desk)
    other.recover()
    await trio.sleep(LOOK_S - 2)
    await desk.ask()
    await desk.journal.flushed()
    await trio.sleep(60)
    assert len(desk.clerk.asked) == 1


async def test_an_end_that_another_process_still_has_on_disk_is_waited_for(
    autojump_clock, nursery
) -> None:
    """After an outage that all shared: the caller has heard that it was taken, and went on."""
    desk = Desk(nursery, Clerk(slow_s=1.0, refusals=["taken"]))
    other = Desk(nursery, desk.clerk, before=desk)
    other.recover()
    nursery.start_soon(desk.ask)
    await trio.sleep(0.5)
    desk.store.away = True
    await trio.sleep(2 * LOOK_S - 0.6)
    desk.store.away = False
    await trio.sleep(60)
    assert len(desk.clerk.asked) == 1
    assert desk.statuses() == ["refused"]


async def test_the_caller_who_asks_again_first_joins_what_is_finished(
    autojump_clock, nursery
) -> None:
    clerk = Clerk(slow_s=3.0)
    before = await killed(clerk, after_s=1.0)
    desk = Desk(nursery, clerk, before=before)
    await desk.ask("call_2")
    desk.recover()
    await trio.sleep(60)
    assert len(clerk.answers) == 1
    assert desk.outputs() == [BOOKED]
    assert desk.statuses() == ["done"]
    rows = {row.call_id: (row.status, row.output) for row in desk.rows(ToolCalled)}
    assert rows == {"call_1": ("ok", BOOKED), "call_2": ("ok", BOOKED)}
    assert len(desk.rows(OwnerNotice)) == 1


@pytest.mark.parametrize("why", ["too old", "another day"])
async def test_an_old_wish_is_not_carried_out_but_told_to_the_owner(
    autojump_clock, nursery, why: str
) -> None:
    """ "Tomorrow at nine" would be another day, and the caller has gone elsewhere."""
    clerk = Clerk(slow_s=2.0)
    if why == "another day":
        await trio.sleep(13.8 * 3600)  # ten to midnight at the business
    before = await killed(clerk, after_s=1.0)
    await trio.sleep(FRESH_S + 1 if why == "too old" else 900)
    desk = Desk(nursery, clerk, before=before)
    desk.recover()
    with structlog.testing.capture_logs():
        await desk.ended()
    assert clerk.answers == {}
    assert desk.statuses() == ["failed"]
    (notice,) = desk.rows(OwnerNotice)
    assert (notice.kind, notice.ref) == ("failed", "call_1")
    (called,) = desk.rows(ToolCalled)
    assert called.status == "error"


async def test_a_business_that_is_deaf_at_the_start_is_asked_until_it_is_too_late(
    autojump_clock, nursery
) -> None:
    clerk = Clerk(slow_s=2.0)
    before = await killed(clerk, after_s=1.0)
    clerk.slow_s, clerk.deaf = 0.0, 20
    desk = Desk(nursery, clerk, before=before)
    desk.recover()
    await trio.sleep(FRESH_S / 2)
    assert clerk.deaf == 0
    assert desk.statuses() == ["done"]


async def test_a_business_that_is_away_changes_nothing_and_nobody_waits(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk(away=1))
    began = trio.current_time()
    await desk.ask()
    assert trio.current_time() == began
    assert desk.outputs() == [NOT_ASKED]
    await desk.ended()
    assert desk.statuses() == ["refused"], "so it is not done behind the caller's back"
    assert desk.rows(OwnerNotice) == []
    await desk.ask("call_2")
    assert desk.outputs()[1] == BOOKED


async def test_a_write_that_may_have_arrived_before_it_was_away_is_in_doubt(
    autojump_clock, nursery
) -> None:
    desk = Desk(nursery, Clerk(deaf=1, away=1))
    await desk.ask()
    assert desk.outputs() == [NOT_ASKED]
    await desk.ended()
    assert desk.statuses() == ["failed"]
    assert len(desk.rows(OwnerNotice)) == 1


async def test_what_a_process_died_with_waits_until_the_business_is_back(
    autojump_clock, nursery
) -> None:
    clerk = Clerk(slow_s=2.0)
    before = await killed(clerk, after_s=1.0)
    clerk.slow_s, clerk.away = 0.0, 20
    desk = Desk(nursery, clerk, before=before)
    desk.recover()
    await trio.sleep(FRESH_S / 2)
    assert (clerk.away, desk.statuses()) == (0, ["done"])


class Endless(FakeStore):
    """Refuses the end of a write, for ever."""

    def write(self, entries):
        if any(isinstance(each.record, WriteEnded) for each in entries):
            raise StoreError("value out of range", refused=True)
        super().write(entries)


@pytest.mark.parametrize("refused", [0, 1])
async def test_an_end_that_the_database_refuses_is_one_all_the_same(
    autojump_clock, nursery, refused: int
) -> None:
    """It is set aside, and the row stays open: who looks for writes without an end finds it."""
    desk = Desk(nursery, Clerk(refusals=["taken"] * refused))
    desk.store.__class__ = Endless
    desk.recover()
    with structlog.testing.capture_logs():
        await desk.ask("call_1")
        await trio.sleep(FRESH_S * 2)
        assert len(desk.clerk.asked) == 1, "what was refused is not done behind the caller's back"
        await desk.ask("call_2")
        await trio.sleep(ABANDONED_S + 2 * LOOK_S)
    assert len(desk.clerk.asked) == 1 + refused
    assert [event.output for event in desk.told][-1] == BOOKED
    statuses = [row.status for row in desk.rows(ToolCalled)]
    assert statuses == ["ok", "ok"]
    assert all(row.kind == "booked" for row in desk.rows(OwnerNotice))


async def test_a_function_that_is_gone_is_told_to_the_owner(autojump_clock, nursery) -> None:
    before = await killed(Clerk(slow_s=2.0), after_s=1.0)
    desk = Desk(nursery, before.clerk, before=before)
    again = partial(attempt_again, tools={}, business=desk.business)
    nursery.start_soon(desk.intents.finish_others, again, desk.business)
    await trio.sleep(FRESH_S * 2)
    assert desk.statuses() == ["failed"]
    assert len(desk.rows(OwnerNotice)) == 1


async def test_a_recovery_that_breaks_leaves_its_joiner_an_answer(autojump_clock, nursery) -> None:
    desk = Desk(nursery, Clerk())
    wish = WriteBegun("k", CALLER, "wish", "{}", "call_1")
    told: list[Answer] = []

    async def breaks() -> Answer:
        await trio.sleep(1)
        raise ZeroDivisionError

    async def lead() -> None:
        with pytest.raises(ZeroDivisionError):
            await desk.intents.once("CA1", wish, breaks, told.append)

    nursery.start_soon(lead)
    await trio.sleep(0.5)
    await desk.intents.once("CA1", wish, breaks, told.append)
    assert [answer.output for answer in told] == [UNAVAILABLE]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"starts_at":"10:00","name":"A_B","call_back":""}', " (starts at: 10:00, name: A_B)"),
        ("{}", ""),
        ("", ""),
    ],
)
async def test_the_owner_reads_words_and_no_json(arguments: str, words: str) -> None:
    wish = WriteBegun("key", CALLER, "book_appointment", arguments, "call_1")
    assert f"did not answer: book appointment{words} for {CALLER}." in module.doubtful(wish).text
