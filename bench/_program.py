"""How a benchmark runs and ends: it leaves no process behind, and says in a line what was wrong."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

import trio

from tests.adapters import postgres

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ONE_CORE: Final = "ONE CORE that the relay shares with what measures it: no figures of it alone"

T = TypeVar("T")


def run(main: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Run it in Trio. Ctrl-C, SIGTERM and SIGHUP cancel it, so that it ends all that it has begun.

    Raises SystemExit: 128 and the signal's number after one, as shells have it; and what `main`
    itself raises, a SystemExit without the groups that nurseries have put around it.
    """
    heeded = [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    came: list[int] = []
    found: list[T] = []

    async def guarded() -> None:
        with trio.open_signal_receiver(*heeded) as signals:
            async with trio.open_nursery() as nursery:

                async def heed() -> None:
                    async for number in signals:
                        came.append(number)
                        nursery.cancel_scope.cancel()

                nursery.start_soon(heed)
                found.append(await main(*arguments))
                nursery.cancel_scope.cancel()

    try:
        trio.run(guarded)
    except BaseExceptionGroup as group:
        meant = _meant(group)
        if not (came and isinstance(meant, SystemExit)):
            raise meant from meant.__cause__
    if came:
        print(f"ended by {signal.Signals(came[0]).name}", file=sys.stderr)
        raise SystemExit(128 + came[0])
    return found[0]


def _meant(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Our nursery has put it around one: that one, or the first of nothing but SystemExits."""
    (one,) = group.exceptions
    inside = list(_leaves(one))
    return inside[0] if all(isinstance(each, SystemExit) for each in inside) else one


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def calls(text: str) -> list[int]:
    """Numbers of calls on a command line, each once, in order. Raises ValueError."""
    found = sorted({int(word) for word in text.split(",")})
    if found[0] < 1:
        raise ValueError("a stage has a call at least")
    return found


def one_core() -> bool:
    """Whether there is no second core for what measures; says so."""
    alone = len(os.sched_getaffinity(0)) < 2
    if alone:
        print(ONE_CORE, flush=True)
    return alone


def need_postgres() -> None:
    """Raises SystemExit where there is no PostgreSQL server to start, before anything is."""
    try:
        postgres.binaries()
    except LookupError as missing:
        raise SystemExit(str(missing)) from None
