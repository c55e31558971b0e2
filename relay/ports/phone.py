"""What we ask of the telephone network beside a call's own stream: adapters/twilio_rest.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

#: Twilio's words for a call that is over.
ENDED: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


@dataclass(frozen=True, slots=True)
class Leg:
    """A call that we place.

    to: E.164, from our own configuration, never a model's or a caller's word
    screen_url: what Twilio asks when it is answered; status_url: what it tells how the call goes
    """

    to: str
    screen_url: str
    status_url: str
    ring_s: int = 20


class PhoneControl(Protocol):
    """Twilio's REST API, as far as a call needs it. Every method has its own deadline.

    All raise PhoneControlError; `gone` on it says that the call in question is over already.
    """

    async def place(self, leg: Leg) -> str:
        """Ring somebody. Returns the new call's SID. Not idempotent: a lost answer may ring."""
        ...

    async def hang_up(self, call_sid: str) -> None:
        """End a call, answered or ringing. One that is over already is no error."""
        ...

    async def status(self, call_sid: str) -> str:
        """How a call is, in Twilio's words (ENDED among them); one that is not known is `gone`."""
        ...

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Give a call in progress other instructions, which ends its stream."""
        ...

    async def text(self, to: str, body: str) -> str:
        """Send an SMS from our number. Returns its SID. Not idempotent."""
        ...

    async def start_recording(self, call_sid: str, status_url: str) -> str:
        """Record a call in two channels. Returns the recording's SID. Not idempotent."""
        ...

    async def pause_recording(self, call_sid: str, recording_sid: str) -> None: ...

    async def resume_recording(self, call_sid: str, recording_sid: str) -> None: ...

    async def stop_recording(self, call_sid: str, recording_sid: str) -> None: ...

    async def delete_recording(self, recording_sid: str) -> None:
        """Delete a recording for good. One that does not exist is no error."""
        ...


class RecordingDesk(Protocol):
    """What of one call is recorded and written down, for its functions."""

    async def pause(self) -> bool:
        """Keep nothing of what follows. False: the recording goes on all the same."""
        ...

    def resume(self) -> None:
        """Keep what follows, once what is being said was heard."""
        ...

    async def refuse(self) -> None:
        """Keep nothing of the call, for good, and delete what was kept.

        Holds at once. Returns when it would outlive this process, or when that takes too long.
        """
        ...
