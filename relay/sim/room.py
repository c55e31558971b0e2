"""What a telephone adds to a caller's voice: the agent's own voice as echo, and noise."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from relay.sim.ulaw import LINEAR, encode, is_silent

_NOISE_SAMPLES = 8009  # about a second, then again; prime, so that it never fits a frame


@dataclass(frozen=True, slots=True)
class Room:
    """The caller's acoustics.

    echo_loss_db: how much weaker what is heard comes back, None: not at all
    echo_delay_ms: how long after it was heard
    noise_db: RMS of a steady noise in dBFS, None: silence
    """

    echo_loss_db: float | None = None
    echo_delay_ms: int = 150
    noise_db: float | None = None
    seed: int = 0

    def mix(self, said: bytes, echo: bytes, at: int) -> bytes:
        """Add the room to a piece of voice. echo: what was heard echo_delay_ms before it, of
        the same length; at: its first sample's position."""
        if self.noise_db is None and (self.echo_loss_db is None or is_silent(echo)):
            return said
        samples = [LINEAR[code] for code in said]
        if self.echo_loss_db is not None:
            weak = _weakened(self.echo_loss_db)
            samples = [a + weak[code] for a, code in zip(samples, echo, strict=True)]
        if self.noise_db is not None:
            noise = _noise(self.noise_db, self.seed)
            samples = [a + noise[(at + n) % _NOISE_SAMPLES] for n, a in enumerate(samples)]
        return encode(samples)


QUIET = Room()


@functools.cache
def _weakened(loss_db: float) -> list[int]:
    gain = 10 ** (-loss_db / 20)
    return [round(value * gain) for value in LINEAR]


@functools.cache
def _noise(db: float, seed: int) -> list[int]:
    """White Gaussian noise of an RMS level."""
    draw = random.Random(seed)
    level = 32768 * 10 ** (db / 20)
    return [round(draw.gauss(0, level)) for _ in range(_NOISE_SAMPLES)]
