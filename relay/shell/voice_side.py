"""A call's side towards the second voice: one connection at a time, or none yet."""

from __future__ import annotations

import trio

from relay.core import commands as do
from relay.errors import Misuse
from relay.ports import Voice
from relay.shell.speaker import Feed, Speaker


class VoiceSide:
    """The connection that speaks. voice: None where the model speaks itself."""

    def __init__(self, voice: Voice | None) -> None:
        self._voice = voice
        self._speaker: Speaker | None = None

    def open(self, feed: Feed, nursery: trio.Nursery) -> None:
        """A connection of its own for the call, in place of one that is gone."""
        if self._voice is None:
            raise Misuse("the policy has a second voice, and the kit has none")
        self._speaker = Speaker(self._voice, feed)
        nursery.start_soon(self._speaker.run)

    def say(self, command: do.SayText) -> None:
        self._speaking().say(command)

    def drop(self, item_id: str) -> None:
        self._speaking().drop(item_id)

    def close(self) -> None:
        """Say goodbye, if there is somebody."""
        if self._speaker is not None:
            self._speaker.close()

    def let_go(self) -> None:
        """The call is over. What speaks knows `feed`: a cycle, which all of the call hangs on."""
        self._speaker = None

    def _speaking(self) -> Speaker:
        if self._speaker is None:
            raise Misuse("the second voice was not opened")
        return self._speaker
