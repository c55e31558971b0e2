"""Whether the model can be had at all, from what all calls of the process see of it.

A new call asks at its webhook (switchboard.py): while the model is known to be away it goes to the
human at once, with an apology and without a stream, instead of finding out for itself. A call that
has its stream is never held back: its own dials and successors (core/model_link.py) go on as ever,
and what they meet is heard here.

On a line with few calls an hour it never opens, and need not: what it spares a caller is the wait
of those who came just before, and calls further apart than PAUSE_S would each be the trial anyway.
The same goes for the other processes, each of which finds out for itself.

What counts is the core's own verdict, a fault once a call, so a first dial that fails, one that
never gets ready and a succession that comes to nothing are one failure each. A word that no session
of ours will work (a key, a credit) is enough by itself; and since a session of such an account may
still become ready, only a whole answer takes that word back.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from relay.core import events as on
from relay.core.breaker import Breaker
from relay.core.ladder import CLOSE_REFUSED, FATAL_CODES

#: So many calls in a row without a session within so long, and it is not one call's bad luck.
LIMIT: Final = 5
WINDOW_S: Final = 30.0
#: How seldom a caller is sent to see whether it is back; they hear greeting and apology meanwhile.
PAUSE_S: Final = 15.0

_UNANSWERED: Final = frozenset({"model_unreachable", "model_refused"})

_log = structlog.get_logger("relay.model")


class ModelWatch:
    """The process's breaker for the model. Synchronous and from memory."""

    def __init__(self) -> None:
        self._breaker = Breaker(limit=LIMIT, window_s=WINDOW_S, pause_s=PAUSE_S)
        self._refused = False

    @property
    def away(self) -> bool:
        return self._breaker.open

    def admits(self) -> bool:
        """Whether a new call may try. Asked last: a yes may be the one trial of the moment."""
        return self._breaker.admits(trio.current_time())

    def fault(self, kind: str) -> None:
        """A call's core met a fault."""
        if kind in _UNANSWERED and self._breaker.failed(trio.current_time()):
            _log.error("! the model is away: new calls go to the human", why=kind)

    def heard(self, event: on.Event) -> None:
        """A session said something, or was not to be had."""
        match event:
            case on.ModelReady() if not self._refused:
                self._worked()
            case on.ResponseEnded(status="completed"):
                self._refused = False
                self._worked()
            case on.ModelErrored(code=code) | on.ResponseEnded(error_code=code):
                if code in FATAL_CODES:
                    self._trip(code)
            case on.ModelClosed(code=code) if code == CLOSE_REFUSED:
                self._trip("refused")
            case _:
                pass

    def _worked(self) -> None:
        if self._breaker.worked():
            _log.warning("= the model is back: new calls get the agent")

    def _trip(self, why: str) -> None:
        self._refused = True
        if self._breaker.trip(trio.current_time()):
            _log.error("! the model is away: new calls go to the human", why=why)
