"""The business's owner: a webhook that the relay tells of what its calls leave to do.

It checks the signature by itself, as docs/notifications.md has it, and shows what came.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from relay.sim.http_port import Answered, Asked, serve_http

FRESH_S = 300

Tell = Callable[[str, str], None]


@dataclass(slots=True)
class Owner:
    """Who is told. notices: what came, once each; refused: why a post was not believed."""

    secret: str
    tell: Tell
    notices: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    async def listen(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Take posts until cancelled. Reports where, as "http://127.0.0.1:8080"."""
        await serve_http(self.take, task_status=task_status)

    async def take(self, asked: Asked) -> Answered:
        """Believe a post, or refuse it."""
        fault = fault_in(asked.header("relay-signature"), asked.body, self.secret, time.time())
        if fault:
            self.refused.append(fault)
            self.tell("problem", f"a post to the owner's webhook is refused: {fault}")
            return Answered(400)
        notice: dict[str, Any] = json.loads(asked.body)
        if notice["id"] not in self.notices:
            self.notices[notice["id"]] = notice
            self.tell("webhook", f"{notice['kind']}: {notice['text']}")
            self._news.unpark_all()
        return Answered(204)

    async def told_of(self, count: int) -> None:
        """Wait until so many notices have come."""
        while len(self.notices) < count:
            await self._news.park()


def fault_in(signature: str, body: bytes, secret: str, now: float) -> str:
    """Why a post is not the relay's, "" when it is."""
    fields = dict(part.partition("=")[::2] for part in signature.split(","))
    sent = fields.get("t", "")
    if not (sent.isascii() and sent.isdigit() and len(sent) < 16):
        return "no time"
    mac = hmac.new(secret.encode(), sent.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(mac.encode(), fields.get("v1", "").encode()):
        return "wrong signature"
    return "" if abs(now - int(sent)) <= FRESH_S else "too old"
