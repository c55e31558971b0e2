"""The day's cap on money, which all processes share. Every method blocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Drawn:
    """granted: what may be spent from now on; taken: what all have taken of the day; micro-USD."""

    granted: int
    taken: int


class DayBudgets(Protocol):
    """A counter a day. Blocks and may raise StoreError."""

    def draw(self, day: date, owed: int, want: int, cap: int) -> Drawn:
        """Report what was spent beyond earlier grants, and draw what may be spent next.

        owed: counts in any case; less than nothing: a grant is given back
        want: granted as far as the day's cap allows
        """
        ...
