"""One connection to a second voice: what goes out in what order, and what comes of its sound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from relay.adapters.elevenlabs import ElevenLabs
from relay.core import commands as do
from relay.core import events as on
from relay.errors import DialError
from relay.ports import Socket
from relay.shell import sockets
from relay.shell.speaker import CAPACITY, Speaker
from relay.sim.elevenlabs import MS_PER_LETTER, QUOTA, Options, Provider, hum, listen
from relay.sim.pair import MemorySocket, memory_pair


class Rig:
    """A speaker before a simulated provider."""

    def __init__(self, provider: Provider, nursery: trio.Nursery, refuse: str = "") -> None:
        self.provider = provider
        self.nursery = nursery
        self.refuse = refuse
        self.events: list[on.Event] = []
        self.theirs: MemorySocket | None = None
        voice = ElevenLabs("wss://v", "xi", "flash", "rachel", self.dial)
        self.speaker = Speaker(voice, self.events.append)

    @asynccontextmanager
    async def dial(self, url: str, headers: Any) -> AsyncIterator[Socket]:
        await trio.lowlevel.checkpoint()
        if self.refuse:
            raise DialError(self.refuse)
        ours, self.theirs = memory_pair()
        self.nursery.start_soon(partial(self.provider.serve, self.theirs, url[7:]))
        yield ours
        await ours.aclose()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def rig(options: Options | None = None, *, refuse: str = "") -> AsyncIterator[Rig]:
    async with trio.open_nursery() as nursery:
        made = Rig(Provider(options or Options()), nursery, refuse)
        nursery.start_soon(made.speaker.run)
        yield made
        made.speaker.close()
    assert made.provider.violations == []


def said(item: str, text: str, *, last: bool = True) -> do.SayText:
    return do.SayText("r1", item, text, last=last)


async def test_sound_comes_behind_its_timing_and_ahead_of_its_end(autojump_clock):
    async with rig() as made:
        made.speaker.say(said("i", "Nine to five. ", last=False))
        made.speaker.say(said("i", "Or later."))
        await trio.sleep(5)
    kinds = [type(event) for event in made.events]
    assert kinds[:3] == [on.AgentAudio, on.WordsTimed, on.AgentAudio]  # no word ends in the first
    assert kinds[-1] is on.AgentAudioEnded
    assert b"".join(event.mulaw for event in made.of(on.AgentAudio)) == (
        hum("Nine to five. ") + hum("Or later. ")
    )
    assert {event.response_id for event in made.of(on.AgentAudio)} == {"r1"}


async def test_a_words_end_is_the_ms_of_its_item_by_which_it_is_said(autojump_clock):
    text = "Nine to five. Or  later."
    async with rig(Options(piece_ms=(130, 70))) as made:
        made.speaker.say(said("i", text))
        await trio.sleep(5)
    words = [word for event in made.of(on.WordsTimed) for word in event.words]
    ends = [text.index(word) + len(word) for word in ("Nine", "to", "five.", "Or", "later.")]
    assert [ms for _, ms in words] == [MS_PER_LETTER * end for end in ends]
    starts = [text.index(word) for word in ("to", "five.", "Or", "later.")]
    assert [chars for chars, _ in words] == [*starts, len(text)]


async def test_letters_that_are_told_otherwise_are_counted_all_the_same(autojump_clock):
    """Their alignment may skip a blank, or spell a sign in another way."""
    odd = Options(speak=lambda text: hum(text.replace("\n", " ")))
    async with rig(odd) as made:
        made.speaker.say(said("i", "\nYes, I do."))
        await trio.sleep(5)
    assert [word for event in made.of(on.WordsTimed) for word in event.words][-1][0] == 11


async def test_what_is_said_before_the_connection_stands_is_not_lost(autojump_clock):
    async with trio.open_nursery() as nursery:
        made = Rig(Provider(), nursery)
        made.speaker.say(said("i", "Hello."))
        nursery.start_soon(made.speaker.run)
        await trio.sleep(3)
        made.speaker.close()
    assert made.provider.said("i") == "Hello. "


async def test_over_a_real_connection_nothing_waits_for_the_next_message() -> None:
    """The second item finds a connection that stands, where messages of a step are gathered."""
    provider = Provider(Options(first_s=0.0, pace=1000.0))
    send, receive = trio.open_memory_channel[on.Event](1000)
    heard = b""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, provider)
        voice = ElevenLabs(f"ws://127.0.0.1:{port}", "xi", "flash", "rachel", sockets.dial)
        speaker = Speaker(voice, send.send_nowait)
        with trio.fail_after(10):
            async with trio.open_nursery() as running:
                running.start_soon(speaker.run)
                for item in ("i", "j"):
                    speaker.say(said(item, "Nine to five."))
                    while not isinstance(event := await receive.receive(), on.AgentAudioEnded):
                        heard += event.mulaw if isinstance(event, on.AgentAudio) else b""
                speaker.close()
        nursery.cancel_scope.cancel()
    assert heard == 2 * hum("Nine to five. ")
    assert provider.connections == 1


async def test_a_dropped_item_is_closed_and_heard_no_more(autojump_clock):
    async with rig() as made:
        made.speaker.say(said("i", "Nine to five, every day but Sunday. ", last=False))
        await trio.sleep(0.3)
        before = len(made.events)
        made.speaker.drop("i")
        await trio.sleep(5)
    assert before > 0
    assert len(made.events) == before
    assert made.provider.closed == ["i"]


async def test_items_wait_until_the_provider_takes_them(autojump_clock):
    async with rig() as made:
        for n in range(7):
            made.speaker.say(said(f"i{n}", "Yes."))
        made.speaker.drop("i6")
        await trio.sleep(0.01)
        assert made.provider.open == made.speaker._voice.at_once
        await trio.sleep(10)
    ended = [event.item_id for event in made.of(on.AgentAudioEnded)]
    assert sorted(ended) == [f"i{n}" for n in range(6)]
    assert sorted(ended[-2:]) == ["i4", "i5"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (Options(error=QUOTA), "quota"),
        (Options(drop_after_ms=0), "closed"),
        (Options(idle_s=1.0), "closed"),
    ],
)
async def test_it_is_lost_once(autojump_clock, options, why):
    async with rig(options) as made:
        made.speaker.say(said("i", "Hello."))
        await trio.sleep(5)
        made.speaker.say(said("j", "Anybody?"))
        await trio.sleep(5)
    assert [event.why for event in made.of(on.VoiceLost)] == [why]


async def test_one_that_cannot_be_reached(autojump_clock):
    async with rig(refuse="HTTP 503") as made:
        await trio.sleep(1)
    assert made.events == [on.VoiceLost("unreachable", "HTTP 503")]


async def test_nonsense_is_a_loss(autojump_clock):
    async with rig() as made:
        await trio.sleep(0.1)
        await made.theirs.send(b"\xff\x00")
        await trio.sleep(1)
    assert [event.why for event in made.of(on.VoiceLost)] == ["broken"]


async def test_one_that_does_not_read_is_lost(autojump_clock):
    """Nothing is written yet: the connection never stands."""
    async with trio.open_nursery() as nursery:
        made = Rig(Provider(), nursery)
        for n in range(CAPACITY + 1):
            made.speaker.say(said("i", f"{n} ", last=False))
    assert [event.why for event in made.of(on.VoiceLost)] == ["closed"]


async def test_one_that_stops_reading_and_says_nothing_takes_no_connection_any_more(
    autojump_clock,
):
    """It may go on like that for as long as the call lasts, and would count as one of ours."""
    ours, _theirs = memory_pair(capacity=1)

    @asynccontextmanager
    async def dial(url: str, headers: Any) -> AsyncIterator[Socket]:
        await trio.lowlevel.checkpoint()
        yield ours

    events: list[on.Event] = []
    speaker = Speaker(ElevenLabs("wss://v", "xi", "flash", "rachel", dial), events.append)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speaker.run)
            speaker.say(said("i", "Nine to five."))
    assert events == [on.VoiceLost("closed", "it does not read")]


async def test_after_the_goodbye_nothing_is_fed(autojump_clock):
    async with rig() as made:
        made.speaker.say(said("i", "Nine to five, every day but Sunday."))
        await trio.sleep(0.2)
        before = len(made.events)
        made.speaker.close()
        await trio.sleep(5)
    assert len(made.events) == before
    assert made.provider.live == 0
