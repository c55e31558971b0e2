"""How many calls one number may make: what keeps a single caller from taking the whole line.

Decided from memory, per process, and never by what a caller says. Two caps, each off at 0: calls at
once, and calls begun within the last hour. Numbers on the allow-list are bound by neither, those on
the block-list never get as far. An entry is a number, its beginning with a `*` behind it, or the
word `withheld`: callers without a number share one bucket, as nobody can tell them apart.

What is remembered is bounded: callers are forgotten oldest first, an hour after their last call at
the latest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3600.0
WITHHELD: Final = "withheld"
MAX_CALLERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class NumberRules:
    """at_once, an_hour: 0 is no cap. allow, block: entries as said above."""

    at_once: int
    an_hour: int
    allow: Sequence[str] = ()
    block: Sequence[str] = ()

    def blocked(self, caller: str) -> bool:
        """Whether nobody wants to hear from a number ("": withheld). The allow-list wins."""
        return _listed(caller, self.block) and not _listed(caller, self.allow)


NO_RULES: Final = NumberRules(at_once=0, an_hour=0)


def _listed(caller: str, entries: Sequence[str]) -> bool:
    name = caller or WITHHELD
    return any(
        name.startswith(entry[:-1]) if entry.endswith("*") else name == entry for entry in entries
    )


class NumberLimits:
    """The caps, and who has called within the hour."""

    def __init__(self, rules: NumberRules) -> None:
        self.rules = rules
        self._begun: OrderedDict[str, list[float]] = OrderedDict()  # an empty deque has 700 bytes

    def refusal(self, caller: str, calls_now: int, now: float) -> str:
        """Why a number may not make another call now, "" when it may. now: in seconds."""
        rules = self.rules
        if _listed(caller, rules.allow):
            return ""
        if rules.at_once and calls_now >= rules.at_once:
            return "number_at_once"
        if rules.an_hour and len(self._recent(caller, now)) >= rules.an_hour:
            return "number_an_hour"
        return ""

    def began(self, caller: str, now: float) -> None:
        """A call of this number was let in."""
        if not self.rules.an_hour:
            return
        begun = self._begun.setdefault(caller, [])
        begun.append(now)
        del begun[: -self.rules.an_hour]
        self._begun.move_to_end(caller)
        while len(self._begun) > MAX_CALLERS or self._is_old(next(iter(self._begun)), now):
            self._begun.popitem(last=False)

    def _recent(self, caller: str, now: float) -> Sequence[float]:
        return [at for at in self._begun.get(caller, ()) if now - at < HOUR_S]

    def _is_old(self, caller: str, now: float) -> bool:
        return now - self._begun[caller][-1] >= HOUR_S
