"""Text messages: queued, sent, delivered or not, each step told to their status callback."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import trio

SENT_S, DELIVERED_S = 0.3, 0.7  # how long each step takes

Fate = tuple[str, int]  # delivered | undelivered | failed, and the error's code or 0


def delivered(to: str) -> Fate:  # noqa: ARG001 - whoever it is for
    """The fate of a message, as a rule."""
    return "delivered", 0


@dataclass(eq=False, slots=True)
class Message:
    """One SMS. status: queued -> sent -> delivered | undelivered, or failed."""

    account_sid: str
    to: str
    sender: str
    body: str
    status_url: str = ""
    sid: str = field(default_factory=lambda: "SM" + secrets.token_hex(16))
    status: str = "queued"
    error_code: int = 0
    taken: datetime = field(default_factory=lambda: datetime.now(UTC))

    def form(self) -> dict[str, str]:
        """What its status callback says."""
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "From": self.sender,
            "MessageSid": self.sid,
            "MessageStatus": self.status,
            "SmsSid": self.sid,
            "SmsStatus": self.status,
            "To": self.to,
        }
        return form | ({"ErrorCode": str(self.error_code)} if self.error_code else {})


async def deliver(message: Message, fate: Fate, tell: Callable[[dict[str, str]], None]) -> None:
    """Carry a message to its end."""
    await trio.sleep(SENT_S)
    end, code = fate
    if end != "failed":
        message.status = "sent"
        tell(message.form())
        await trio.sleep(DELIVERED_S)
    message.status, message.error_code = end, code
    tell(message.form())
