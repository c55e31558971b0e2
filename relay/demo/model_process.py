"""The simulated Realtime model, in a process of its own, and what it lets its audience know.

Beside it, for those who ask for one, a simulated second voice (ElevenLabs) listens.

`python -m relay.demo.model_process` listens on a free port of this machine and writes lines of JSON
on stdout: first both ports, then what its sessions hear, say and call. It ends when its stdin does,
so that nothing is left behind whatever becomes of the demo.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import trio

from relay.demo.model import COMPLAINT
from relay.demo.scenario import BOOK
from relay.sim import elevenlabs, voice
from relay.sim.brain_spoken import Spoken, callers_ear
from relay.sim.realtime_listen import listen
from relay.sim.realtime_session import Logged, Session

BREATH_MS = 300
VOICE_HZ = 25_800  # at which a second voice plays what the model says at 24,000
LOOK_S = 0.05  # how often a session's log is looked at


def told(logged: Logged) -> Iterator[tuple[str, str]]:
    """What of an event an audience wants to know: who, and what."""
    event = logged.event
    match logged.by, event["type"]:
        case "server", "conversation.item.input_audio_transcription.completed":
            yield "recognised", event["transcript"] or "(no words)"
        case "server", "response.output_audio_transcript.done":
            yield "agent", event["transcript"]
        case "server", "response.output_item.done" if event["item"]["type"] == "function_call":
            yield "tool", f"{event['item']['name']} {event['item']['arguments']}"
        case "client", "conversation.item.create":
            if event["item"]["type"] == "function_call_output":
                yield "result", event["item"]["output"]
        case "client", "conversation.item.truncate":
            yield "truncated", f"the model forgets what came after {event['audio_end_ms']} ms"


def voice_lost(logged: Logged, provider: elevenlabs.Provider) -> bool:
    """Whether a client that has a second voice asks the model for its own."""
    if not provider.connections or logged.event["type"] != "response.create":
        return False
    asked: dict[str, Any] = logged.event["response"]
    return asked.get("output_modalities") != ["text"]


async def _watch(session: Session, provider: elevenlabs.Provider) -> None:
    """Print what a session does, while it does it."""
    seen = complained = 0
    while True:
        fresh = session.log[seen:]
        news = [line for logged in fresh for line in told(logged)]
        news += [(COMPLAINT, "no second voice") for each in fresh if voice_lost(each, provider)]
        news += [(COMPLAINT, violation) for violation in session.violations[complained:]]
        seen, complained = len(session.log), len(session.violations)
        for line in news:
            print(json.dumps(line), flush=True)  # noqa: T201 - stdout is the wire
        await trio.sleep(LOOK_S)


def _higher(text: str) -> bytes:
    """The model's own speech, which is at hand, in another voice: higher, and as much faster.

    A sentence ends with a breath, by which ears tell it from the next one.
    """
    pcm = voice.speak_pcm(text, rate=voice.MODEL_HZ) + bytes(2 * voice.MODEL_HZ * BREATH_MS // 1000)
    return voice.to_mulaw(voice.resample(pcm, VOICE_HZ, voice.PHONE_HZ))


async def _watch_voice(provider: elevenlabs.Provider) -> None:
    """Print what the second voice is given to say, and what it complains about."""
    seen = complained = 0
    while True:
        news = [("voice", text.strip()) for _, text, _ in provider.texts[seen:]]
        news += [(COMPLAINT, each) for each in provider.violations[complained:]]
        seen, complained = len(provider.texts), len(provider.violations)
        for line in news:
            print(json.dumps(line), flush=True)  # noqa: T201
        await trio.sleep(LOOK_S)


async def _serve() -> None:
    callers_ear(BOOK)  # before anybody waits for it
    async with trio.open_nursery() as nursery:
        provider = elevenlabs.Provider(elevenlabs.Options(speak=_higher, aside=True))
        watch = partial(_watch, provider=provider)
        port = await nursery.start(listen, lambda: Spoken(BOOK), watch)
        voice_port = await nursery.start(elevenlabs.listen, provider)
        print(port, voice_port, flush=True)  # noqa: T201
        nursery.start_soon(_watch_voice, provider)
        async for _ in trio.lowlevel.FdStream(sys.stdin.fileno()):
            pass
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_serve)
