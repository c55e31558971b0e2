"""Random conversations with the embedded business: what callers are told is what stands.

Three callers book, move and cancel among few slots, ask again with the same words, and lose
answers on the way, as a call does whose business's answer times out and is asked for again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.adapters.business_file import load_business
from relay.adapters.business_local import LocalBusiness
from relay.errors import BusinessError
from relay.tools import BadArguments, ToolPorts, idempotency_key, registry
from tests.core.driver import TIMES
from tests.fakes import MemoryBookings

MONDAY = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
PHONES = ("+15550100", "+15550101", "+15550102", "")
CLOCK_TIMES = st.sampled_from(["09:00", "09:30", "10:00", "10:30"])
DAYS = st.sampled_from(["tuesday", "friday"])
TOOLS = registry()

BOOK = st.fixed_dictionaries(
    {
        "service": st.sampled_from(["cleaning", "filling"]),
        "day": DAYS,
        "time": CLOCK_TIMES,
        "name": st.sampled_from(["Ann", "Bob"]),
    },
    optional={"again": st.integers(1, 2)},
)
WHICH = {"day": DAYS, "time": CLOCK_TIMES, "reference": st.sampled_from(["100001", "100002", "1"])}
CHANGE = st.fixed_dictionaries(
    {"new_day": DAYS, "new_time": CLOCK_TIMES}, optional={**WHICH, "again": st.integers(1, 2)}
)
CANCEL = st.fixed_dictionaries({}, optional={**WHICH, "again": st.integers(1, 2)})


@dataclass(frozen=True)
class Step:
    """One call of a function. loses: its first answer is lost, and it is asked for again."""

    caller: int
    tool: str
    arguments: Mapping[str, Any]
    loses: bool


def step(tool: str, arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.builds(Step, st.integers(0, 3), st.just(tool), arguments, st.booleans())


STEPS = st.lists(
    step("book_appointment", BOOK)
    | step("change_appointment", CHANGE)
    | step("cancel_appointment", CANCEL),
    max_size=25,
)


class Lossy:
    """A business whose answers to writes can get lost, once they are carried out."""

    def __init__(self, inner: LocalBusiness) -> None:
        self.inner = inner
        self.lose = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in {"book", "change", "cancel"}:
            return method

        async def write(*args: Any) -> Any:
            answer = await method(*args)
            if self.lose:
                raise BusinessError("the answer is lost")
            return answer

        return write


@dataclass
class Town:
    """Callers, and the one business that they call."""

    bookings: MemoryBookings = field(default_factory=MemoryBookings)

    def __post_init__(self) -> None:
        inner = LocalBusiness(
            load_business(), self.bookings, clock=lambda: MONDAY, run_sync=_inline
        )
        self.business = Lossy(inner)

    async def take(self, wish: Step) -> dict[str, Any]:
        """Carry a step out as a call does. Returns what the model is told in the end."""
        arguments, invoke = json.dumps(wish.arguments), TOOLS[wish.tool].invoke
        assert invoke is not None
        key = idempotency_key(f"CA{wish.caller}", wish.tool, arguments)
        phone = PHONES[wish.caller]
        ports = ToolPorts(self.business, phone, f"CA{wish.caller}", key, None)  # type: ignore[arg-type]
        for lose in (True, False) if wish.loses else (False,):
            self.business.lose = lose
            try:
                return (await invoke(arguments, ports)).output
            except BadArguments:
                return {}
            except BusinessError:
                assert lose
        raise AssertionError("an answer that was not lost is missing")

    def standing(self, phone: str) -> list[tuple[str, str]]:
        """(date, time) of what a number has."""
        return [
            (each.starts_at.date().isoformat(), f"{each.starts_at:%H:%M}")
            for each in self.bookings.standing.values()
            if each.phone == phone
        ]


async def _inline(function: Any) -> Any:
    return function()


async def conversation(steps: Sequence[Step]) -> None:
    town = Town()
    for wish in steps:
        others = {phone: town.standing(phone) for phone in PHONES if phone != PHONES[wish.caller]}
        before = Counter(town.standing(PHONES[wish.caller]))
        told = await town.take(wish)
        after = Counter(town.standing(PHONES[wish.caller]))
        assert {phone: town.standing(phone) for phone in others} == others, "a stranger's is moved"
        match told:
            case {"booked": True}:
                assert after[told["date"], told["time"]], "told of what does not stand"
                assert after.total() - before.total() in {0, 1}
            case {"changed": True}:
                assert after[told["date"], told["time"]], "told of what does not stand"
                assert after.total() == before.total()
            case {"cancelled": True}:
                assert not after[told["date"], told["time"]], "told of what stands as cancelled"
                assert after <= before
                assert before.total() - after.total() in {0, 1}
                left = [(each["date"], each["time"]) for each in told["still_booked"]]
                assert sorted(left) == sorted(after.elements())[: len(left)]
            case _:
                assert after == before, "something was done, and not told"
    slots = [
        slot
        for request in town.bookings.standing.values()
        for slot in load_business().slots_of(
            load_business().service(request.service),  # type: ignore[arg-type]
            request.starts_at,
        )
    ]
    assert len(slots) == len(set(slots)) == len(town.bookings.filled), "a slot is filled twice"


SLOT = {"service": "cleaning", "day": "tuesday", "time": "10:00", "name": "Ann"}
#: The same words mean the same slot twice, booked and cancelled and booked once more.
ONCE_MORE = [
    Step(0, "book_appointment", SLOT, loses=False),
    Step(0, "cancel_appointment", {}, loses=False),
    Step(0, "book_appointment", {**SLOT, "again": 1}, loses=False),
    Step(0, "cancel_appointment", {}, loses=False),
]


@settings(max_examples=100 * TIMES, deadline=None)
@given(STEPS)
@example(ONCE_MORE)
def test_what_callers_are_told_is_what_stands(steps: list[Step]) -> None:
    trio.run(conversation, steps)
