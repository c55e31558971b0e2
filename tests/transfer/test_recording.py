"""Recording from end to end: to the sample, what Twilio has kept of a call and what it has not."""

from __future__ import annotations

import pytest
import trio

from relay.core.records import ConsentNoted, TranscriptLine
from relay.ports import RecordingNoted
from relay.sim.brains import Scripted, call, reply, say
from relay.sim.person import Person
from relay.sim.twilio_dial import Act, HumanPhone
from relay.sim.twilio_recordings import Recording
from relay.sim.twilio_rest import BROKEN, LOST, REFUSED, RestFault
from relay.sim.ulaw import tone
from tests.shell.house import QUESTION, brief_clips, packaged_clips
from tests.transfer.exchange import Exchange, open_exchange

GREETING = brief_clips()["greeting"].mulaw
SECRET = tone(500, 1500)
AFTER = tone(600, 900)
NINE = reply(say("From nine to five.", ms=1500))
OKAY = reply(say("Very well, nothing is kept.", ms=1200))
PAUSES = reply(call("pause_recording"))
SAY_IT = reply(say("Now you may say it.", ms=1000))
GOES_ON = reply(say("Thank you.", ms=800), call("pause_recording", resume=True))
LAST = reply(say("Anything else?", ms=800))


def nobody() -> HumanPhone:
    return HumanPhone(outcome="no-answer")


def recordings(exchange: Exchange) -> list[Recording]:
    return list(exchange.cloud.recordings.values())


def consent(exchange: Exchange) -> ConsentNoted:
    rows = [e.record for e in exchange.house.store.entries]
    return [row for row in rows if isinstance(row, ConsentNoted)][-1]


def noted(exchange: Exchange) -> list[str]:
    rows = [e.record for e in exchange.house.store.entries]
    return [row.state for row in rows if isinstance(row, RecordingNoted)]


def lines(exchange: Exchange) -> list[str]:
    rows = [e.record for e in exchange.house.store.entries]
    return [row.heard_text for row in rows if isinstance(row, TranscriptLine)]


async def ask_once(person: Person) -> None:
    await person.hear_until_silence()
    await trio.sleep(1)
    await person.say(QUESTION)
    await trio.sleep(6)
    person.hang_up()


async def test_not_a_sample_is_recorded_before_the_notice_was_heard(autojump_clock) -> None:
    brain = Scripted(NINE, heard=["When?"])
    async with open_exchange(brain, nobody(), record_calls=True) as exchange:
        await exchange.call(ask_once)
        line = exchange.placed.line
        (recording,) = recordings(exchange)
        heard = exchange.heard(line)
        notice_ends = heard.index(GREETING) + len(GREETING)
        (piece,) = recording.pieces
        assert piece[0] >= notice_ends
        assert recording.channels == 2
        said, ours = recording.sound()
        assert GREETING[-8000:] not in ours
        assert QUESTION in said
        assert recording.state == "completed"
        assert noted(exchange)[0] == "in-progress"
        assert "completed" in noted(exchange)
        assert consent(exchange).answer == "stayed"


async def test_who_hangs_up_before_is_not_recorded(autojump_clock) -> None:
    async def leave(person: Person) -> None:
        await trio.sleep(3)
        person.hang_up()

    async with open_exchange(
        Scripted(), nobody(), record_calls=True, clips=packaged_clips()
    ) as exchange:
        await exchange.call(leave)
        assert recordings(exchange) == []
        assert lines(exchange) == []
        assert consent(exchange).answer == "hung_up_before"


async def test_nothing_of_a_pause_is_recorded_nor_written(autojump_clock) -> None:
    async def pay(person: Person) -> None:
        await person.hear_until_silence()
        await trio.sleep(1)
        await person.say(QUESTION)
        await trio.sleep(5)
        await person.say(SECRET)
        await trio.sleep(6)
        await person.say(AFTER)
        await trio.sleep(5)
        person.hang_up()

    brain = Scripted(PAUSES, SAY_IT, GOES_ON, LAST, LAST, heard=["To pay.", "Four one.", "No."])
    async with open_exchange(brain, nobody(), record_calls=True) as exchange:
        await exchange.call(pay)
        (recording,) = recordings(exchange)
        said, _ = recording.sound()
        assert QUESTION in said
        assert AFTER in said
        for start in range(0, len(SECRET) - 400, 400):
            assert SECRET[start : start + 400] not in said, "not twenty milliseconds of it"
        assert [kind for _, _, kind in recording.pieces] == ["sound", "skip", "sound"]
        assert "To pay." in lines(exchange)
        assert "No." in lines(exchange)
        assert "Four one." not in lines(exchange)


@pytest.mark.parametrize("by_tool", [False, True], ids=["by-word", "by-function"])
async def test_a_refusal_leaves_neither_sound_nor_words(autojump_clock, by_tool: bool) -> None:
    async def refuse(person: Person) -> None:
        await person.hear_until_silence()
        await trio.sleep(1)
        await person.say(QUESTION)
        await trio.sleep(5)
        await person.say(SECRET)
        await trio.sleep(5)
        await person.say(AFTER)
        await trio.sleep(4)
        person.hang_up()

    words = "I would rather not." if by_tool else "Please don't record this."
    no = [reply(call("decline_recording")), OKAY] if by_tool else [OKAY]
    brain = Scripted(NINE, *no, LAST, LAST, heard=["When?", words, "Fine."])
    async with open_exchange(brain, nobody(), record_calls=True) as exchange:
        await exchange.call(refuse)
        assert recordings(exchange) == [], "deleted at Twilio"
        assert lines(exchange) == []
        assert noted(exchange)[-1] in ("deleted", "unwanted", "completed")
        assert "deleted" in noted(exchange)
        assert consent(exchange).answer == "declined"
        assert exchange.house.flights == {}
        assert exchange.outcome()[0] == "resolved"
        told = [i.text for i in exchange.legs[0].session.conversation if i.role == "system"]
        assert by_tool or any("does not want to be recorded" in text for text in told)


async def test_a_refusal_is_remembered_when_the_human_hands_back(autojump_clock) -> None:
    async def refuse(person: Person) -> None:
        await person.hear_until_silence()
        await trio.sleep(1)
        await person.say(QUESTION)
        await trio.sleep(6)
        await person.say(SECRET)
        await trio.sleep(40)
        person.hang_up()

    human = HumanPhone(
        acts=(
            Act(press="1", prompt="To take the call", after_s=0.3),
            Act(hang_up=True, prompt="One moment", after_s=4.0),
        )
    )
    brain = Scripted(
        OKAY,
        reply(say("I ring them.", ms=1500), call("transfer_to_human", reason="a bill")),
        reply(say("It rings.", ms=900)),
        OKAY,
        heard=["Don't record me.", "A human, please."],
        privately=[reply(say("A caller."))] * 3,
    )
    async with open_exchange(brain, human, record_calls=True) as exchange:
        await exchange.call(refuse)
        assert len(exchange.legs) == 2
        assert recordings(exchange) == []
        assert lines(exchange) == []
        assert exchange.heard(exchange.placed.line).count(GREETING) == 1


async def test_a_recording_goes_on_over_a_transfer_and_is_one(autojump_clock) -> None:
    async def stay(person: Person) -> None:
        await person.hear_until_silence()
        await trio.sleep(1)
        await person.say(QUESTION)
        await trio.sleep(16)
        await person.say(AFTER)
        await trio.sleep(2)
        person.hang_up()

    human = HumanPhone(
        acts=(
            Act(press="1", prompt="To take the call", after_s=0.3),
            Act(say=tone(550, 20_000), prompt="One moment"),
        )
    )
    brain = Scripted(
        reply(say("I ring them.", ms=1500), call("transfer_to_human", reason="a bill")),
        reply(say("It rings.", ms=900)),
        heard=["A human, please."],
        privately=[reply(say("A caller."))] * 3,
    )
    async with open_exchange(brain, human, record_calls=True) as exchange:
        await exchange.call(stay)
        assert exchange.outcome()[0] == "transferred"
        (recording,) = recordings(exchange)
        assert AFTER in recording.sound()[0]
        (leg,) = [c for c in exchange.cloud.calls.values() if c is not exchange.placed]
        told = leg.prompts.ended[0][0]
        assert "This call may be recorded." in told, "the human is on it, too, and knows"


# ---- Twilio's REST API as it is -------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [[RestFault(status=400, code=21220)], [BROKEN], [REFUSED] * 3],
    ids=["not-eligible", "500", "no-connection"],
)
async def test_a_recording_that_cannot_be_started_disturbs_no_call(
    autojump_clock, faults: list[RestFault]
) -> None:
    brain = Scripted(NINE, heard=["When?"])
    async with open_exchange(brain, nobody(), record_calls=True) as exchange:
        exchange.rest.fail("recordings.create", *faults)
        await exchange.call(ask_once)
        assert recordings(exchange) == []
        assert exchange.outcome()[0] == "resolved"
        assert "When?" in lines(exchange)


async def test_a_start_whose_answer_was_lost_can_still_be_refused(autojump_clock) -> None:
    async def refuse(person: Person) -> None:
        await person.hear_until_silence()
        await trio.sleep(8)
        await person.say(QUESTION)
        await trio.sleep(10)
        person.hang_up()

    brain = Scripted(OKAY, heard=["Don't record me."])
    async with open_exchange(brain, nobody(), record_calls=True) as exchange:
        exchange.rest.fail("recordings.create", LOST)
        await exchange.call(refuse)
        assert recordings(exchange) == []
        assert "deleted" in noted(exchange)


async def test_a_recording_that_is_not_paused_lets_nobody_say_a_number(autojump_clock) -> None:
    brain = Scripted(PAUSES, LAST, heard=["To pay."])
    async with open_exchange(brain, nobody(), record_calls=True) as exchange:
        exchange.rest.fail("recordings.update", *[BROKEN] * 3)
        await exchange.call(ask_once)
        (session,) = exchange.legs[0].sessions
        outputs = [str(event) for event in session.received if "function_call_output" in str(event)]
        assert any("not_paused" in output for output in outputs)
