"""What a call costs, as it goes, and when that is enough.

    response.done ──┐
    transcription ──┼─▶ Budget ─▶ one SpendAdded each ─▶ FREE ▸ WRAP_UP ▸ HELD ▸ OVER
    second voice ───┤                                     └─ the call's cap, or the day's
    minutes begun ──┘

A price is a whole number of nano-USD, a token's or a minute's, so that a sum is exact. A row is
whole micro-USD, rounded up once, and a total is the sum of its rows: it never says less than was
owed, and by less than a millionth of a dollar a row it says more.

Every response is paid for: cancelled, failed, asked for out of band. What a session did not say
(no usage, or the socket was gone first) is reckoned from the seconds of audio, and marked.

The levels rise with what is spent. At WRAP_UP the agent is told to come to an end, from HELD on no
response is asked for, and at OVER the call goes to a human. So a cap is passed by one response at
most: the one that was being made when it was reached. HELD is the day's alone: this process has
used up its share of it and has asked for more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from relay.audio.frames import mulaw_ms
from relay.core.commands import Command, Keep
from relay.core.events import AgentAudio, ResponseEnded
from relay.core.records import SpendAdded

NANO_PER_MICRO = 1000
#: From this part of a cap on, the agent is told to come to an end.
WRAP_UP_PERCENT = 90
#: How the API counts sound: a token for so many ms of the caller's, and of the agent's.
CALLER_TOKEN_MS = 100
AGENT_TOKEN_MS = 50
MINUTE_MS = 60_000

#: What the agent is told at WRAP_UP, and the reasons that a call's end is written down with.
LAST_CHANCE = "This call must end very soon. Say so, and wrap up in one sentence, now."
OVER_CALL, OVER_DAY = "max_call_usd", "max_day_usd"


class Level(IntEnum):
    """How near a cap is."""

    FREE = 0
    WRAP_UP = 1
    HELD = 2
    OVER = 3


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one model costs, in nano-USD: a token of each sort, a minute of sound, or a character.

    name: the model's; "" for none that is known, which costs nothing and is marked
    """

    name: str = ""
    text_in: int = 0
    text_cached: int = 0
    text_out: int = 0
    audio_in: int = 0
    audio_cached: int = 0
    audio_out: int = 0
    minute: int = 0
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Prices:
    """What a call's parts cost.

    hard: of the larger model; voice: of the second voice; phone_minute: a minute on the line
    """

    model: Tariff = Tariff()
    hard: Tariff = Tariff()
    transcription: Tariff = Tariff()
    phone_minute: int = 0
    voice: Tariff = Tariff()


def level_of(spent: int, cap: int | None) -> Level:
    """How near a cap is, by what is spent; both in micro-USD. None: there is no cap."""
    if cap is None or spent * 100 < cap * WRAP_UP_PERCENT:
        return Level.FREE
    return Level.OVER if spent >= cap else Level.WRAP_UP


def response_nano(tariff: Tariff, usage: Mapping[str, int]) -> int:
    """What a response costs. The cached tokens are among the input ones, at another price."""
    total = 0
    for sort, fresh_price, cached_price, out_price in (
        ("text", tariff.text_in, tariff.text_cached, tariff.text_out),
        ("audio", tariff.audio_in, tariff.audio_cached, tariff.audio_out),
    ):
        taken, cached = usage.get(f"input_{sort}", 0), usage.get(f"cached_{sort}", 0)
        cached = min(cached, taken)
        total += (taken - cached) * fresh_price + cached * cached_price
        total += usage.get(f"output_{sort}", 0) * out_price
    return total


def transcription_nano(tariff: Tariff, usage: Mapping[str, int]) -> int:
    """What the words of an utterance cost, by time or by token, whichever the model is sold by."""
    if tariff.minute:
        ms = usage.get("audio_ms", usage.get("input_audio", 0) * CALLER_TOKEN_MS)
        return -(-ms * tariff.minute // MINUTE_MS)
    if "audio_ms" in usage:
        usage = {"input_audio": -(-usage["audio_ms"] // CALLER_TOKEN_MS)}
    return response_nano(tariff, usage)


def to_micro(nano: int) -> int:
    """Whole micro-USD, rounded up."""
    return -(-nano // NANO_PER_MICRO)


class Budget:
    """One call's spending. spent: micro-USD so far; day: the level that the whole day is at.

    before: what the call's streams before this one have cost
    day_cap: there is one, so that after a cost the day's level is not known until it is told
    """

    def __init__(self, prices: Prices, cap: int | None, *, day_cap: bool = False) -> None:
        self.spent = 0
        self.before = 0
        self.day = Level.FREE
        self._day_cap = day_cap
        self._told_at = 0  # what was spent when the day's level was last told
        self._prices = prices
        self._cap = cap
        self._stream_sid = ""
        self._began_at: float | None = None
        self._minutes = 0
        self._unpaid: dict[str, int] = {}  # responses without their bill yet: mu-law bytes made
        self._paid: set[str] = set()
        self._said_ms = 0
        self._heard_ms = 0

    @property
    def level(self) -> Level:
        level = max(self.day, level_of(self.before + self.spent, self._cap))
        unknown = self._day_cap and self.spent != self._told_at
        return max(level, Level.HELD) if unknown else level

    @property
    def reason(self) -> str:
        """Which cap was reached, for who reads the outcome."""
        return OVER_DAY if self.day is Level.OVER else OVER_CALL

    def tell(self, level: Level) -> None:
        """Learn the day's level, what this call has cost included."""
        self.day, self._told_at = level, self.spent

    # ---- the model --------------------------------------------------------------------------

    def began(self, response_id: str) -> None:
        """A response is being made: its bill will come, or be reckoned."""
        if response_id not in self._paid:
            self._unpaid.setdefault(response_id, 0)

    def made(self, audio: AgentAudio) -> None:
        """Audio has come of a response."""
        if audio.response_id in self._unpaid:
            self._unpaid[audio.response_id] += len(audio.mulaw)

    @property
    def owing(self) -> bool:
        """Whether a bill is still to come."""
        return bool(self._unpaid)

    def response(self, event: ResponseEnded, now: float, *, hard: bool) -> list[Command]:
        """A response's bill has come."""
        made_ms = mulaw_ms(self._unpaid.pop(event.response_id, 0))
        if event.response_id in self._paid:
            return []
        self._paid.add(event.response_id)
        self._said_ms += made_ms
        return self._response(event.response_id, event.usage, made_ms, now, hard=hard)

    def lost(self, now: float, *, hard: bool) -> list[Command]:
        """The session is gone, and with it the bills that were to come."""
        out: list[Command] = []
        for response_id, made in self._unpaid.items():
            made_ms = mulaw_ms(made)
            self._paid.add(response_id)
            self._said_ms += made_ms
            out += self._response(response_id, {}, made_ms, now, hard=hard)
        self._unpaid.clear()
        return out

    def _response(
        self, response_id: str, usage: Mapping[str, int], made_ms: int, now: float, *, hard: bool
    ) -> list[Command]:
        note = "cached_guessed" if usage.get("cached_guessed") else ""
        if not usage:
            if not made_ms:
                return []  # nothing was made, and nothing is said of a bill
            note = "estimated"
            before_ms = self._said_ms - made_ms
            usage = {
                "input_audio": self._heard_ms // CALLER_TOKEN_MS + before_ms // AGENT_TOKEN_MS,
                "output_audio": -(-made_ms // AGENT_TOKEN_MS),
            }
        tariff = self._prices.hard if hard else self._prices.model
        nano = response_nano(tariff, usage)
        return [self._row(now, response_id, tariff, nano, usage, note=note)]

    def words(
        self, item_id: str, usage: Mapping[str, int], spoken_ms: int, now: float
    ) -> list[Command]:
        """An utterance was put into words. spoken_ms: how long it was, if the bill is missing."""
        ref = f"words_{item_id}"
        if ref in self._paid:
            return []
        self._heard_ms += spoken_ms
        note = ""
        if not usage:
            if not spoken_ms:
                return []
            usage, note = {"audio_ms": spoken_ms}, "estimated"
        self._paid.add(ref)
        tariff = self._prices.transcription
        nano = transcription_nano(tariff, usage)
        return [self._row(now, ref, tariff, nano, usage, kind="transcription", note=note)]

    def voiced(self, ref: str, characters: int, now: float) -> list[Command]:
        """A text was given to the second voice."""
        if not characters:
            return []
        tariff = self._prices.voice
        nano = characters * tariff.characters
        usage = {"input_text": characters}
        return [self._row(now, f"voice_{ref}", tariff, nano, usage, kind="voice", note="")]

    # ---- the phone --------------------------------------------------------------------------

    def answered(self, stream_sid: str, now: float) -> list[Command]:
        """A stream is open: its first minute begins."""
        self._stream_sid, self._began_at = stream_sid, now
        return self.minutes(now)

    @property
    def minute_at(self) -> float | None:
        """When the next minute begins, if minutes are paid for."""
        if self._began_at is None or not self._prices.phone_minute:
            return None
        return self._began_at + 60 * self._minutes

    def minutes(self, now: float) -> list[Command]:
        """Pay for the minutes that have begun, as the telephone company reckons them."""
        out: list[Command] = []
        while self.minute_at is not None and self.minute_at <= now:
            self._minutes += 1
            due = to_micro(self._minutes * self._prices.phone_minute)
            self.spent += due - to_micro((self._minutes - 1) * self._prices.phone_minute)
            ms = self._minutes * MINUTE_MS
            row = SpendAdded(now, f"phone_{self._stream_sid}", "phone", due, audio_ms=ms)
            out = [Keep(row)]
        return out

    def _row(
        self,
        now: float,
        ref: str,
        tariff: Tariff,
        nano: int,
        usage: Mapping[str, int],
        *,
        kind: str = "response",
        note: str,
    ) -> Command:
        micro = to_micro(nano)
        self.spent += micro
        return Keep(
            SpendAdded(
                now,
                ref,
                kind,
                micro,
                tariff.name,
                usage.get("input_text", 0),
                usage.get("input_audio", 0),
                usage.get("cached_text", 0),
                usage.get("cached_audio", 0),
                usage.get("output_text", 0),
                usage.get("output_audio", 0),
                usage.get("audio_ms", 0),
                note if tariff.name else "unpriced",
            )
        )
