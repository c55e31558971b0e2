"""What the webhooks have in common: the desk they stand at, and the ways out of a call.

A call that cannot go on with the agent takes the next rung that there is:

    the human, if one is there at this hour ─▶ the voicemail ─▶ goodbye

All of it is TwiML from memory: it needs no model and no database. A call that comes from a human's
own telephone, from ours, or was forwarded by either, is never put through to that human: it would
ring its own tail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from relay.core.records import OwnerNotice
from relay.ports import Entry
from relay.shell.humans import RING_S, Humans
from relay.shell.recordings import Recordings
from relay.switchboard import Switchboard
from relay.web.forms import Form
from relay.web.outcomes import Outcomes
from relay.wire import twiml

APOLOGY: Final = "I am sorry, our assistant cannot take your call right now. Please hold on."
MESSAGE: Final = (
    "Nobody can take your call right now. Please leave your name and your message after the tone."
    " It will be recorded. Then simply hang up."
)
GOODBYE: Final = "Thank you. Goodbye."
STREAM_PATH: Final = "/twilio/stream/"

_log = structlog.get_logger("relay.web")


@dataclass(frozen=True, slots=True)
class FrontDesk:
    """What the webhooks need. keep: the journal's; numbers: the humans', by name, "" the first.

    recorded: whether calls are recorded, if their callers let them be
    """

    board: Switchboard
    outcomes: Outcomes
    humans: Humans
    keep: Callable[[Entry], None]
    auth_token: str
    public_url: str
    stream_base: str
    own_number: str
    numbers: Mapping[str, str]
    recordings: Recordings
    recorded: bool = False

    def url(self, name: str, after: str = "") -> str:
        """The public URL of a webhook. after: the stream that is over when it is asked, if any."""
        query = f"?after={after}" if after else ""
        return f"{self.public_url}/twilio/{name}{query}"

    def connect(self, token: str, form: Form, **more: str) -> str:
        """Connect a call to a stream, with a way out behind it."""
        who = {"caller": form.number("From"), "called": form.number("To"), **form.origin()}
        if form.names("From", set(self.numbers.values())):
            who["human"] = "yes"  # read in the form: as a sip: address it is no caller's number
        line = self.board.line(form.call_sid)
        stream = line.stream if line else ""
        return twiml.connect_stream(
            stream_url=f"{self.stream_base}{STREAM_PATH}{token}",
            action_url=self.url("after-stream", stream),
            status_callback_url=self.url("stream-status"),
            fallback_url=self.url("fallback", stream),
            parameters={**who, **more},
        )

    def go_on(self, form: Form, why: str) -> str:
        """Bring a call that had a stream back to the agent."""
        caller, called = form.number("From"), form.number("To")
        board = self.board
        token = board.expect_again(form.call_sid, caller, called, why, after=form.after)
        _log.info("= back to the agent", call_sid=form.call_sid, why=why)
        return self.connect(token, form, why=why)

    async def dropped(self, form: Form) -> str:
        """Bring a caller back whom a human has left at once; nobody who is back already."""
        if not await self.board.returns.note("human_dropped", form.call_sid, form.after):
            return self.bridge(form, APOLOGY)
        return self.go_on(form, "human_dropped")

    def loops(self, form: Form) -> bool:
        """Whether putting this call through to the human would come back to us."""
        ours = {self.own_number, *self.numbers.values()}
        return form.names("From", ours) or form.names("ForwardedFrom", ours)

    def comes_round(self, form: Form) -> bool:
        """Whether a call that rings is a transfer of ours that nobody took, on its way round."""
        return form.names("From", {self.own_number}) or form.names(
            "ForwardedFrom", set(self.numbers.values())
        )

    def bridge(self, form: Form, say: str = "") -> str:
        """Ring the human, who presses a key; the voicemail when that cannot be."""
        if self.loops(form):
            _log.warning("! not bridged to itself", call_sid=form.call_sid)
            return self.voicemail()
        if not self.humans.there():
            return self.voicemail()
        return twiml.dial(
            self.numbers[""],
            action_url=self.url("after-dial"),
            screen_url=self.url("whisper"),
            # Twilio shows the caller's own number; a call that has none must show one of ours.
            caller_id=None if form.number("From") else self.own_number,
            timeout_s=RING_S,
            say=say,
        )

    def voicemail(self, say: str = MESSAGE) -> str:
        """The last rung that can still do something: take a message."""
        return twiml.voicemail(
            say,
            action_url=self.url("voicemail"),
            recording_url=self.url("voicemail-recording"),
            bye=GOODBYE,
        )

    def notice(self, call_sid: str, ref: str, kind: str, text: str) -> None:
        """Something that the owner shall hear of, once for each ref."""
        notice = OwnerNotice(trio.current_time(), ref, kind, text)
        self.keep(Entry(call_sid, datetime.now(UTC), notice))
