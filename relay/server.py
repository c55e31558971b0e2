"""The life of the process: it takes calls, drains, and ends in time.

    start    listen, keep the journal
    drain    SIGTERM, SIGINT or SIGUSR1: new calls go to the human, /readyz says 503, running calls
             go on
    move     DRAIN_S after SIGTERM or SIGINT (after SIGUSR1 alone: never): the calls that still run
             are let go of between two turns; Twilio asks `after-stream` what next, and another
             process goes on with them (core/moving.py). Asked here, there is none: the human
    cut off  MOVE_S later: the streams that are still open are closed (1001), and move as well as
             calls can that were not asked
    end      no call left, or another SIGTERM, which waits for nothing
    flush    what the calls left behind is stored, or put on disk, for FLUSH_S at most
    exit     whatever hangs by then is ended by a thread that nothing can hold up

The listener stays open to the end: running calls still need their webhooks answered, and the last
one a little longer than its stream lives (LINGER_S). Who asks for the next step, and how long each
may take, says stop.py.
"""

from __future__ import annotations

import math
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Final

import structlog
import trio
from quart_trio import QuartTrio

from relay import garbage
from relay.door import STREAM_PATH, Door, Head, open_listeners
from relay.errors import ConfigError
from relay.ports import Socket
from relay.shell import pump
from relay.shell.journal import Journal
from relay.shell.names import Names
from relay.stop import CUT_OFF_S, FLUSH_S, MOVE_S, Stop
from relay.switchboard import Switchboard

LINGER_S: Final = 2.0  # Twilio asks `after-stream` within some hundred milliseconds
LOOK_S: Final = 0.2

_log = structlog.get_logger("relay.server")

# Carry one call to its end: its socket, its CallSid, and where its disposition goes.
Carry = Callable[[Socket, str, Callable[[str], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a server is made of. background: further tasks that last as long as it does.

    door_counts: what becomes of connections
    shared: other processes listen on the same port
    """

    board: Switchboard
    journal: Journal
    app: QuartTrio
    carry: Carry
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    door_counts: Counter[str] = field(default_factory=Counter)
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, for whoever started it."""

    port: int
    board: Switchboard
    door: Door


async def serve(
    parts: Parts,
    *,
    host: str,
    port: int,
    drain_s: float,
    stop: Stop,
    task_status: trio.TaskStatus[Served] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server to its end. Raises ConfigError when the address cannot be listened on."""
    trio.socket.set_custom_hostname_resolver(Names())
    listeners = await _listen(host, port, shared=parts.shared)
    bound = listeners[0].socket.getsockname()[1]
    reception = _Reception(parts.board, parts.carry)
    door = Door(parts.app, reception.admit, reception.take, parts.door_counts)
    async with trio.open_nursery() as background:
        for task in (parts.journal.run, *parts.background):
            background.start_soon(task)
        if pump.AVAILABLE:
            background.start_soon(pump.Pump().run)
        async with trio.open_nursery() as front:
            await front.start(door.serve, listeners)
            served = Served(bound, parts.board, door)
            _log.info("= listening", host=host, port=served.port)
            task_status.started(served)
            await _until_over(parts.board, reception, drain_s, stop)
            front.cancel_scope.cancel()
        with trio.move_on_after(FLUSH_S):
            await parts.journal.flushed()
        background.cancel_scope.cancel()
    journal = parts.journal
    _log.info("= ended", unwritten=journal.depth(), on_disk=journal.spooled())


class _Reception:
    """What the door asks about streams."""

    def __init__(self, board: Switchboard, carry: Carry) -> None:
        self._board = board
        self._carry = carry
        self._running: set[trio.CancelScope] = set()

    async def admit(self, head: Head) -> str | None:
        token = head.target.removeprefix(STREAM_PATH)
        return await self._board.admit(head.target, token, head.header("x-twilio-signature"))

    async def take(self, call_sid: str, opening: AbstractAsyncContextManager[Socket]) -> None:
        with self._board.on_line(call_sid) as choose:
            async with opening as phone:
                with trio.CancelScope() as scope:
                    self._running.add(scope)
                    try:
                        await self._carry(phone, call_sid, choose)
                    finally:
                        self._running.discard(scope)
                if scope.cancelled_caught:
                    await phone.aclose(1001, "going away")

    def cut_off(self) -> None:
        """Close every stream that is open."""
        for scope in self._running.copy():
            scope.cancel()


async def _listen(host: str, port: int, *, shared: bool) -> list[trio.SocketListener]:
    try:
        return await open_listeners(host, port, shared=shared)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on HOST {host}, PORT {port}: {why}") from None


async def _until_over(
    board: Switchboard, reception: _Reception, drain_s: float, stop: Stop
) -> None:
    """Return when the server shall end."""
    await stop.drain.wait()
    board.drain()
    _log.info("= draining", calls=board.busy())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_early, stop, nursery.cancel_scope)
        with trio.CancelScope() as draining:
            nursery.start_soon(_hurry, stop, drain_s, draining)
            await _all_over(board, draining)
        if draining.cancelled_caught:
            await _part_with(board, reception)
        nursery.cancel_scope.cancel()


async def _part_with(board: Switchboard, reception: _Reception) -> None:
    """Let go of the calls that still run, those that do not let go by themselves at last."""
    _log.info("= calls move", calls=board.live())
    board.move()
    with trio.move_on_after(MOVE_S) as moving:
        await _all_over(board, moving)
    if moving.cancelled_caught:
        _log.warning("! calls are cut off", calls=board.live())
        reception.cut_off()
        with trio.move_on_after(CUT_OFF_S):
            await _all_over(board)


async def _hurry(stop: Stop, drain_s: float, draining: trio.CancelScope) -> None:
    """End a drain that somebody waits for."""
    await stop.hurry.wait()
    _log.info("= calls have", seconds=drain_s)
    draining.deadline = trio.current_time() + drain_s


async def _end_early(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.now.wait()
    scope.cancel()


async def _all_over(board: Switchboard, in_time: trio.CancelScope | None = None) -> None:
    """Wait for the last call and its last webhook. A process without calls ends at once.

    in_time: the scope of a deadline for the calls, which the last webhook may pass
    """
    linger_s = 0.0
    while board.busy():
        linger_s = LINGER_S
        await trio.sleep(LOOK_S)
    if in_time is not None:
        in_time.deadline = math.inf
    await trio.sleep(linger_s)


# ---- the process ----------------------------------------------------------------------------


def prepare_process() -> None:
    """Settings of the whole process, which only its owner may change."""
    # Beside a busy thread, a C call that gave up the GIL waits this long for it, not ten times.
    sys.setswitchinterval(0.0005)
    garbage.prepare()
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold callers and keys
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
