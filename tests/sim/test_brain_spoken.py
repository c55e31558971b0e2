"""The spoken brain in a session: real speech in, real speech out, under a jumping clock."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from relay.errors import Misuse
from relay.sim import grammars, phrases
from relay.sim.brain_spoken import Spoken
from relay.sim.phrases import Book, plain
from relay.sim.realtime import Options
from relay.sim.voice import MODEL_HZ, PHONE_HZ, Recogniser, from_mulaw, resample, speak, to_mulaw
from tests.sim.realtime_client import Client, connected

TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object"}}
    for name in ("lookup_hours", "book_appointment", "transfer_to_human", "end_call")
]
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


@cache
def ear() -> Recogniser:
    return Recogniser(grammars.agent_grammar(Book()))


async def started(client: Client) -> None:
    await client.wait("session.created")
    audio = {"input": {"transcription": {"model": "gpt-transcribe"}}}
    await client.configure(tools=TOOLS, audio=audio)


async def tell(client: Client, text: str, responses: int) -> dict[str, Any]:
    """Say something over the telephone and wait for the n-th response. Returns it."""
    line = resample(from_mulaw(speak(text, pitch=0.9)), PHONE_HZ, MODEL_HZ)
    await client.play(line + b"\0" * 48 * 800)
    return (await client.wait("response.done", responses))["response"]


async def post(client: Client, response: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    call_id = response["output"][-1]["call_id"]
    item = {"type": "function_call_output", "call_id": call_id, "output": json.dumps(output)}
    await client.send("conversation.item.create", item=item)
    return await client.ask()


def heard(client: Client, response: dict[str, Any]) -> list[str]:
    """What the agent said, recognised again from its audio at the end of a telephone line."""
    pcm = client.audio(response["output"][0]["id"])
    return ear().sentences(from_mulaw(to_mulaw(resample(pcm, MODEL_HZ, PHONE_HZ))))


def called(response: dict[str, Any]) -> tuple[str, Any]:
    item = response["output"][-1]
    return item["name"], json.loads(item["arguments"])


async def test_a_caller_asks_books_and_says_goodbye(autojump_clock: object) -> None:
    async with connected(Spoken(inline=True), Options(judge="webrtc")) as client:
        await started(client)
        response = await tell(client, phrases.ask_hours("wednesday"), 1)
        assert called(response) == ("lookup_hours", {"day": "wednesday"})
        spans = [["09:00", "12:00"], ["13:00", "17:00"]]
        response = await post(client, response, {"day": "Wednesday", "open": spans, "note": ""})
        assert grammars.hours_said(heard(client, response)[0]) == (
            "wednesday",
            (("09:00", "12:00"), ("13:00", "17:00")),
        )
        wish = phrases.ask_booking("filling", "wednesday", "15:30", "anna")
        response = await tell(client, wish, 3)
        assert heard(client, response) == [
            "a filling for wednesday at three thirty in the afternoon in the name of anna",
            "is that right",
        ]
        response = await tell(client, phrases.YES, 4)
        slot = {"service": "filling", "day": "wednesday", "time": "15:30", "name": "Anna"}
        assert called(response) == ("book_appointment", slot)
        output = slot | {"booked": True, "reference": "407123", "day": "Wednesday"}
        response = await post(client, response, output)
        assert grammars.booking_said(heard(client, response)[0]) == (
            "filling",
            "wednesday",
            "15:30",
        )
        response = await tell(client, phrases.BYE, 6)
        assert heard(client, response) == ["thank you for calling", "goodbye"]
        assert called(response)[0] == "end_call"
        words = [event["transcript"] for event in client.of(TRANSCRIBED)]
        assert words == [
            plain(text) for text in (phrases.ask_hours("wednesday"), wish, phrases.YES, phrases.BYE)
        ]


async def test_a_caller_who_is_not_understood_gets_a_person(autojump_clock: object) -> None:
    async with connected(Spoken(inline=True)) as client:
        await started(client)
        response = await tell(client, phrases.ODD[1], 1)
        assert heard(client, response)[-1] == "could you say that again"
        response = await tell(client, phrases.ODD[0], 2)
        assert heard(client, response)[-1] == "would you like to speak to a person"
        response = await tell(client, phrases.YES, 3)
        assert called(response)[0] == "transfer_to_human"
        assert heard(client, response) == [plain(phrases.TRYING)]


async def test_a_summary_for_a_person_is_private(autojump_clock: object) -> None:
    async with connected(Spoken(inline=True)) as client:
        await started(client)
        await tell(client, phrases.HUMAN_PLEASE, 1)
        asked = {"conversation": "none", "output_modalities": ["text"]}
        summary = await client.ask(**asked)
        assert summary["output"][0]["content"][0]["text"] == phrases.WANTS_PERSON


async def test_asked_to_speak_first_it_offers_help(autojump_clock: object) -> None:
    async with connected(Spoken(inline=True)) as client:
        await started(client)
        assert heard(client, await client.ask()) == ["how can i help you"]


async def test_on_a_real_clock_it_thinks_in_threads() -> None:
    async with connected(Spoken(), Options(pace=100)) as client:
        await started(client)
        line = resample(from_mulaw(speak(phrases.HUMAN_PLEASE)), PHONE_HZ, MODEL_HZ)
        await client.append(line + b"\0" * 48 * 800)
        response = (await client.wait("response.done"))["response"]
        assert called(response)[0] == "transfer_to_human"


def test_a_book_with_unknown_words_is_refused() -> None:
    with pytest.raises(Misuse, match="xyzzyx"):
        Spoken(Book(services=("xyzzyx",)))
