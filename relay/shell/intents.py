"""Writes that outlive a call happen once, whatever breaks on the way.

    asked ─▶ committed ─▶ the business ─▶ told ─▶ ended: done | refused | failed
                 │             ▲
                 └─ killed ────┘  by the next process, with the same key

A write is named by its idempotency key: call, function and canonical arguments. Before the
business is asked, the intent is committed to the database, or, when that does not answer within
COMMIT_S, fsynced in the spool; with neither the business is not asked. The end goes through the
journal *behind* what the core makes of the answer, so a write whose end is known has its rows and
its owner's notice, too.

A repeat of a key, under whatever call_id, from whatever session or process:

    still running here     joins, and gets the same answer
    done                   gets the first answer; the business is not asked, the owner not told
    done, and the call has asks again with the same key, since what was booked may be cancelled by
    done something since   now; the tool sees that the business's answer is an old one
    refused                asks again. Nothing was changed by a refusal, and what was taken may
                           be free now; so says the business's contract, too
    failed, or unfinished  asks again with the same key, which the business knows if it ever
                           heard it

What counts as done is what changed something: a result that has an outcome. All other answers
(NotBooked for any reason, bad arguments, an intent that could not be kept) are refusals.

`finish_others` looks for intents that a process died with. It asks again only what is fresh and of
the same day: after that "tomorrow at nine" is another day, and the caller has gone elsewhere. What
it does not ask again, and what failed without an answer, the owner is told about: only a person can
find out.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import structlog
import trio

from relay.core.records import OwnerNotice, ToolCalled
from relay.errors import BusinessError, SpoolError, StoreError
from relay.ports import (
    BusinessApi,
    Entry,
    Kept,
    WriteBegun,
    WriteEnded,
    WriteRow,
    WriteStatus,
    WriteStore,
)
from relay.shell.journal import Journal, RunSync, in_threads

# The caller waits, so the database has this long before the intent goes to the spool.
COMMIT_S: Final = 0.3
SPOOL_S: Final = 2.0
THREADS: Final = 4
# Answers that are remembered, so that a repeat needs no database.
MAX_REMEMBERED: Final = 2_000
# Older than this, a live process has ended its write: see COMMIT_S, SPOOL_S and tool_runner.TOOL_S.
ABANDONED_S: Final = 20.0
LOOK_S: Final = 15.0
# A journal tries its spool again after five seconds at the latest (journal.RETRY_S).
LAST_WORD_S: Final = 6.0
LOOK_TIMEOUT_S: Final = 5.0
# A wish that is older is not carried out behind the caller's back.
FRESH_S: Final = 3600.0

_log = structlog.get_logger("relay.intents")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a write.

    output: what the model is told; outcome, notice, refused: as of a ToolResult
    told_as: the request that the notice goes by, so that a second telling of it is the same row
    """

    output: str
    ok: bool
    status: WriteStatus
    outcome: str = ""
    notice: str = ""
    refused: str = ""
    told_as: str = ""


Perform = Callable[[], Awaitable[Answer]]
PerformRow = Callable[[WriteRow], Awaitable[Answer]]


@dataclass(slots=True)
class _Run:
    """A write under way. answer: once there is one; None behind `over`: it broke."""

    over: trio.Event = field(default_factory=trio.Event)
    answer: Answer | None = None


class Intents:
    """The process's writes. joined: repeats that met a run; repeated: that met its answer."""

    def __init__(
        self,
        store: WriteStore,
        journal: Journal,
        *,
        unavailable: str,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        run_sync: RunSync | None = None,
    ) -> None:
        """unavailable: what the model is told when an intent cannot be kept.

        wall_clock: UTC with a time zone. run_sync: how blocking calls run; None: in threads
        """
        self.joined = 0
        self.repeated = 0
        self._store = store
        self._journal = journal
        self._not_kept = Answer(unavailable, ok=False, status="refused")
        self._wall_clock = wall_clock
        self._run_sync = run_sync or in_threads(THREADS)
        self._runs: dict[str, _Run] = {}
        self._done: OrderedDict[str, Answer] = OrderedDict()
        self._latest: OrderedDict[str, str] = OrderedDict()  # what a call did last: its key
        self._told: OrderedDict[str, str] = OrderedDict()  # what the owner heard of a call last
        self._ended: OrderedDict[str, bool] = OrderedDict()  # here, whether or not it is stored

    async def once(
        self, call_sid: str, wish: WriteBegun, perform: Perform, tell: Callable[[Answer], None]
    ) -> None:
        """Have a write done, unless it was, and tell what came of it. Shield it.

        perform: asks the business; never raises for its sake, and has a deadline
        tell: brings the answer to the core, synchronously
        """
        run = self._runs.get(wish.key)
        if run is not None:
            self.joined += 1
            await run.over.wait()
            tell(replace(run.answer or self._not_kept, notice=""))
        elif wish.key in self._done and not self._superseded(call_sid, wish.key):
            self.repeated += 1
            tell(self._done[wish.key])
        else:
            await self._lead(call_sid, wish, perform, tell)

    def owner_knows(self, call_sid: str, notice: str) -> None:
        """What the owner has heard of a call last, from whichever process."""
        self._told[call_sid] = notice.casefold()
        self._told.move_to_end(call_sid)
        if len(self._told) > MAX_REMEMBERED:
            self._told.popitem(last=False)

    async def _lead(
        self, call_sid: str, wish: WriteBegun, perform: Perform, tell: Callable[[Answer], None]
    ) -> None:
        run = self._runs[wish.key] = _Run()
        ended_here = self._ended.pop(wish.key, False)
        try:
            known = await self._committed(call_sid, wish)
            done = known if isinstance(known, WriteRow) and known.status == "done" else None
            if wish.key in self._done or (done is not None and done.overtaken):
                # The end is written and the owner told: this is for the caller's ears only.
                self.repeated += 1
                run.answer = replace(await perform(), notice="")
                tell(run.answer)
            elif done is not None:
                self.repeated += 1
                run.answer = Answer(done.output, True, "done", done.outcome)
                self._remember(call_sid, wish.key, run.answer)
                tell(run.answer)
            else:
                answer = await perform() if known else self._not_kept
                run.answer = self._told_once(call_sid, answer)
                left = known if isinstance(known, WriteRow) and not ended_here else None
                if left is not None and left.status is None:
                    # Who died with it may have told the owner, or who finishes it may do so now.
                    run.answer = replace(run.answer, told_as=left.call_id)
                    tell(run.answer)
                    self._answer_first(left, wish, run.answer)
                else:
                    tell(run.answer)
                self._end(call_sid, wish, run.answer)
        finally:
            del self._runs[wish.key]
            run.over.set()

    async def _committed(self, call_sid: str, wish: WriteBegun) -> WriteRow | bool:
        """What the database knows; True: the spool has it; False: nobody has."""
        entry = self._entry(call_sid, wish)
        try:
            with trio.fail_after(COMMIT_S):
                return await self._run_sync(partial(self._store.begin_write, entry))
        except (StoreError, trio.TooSlowError) as failed:
            why = str(failed) or f"no answer within {COMMIT_S:g} s"
            _log.warning("! intent goes to the spool", tool=wish.tool, error=why)
        try:
            with trio.fail_after(SPOOL_S):
                await self._journal.spool(entry)
        except (SpoolError, trio.TooSlowError) as failed:
            _log.error("! intent is not kept", tool=wish.tool, error=str(failed) or "no answer")
            return False
        return True

    def _end(self, call_sid: str, wish: WriteBegun, answer: Answer) -> None:
        """Write down how it ended, behind the rows that tell of it.

        Of one that could not be kept as well: who did not answer in time may have it all the same.
        """
        self._ended[wish.key] = True
        if len(self._ended) > MAX_REMEMBERED:
            self._ended.popitem(last=False)
        if answer.status == "done":
            self._remember(call_sid, wish.key, answer)
        if answer.status == "failed":
            self._keep(call_sid, doubtful(wish))
        self._keep(call_sid, WriteEnded(wish.key, answer.status, answer.output, answer.outcome))

    def _told_once(self, call_sid: str, answer: Answer) -> Answer:
        """The answer without its notice, if that is the last one that the call has given: it is the
        same thing, asked for in other words, and the owner knows."""
        if not answer.notice:
            return answer
        before = self._told.get(call_sid)
        self.owner_knows(call_sid, answer.notice)
        return replace(answer, notice="") if self._told[call_sid] == before else answer

    def _answer_first(self, known: WriteRow, wish: WriteBegun, answer: Answer) -> None:
        """The model's request that a process died with is answered by this one, its row as well."""
        if known.call_id != wish.call_id:
            self._keep(known.call_sid, called(known, answer))

    def _remember(self, call_sid: str, key: str, answer: Answer) -> None:
        self._done[key] = replace(answer, notice="")
        self._latest[call_sid] = key
        for kept in (self._done, self._latest):
            if len(kept) > MAX_REMEMBERED:
                kept.popitem(last=False)

    def _superseded(self, call_sid: str, key: str) -> bool:
        """Whether the call has done something else since."""
        return self._latest.get(call_sid, key) != key

    def _keep(self, call_sid: str, record: Kept) -> None:
        self._journal.keep(self._entry(call_sid, record))

    def _entry(self, call_sid: str, record: Kept) -> Entry:
        return Entry(call_sid, self._wall_clock(), record)

    # ---- what others began ------------------------------------------------------------------

    async def finish_others(self, perform: PerformRow, business: BusinessApi) -> None:
        """Finish what a process died with, for ever.

        perform: asks the business again; business: for its date
        """
        while True:
            await self._journal.drained()  # what this machine spooled before is known then
            for row in await self._abandoned():
                await self._finish(row, perform, business)
            await trio.sleep(LOOK_S)

    async def _abandoned(self) -> list[WriteRow]:
        """Writes that are open at two looks: after an outage another process may have their ends
        on its disk, and brings them within seconds."""
        found = await self._unfinished()
        if not found:
            return []
        await trio.sleep(LAST_WORD_S)
        still = await self._unfinished()
        return [row for row in found if row in still]

    async def _unfinished(self) -> list[WriteRow]:
        before = self._wall_clock() - timedelta(seconds=ABANDONED_S)
        try:
            with trio.fail_after(LOOK_TIMEOUT_S):
                rows = await self._run_sync(partial(self._store.unfinished_writes, before))
        except (StoreError, trio.TooSlowError) as failed:
            _log.warning("! abandoned writes not looked for", error=str(failed) or "no answer")
            return []
        # An end that the database refuses is set aside (journal.py), and leaves its row open.
        return [row for row in rows if row.key not in self._runs and row.key not in self._ended]

    async def _finish(self, row: WriteRow, perform: PerformRow, business: BusinessApi) -> None:
        try:
            fresh = await self._fresh(row, business)
        except BusinessError as failed:
            _log.warning("! abandoned write waits", tool=row.tool, error=str(failed))
            return
        run = self._runs[row.key] = _Run()
        try:
            answer = await perform(row) if fresh else None
            if answer is not None and answer.status == "failed":
                return  # asked again at the next look, until it is too old
            self._conclude(row, answer)
            run.answer = answer
        finally:
            del self._runs[row.key]
            run.over.set()

    async def _fresh(self, row: WriteRow, business: BusinessApi) -> bool:
        age = self._wall_clock() - row.begun_at
        today = await business.now()
        return age.total_seconds() < FRESH_S and (today - age).date() == today.date()

    def _conclude(self, row: WriteRow, answer: Answer | None) -> None:
        """The rows that the process would have written that began it. answer None: too old."""
        wish = WriteBegun(row.key, row.caller, row.tool, row.arguments, row.call_id)
        ended = answer or Answer(self._not_kept.output, ok=False, status="failed")
        _log.warning("= abandoned write ended", tool=row.tool, status=ended.status)
        self._keep(row.call_sid, called(row, ended))
        if ended.notice:
            now = trio.current_time()
            self._keep(row.call_sid, OwnerNotice(now, row.call_id, ended.outcome, ended.notice))
        self._end(row.call_sid, wish, ended)


def called(row: WriteRow, answer: Answer) -> ToolCalled:
    """The last state of the request that began a write."""
    status = "ok" if answer.ok else "error"
    now = trio.current_time()
    return ToolCalled(now, row.call_id, row.tool, row.arguments, status, answer.output)


def doubtful(wish: WriteBegun) -> OwnerNotice:
    """What the owner is told when nobody knows whether something was done."""
    text = (
        f"Not sure whether this was done, since our system did not answer: {_in_words(wish)}"
        f" for {wish.caller or 'a withheld number'}. Please check."
    )
    return OwnerNotice(trio.current_time(), wish.call_id, "failed", text)


def _in_words(wish: WriteBegun) -> str:
    """A wish for people: "book appointment (service: cleaning, starts at: 2026-12-01T10:00)"."""
    try:
        given = dict(json.loads(wish.arguments))
    except ValueError:
        given = {}  # forgotten by now
    said = ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in given.items() if value != ""
    )
    return wish.tool.replace("_", " ") + (f" ({said})" if said else "")
