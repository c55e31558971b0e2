"""The phone's end, well-behaved and not: what is broken is counted, and the call goes on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import trio

from relay.audio.frames import silence
from relay.errors import SocketClosed
from relay.sim.brains import Scripted, reply, say
from relay.sim.pair import memory_pair
from relay.sim.twilio_stream import StreamFaults
from tests.shell.house import QUESTION, House, Placed, brief_clips, open_house, short_clips

APOLOGY = brief_clips()["apology"].mulaw


def answering() -> Scripted:
    return Scripted(reply(say("From nine to five.", ms=3000)), heard=["When?"])


# ---- hanging up -----------------------------------------------------------------------------


async def by_stop(placed: Placed) -> None:
    placed.hang_up()


async def by_close(placed: Placed) -> None:
    await placed.phone.aclose(1000)


async def by_loss(placed: Placed) -> None:
    placed.leg.drop()


@pytest.mark.parametrize(
    ("go", "reason"), [(by_stop, "stopped"), (by_close, "closed 1000"), (by_loss, "closed 1006")]
)
async def test_hanging_up_ends_everything_however_it_is_done(autojump_clock, go, reason):
    async with open_house() as house:
        placed = house.ring(answering())
        await placed.greeted()
        await placed.say()
        await placed.person.hear_voice()
        await trio.sleep(1)
        await go(placed)
        gone_at = trio.current_time()
        await placed.ended(5)
    assert placed.over_at - gone_at < 2.5
    assert placed.chosen == [], "nothing is left to be chosen"
    assert placed.outcome().reason == reason
    assert placed.session.closed == 1000
    (item,) = placed.spoken_items()
    line = placed.lines()[-1]
    assert (line.item_id, line.interrupted) == (item, True)
    assert 900 < line.heard_ms <= placed.played_ms(item) + 1


async def test_hanging_up_while_the_model_is_dialled(autojump_clock):
    async with open_house() as house:
        placed = house.ring()
        await placed.until(lambda: placed.leg.playout.received)
        placed.hang_up()
        await placed.ended(5)
    assert placed.outcome().outcome == "abandoned"


async def test_last_words_are_still_written_down(autojump_clock):
    """The transcript of what was said last comes after the caller has gone."""
    async with open_house() as house:
        thinks = reply(say("All right."), think_s=2.0)
        placed = house.ring(Scripted(thinks, heard=["Never mind."]))
        await placed.greeted()
        await placed.say(QUESTION + b"\xff" * 8 * 560)
        placed.hang_up()
    assert placed.said()[-1] == ("caller", "Never mind.")


# ---- broken messages ------------------------------------------------------------------------

QUIET_FRAME = base64.b64encode(silence(20)).decode()
MEDIA = {"track": "inbound", "chunk": "4000", "timestamp": "80000", "payload": "f39/"}


def message(placed: Placed, event: str, sid: str | None = None, **body: object) -> str:
    content = {event: body} if body else {}
    return json.dumps({"event": event, "streamSid": sid or placed.leg.stream_sid, **content})


BROKEN = {
    "bad_json": lambda _: '{"event":"media"',
    "bad_shape": lambda p: message(p, "media", track="inbound", chunk="900"),
    "binary": lambda _: b"\x00\x01",
    "too_deep": lambda _: '{"event":"mark","mark":' + "[" * 20_000 + "]" * 20_000 + "}",
    "wrong_stream": lambda p: message(p, "media", "MZother", **MEDIA),
    "bad_audio": lambda p: message(p, "media", **{**MEDIA, "payload": "!!!"}),
    "old_chunk": lambda p: message(p, "media", **{**MEDIA, "chunk": "1"}),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_broken_message_is_counted_logged_once_and_survived(autojump_clock, kind):
    async with open_house() as house:
        placed = house.ring(answering())
        await placed.greeted()
        for _ in range(3):
            await placed.phone.send(BROKEN[kind](placed))
            await trio.sleep(0.2)
        await placed.say()
        await placed.answered()
        placed.hang_up()
    assert house.misbehaved() == [kind]
    assert len([n for n in house.logged("note") if n["kind"] == "phone_misbehaved"]) >= 3
    assert placed.converted(placed.spoken_items()[0]) in placed.heard()


async def test_what_nobody_has_heard_of_is_not_even_counted(autojump_clock):
    async with open_house() as house:
        placed = house.ring(answering())
        await placed.greeted()
        for text in ('{"event":"weather","sun":true}', message(placed, "mark", name="1:x:20")):
            await placed.phone.send(text)
        await placed.say()
        await placed.answered()
        placed.hang_up()
    assert house.misbehaved() == []
    assert placed.outcome().outcome == "resolved"


async def test_lost_frames_are_silence_of_the_same_length(autojump_clock):
    faults = StreamFaults(lose_frame=lambda chunk: 300 < chunk < 340 or chunk % 17 == 0)
    async with open_house() as house:
        placed = house.ring(answering(), faults=faults)
        await placed.greeted()
        await placed.say()
        await placed.answered()
        placed.hang_up()
        seconds = trio.current_time() - placed.began_at
        await placed.ended()
    assert placed.session.appended_ms == pytest.approx(seconds * 1000, abs=45)
    assert house.misbehaved() == []


async def test_a_broken_frame_is_silence_of_the_same_length(autojump_clock):
    async with open_house() as house:
        placed = house.ring(answering(), run_leg=False)
        await start_by_hand(placed)
        for chunk in range(1, 101):
            payload = "????" if chunk % 20 == 0 else QUIET_FRAME
            await placed.phone.send(media(placed, chunk, payload))
            await trio.sleep(0.02)
        await trio.sleep(0.5)
        await placed.phone.aclose()
    assert placed.session.appended_ms == pytest.approx(2000, abs=10)


async def test_media_before_the_start_is_no_call(autojump_clock):
    async with open_house() as house:
        placed = house.ring(answering(), run_leg=False)
        await placed.phone.send(message(placed, "media", **MEDIA))
        await trio.sleep(0.5)
        house.nursery.start_soon(placed.leg.run)
        await placed.until(lambda: placed.leg.playout.received)
        await placed.quiet()
        placed.hang_up()
    assert house.misbehaved() == ["before_start"]
    assert placed.outcome().notice_heard


async def test_a_repeated_start_changes_nothing(autojump_clock):
    async with open_house() as house:
        placed = house.ring(answering())
        await placed.greeted()
        start = {"streamSid": placed.leg.stream_sid, "callSid": "CA" + "f" * 32}
        for again in (start, {**start, "callSid": placed.sid}):
            body = {**again, "accountSid": placed.leg.account_sid}
            await placed.phone.send(message(placed, "start", **body))
        await placed.say()
        await placed.answered()
        placed.hang_up()
    assert placed.outcome().outcome == "resolved"
    assert len(placed.sessions) == 1
    assert placed.heard().count(brief_clips()["greeting"].mulaw) == 1


async def test_the_stream_of_another_call_gets_no_session(autojump_clock):
    async with open_house() as house:
        placed = house.ring(run_leg=False)
        placed.leg.call_sid = "CA" + "f" * 32
        house.nursery.start_soon(placed.leg.run)
        await placed.ended(10)
    assert house.misbehaved() == ["foreign_call", "before_start"]
    assert placed.sessions == []
    assert placed.leg.playout.received == 0
    assert placed.leg.ended.by == "relay"
    assert placed.rows(object) == []


async def test_a_socket_that_never_starts_is_closed(autojump_clock):
    async with open_house() as house:
        placed = house.ring(run_leg=False)
        with pytest.raises(SocketClosed):
            await placed.phone.receive()
        await placed.ended(1)
    assert 4.9 < placed.over_at - placed.began_at < 5.6


# ---- too much, and too slow -----------------------------------------------------------------


async def start_by_hand(placed: Placed) -> None:
    leg = placed.leg
    start = {"streamSid": leg.stream_sid, "callSid": leg.call_sid, "accountSid": leg.account_sid}
    await placed.phone.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
    await placed.phone.send(message(placed, "start", **start))


def media(placed: Placed, chunk: int, payload: str = QUIET_FRAME) -> str:
    ms = str((chunk - 1) * 20)
    return message(
        placed, "media", track="inbound", chunk=str(chunk), timestamp=ms, payload=payload
    )


async def send_all(placed: Placed, texts: Iterable[str], *, every_s: float = 0.0) -> None:
    """Send until all is sent or nobody takes it any more."""
    with suppress(SocketClosed):
        for text in texts:
            await placed.phone.send(text)
            await trio.sleep(every_s)


async def hear_nothing_but_the_end(placed: Placed) -> SocketClosed:
    try:
        while True:
            await placed.phone.receive()
    except SocketClosed as gone:
        return gone


async def test_a_flood_closes_the_call_with_a_reason(autojump_clock):
    async with open_house() as house:
        placed = house.ring(run_leg=False)
        await start_by_hand(placed)
        await send_all(placed, (media(placed, chunk) for chunk in range(1, 5000)))
        gone = await hear_nothing_but_the_end(placed)
    assert (gone.code, gone.reason) == (1000, "phone_flood")
    assert placed.disposition() == "fallback"
    assert placed.outcome().reason == "fallback: phone_flood"


async def test_a_phone_that_speaks_nonsense_only_is_closed(autojump_clock):
    async with open_house() as house:
        placed = house.ring(run_leg=False)
        await start_by_hand(placed)
        await send_all(placed, ["What is this?"] * 100, every_s=0.02)
        gone = await hear_nothing_but_the_end(placed)
    assert gone.reason == "phone_broken"
    assert placed.disposition() == "fallback"
    assert len(house.misbehaved()) == 1


async def test_a_phone_that_does_not_read_is_given_up(autojump_clock):
    async with open_house() as house:
        placed = house.ring(run_leg=False, capacity=8)
        await start_by_hand(placed)
        await placed.ended(20)
    assert placed.disposition() == "fallback"
    assert placed.outcome().reason == "fallback: phone_slow"
    assert placed.over_at - placed.began_at < 10


async def test_a_model_that_does_not_read_is_apologised_for(autojump_clock):
    async with open_house() as house:
        placed = ring_to_the_deaf(house)
        await placed.ended(60)
    assert placed.disposition() == "fallback"
    assert placed.outcome().reason == "fallback: model_slow"
    assert placed.heard().endswith(APOLOGY)
    assert placed.over_at - placed.began_at < 15


async def test_a_burst_that_the_model_does_not_take_fills_its_outbox(autojump_clock):
    async with open_house(clips=short_clips()) as house:
        placed = ring_to_the_deaf(house, run_leg=False)
        await start_by_hand(placed)
        await trio.sleep(1)
        for chunk in range(1, 1200):
            await placed.phone.send(media(placed, chunk))
        gone = await hear_nothing_but_the_end(placed)
    assert gone.reason == "model_slow"
    assert placed.disposition() == "fallback"


def ring_to_the_deaf(house: House, **how: object) -> Placed:
    """A call whose model says hello and then never reads again."""

    @asynccontextmanager
    async def dial(_facts):
        ours, theirs = memory_pair(capacity=4)
        await theirs.send('{"type":"session.created","event_id":"e1","session":{}}')
        await theirs.send('{"type":"session.updated","event_id":"e2","session":{}}')
        try:
            yield ours
        finally:
            ours.drop()

    return house.ring(kit=replace(house.kit, dial=dial), **how)
