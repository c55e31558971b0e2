"""The relay's own account of how late its event loop is, read off its metrics page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

METRIC: Final = "relay_event_loop_lag_seconds"
_BUCKET: Final = re.compile(rf'^{METRIC}_bucket{{le="([^"]+)"}} (\S+)$', re.MULTILINE)


def read(page: str) -> dict[float, float]:
    """How many beats so far were late by at most so many seconds."""
    return {float(bound): float(count) for bound, count in _BUCKET.findall(page)}


def lags_ms(before: Mapping[float, float], after: Mapping[float, float]) -> list[float]:
    """The beats between two readings, each as its bucket's bound in ms: no beat was later.

    One beyond the last bound counts as twice that.
    """
    found: list[float] = []
    below, last = 0.0, 0.0
    for bound in sorted(after):
        so_far = after[bound] - before.get(bound, 0.0)
        ms = 2 * last if bound == float("inf") else 1000 * bound
        found += [ms] * round(so_far - below)
        below, last = so_far, ms
    return found
