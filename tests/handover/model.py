"""The model's end, a process of its own, that never says the same words twice.

The first line of stdout is the port. For each line of stdin there is one of JSON: what every
session so far was told as text (role and text), and what it said itself. Ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from itertools import count

import trio

from relay.sim.brains import Reply, Scripted, reply, say
from relay.sim.realtime import Options, Session
from relay.sim.realtime_listen import listen

SAID = count(1)
SPEECH_MS = 700


class Answers(Scripted):
    """A brain whose every answer is another."""

    async def reply(self, *_: object, **__: object) -> Reply:
        return reply(say(f"This is answer {next(SAID)}.", ms=SPEECH_MS))


async def watch(session: Session, sessions: list[Session]) -> None:
    sessions.append(session)
    await trio.sleep_forever()


def texts(session: Session) -> list[tuple[str, str]]:
    told = (e["item"] for e in session.received if e["type"] == "conversation.item.create")
    return [
        (item["role"], item["content"][0]["text"]) for item in told if item["type"] == "message"
    ]


def said(session: Session) -> list[str]:
    return [e["transcript"] for e in session.sent_of("response.output_audio_transcript.done")]


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main() -> None:
    sessions: list[Session] = []
    options = Options(judge="level", transcript_s=(0.05,))

    def brain() -> Answers:
        return Answers(heard=["And then?"] * 1000)

    async with trio.open_nursery() as nursery:
        port = await nursery.start(
            partial(listen, brain, partial(watch, sessions=sessions), options=options)
        )
        tell(port)
        async for _ in trio.lowlevel.FdStream(os.dup(0)):
            faults = [fault for session in sessions for fault in session.violations]
            tell([[(texts(session), said(session)) for session in sessions], faults])
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
