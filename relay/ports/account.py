"""What Twilio knows of our account and our numbers: adapters/twilio_account.py.

For `relay doctor` and `relay number`, never for a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class NumberRoutes:
    """Whom Twilio asks about a number's calls; "" for nobody.

    application: a TwiML application or a SIP trunk, which take the place of the webhook
    """

    voice_url: str = ""
    fallback_url: str = ""
    status_url: str = ""
    application: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the account. methods: HTTP methods of its webhooks that are not POST."""

    sid: str
    number: str
    routes: NumberRoutes
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """status: active | suspended | closed. kind: Full | Trial."""

    status: str
    kind: str


class PhoneAccount(Protocol):
    """Every method has its own deadline and raises PhoneControlError."""

    async def account(self) -> Account: ...

    async def number(self, number: str) -> Number | None:
        """A number by its E.164; None: the account does not have it."""
        ...

    async def route(self, sid: str, routes: NumberRoutes) -> None:
        """Give a number these webhooks, by POST; what is "" stays as it is."""
        ...

    @property
    def clock_ahead_s(self) -> float | None:
        """By how much our clock is ahead of Twilio's, as its last answer said."""
        ...
