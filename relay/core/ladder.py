"""What the caller hears when something breaks: the next rung, never silence.

A fault of the model's side is answered by a clip that needs no model, and then a human: the
stream is closed, and what `after-stream` returns dials one. Faults of the phone's side have no
clip, for nobody would hear it.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.events import ResponseEnded


@dataclass(frozen=True, slots=True)
class Rung:
    """Play `clip` ("" for none), then close the stream with `disposition`."""

    clip: str
    disposition: str


_HUMAN = Rung("apology", "fallback")

RUNGS = {
    "model_unreachable": _HUMAN,  # no session within the time a caller waits
    "model_refused": _HUMAN,  # our configuration or our account was not taken
    "model_lost": _HUMAN,  # the socket closed under a living call
    "model_slow": _HUMAN,  # it does not read what the caller says
    "model_stalled": _HUMAN,  # it was asked and says nothing, or twice answers with nothing
    "session_expired": _HUMAN,  # the API's 60 minutes are over
    "response_failed": _HUMAN,  # twice in a row
    "rate_limited": _HUMAN,  # for longer than a caller waits
    "phone_slow": Rung("", "fallback"),  # Twilio does not read
    "phone_flood": Rung("", "fallback"),  # nor is this a telephone line
    "phone_broken": Rung("", "fallback"),  # message after message makes no sense
}

#: Faults of one session: another one may do better, so the first of these gets a successor.
SESSION_FAULTS = frozenset({"model_lost", "model_stalled", "model_slow", "session_expired"})

#: The WebSocket close code of a key that is not valid: no session will do better.
CLOSE_REFUSED = 3000

#: `error` codes after which no session of ours will work.
FATAL_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "project_spend_limit_exceeded",
        "credit_balance_exhausted",
        "account_deactivated",
        "invalid_api_key",
    }
)

#: How often a response that failed, or said nothing, is asked for again before the next rung.
RESPONSE_RETRIES = 1


def after_failure(event: ResponseEnded, failures: int, max_wait_s: float) -> str | float:
    """What to do after a failed response: a fault of RUNGS, or seconds until the next try.

    failures: how many in a row, this one included
    """
    if event.error_code in FATAL_CODES:
        return "model_refused"
    wait_s = 0.0
    if event.error_code == "rate_limit_exceeded":
        wait_s = retry_wait_s(event.error_message) or 0.0
    if wait_s > max_wait_s:
        return "rate_limited"
    return "response_failed" if failures > RESPONSE_RETRIES else wait_s


def retry_wait_s(message: str) -> float | None:
    """The wait that a rate-limit message states ("try again in 1m2.5s"), in seconds."""
    _, found, rest = message.partition("try again in ")
    if not found:
        return None
    seconds, number = 0.0, ""
    for index, char in enumerate(rest):
        if char.isdecimal() or char == ".":
            number += char
            continue
        if not _is_number(number):
            return None
        unit = rest[index : index + 2]
        if unit == "ms":
            return seconds + float(number) / 1000
        if char == "s":
            return seconds + float(number)
        if char not in "hm":
            return None
        seconds += float(number) * (3600 if char == "h" else 60)
        number = ""
    return None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and text.isascii()
