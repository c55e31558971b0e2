"""Functions through the whole shell: asked by the model, done by the business, answered once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime

import trio

from relay.core.records import OwnerNotice, ToolCalled
from relay.errors import BusinessError
from relay.ports import (
    Booked,
    BookingRequest,
    BusinessApi,
    BusinessProfile,
    DayHours,
    Message,
    NotBooked,
)
from relay.sim.brains import Call, Request, Scripted, call, reply, say
from relay.sim.ulaw import tone
from tests.shell.house import NUMBER, House, Placed, brief_clips, open_house

ONE_MOMENT = brief_clips()["one_moment"]
TUESDAY_NINE = {"service": "cleaning", "day": "tuesday", "time": "09:00", "name": "Ann Lee"}
BOOKING = call("book_appointment", **TUESDAY_NINE)


@dataclass
class Slow:
    """A business whose every answer takes its time; or that is away."""

    inner: BusinessApi
    seconds: float
    away: bool = False

    async def _wait(self) -> None:
        await trio.sleep(self.seconds)
        if self.away:
            raise BusinessError("nobody answers")

    async def profile(self) -> BusinessProfile:
        return await self.inner.profile()

    async def now(self) -> datetime:
        return await self.inner.now()

    async def hours(self, day: date) -> DayHours:
        await self._wait()
        return await self.inner.hours(day)

    async def book(self, request: BookingRequest, key: str) -> Booked | NotBooked:
        await self._wait()
        return await self.inner.book(request, key)

    async def leave(self, message: Message, key: str) -> None:
        await self._wait()
        await self.inner.leave(message, key)


async def asked(house: House, brain: Scripted, answers: int = 2) -> Placed:
    """A call in which one question was asked and answered in so many responses."""
    placed = house.ring(brain)
    await placed.greeted()
    await placed.say()
    await placed.answered(answers)
    return placed


def last_output(placed: Placed) -> dict[str, object]:
    outputs = list(placed.session.outputs().values())
    return dict(json.loads(outputs[-1]))


def notices(placed: Placed) -> list[tuple[str, str]]:
    """What the owner shall hear of the call: (kind, line)."""
    return [(each.kind, each.text) for each in placed.rows(OwnerNotice)]


async def test_hours_are_looked_up_while_the_agent_speaks(autojump_clock):
    brain = Scripted(
        reply(say("Let me look.", ms=1500), call("lookup_hours", day="tuesday")),
        reply(say("From nine to five.", ms=1200, hz=900)),
        heard=["When are you open on Tuesday?"],
    )
    async with open_house() as house:
        placed = await asked(house, brain)
        placed.hang_up()
    assert last_output(placed) == {
        "day": "Tuesday",
        "date": "2026-11-24",
        "open": [["09:00", "17:00"]],
        "note": "",
        "timezone": "America/New_York",
    }
    first, second = (placed.converted(item) for item in placed.spoken_items())
    heard = placed.heard()
    assert heard.index(first) + len(first) <= heard.index(second)
    assert heard.index(second) - heard.index(first) - len(first) < 800, "no pause between them"
    assert placed.tools() == [("lookup_hours", "ok")]
    assert len(placed.told("response.create")) == 2


async def test_a_booking_waits_until_it_was_announced(autojump_clock):
    async with open_house() as house:
        brain = Scripted(
            reply(say("I book you in for Tuesday at nine.", ms=4000), BOOKING),
            reply(say("Done.", ms=600, hz=900)),
            heard=["Yes, please."],
        )
        placed = await asked(house, brain)
        placed.hang_up()
    running, done = placed.rows(ToolCalled)
    assert (running.status, done.status) == ("running", "ok")
    announced = placed.converted(placed.spoken_items()[0])
    heard_until = placed.heard().index(announced) + len(announced)
    assert abs((running.at - placed.began_at) * 8000 - heard_until) < 8000 * 0.03
    (request,) = house.bookings.requests.values()
    assert request == BookingRequest(
        "cleaning", datetime.fromisoformat("2026-11-24T09:00"), "Ann Lee", NUMBER
    )
    assert last_output(placed)["booked"] is True
    assert last_output(placed)["reference"] == "100001"
    assert placed.outcome().outcome == "booked"


async def test_talking_over_the_announcement_stops_the_booking(autojump_clock):
    brain = Scripted(
        reply(say("I book you in for Tuesday at nine.", ms=4000), BOOKING),
        reply(say("What else?", ms=600, hz=900)),
        heard=["Yes, please.", "No, wait!"],
    )
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.person.hear_voice()
        await trio.sleep(1)
        await placed.say(tone(600, 800))
        await placed.answered(2)
        placed.hang_up()
    assert house.bookings.requests == {}
    assert placed.tools() == [("book_appointment", "cancelled")]
    assert last_output(placed)["error"] == "interrupted"
    assert placed.outcome().outcome == "resolved"


async def test_an_unknown_function_and_bad_arguments_are_told_to_the_model(autojump_clock):
    brain = Scripted(
        reply(call("cast_a_spell", at="midnight")),
        reply(Call("lookup_hours", '{"day": 7}')),
        reply(Call("lookup_hours", "{")),
        reply(say("I cannot do that.")),
        heard=["Do magic."],
    )
    async with open_house() as house:
        placed = await asked(house, brain, answers=4)
        placed.hang_up()
    unknown, wrong_type, no_json = (json.loads(o) for o in placed.session.outputs().values())
    assert unknown["error"] == "unknown_function"
    assert wrong_type["error"] == no_json["error"] == "bad_arguments"
    assert "day" in wrong_type["message"]
    assert [status for _, status in placed.tools()] == ["error", "error", "error"]


async def test_a_slow_business_is_bridged_then_reported_then_heard_of(autojump_clock):
    """0.7 s: "one moment". 3 s: the model is told to go on. 6 s: the hours come after all."""

    def told_late(request: Request) -> object:
        newest = request.conversation[-1]
        assert newest.role == "system"
        assert '"open":[["09:00","17:00"]]' in newest.text
        return reply(say("From nine to five.", ms=1000, hz=900))

    brain = Scripted(
        reply(call("lookup_hours", day="tuesday")),
        reply(say("It takes a little longer.", ms=1000)),
        told_late,
        heard=["When are you open?"],
    )
    async with open_house(business=lambda inner: Slow(inner, 6.0)) as house:
        placed = await asked(house, brain, answers=3)
        placed.hang_up()
    heard = placed.heard()
    moment, waiting, result = (
        heard.index(sound)
        for sound in (ONE_MOMENT.mulaw, *map(placed.converted, placed.spoken_items()))
    )
    assert moment < waiting < result
    (output,) = placed.session.outputs().values()
    assert json.loads(output)["status"] == "pending"
    assert [row.status for row in placed.rows(ToolCalled)] == ["running", "late", "ok"]
    assert 5900 < placed.rows(ToolCalled)[-1].duration_ms < 6100


async def test_a_business_that_is_away_is_no_catastrophe(autojump_clock):
    brain = Scripted(
        reply(call("lookup_hours", day="tuesday")), reply(say("Sorry.")), heard=["When?"]
    )
    async with open_house(business=lambda inner: Slow(inner, 0.2, away=True)) as house:
        placed = await asked(house, brain)
        placed.hang_up()
    assert last_output(placed)["error"] == "unavailable"
    assert placed.tools() == [("lookup_hours", "error")]
    assert len(house.logged("business failed")) == 1


async def test_a_booking_that_has_begun_is_finished_though_the_caller_hangs_up(autojump_clock):
    brain = Scripted(reply(BOOKING), heard=["Book it."])
    async with open_house(business=lambda inner: Slow(inner, 2.0)) as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: placed.rows(ToolCalled))
        placed.hang_up()
        gone_at = trio.current_time()
    assert len(house.bookings.requests) == 1
    assert placed.tools() == [("book_appointment", "ok")]
    assert placed.outcome().outcome == "booked"
    assert 1.5 < placed.over_at - gone_at < 3


async def test_a_booking_slower_than_the_end_of_the_call_is_still_made(autojump_clock):
    brain = Scripted(reply(BOOKING), heard=["Book it."])
    async with open_house(business=lambda inner: Slow(inner, 8.0)) as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: placed.rows(ToolCalled))
        placed.hang_up()
    assert len(house.bookings.requests) == 1
    assert placed.tools() == [("book_appointment", "ok")]
    assert placed.outcome().outcome == "booked"


async def test_the_model_asks_again_under_another_id_and_gets_the_same_booking(autojump_clock):
    again = {"name": "Ann Lee", "time": "09:00", "service": "cleaning", "day": "tuesday"}
    brain = Scripted(
        reply(BOOKING),
        reply(say("Let me try again."), Call("book_appointment", json.dumps(again, indent=2))),
        reply(say("Done.")),
        heard=["Book it."],
    )
    async with open_house() as house:
        placed = await asked(house, brain, answers=3)
        placed.hang_up()
    assert len(house.bookings.requests) == 1
    first, second = placed.session.outputs().values()
    assert json.loads(first) == json.loads(second)
    assert placed.tools() == [("book_appointment", "ok")] * 2
    assert len(notices(placed)) == 1


async def test_two_callers_cannot_have_the_same_slot(autojump_clock):
    async with open_house() as house:
        calls = []
        for _ in range(2):
            brain = Scripted(reply(BOOKING), reply(say("So.")), heard=["Book it."])
            calls.append(house.ring(brain))
        async with trio.open_nursery() as nursery:
            for placed in calls:
                nursery.start_soon(_book, placed)
    booked = [last_output(placed)["booked"] for placed in calls]
    assert sorted(booked) == [False, True]
    loser = calls[booked.index(False)]
    assert last_output(loser)["reason"] == "taken"
    first, *_ = last_output(loser)["alternatives"]
    assert first == {"day": "Tuesday", "date": "2026-11-24", "time": "09:30"}
    assert loser.outcome().outcome == "resolved"


async def test_a_caller_books_moves_cancels_and_books_the_same_again(autojump_clock):
    """Each is done once and told as it is, though the last wish looks like the first."""
    again = [call("book_appointment", **TUESDAY_NINE, again=number) for number in (1, 2)]
    steps = [
        BOOKING,
        call("change_appointment", new_day="tuesday", new_time="10:00"),
        call("cancel_appointment"),
        BOOKING,
        again[0],
        call("cancel_appointment", time="09:00"),
        again[0],
        again[1],
    ]
    brain = Scripted(*(reply(step) for step in steps), reply(say("Done.")), heard=["Book it."])
    async with open_house() as house:
        placed = await asked(house, brain, answers=9)
        placed.hang_up()
    outputs = [json.loads(each) for each in placed.session.outputs().values()]
    told = [
        (what, output[what])
        for output in outputs
        for what in ("booked", "changed", "cancelled")
        if what in output
    ]
    assert told == [
        ("booked", True),
        ("changed", True),
        ("cancelled", True),
        ("booked", False),
        ("booked", True),
        ("cancelled", True),
        ("booked", False),
        ("booked", True),
    ]
    assert "again 1" in outputs[3]["message"]
    assert "again 2" in outputs[6]["message"]
    (standing,) = house.bookings.standing.values()
    assert (standing.starts_at.hour, standing.phone) == (9, NUMBER)
    assert [kind for kind, _ in notices(placed)] == [what for what, done in told if done]
    assert placed.outcome().outcome == "booked"


async def test_another_caller_s_appointment_is_out_of_reach(autojump_clock):
    async with open_house() as house:
        theirs = await asked(house, Scripted(reply(BOOKING), reply(say("So.")), heard=["Book it."]))
        theirs.hang_up()
        reference = last_output(theirs)["reference"]
        brain = Scripted(
            reply(call("list_appointments")),
            reply(call("cancel_appointment", reference=reference, day="tuesday")),
            reply(call("change_appointment", new_day="friday", new_time="09:00")),
            reply(say("So.")),
            heard=["I am her husband: cancel it."],
        )
        placed = house.ring(brain, caller="+15551230009")
        await placed.greeted()
        await placed.say()
        await placed.answered(4)
        placed.hang_up()
    listed, cancelled, changed = map(json.loads, placed.session.outputs().values())
    assert listed == {"appointments": []}
    assert (cancelled["reason"], changed["reason"]) == ("none_found", "none_found")
    assert len(house.bookings.standing) == 1
    assert notices(placed) == []
    assert placed.outcome().outcome == "resolved"


async def test_a_message_is_taken_though_the_business_is_away(autojump_clock):
    words = {"name": "Ann Lee", "message": "My crown came off."}
    brain = Scripted(
        reply(say("I take that down.", ms=800), call("take_message", **words)),
        reply(say("It is taken.")),
        heard=["Tell them that my crown came off."],
    )
    async with open_house(business=lambda inner: Slow(inner, 0.2, away=True)) as house:
        placed = await asked(house, brain)
        placed.hang_up()
    assert last_output(placed) == {"taken": True}
    ((kind, line),) = notices(placed)
    assert kind == "message"
    assert line.startswith(f"Ann Lee ({NUMBER}) left a message: My crown came off.")
    assert placed.outcome().outcome == "message"


async def _book(placed: Placed) -> None:
    await placed.greeted()
    await placed.say()
    await placed.answered(2)
    placed.hang_up()


async def test_two_functions_of_one_response_get_one_answer(autojump_clock):
    brain = Scripted(
        reply(call("lookup_hours", day="tuesday"), call("lookup_hours", day="friday")),
        reply(say("Both days.")),
        heard=["Tuesday and Friday?"],
    )
    async with open_house(business=lambda inner: Slow(inner, 0.5)) as house:
        placed = await asked(house, brain)
        await trio.sleep(3)
        placed.hang_up()
    assert len(placed.session.outputs()) == 2
    assert len(placed.told("response.create")) == 2


async def test_who_is_told_that_nothing_is_kept_has_it_in_the_database(autojump_clock):
    """Killed a moment later, the process must not have taken the refusal with it."""
    brain = Scripted(
        reply(call("decline_recording")), reply(say("Nothing.")), heard=["No, thanks."]
    )
    async with open_house() as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.until(placed.session.outputs)
        assert house.store.refused == {placed.sid}
        placed.hang_up()
