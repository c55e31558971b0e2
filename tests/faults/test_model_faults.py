"""A model's server that fails behind each kind of event that it sends, seen from the caller's ear.

A caller asks twice or thrice. The server closes, freezes, babbles or errs right behind an event:
its first of a kind, for every kind that there is in such a call (in the suite for every second or
third, in `make fuzz` for all). Rows O4, O6, O9 to O13, O20, O21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import trio

from relay.audio import ModelToPhone
from relay.core.ladder import FATAL_CODES
from relay.core.records import TranscriptLine
from relay.demo.measure import longest_silence
from relay.sim.brains import Scripted, reply, say
from relay.sim.realtime import Fault, Options, Session
from tests.depth import some
from tests.shell.house import PLAIN, Placed, open_house, short_clips

Do = Callable[[Session], object]
STARTING = ["session.created", "session.updated"]
HEARING = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.completed",
]
ANSWERING = [
    "response.created",
    "rate_limits.updated",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
]
KINDS = [*STARTING, *HEARING, *ANSWERING, "response.done"]
CLIPS = short_clips()
ANSWER = reply(say("From nine to five.", ms=1200))


@dataclass
class Behind:
    """Does something behind the first event of a kind; "": behind every event."""

    kind: str
    do: Do
    done: int = 0

    def __call__(self, session: Session, event: dict[str, Any]) -> None:
        if self.kind:
            wanted = event["type"] == self.kind and not self.done
        else:
            wanted = event["type"] != "error"  # which would be its own
        if wanted:
            self.done += 1
            self.do(session)


@dataclass
class Lived:
    """A call that is over. silence_s: the longest in which nothing was heard and nobody spoke."""

    placed: Placed
    silence_s: float
    misbehaved: list[str]


async def live(
    options: Options = PLAIN,
    *,
    asks: int = 2,
    waits_s: float = 12.0,
    freezes_s: float | None = None,
    **road: Any,
) -> Lived:
    """A caller who asks so often, and each time waits until something was heard, or for long.

    freezes_s: when the server does, since the first word
    """
    async with open_house(clips=CLIPS) as house:
        brain = Scripted(otherwise=ANSWER, heard=["When?"] * 20)
        placed = house.ring(brain, options=options, **road)
        await placed.greeted()
        began = trio.current_time()
        if freezes_s is not None:
            house.nursery.start_soon(freeze_at, placed.session, began + freezes_s)
        for _ in range(asks):
            asked = placed.line.sample(await placed.say())
            with trio.move_on_after(waits_s):
                while placed.line.heard.end <= asked and not placed.over.is_set():  # noqa: ASYNC110
                    await trio.sleep(0.1)
            await placed.quiet(1.0)
        silence_s = longest_silence(placed.line, began, trio.current_time()) / 1000
        placed.hang_up()
    return Lived(placed, silence_s, house.misbehaved())


async def freeze_at(session: Session, at: float) -> None:
    await trio.sleep_until(at)
    session.freeze()


def plain(kind: str, do: Do, **changes: Any) -> tuple[Behind, Options]:
    behind = Behind(kind, do)
    return behind, replace(PLAIN, behind=behind, **changes)


def answers(placed: Placed) -> int:
    """How many answers were heard to their end."""
    heard = placed.heard()
    spoken = [
        (session, item.id)
        for session in placed.sessions
        for item in session.items.values()
        if item.role == "assistant" and item.spoken and item.generated_ms
    ]
    return sum(converted(*each) in heard for each in spoken)


def converted(session: Session, item_id: str) -> bytes:
    """What an item of any session sounds like on a telephone."""
    codec, out = ModelToPhone(), b""
    for delta in session.sent_of("response.output_audio.delta"):
        if delta["item_id"] == item_id:
            out += codec.delta(delta["delta"])[0]
    return out + codec.flush()


# ---- O9: it closes --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", some(KINDS[1:], one_in=2, first=1))
async def test_wherever_it_closes_the_call_goes_on_with_another(autojump_clock, kind: str) -> None:
    behind, options = plain(kind, lambda session: session.close(1006))
    lived = await live(options)
    assert behind.done
    assert len(lived.placed.sessions) == 2
    assert lived.placed.outcome().outcome == "resolved"
    assert answers(lived.placed) >= 1
    assert lived.silence_s < 3.0


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4000])
async def test_with_whatever_code_it_closes_the_call_goes_on(autojump_clock, code: int) -> None:
    _, options = plain("response.output_audio.delta", lambda session: session.close(code, "no"))
    lived = await live(options)
    assert len(lived.placed.sessions) == 2
    assert lived.placed.outcome().outcome == "resolved"
    assert lived.silence_s < 3.0


async def test_a_key_that_is_refused_is_not_tried_again(autojump_clock) -> None:
    _, options = plain("session.created", lambda session: session.close(3000, "invalid_api_key"))
    lived = await live(options)
    assert len(lived.placed.sessions) == 1
    assert lived.placed.disposition() == "fallback"


def expire(session: Session) -> None:
    """As after 60 minutes: an error, and then the close."""
    session.refuse(Fault("session_expired", "Your session hit the maximum duration."), None)
    session.close(1001)


@pytest.mark.parametrize(
    "kind",
    some(["input_audio_buffer.speech_started", *ANSWERING, "response.done"], one_in=3, first=2),
)
async def test_whenever_its_hour_is_over_the_call_goes_on(autojump_clock, kind: str) -> None:
    _, options = plain(kind, expire)
    lived = await live(options)
    assert len(lived.placed.sessions) == 2
    assert lived.placed.outcome().outcome == "resolved"
    assert lived.silence_s < 3.0


# ---- O10: it freezes ------------------------------------------------------------------------


# Its socket takes all that is said, as a machine before it or a kernel does for a minute.
TAKES = {"model_capacity": 100_000}


@pytest.mark.parametrize("kind", some(KINDS[1:], one_in=2))
async def test_wherever_it_freezes_the_call_goes_on_with_another(autojump_clock, kind: str) -> None:
    behind, options = plain(kind, lambda session: session.freeze())
    check_replaced(await live(options, asks=3, **TAKES))
    assert behind.done


@pytest.mark.parametrize("freezes_s", [0.1, 0.8, 1.38, 2.0])
async def test_whenever_it_freezes_the_call_goes_on_with_another(
    autojump_clock, freezes_s: float
) -> None:
    """The caller has spoken for 0.9 s, and half a second later the server takes that for a turn."""
    check_replaced(await live(asks=3, freezes_s=freezes_s, **TAKES))


def check_replaced(lived: Lived) -> None:
    assert len(lived.placed.sessions) == 2
    assert lived.placed.outcome().outcome == "resolved"
    assert answers(lived.placed) >= 1
    assert lived.silence_s <= 4.0


# ---- O11, O13: errors, garbage --------------------------------------------------------------


def error(code: str | None, event_id: str | None = None) -> Do:
    fault = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None}
    return lambda session: session.inject(
        {"type": "error", "error": fault | {"event_id": event_id}}
    )


def babble(frame: str) -> Do:
    return lambda session: session.babble(frame)


BENIGN = [
    "invalid_event",
    "invalid_value",
    "unknown_parameter",
    "missing_required_parameter",
    "response_cancel_not_active",
    "input_audio_buffer_commit_empty",
    "item_retrieve_invalid_item_id",
    "unsupported_content_type",
    "rate_limit_exceeded",
    "a_code_of_next_year",
    None,
]
GARBAGE = [
    '{"type":"response.done"',
    '{"type":"response.done","response":5}',
    '{"type":"error","error":"no"}',
    '{"type":"response.output_audio.delta","delta":"AAAA"}',
    '{"type":"response.output_audio.done","response_id":"resp_gone","item_id":"item_gone"}',
    '{"type":"response.done","response":{"id":"resp_gone","status":"completed"}}',
    '{"type":"input_audio_buffer.committed","item_id":"item_gone"}',
    '{"type":"response.mood.delta","delta":{}}',
    '{"type":7}',
    "[" * 2000,
    "",
]


async def heard_of(options: Options) -> bytes:
    lived = await live(options, asks=1)
    assert lived.placed.outcome().outcome == "resolved"
    assert len(lived.placed.sessions) == 1
    return lived.placed.heard()


async def test_errors_that_are_none_and_garbage_are_not_heard(autojump_clock) -> None:
    """Behind every event that there is; what comes out at the ear is the same to the bit."""
    undisturbed = await heard_of(PLAIN)
    for things in ([error(code, "evt_1") for code in BENIGN], [babble(each) for each in GARBAGE]):
        behind, options = plain("", lambda session, all_=things: [do(session) for do in all_])
        assert await heard_of(options) == undisturbed
        assert behind.done


@pytest.mark.parametrize("code", sorted(FATAL_CODES))
async def test_a_word_about_the_account_leads_to_the_human(autojump_clock, code: str) -> None:
    _, options = plain("response.created", error(code))
    lived = await live(options)
    assert lived.placed.disposition() == "fallback"
    assert CLIPS["apology"].mulaw in lived.placed.heard()
    assert len(lived.placed.sessions) == 1


# ---- O20, O21: neither words nor bills ------------------------------------------------------


async def test_without_words_and_without_bills_the_caller_is_answered(autojump_clock) -> None:
    lived = await live(replace(PLAIN, transcript_s=(math.inf,), bills=False))
    assert lived.placed.outcome().outcome == "resolved"
    assert answers(lived.placed) == 2
    assert lived.silence_s < 3.0
    speakers = [line.speaker for line in lived.placed.rows(TranscriptLine)]
    assert "agent" in speakers
