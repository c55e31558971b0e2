"""What a call leaves behind: its records, and where its caller goes when the stream is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import trio

from relay.core.call import Statistics
from relay.core.records import CallEnded, DispositionChosen, Record, failed_notice
from relay.ports import Entry
from relay.shell.kit import CallKit

Choose = Callable[[str], None]


class LeftBehind:
    """One call's. choose: told synchronously what `after-stream` shall do"""

    def __init__(self, kit: CallKit, call_sid: str, choose: Choose, returns: int) -> None:
        self._kit, self._call_sid, self._choose, self._returns = kit, call_sid, choose, returns
        self._began = trio.current_time()
        self._epoch = kit.wall_clock() - timedelta(seconds=self._began)  # of trio's clock, in UTC
        self._ended = False
        self.disposition = ""

    @property
    def lasted_s(self) -> float:
        return trio.current_time() - self._began

    def choose(self, disposition: str) -> None:
        self.disposition = disposition
        self._choose(disposition)

    def keep(self, record: Record) -> None:
        self._ended = self._ended or isinstance(record, CallEnded)
        at = self._epoch + timedelta(seconds=record.at)
        self._kit.journal.keep(Entry(self._call_sid, at, record))
        self._kit.meter.kept(record)

    def abandon(self, seen: Statistics) -> None:
        """All that a call must leave which broke: where its caller goes, and how it ended.

        The core cannot be asked any more; what it has decided before stands.
        """
        now = trio.current_time()
        if not self.disposition:
            self.choose("fallback")
            self.keep(DispositionChosen(now, "fallback", "crashed", self._returns))
        if not self._ended:
            self.keep(failed_notice(now, "crashed"))
            self.keep(
                CallEnded(
                    now,
                    "failed",
                    f"{self.disposition}: crashed",
                    round(self.lasted_s * 1000),
                    None,
                    seen.notice_heard,
                    seen.barge_ins,
                )
            )
