"""The REST adapter against the simulated REST API: what was asked is what happens, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from relay.adapters.twilio_rest import TwilioPhone
from relay.errors import PhoneControlError
from relay.ports import ENDED, Leg, PhoneControl
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_rest import (
    BROKEN,
    GONE,
    LOST,
    NOT_IN_PROGRESS,
    REFUSED,
    TOO_MANY,
    RestFault,
    RestTransport,
)
from relay.sim.twilio_rest_server import serve_rest
from tests.sim.twilio_relay import ACCOUNT, HUMAN, NUMBER, ORIGIN, TOKEN, Relay, open_twilio

LEG = Leg(HUMAN, f"{ORIGIN}/screen", f"{ORIGIN}/leg", ring_s=20)
SCREEN = {"/screen": "<Pause length='60'/>"}


@dataclass
class Line:
    """The adapter, the simulated Twilio behind it, and the relay that Twilio asks."""

    control: PhoneControl
    twilio: Any
    relay: Relay

    def states(self) -> list[str]:
        return [str(state) for state in self.relay.values("/leg", "CallStatus")]

    async def answered(self) -> str:
        call_sid = await self.control.place(LEG)
        with trio.fail_after(5):
            await self.twilio.cloud.calls[call_sid].answered.wait()
        return call_sid


@asynccontextmanager
async def open_line(*, port: bool = False, **phone: Any) -> AsyncIterator[Line]:
    """In memory, or over a real port."""
    relay = Relay(SCREEN)
    phones = {HUMAN: HumanPhone(**{"answer_after_s": 0.5, **phone})}
    async with open_twilio(relay, phones=phones) as twilio:
        twilio.cloud.own(NUMBER)
        way: dict[str, Any] = {"transport": RestTransport(twilio.rest)}
        if port:
            way = {"api_url": await twilio.rest.nursery.start(serve_rest, twilio.rest)}
        async with aclosing(TwilioPhone(ACCOUNT, TOKEN, NUMBER.number, **way)) as control:
            yield Line(control, twilio, relay)


async def test_how_a_call_is() -> None:
    async with open_line() as line:
        call_sid = await line.answered()
        assert await line.control.status(call_sid) == "in-progress"
        await line.control.hang_up(call_sid)
        with trio.fail_after(5):
            while await line.control.status(call_sid) not in ENDED:  # noqa: ASYNC110 - as Twilio
                await trio.sleep(0.1)
        with pytest.raises(PhoneControlError) as unknown:
            await line.control.status("CA" + "0" * 32)
        assert unknown.value.gone


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async with open_line() as line:
        yield line


# ---- what happens ---------------------------------------------------------------------------


async def test_a_placed_call_rings_is_screened_and_tells_every_state(
    autojump_clock: MockClock, line: Line
) -> None:
    call_sid = await line.answered()
    await trio.sleep(1)
    assert line.relay.values("/screen", "CallSid") == [call_sid]
    await line.control.hang_up(call_sid)
    await trio.sleep(1)
    assert line.states() == ["initiated", "ringing", "in-progress", "completed"]


async def test_a_call_that_rings_can_be_ended() -> None:
    async with open_line(port=True, answer_after_s=60.0) as line:
        call_sid = await line.control.place(LEG)
        await line.control.hang_up(call_sid)
        with trio.fail_after(5):
            await line.twilio.cloud.calls[call_sid].ended.wait()
        await line.control.hang_up(call_sid)  # no error: it is over already


async def test_new_instructions_are_followed(autojump_clock: MockClock, line: Line) -> None:
    call_sid = await line.answered()
    await line.control.redirect(call_sid, "<Response><Hangup/></Response>")
    with trio.fail_after(5):
        await line.twilio.cloud.calls[call_sid].ended.wait()
    with pytest.raises(PhoneControlError) as caught:
        await line.control.redirect(call_sid, "<Response/>")
    assert caught.value.gone


async def test_a_text_arrives(autojump_clock: MockClock, line: Line) -> None:
    text = "Tuesday at 3: überholt & bestätigt + 1"
    sid = await line.control.text(HUMAN, text)
    [message] = line.twilio.cloud.messages
    assert (message.sid, message.to, message.sender) == (sid, HUMAN, NUMBER.number)
    assert message.body == text


@pytest.mark.parametrize("port", [False, True])
async def test_a_recording_through_its_life(port: bool) -> None:
    async with open_line(port=port) as line:
        control = line.control
        call_sid = await line.answered()
        recording = await control.start_recording(call_sid, f"{ORIGIN}/recording")
        await control.pause_recording(call_sid, recording)
        await control.resume_recording(call_sid, recording)
        await control.stop_recording(call_sid, recording)
        await control.hang_up(call_sid)
        await control.delete_recording(recording)
        await control.delete_recording(recording)  # no error: there is none any more
        asked = [request.fields for request in line.twilio.rest.of_kind("recordings.update")]
        assert [form["Status"] for form in asked] == ["paused", "in-progress", "stopped"]
        [created] = line.twilio.rest.of_kind("recordings.create")
        assert created.fields["RecordingChannels"] == "dual"


# ---- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [TOO_MANY, REFUSED])
async def test_what_was_not_done_is_done_once(
    autojump_clock: MockClock, line: Line, fault: RestFault
) -> None:
    line.twilio.rest.fail("calls.create", fault, fault)
    line.twilio.rest.fail("messages.create", fault, fault)
    await line.control.place(LEG)
    await line.control.text(HUMAN, "x")
    assert (len(line.twilio.cloud.calls), len(line.twilio.cloud.messages)) == (1, 1)


@pytest.mark.parametrize(("fault", "done"), [(LOST, 1), (BROKEN, 0)])
async def test_what_is_in_doubt_is_not_done_again(
    autojump_clock: MockClock, line: Line, fault: RestFault, done: int
) -> None:
    line.twilio.rest.fail("calls.create", fault)
    line.twilio.rest.fail("messages.create", fault)
    for ask in (line.control.place(LEG), line.control.text(HUMAN, "x")):
        with pytest.raises(PhoneControlError) as caught:
            await ask
        assert caught.value.doubtful
    assert (len(line.twilio.cloud.calls), len(line.twilio.cloud.messages)) == (done, done)


@pytest.mark.parametrize("fault", [LOST, BROKEN, TOO_MANY, REFUSED, GONE, NOT_IN_PROGRESS])
async def test_a_call_ends_whatever_the_first_answer_is(
    autojump_clock: MockClock, line: Line, fault: RestFault
) -> None:
    call_sid = await line.answered()
    line.twilio.rest.fail("calls.update", fault)
    began = trio.current_time()
    await line.control.hang_up(call_sid)
    assert trio.current_time() - began <= 6
    await trio.sleep(0.5)
    gone = fault in (GONE, NOT_IN_PROGRESS)  # Twilio says so: it is believed
    assert line.twilio.cloud.calls[call_sid].ended.is_set() != gone


async def test_a_slow_api_is_left_in_time(autojump_clock: MockClock, line: Line) -> None:
    line.twilio.rest.latency_s = 30.0
    began = trio.current_time()
    with pytest.raises(PhoneControlError, match="no answer in time"):
        await line.control.place(LEG)
    assert trio.current_time() - began == pytest.approx(5)
