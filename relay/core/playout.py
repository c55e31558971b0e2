"""The ledger of what the caller hears: which item, how far, and what is still to come.

Audio comes in faster than it is spoken. For every item of speech, in order of arrival:

    received ≥ sent ≥ heard            (ms of that item; heard is the caller's ear, not our socket)

received  bytes that the model (or a clip) gave us
sent      released to Twilio, at most `lead_ms` ahead of real time and a chunk, in chunks of
          `chunk_ms`, or twice that while the line is far ahead; a line that is ahead is let fall
          by `refill_ms` first, and then filled
heard     proven by the echo of a mark, plus the time since, never beyond the next mark

Behind each chunk goes a mark `<epoch>:<item>:<item_ms>`. `cut` ends the epoch, because Twilio
echoes every pending mark at once after `clear`: an echo of an old epoch proves nothing. The
first chunk of an item is short, so that the first echo comes early, and long enough that the second
is never late. How long `clear` and the echoes travel cannot be known, so heard errs short.

Laws, held by the property tests: heard ≤ sent ≤ received; nothing of a cut item is sent again;
a stale mark changes nothing; every byte received is sent or cut, never both.

The ledger decides when the next chunk is due (`next_release`); somebody else sleeps until then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from relay.audio.frames import MULAW_BYTES_PER_MS, MULAW_SILENCE
from relay.core.commands import Command, SendAudio

# Two frames: the next chunk has 40 ms to follow, more than a busy loop takes for its rounds.
FIRST_MS = 40
SILENCE = bytes([MULAW_SILENCE])
# What sums of times are wrong by, at the very most: a bound that is met exactly is met.
ROUNDING_S = 1e-6


@dataclass(slots=True)
class _Item:
    """pending: what is not sent yet, as it came, for a clip's sound is one for all calls: its end
    in bytes of the item, its level, and it. Of the first, some may have been sent.
    """

    item_id: str
    local: bool
    pending: deque[tuple[int, float, bytes]] = field(default_factory=deque)
    received_bytes: int = 0
    sent_bytes: int = 0
    acked_ms: int = 0
    ended: bool = False

    @property
    def received_ms(self) -> int:
        return self.received_bytes // MULAW_BYTES_PER_MS

    @property
    def pending_bytes(self) -> int:
        return self.received_bytes - self.sent_bytes

    @property
    def whole_bytes(self) -> int:
        return self.pending_bytes // MULAW_BYTES_PER_MS * MULAW_BYTES_PER_MS

    @property
    def sent_ms(self) -> int:
        return self.sent_bytes // MULAW_BYTES_PER_MS

    def add(self, mulaw: bytes, level_db: float) -> None:
        if mulaw:
            self.received_bytes += len(mulaw)
            self.pending.append((self.received_bytes, level_db, mulaw))

    def take(self, size: int) -> tuple[bytes, float]:
        """The next bytes to be sent, of those that are pending, and the level of the loudest."""
        parts, loudest = [], -100.0
        end = self.sent_bytes + size
        while self.sent_bytes < end:
            until, level, mulaw = self.pending[0]
            upto = min(until, end)
            starts = until - len(mulaw)
            parts.append(mulaw[self.sent_bytes - starts : upto - starts])
            loudest = max(loudest, level)
            self.sent_bytes = upto
            if upto == until:
                self.pending.popleft()
        return b"".join(parts), loudest


@dataclass(frozen=True, slots=True)
class Heard:
    """The end of one item's speech.

    heard_ms: how much of it the caller heard; short of received_ms when it was cut
    local: a clip of ours, which the model does not have as an item
    complete: False when more of it was still to come
    proven: False when a lost mark had to be assumed
    """

    item_id: str
    heard_ms: int
    received_ms: int
    local: bool
    complete: bool = True
    proven: bool = True

    @property
    def interrupted(self) -> bool:
        return self.heard_ms < self.received_ms or not self.complete


class Playout:
    """One call's ledger. `now` is monotonic seconds, never going back."""

    def __init__(
        self,
        *,
        lead_ms: int = 1300,
        refill_ms: int = 300,
        chunk_ms: int = 100,
        mark_patience_s: float = 2.0,
    ) -> None:
        self._lead_s = lead_ms / 1000
        self._refill_s = max(lead_ms - refill_ms, lead_ms / 2) / 1000
        self._far_s = lead_ms / 2000, (lead_ms - chunk_ms) / 1000 + ROUNDING_S
        self._chunk_bytes = chunk_ms * MULAW_BYTES_PER_MS
        self._starving_s = min(2 * chunk_ms, lead_ms) / 1000
        self._patience_s = mark_patience_s
        self.epoch = 0
        self._items: dict[str, _Item] = {}  # in order of arrival; heard ones leave
        self._closed: set[str] = set()  # cut or heard: late audio of these is dropped
        self._marks: deque[tuple[str, int]] = deque()  # pending in this epoch
        self._echo: tuple[str, int, float] | None = None  # item, item_ms, when
        self._line_until = 0.0  # when Twilio's buffer runs dry, if all arrives at once
        self._line_levels: deque[tuple[float, float, float]] = deque()  # from, until, level

    # ---- audio in ---------------------------------------------------------------------------

    def add(self, item_id: str, mulaw: bytes, level_db: float, *, local: bool = False) -> bool:
        """Take audio of an item. False: the item was cut or is over, and the audio is dropped."""
        if item_id in self._closed:
            return False
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item(item_id, local)
        if item.ended:
            return False
        item.add(mulaw, level_db)
        return True

    def end(self, item_id: str, now: float) -> list[Heard]:
        """No more audio of this item will come. Part of a ms at its end is filled with silence."""
        item = self._items.get(item_id)
        if item is not None and not item.ended:
            item.ended = True
            missing = -item.received_bytes % MULAW_BYTES_PER_MS
            item.add(SILENCE * missing, -100.0)
        return self._collect(now, proven=True)

    def reserve(self, item_id: str) -> None:
        """Hold an item's place before there is audio of it: what comes later is said after it."""
        self.add(item_id, b"", -100.0)

    def give_up(self, item_id: str) -> None:
        """An item of which no audio came, and none will, leaves its place."""
        self._closed.add(item_id)
        self._items.pop(item_id, None)

    def received_ms(self, item_id: str) -> int:
        """How much audio there is of an item on the ledger."""
        item = self._items.get(item_id)
        return 0 if item is None else item.received_ms

    @property
    def dry_at(self) -> float | None:
        """When the line falls silent if no more comes; None while audio waits to be sent."""
        if any(item.whole_bytes for item in self._items.values()):
            return None
        return self._line_until

    @property
    def silent_at(self) -> float | None:
        """When the line falls silent, or fell; None while anything is still to be said."""
        if any(item.pending or not item.ended for item in self._items.values()):
            return None
        return self._line_until

    # ---- audio out --------------------------------------------------------------------------

    def release(self, now: float) -> list[Command]:
        """What is due now: chunks of whole ms, each with its mark behind it."""
        out: list[Command] = []
        item = self._next_item()
        if item is None or self._due_at(item) > now:
            return out
        while (item := self._next_item()) is not None and self._fits_at(item) <= now:
            starts = max(self._line_until, now)
            size = min(self._piece(item, starts - now), item.whole_bytes)
            chunk, level = item.take(size)
            self._line_until = starts + size / MULAW_BYTES_PER_MS / 1000
            self._line_levels.append((starts, self._line_until, level))
            item_id, sent_ms = item.item_id, item.sent_ms
            self._marks.append((item_id, sent_ms))
            out.append(SendAudio(chunk, self._mark(item)))
        return out

    def _piece(self, item: _Item, ahead_s: float) -> int:
        """Bytes that go out at once. For what is far ahead, half the messages will do."""
        if not item.sent_bytes:
            return FIRST_MS * MULAW_BYTES_PER_MS
        least, most = self._far_s
        if least <= ahead_s <= most and item.pending_bytes >= 2 * self._chunk_bytes:
            return 2 * self._chunk_bytes
        return self._chunk_bytes

    @property
    def next_release(self) -> float | None:
        """When `release` has something to do again; None while it waits for audio."""
        item = self._next_item()
        return None if item is None else self._due_at(item)

    def _next_item(self) -> _Item | None:
        """The item whose audio is sent next, if it has any."""
        for item in self._items.values():
            if item.pending_bytes >= MULAW_BYTES_PER_MS:
                return item
            if not item.ended:
                return None  # it holds its place: what is behind it is said after it
        return None

    def _due_at(self, item: _Item) -> float:
        """When the line is to be refilled: a wake costs more than all that is sent in it."""
        return self._line_until - (self._refill_s if self._whole(item) else self._starving_s)

    def _fits_at(self, item: _Item) -> float:
        """A chunk goes out when it is whole; less than one only when the line would run dry."""
        return self._line_until - (self._lead_s if self._whole(item) else self._starving_s)

    def _whole(self, item: _Item) -> bool:
        return item.pending_bytes >= self._chunk_bytes or item.ended or not item.sent_bytes

    # ---- what was heard ---------------------------------------------------------------------

    @property
    def awaited(self) -> str:
        """The mark whose echo is the end of an item that is all on its way; "": no item is."""
        for item in self._items.values():
            if item.ended and not item.pending and item.acked_ms < item.sent_ms:
                return self._mark(item)
            break
        return ""

    def _mark(self, item: _Item) -> str:
        return f"{self.epoch}:{item.item_id}:{item.sent_ms}"

    def echoed(self, name: str, now: float, ago_s: float = 0.0) -> list[Heard] | None:
        """A mark came back, ago_s before now. Items now heard to their end; None: not a pending
        mark of ours."""
        epoch, _, rest = name.partition(":")
        item_id, _, ms = rest.rpartition(":")
        if epoch != str(self.epoch) or not ms.isdecimal():
            return None
        position = (item_id, int(ms))
        if position not in self._marks:
            return None
        self._pass_marks(position, now - ago_s)
        return self._collect(now, proven=True)

    def settle(self, now: float) -> list[Heard]:
        """Give up on marks that are long overdue: their audio is taken as heard, unproven."""
        if not self._marks or now < self._line_until + self._patience_s:
            return []
        self._pass_marks(self._marks[-1], now)
        return self._collect(now, proven=False)

    @property
    def settle_at(self) -> float | None:
        return self._line_until + self._patience_s if self._marks else None

    def _pass_marks(self, position: tuple[str, int], now: float) -> None:
        """An echo proves all that was sent before it, so a lost mark costs nothing."""
        while True:
            mark = self._marks.popleft()
            self._items[mark[0]].acked_ms = mark[1]
            if mark == position:
                break
        self._echo = (*position, now)

    def _collect(self, now: float, *, proven: bool) -> list[Heard]:
        """Take the items that are heard to their end off the ledger."""
        over: list[Heard] = []
        for item in list(self._items.values()):
            if not item.ended or item.pending or item.acked_ms < item.sent_ms:
                break
            over.append(self._close(item, now, proven=proven))
        return over

    def _close(self, item: _Item, now: float, *, proven: bool = True) -> Heard:
        heard = Heard(
            item.item_id,
            self.heard_ms(item.item_id, now),
            item.received_ms,
            item.local,
            item.ended,
            proven,
        )
        self._closed.add(item.item_id)
        del self._items[item.item_id]
        return heard

    def heard_ms(self, item_id: str, now: float) -> int:
        """How much of an item on the ledger the caller has heard; 0 for one that is not."""
        item = self._items.get(item_id)
        if item is None:
            return 0
        if self._echo is None or self._echo[0] != item_id:
            return item.acked_ms
        _, echoed_ms, at = self._echo
        limit = next((ms for mark_item, ms in self._marks if mark_item == item_id), echoed_ms)
        return min(echoed_ms + int((now - at) * 1000), limit)

    def speech(self) -> set[str]:
        """Items on the ledger that are no clips."""
        return {item.item_id for item in self._items.values() if not item.local}

    def quiet(self) -> bool:
        """Nothing is to be said, being said, or on its way to the ear."""
        return not self._items

    def has_audio(self) -> bool:
        """Some audio waits to be sent or is not yet proven to be heard."""
        return any(i.pending or i.acked_ms < i.sent_ms for i in self._items.values())

    def level_db(self, now: float, tail_ms: int) -> float:
        """The loudest that we were on the line within the last tail_ms, in dBFS."""
        since = now - tail_ms / 1000
        while self._line_levels and self._line_levels[0][1] < since:
            self._line_levels.popleft()
        loudest = -100.0
        for start, _, level in self._line_levels:  # in the order of their starts
            if start > now:
                break
            loudest = max(loudest, level)
        return loudest

    # ---- the cut ----------------------------------------------------------------------------

    def cut(self, now: float) -> list[Heard]:
        """Stop all speech at now: heard_ms per item, the audible one first. Begins a new epoch."""
        gone = [self._close(item, now) for item in list(self._items.values())]
        self.epoch += 1
        self._marks.clear()
        self._echo = None
        self._line_until = now
        self._line_levels = deque(
            (start, min(until, now), level)
            for start, until, level in self._line_levels
            if start <= now
        )
        return gone
