"""A call's side towards the model: one session at a time, with an outbox and a codec of its own.

A session that takes another's place begins anew with all of that; what the old one still says is
history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from relay.audio import ModelToPhone, PhoneToModel, payload
from relay.core import commands as do
from relay.core import events as on
from relay.errors import Misuse
from relay.shell.kit import CallFacts, CallKit
from relay.shell.model import Feed, SignsOfLife, run_model
from relay.shell.outbox import Outbox
from relay.shell.understood import understood
from relay.wire import realtime

# Twenty seconds of caller audio, for a model that stops reading a while.
MODEL_OUTBOX = 1024
# A session that is not wanted any more says goodbye within this.
GOODBYE_S = 1.0


class Listens(Protocol):
    """A call. Known to a session's task alone, so that no cycle keeps it when it is over.

    speak: `feed` for the model's voice, and cheaper
    """

    def feed(self, event: on.Event) -> None: ...

    def speak(self, sound: on.AgentAudio) -> None: ...


class ModelSide:
    """The session that is spoken with, or none yet."""

    def __init__(self, kit: CallKit) -> None:
        self._kit = kit
        self._settings: realtime.SessionSettings | None = None
        self._sent = 0
        self._begin()

    def _begin(self) -> None:
        self.outbox = Outbox(MODEL_OUTBOX)
        self.codec = ModelToPhone(self._kit.audio_format)
        self._scope = trio.CancelScope()
        self._signs = SignsOfLife()
        self._retelling: PhoneToModel | None = None

    def introduce(self, facts: CallFacts) -> None:
        """Who calls whom is known: what every session of this call is told first."""
        self._settings = self._kit.settings(facts)

    def dial(self, facts: CallFacts, call: Listens, nursery: trio.Nursery) -> None:
        """A session of its own, in place of the one there was. Its events end with it."""
        self.close()
        self._begin()
        dialling, outbox = self._kit.dial(facts), self.outbox
        session = partial(run_model, dialling, outbox, self.codec, signs=self._signs)
        nursery.start_soon(self._run, session, call, self._scope, outbox)

    async def _run(
        self,
        session: Callable[[Feed], Awaitable[None]],
        call: Listens,
        scope: trio.CancelScope,
        outbox: Outbox,
    ) -> None:
        def feed(event: on.Event) -> None:
            if outbox is not self.outbox:
                return  # what a session says that was replaced is history
            if type(event) is on.AgentAudio:
                call.speak(event)  # there are no words in it, and no news of the model
                return
            self._kit.model_watch.heard(event)
            call.feed(understood(event, self._kit.policy))

        with scope:
            await session(feed)

    def tell(self, command: realtime.ModelMessage) -> bool:
        """Post a message. False: the outbox is full."""
        if self._settings is None:
            raise Misuse("the model cannot be told anything before the call has started")
        self._sent += 1
        name = do.SETUP if isinstance(command, do.ConfigureModel) else "evt"
        return self.outbox.post(realtime.render(command, f"{name}_{self._sent}", self._settings))

    def doubt(self, now: float) -> None:
        """The session should have been heard of by now, if it was not."""
        self._signs.doubt(now)

    def retell(self, mulaw: bytes) -> bool:
        """`tell` what a predecessor was told, by a filter of its own: the line's goes on."""
        self._retelling = self._retelling or PhoneToModel(self._kit.audio_format)
        return self.tell(do.AppendAudio(self._retelling.frame(payload(mulaw)).audio))

    def close(self) -> None:
        """Let what is posted go out, say goodbye, but not for long."""
        self.outbox.close()
        self._scope.deadline = trio.current_time() + GOODBYE_S
