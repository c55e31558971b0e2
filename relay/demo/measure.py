"""What can be measured on a line afterwards: holes in speech, silence, stretches of sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from relay.sim.line import FRAME, PER_MS, RATE, Line, Timeline
from relay.sim.person import AUDIBLE_DB
from relay.sim.twilio_playout import Chunk
from relay.sim.twilio_stream import StreamLeg
from relay.sim.ulaw import loudness_db


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the agent's speech. at_s: since the call's beginning, as in its recording."""

    ms: float
    at_s: float


def gaps(leg: StreamLeg) -> Iterator[Gap]:
    """Holes in the middle of one item of speech: the buffer ran dry while it was spoken. The
    relay's marks, `<epoch>:<item>:<ms>`, say which item a chunk belongs to."""
    items = {mark.offset: mark.name.rpartition(":")[0] for mark in leg.playout.marks}

    def item(chunk: Chunk) -> str | None:
        return items.get(chunk.offset + chunk.size)

    for one, following in pairwise(leg.playout.chunks):
        end, start = one.start + one.size, following.start
        if start > end and one.cut is None and item(one) == item(following):
            around = leg.line.heard.read(end - FRAME, start + FRAME)
            if loudness_db(around) > AUDIBLE_DB:  # else it made a silence a little longer
                yield Gap((start - end) / PER_MS, start / RATE)


def longest_silence(line: Line, start: float, end: float) -> float:
    """The longest time, in ms, in which somebody neither heard anything nor spoke. start, end:
    trio's clock."""
    quiet = longest = 0
    for at in range(line.sample(start), line.sample(end), FRAME):
        ways = (line.heard, line.said)
        audible = any(loudness_db(way.read(at, at + FRAME)) > AUDIBLE_DB for way in ways)
        quiet = 0 if audible else quiet + FRAME
        longest = max(longest, quiet)
    return longest / PER_MS


def sounds(heard: Timeline) -> list[bytes]:
    """The stretches of sound on a line, apart from each other where there was nothing to hear."""
    return [heard.read(start, end) for start, end in heard.spans]
