"""The day's cap on money, shared by all processes: a counter that is drawn from in shares.

A process draws a share before it spends it, so what was handed out never passes the cap, whoever
asks when. What it has spent beyond its share (a response was being made when that ran out) it
reports as owed, and that counts even beyond the cap. A share that is not needed is given back.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from relay.adapters.store_records import inserted
from relay.adapters.store_tables import day_budgets
from relay.ports import Drawn


def draw(connection: sa.Connection, day: date, owed: int, want: int, cap: int) -> Drawn:
    """Report what is owed (less than nothing: given back), then take what may still be had."""
    inserted(connection, day_budgets, {"day": day, "taken": 0})
    row = sa.select(day_budgets.c.taken).where(day_budgets.c.day == day)
    taken = max(0, connection.execute(row.with_for_update()).scalar_one() + owed)
    granted = max(0, min(want, cap - taken))
    if owed or granted:
        change = sa.update(day_budgets).where(day_budgets.c.day == day)
        connection.execute(change.values(taken=taken + granted))
    return Drawn(granted, taken + granted)
