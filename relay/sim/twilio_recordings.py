"""Recordings: what of a call is kept, from when to when.

A line remembers every sample of both its sides, so a recording is nothing but stretches of it: it
cannot hold a sound from before its start or from a pause. Channel 1 is what the call's person
says, channel 2 what is heard at that person's ear.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

import trio

from relay.sim.line import RATE
from relay.sim.twilio_call import PhoneCall
from relay.sim.twilio_verbs import NO_CALLBACK, Callback
from relay.sim.ulaw import SILENCE

API_URL = "https://api.twilio.com"
PROCESSING_S = 1.0  # from a recording's end until it can be had


@dataclass(eq=False, slots=True)
class Recording:
    """One recording of one call.

    source: StartCallRecordingAPI | RecordVerb; track: both | inbound | outbound
    state: in-progress | paused | stopped (its sound is being prepared) | completed | absent
    pieces: [first sample, sample behind the last or None while it runs, sound | silence | skip]
    """

    call: PhoneCall
    source: str
    channels: int = 1
    track: str = "both"
    status: Callback = NO_CALLBACK
    sid: str = field(default_factory=lambda: "RE" + secrets.token_hex(16))
    state: str = "in-progress"
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    pieces: list[tuple[int, int | None, str]] = field(default_factory=list)
    over: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.pieces.append((self.call.line.sample(), None, "sound"))

    @property
    def active(self) -> bool:
        return not self.over.is_set()

    @property
    def url(self) -> str:
        return f"{API_URL}/2010-04-01/Accounts/{self.call.account_sid}/Recordings/{self.sid}"

    def pause(self, behavior: str) -> None:
        """Stop listening. behavior: silence keeps the time of the pause, skip does not."""
        self._turn_to("paused", behavior)

    def resume(self) -> None:
        self._turn_to("in-progress", "sound")

    def stop(self, until: int | None = None) -> None:
        """End it, now or at an earlier sample."""
        if self.active:
            now = self.call.line.sample()
            self._close(now if until is None else min(until, now))
            self.state = "stopped"
            self.over.set()

    def sound(self) -> tuple[bytes, bytes]:
        """Both channels so far, as long as each other."""
        said, heard = bytearray(), bytearray()
        line = self.call.line
        for start, end, kind in self.pieces:
            until = line.sample() if end is None else end
            if kind == "sound":
                said += line.spoken(start, until)
                heard += line.heard.read(start, until)
            elif kind == "silence":
                said += SILENCE * (until - start)
                heard += SILENCE * (until - start)
        return bytes(said), bytes(heard)

    @property
    def duration_s(self) -> int:
        return round(len(self.sound()[0]) / RATE)

    def form(self) -> dict[str, str]:
        """What its status callback says."""
        form = {
            "AccountSid": self.call.account_sid,
            "CallSid": self.call.sid,
            "RecordingSid": self.sid,
            "RecordingUrl": self.url,
            "RecordingStatus": self.state,
            "RecordingChannels": str(self.channels),
            "RecordingTrack": self.track,
            "RecordingSource": self.source,
            "RecordingStartTime": format_datetime(self.began),
        }
        if not self.active:
            form["RecordingDuration"] = str(self.duration_s)
        return form

    def _turn_to(self, state: str, kind: str) -> None:
        now = self.call.line.sample()
        self._close(now)
        self.pieces.append((now, None, kind))
        self.state = state

    def _close(self, at: int) -> None:
        start, _, kind = self.pieces[-1]
        self.pieces[-1] = (start, max(start, at), kind)


async def follow(recording: Recording, tell: Callable[[dict[str, str]], None]) -> None:
    """Tell a recording's events from its beginning until it can be had, or is found empty."""

    def event(name: str) -> None:
        if name in recording.status.events:
            tell(recording.form())

    event("in-progress")
    async with trio.open_nursery() as nursery:

        async def end_with_call() -> None:
            await recording.call.ended.wait()
            recording.stop()

        nursery.start_soon(end_with_call)
        await recording.over.wait()
        nursery.cancel_scope.cancel()
    await trio.sleep(PROCESSING_S)
    recording.state = "completed" if recording.duration_s else "absent"
    event(recording.state)
