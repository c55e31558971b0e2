"""Records the agent's clips with the second voice: one connection, one text after the other.

It says what it is given, so that nothing needs to be compared, as a model's takes do
(clip_studio.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from relay.audio.frames import MULAW_BYTES_PER_MS
from relay.core import commands as do
from relay.core import events as on
from relay.ports import Voice
from relay.shell.clip_sound import finish
from relay.shell.clip_studio import CLOSE_S, LONGEST_MS, TAKE_S, Recorded
from relay.shell.speaker import Speaker


class _Broken(Exception):  # noqa: N818 - leaves the session, and is a value outside
    """The connection is of no more use."""


async def record(voice: Voice, texts: Sequence[str]) -> Recorded:
    """Have a voice say every text. Never raises because of the provider."""
    send, receive = trio.open_memory_channel[on.Event](math.inf)
    clips: dict[str, bytes] = {}
    broken = ""
    async with send, receive, trio.open_nursery() as nursery:
        speaker = Speaker(voice, send.send_nowait)
        nursery.start_soon(speaker.run)
        try:
            for number, text in enumerate(texts):
                speaker.say(do.SayText("", f"clip_{number}", text, last=True))
                clips[text] = await _take(receive)
        except _Broken as why:
            broken = str(why)
        speaker.close()
        nursery.cancel_scope.deadline = trio.current_time() + CLOSE_S
    silent = {text: "" for text, clip in clips.items() if not clip}
    return Recorded({t: clip for t, clip in clips.items() if clip}, silent, broken)


async def _take(events: trio.MemoryReceiveChannel[on.Event]) -> bytes:
    """One text's sound, trimmed and levelled; b"" when there is none in it."""
    mulaw = bytearray()
    with trio.move_on_after(TAKE_S):
        while True:
            match await events.receive():
                case on.AgentAudio(mulaw=piece):
                    mulaw += piece
                    if len(mulaw) > LONGEST_MS * MULAW_BYTES_PER_MS:
                        raise _Broken("the voice does not stop talking")
                case on.AgentAudioEnded():
                    return finish(bytes(mulaw))
                case on.VoiceLost(why, detail):
                    raise _Broken(f"{why}: {detail}".rstrip(": "))
                case _:
                    pass
    raise _Broken(f"a text was not said within {TAKE_S:g} s")
