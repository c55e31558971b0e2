"""One call's costs, on the day's tab."""

from __future__ import annotations

import pytest
import trio

from relay.core import events as on
from relay.core.budget import Level
from relay.shell.bill import Bill
from tests.shell.test_purse import Counter, make, taken


async def test_only_what_is_new_is_put_on_it_and_the_core_is_told_of_the_day(
    autojump_clock, nursery
):
    counter = Counter()
    purse = make(counter)
    nursery.start_soon(purse.run)
    bill, told = Bill(purse), []
    with bill.open():
        nursery.start_soon(bill.watch, told.append)
        await trio.sleep(0.01)
        assert bill.pay(400) == bill.pay(700) == on.DayBudget(Level.FREE)
        assert bill.paid == 700
        bill.stop()
    await trio.sleep(0.01)
    assert taken(counter) == 700
    assert told == [on.DayBudget(Level.HELD), on.DayBudget(Level.FREE)]
    nursery.cancel_scope.cancel()


async def test_without_a_purse_nothing_is_told():
    bill = Bill(None)
    with bill.open():
        assert bill.pay(700) is None
        await bill.watch(lambda _: pytest.fail("there is no day's budget"))
    assert bill.paid == 700
