"""Both ends of a load run, one process on one core: N phones and their N model sessions.

    python bench/_load_ends.py        {"port": …} on stdout: where a relay finds the model
    python bench/_load_ends.py CERTIFICATE KEY    the same behind TLS
    > {"streams": […], "seconds": 20} on stdin, one line: streams as in _load_phone.Stream
    < {"window": […], "delays": …}    when it is over; then it waits for the next line

Both ends share a clock and know each other, so that every frame and every delta is timed where it
passes a socket. A stream is opened once the call before it has its session, which pairs them for
any relay, whatever it tells the model about its caller. The window begins when everybody has been
greeted; what is measured before it is left out. `busy` is this process's own share of its core.

To use it for another relay: start that on a core of its own with this port as its model, and give
its streams' addresses. bench/_load_stage.py does so for ours.
"""

from __future__ import annotations

import gc
import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._load_model import Session
from bench._load_phone import FRAME_S, Phone, Stream
from bench._load_tls import TlsSocket, server_context
from bench._load_wire import Loop

SESSION_WITHIN_S: Final = 10.0
GREETED_S: Final = 2.0
AFTER_S: Final = 0.2
BEHIND_FRAMES: Final = 50  # the slowest relay that carries anything has ten on their way
BEHIND: Final = "a second of a caller's sound never came to the model"
SPREAD_S: Final = 6.0  # a conversation's round: all of its moments are there among the calls


def turn_away(listener: socket.socket) -> None:
    """Who dialled after the last run, to replace a session that it lost, is not of this one."""
    listener.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
    listener.setblocking(True)


class Run:
    """One run: the calls are placed one after another, then talk for the window's length."""

    def __init__(
        self,
        listener: socket.socket,
        streams: list[Stream],
        seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.loop = Loop()
        self.phones: list[Phone] = []
        self.faults: list[str] = []
        self._listener, self._streams, self._seconds = listener, streams, seconds
        self._tls = tls
        self._window = (0.0, 0.0)
        self._begun = 0
        self._cpu = 0.0
        self._busy = 0.0
        turn_away(listener)
        self.loop.watch(listener, self._dialled)
        self._place()

    def _place(self) -> None:
        if len(self.phones) == len(self._streams):
            return
        stream = self._streams[len(self.phones)]
        first_s = (len(self.phones) * 7919 % 200) / 10_000  # frames spread over the 20 ms
        try:
            self.phones.append(Phone(self.loop, stream, first_s=first_s))
        except OSError as fault:
            self._give_up(f"no stream: {fault}")
            return
        here, phone = len(self.phones), self.phones[-1]
        self.loop.at(time.monotonic() + GREETED_S, lambda: self._begin_when_greeted(phone))
        late = time.monotonic() + SESSION_WITHIN_S
        self.loop.at(late, lambda: self._session_is_due(here))

    def _session_is_due(self, count: int) -> None:
        if self.phones[count - 1].session is None:
            self._give_up(f"call {count} got no session")

    def _give_up(self, why: str) -> None:
        self.faults.append(why)
        self._over()

    def _dialled(self, _events: int) -> None:
        sock, _ = self._listener.accept()
        phone = self.phones[-1]
        if phone.session is not None:
            self.faults.append("a second session for a call")
            sock.close()
            return
        try:
            phone.session = Session(self.loop, self._secured(sock), phone.heard)
        except OSError as fault:
            self.faults.append(f"no session: {fault}")
            sock.close()
            return
        self.loop.at(time.monotonic() + 0.03, self._place)

    def _secured(self, sock: socket.socket) -> socket.socket | TlsSocket:
        return sock if self._tls is None else TlsSocket(sock, self._tls)

    def _begin_when_greeted(self, phone: Phone) -> None:
        """Nobody waits for the others: they would be asked whether they are still there."""
        quiet = phone.quiet_at + AFTER_S
        if phone.session is None or quiet > time.monotonic():
            self.loop.at(
                max(quiet, time.monotonic() + AFTER_S), partial(self._begin_when_greeted, phone)
            )
            return
        phone.begun = True
        self._begun += 1
        self.loop.at(time.monotonic() + SPREAD_S * (self._begun * 0.618 % 1), phone.speak)
        if self._begun == len(self._streams):
            self._open()

    def _open(self) -> None:
        """Everybody talks: what is measured begins."""
        begun = time.monotonic() + SPREAD_S
        self._window = (begun, begun + self._seconds)
        self.loop.at(self._window[0], self._mark_cpu)
        self.loop.at(self._window[1], self._over)

    def _mark_cpu(self) -> None:
        self._cpu = time.process_time()

    def _over(self) -> None:
        begun, end = self._window
        self._busy = (time.process_time() - self._cpu) / (end - begun) if end > begun else 0.0
        for phone in self.phones:
            phone.hang_up()
        self.loop.forget(self._listener)
        self.loop.at(time.monotonic() + AFTER_S, self.loop.stop)

    def report(self) -> dict[str, Any]:
        begun, end = self._window

        def within(pairs: list[tuple[float, float]]) -> list[float]:
            return [round(ms, 4) for at, ms in pairs if begun <= at <= end]

        delays: dict[str, list[float]] = {
            "greeting": [ms for phone in self.phones for _, ms in phone.felt.greeting],
            "inbound": [],
            "outbound": [],
            "onset": [],
            "clear": [],
            "gap": [],
            "turn": [],
            "probe": [],
            "late": [],
        }
        for phone in self.phones:
            heard, felt = phone.heard, phone.felt
            delays["inbound"] += within(heard.inbound)
            delays["outbound"] += within(felt.outbound)
            delays["onset"] += within(felt.onsets)
            delays["late"] += within(_lateness(heard.sent))
            delays["clear"] += within(felt.clears)
            delays["gap"] += within(felt.gaps)
            delays["probe"] += heard.probes
            for asked in heard.turns:
                before = [at for at in heard.stopped if at <= asked]
                if before and begun <= asked <= end:
                    delays["turn"].append(1000 * (asked - before[-1]))
        faults = [
            *self.faults,
            *(BEHIND for phone in self.phones if phone.heard.behind() > BEHIND_FRAMES),
            *(text for phone in self.phones for text in phone.felt.missing),
            *(text for phone in self.phones if phone.session for text in phone.session.faults),
        ]
        return {
            "window": [begun, end],
            "delays": delays,
            "faults": faults,
            "busy": self._busy,
        }


def _lateness(sent: Sequence[float]) -> list[tuple[float, float]]:
    """How late each frame left, against the earliest one's clock: the generators' own delay."""
    begun = min((at - FRAME_S * number for number, at in enumerate(sent)), default=0.0)
    return [(at, 1000 * (at - begun - FRAME_S * number)) for number, at in enumerate(sent)]


def main(tls: ssl.SSLContext | None) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    gc.disable()
    for line in sys.stdin:
        asked = json.loads(line)
        streams = [Stream(**each) for each in asked["streams"]]
        run = Run(listener, streams, asked["seconds"], tls)
        run.loop.run()
        print(json.dumps(run.report()), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who began it, and ends it
    files = [Path(name) for name in sys.argv[1:3]]
    main(server_context(*files) if files else None)
