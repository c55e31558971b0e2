"""Somebody with a telephone at the ear: says clips, hears, waits for silence, presses keys.

A person is driven by a script, an async function of the person:

    async def script(caller: Person) -> None:
        await caller.hear_until_silence()
        await caller.say(clip)
        caller.hang_up()

A script that returns leaves its person on the line, silent, until somebody hangs up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import trio

from relay.sim.line import FRAME, PER_MS, Line
from relay.sim.ulaw import LINEAR, loudness_db

AUDIBLE_DB = -45.0  # RMS of 20 ms above this is sound to a person on a telephone
_LOUD = frozenset(n for n, x in enumerate(LINEAR) if abs(x) > 32768 * 10 ** (AUDIBLE_DB / 20))


@dataclass(frozen=True, slots=True)
class Person:
    """Hands, mouth and ear on one line. Positions are samples of the line's timelines.

    Every wait has a deadline and raises trio.TooSlowError when it passes.
    """

    line: Line

    async def say(self, mulaw: bytes) -> float:
        """Say a clip to its end. Returns the time at which its last sample was said."""
        start = self.line.said.play(mulaw, self.line.sample())
        end = self.line.time(start + len(mulaw))
        await trio.sleep_until(end)
        return end

    def begin_to_say(self, mulaw: bytes) -> float:
        """Start saying a clip without waiting. Returns the time at which it ends."""
        start = self.line.said.play(mulaw, self.line.sample())
        return self.line.time(start + len(mulaw))

    def stop_saying(self) -> None:
        """Break off what is being said."""
        self.line.said.cut(self.line.sample())

    async def hear_voice(self, since: int | None = None, *, timeout_s: float = 10.0) -> int:
        """Wait for sound at the ear, from `since` (default: now) on. Returns where it begins."""
        at = self.line.sample() if since is None else since
        with trio.fail_after(timeout_s):
            while not await self._audible(at):
                at += FRAME
        loud = (n for n, code in enumerate(self.line.heard.read(at, at + FRAME)) if code in _LOUD)
        return at + next(loud, 0)

    async def hear_silence(
        self, quiet_ms: int = 800, since: int | None = None, *, timeout_s: float = 60.0
    ) -> int:
        """Wait for `quiet_ms` without sound at the ear. Returns where that silence begins."""
        at = begin = self.line.sample() if since is None else since
        with trio.fail_after(timeout_s):
            while at - begin < quiet_ms * PER_MS:
                audible = await self._audible(at)
                at += FRAME
                if audible:
                    begin = at
        return begin

    async def hear_until_silence(
        self, quiet_ms: int = 800, since: int | None = None, *, timeout_s: float = 60.0
    ) -> bytes:
        """Wait for sound and then for its end. Returns what was heard, mu-law."""
        with trio.fail_after(timeout_s):
            begin = await self.hear_voice(since, timeout_s=timeout_s)
            end = await self.hear_silence(quiet_ms, begin, timeout_s=timeout_s)
        return self.line.heard.read(begin, end)

    def heard_since(self, sample: int) -> bytes:
        """What was heard from a position until now."""
        return self.line.heard.read(sample, self.line.sample())

    def press(self, digits: str) -> None:
        self.line.press(digits)

    def hang_up(self) -> None:
        self.line.hung_up.set()

    async def _audible(self, at: int) -> bool:
        """Wait until the 20 ms from `at` on have passed, then judge them."""
        await trio.sleep_until(self.line.time(at + FRAME))
        return loudness_db(self.line.heard.read(at, at + FRAME)) > AUDIBLE_DB


Script: TypeAlias = Callable[[Person], Awaitable[None]]


async def say_nothing(person: Person) -> None:
    """The script of somebody who only listens."""
