"""What is asked of Twilio about a human's leg, and about the caller who waits for one.

Nothing here raises but `place`: what was not done is logged, and every leg ends by itself in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from relay.errors import PhoneControlError
from relay.ports import Leg, PhoneControl
from relay.wire import twiml

log = structlog.get_logger("relay.humans")

GONE: Final = "The caller is no longer on the line. Thank you. Goodbye."


class Legs:
    """Legs by their CallSids; "" is one that nobody knows of, and nothing is asked about it.

    url: the public URL of a webhook's path; ring_s: how long a human's telephone rings
    """

    def __init__(self, control: PhoneControl, url: Callable[[str], str], *, ring_s: int) -> None:
        self._control = control
        self._url = url
        self._ring_s = ring_s

    async def place(self, attempt: str, number: str) -> str:
        """Ring a number. Returns the leg's CallSid. Raises PhoneControlError."""
        screen, status = self._url(f"screen/{attempt}"), self._url(f"leg-status/{attempt}")
        return await self._control.place(Leg(number, screen, status, self._ring_s))

    async def hang_up(self, leg_sid: str) -> None:
        if leg_sid:
            try:
                await self._control.hang_up(leg_sid)
            except PhoneControlError as failed:
                log.warning("leg not ended", leg_sid=leg_sid, error=str(failed))

    async def say_gone(self, leg_sid: str) -> None:
        """Tell a human who has answered that the caller is gone; failing that, hang up."""
        if not leg_sid:
            return
        try:
            await self._control.redirect(leg_sid, twiml.say_and_hang_up(GONE))
        except PhoneControlError as failed:
            if not failed.gone:
                await self.hang_up(leg_sid)

    async def fetch(self, call_sid: str) -> None:
        """Have a caller leave the room."""
        log.info("caller fetched out of the room", call_sid=call_sid)
        try:
            await self._control.redirect(call_sid, twiml.redirect(self._url("after-talk")))
        except PhoneControlError as failed:
            if not failed.gone:
                log.warning("caller not fetched", call_sid=call_sid, error=str(failed))
