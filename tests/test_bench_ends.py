"""The ends of a load run: what a relay does wrong to a call is a fault of the stage."""

from __future__ import annotations

import base64
import json
import select
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import _load_ends, _load_model, _load_phone  # noqa: E402
from bench._load_model import Heard, Session  # noqa: E402
from bench._load_phone import QUIET, VOICE, Phone, Stream  # noqa: E402
from bench._load_wire import frame, request  # noqa: E402


@dataclass
class VirtualLoop:
    """`_load_wire.Loop`, on a clock of its own, with nothing ready until a test says so."""

    now: float = 100.0
    timers: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    ready: dict[int, Callable[[int], None]] = field(default_factory=dict)
    order: int = 0

    def monotonic(self) -> float:
        return self.now

    def at(self, when: float, act: Callable[[], None]) -> None:
        self.order += 1
        heappush(self.timers, (when, self.order, act))

    def watch(self, sock: Any, ready: Callable[[int], None]) -> None:
        self.ready[sock.fileno()] = ready

    def forget(self, sock: Any) -> None:
        self.ready.pop(sock.fileno(), None)

    def want_write(self, sock: Any, *, wanted: bool) -> None:
        pass

    def read(self) -> None:
        """Everybody reads what has come."""
        for fileno, ready in list(self.ready.items()):
            select.select([fileno], [], [])  # what was sent through TCP is a moment under way
            ready(select.EPOLLIN)

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            when, _, act = heappop(self.timers)
            self.now = max(self.now, when)
            act()
        self.now = until


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> VirtualLoop:
    virtual = VirtualLoop()
    for module in (_load_model, _load_phone):
        monkeypatch.setattr(module, "time", virtual)
    return virtual


@pytest.fixture
def wires() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A relay's end, and the one of the generators."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    yield theirs, ours
    theirs.close()
    ours.close()


# ---- the model's end ------------------------------------------------------------------------


def appended(wire: socket.socket, loop: VirtualLoop, session: Session, *payloads: bytes) -> None:
    """The caller's frames come, as a relay that passes mu-law through tells of them."""
    for payload in payloads:
        session.heard.sent.append(loop.now)
        event = {"type": "input_audio_buffer.append", "audio": payload.decode()}
        wire.sendall(frame(json.dumps(event).encode(), masked=True))
        loop.read()
        loop.now += 0.02


@pytest.fixture
def session(loop: VirtualLoop, wires: tuple[socket.socket, socket.socket]) -> Session:
    theirs, ours = wires
    theirs.sendall(request("model", 80, "/v1/realtime", {}))
    made = Session(loop, ours, Heard())  # type: ignore[arg-type]
    update = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    text = json.dumps({"type": "session.update", "session": update})
    theirs.sendall(frame(text.encode(), masked=True))
    loop.read()
    return made


def test_sound_that_is_lost_during_a_call_is_a_fault(
    session: Session, loop: VirtualLoop, wires: tuple[socket.socket, socket.socket]
) -> None:
    for lost in (0, 0, 1):
        session.heard.sent.extend([loop.now] * lost)
        session.turn(len(session.heard.sent))
        appended(wires[0], loop, session, VOICE, VOICE, QUIET)
    assert [abs(off) for off in session.heard.probes] == [0, 0, 20]
    assert session.faults == ["sound was lost or doubled on its way to the model"]


def test_sound_before_a_session_is_there_may_be_dropped(
    session: Session, loop: VirtualLoop, wires: tuple[socket.socket, socket.socket]
) -> None:
    session.heard.sent.extend([loop.now] * 3)
    for _ in range(2):
        session.turn(len(session.heard.sent))
        appended(wires[0], loop, session, VOICE, QUIET)
    assert [abs(off) for off in session.heard.probes] == [60, 0]
    assert session.faults == []


# ---- the phone's end ------------------------------------------------------------------------


class Deaf:
    """A model's end that is told what the caller does, and does nothing."""

    faults: tuple[str, ...] = ()

    def turn(self, loud_frame: int) -> None:
        pass

    def stop_speaking(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def phone(
    loop: VirtualLoop,
    wires: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> Phone:
    monkeypatch.setattr(_load_phone, "connect", lambda *_: (wires[1], b""))
    stream = Stream("relay", 80, "/", {}, f"CA{1:032x}", "+1")
    made = Phone(loop, stream, first_s=0.0)  # type: ignore[arg-type]
    made.session, made.begun = Deaf(), True  # type: ignore[assignment]
    return made


def hears(wire: socket.socket, loop: VirtualLoop, **event: Any) -> None:
    wire.sendall(frame(json.dumps(event).encode(), masked=False))
    loop.read()


def answered(phone: Phone, wire: socket.socket, loop: VirtualLoop) -> None:
    """An answer of 4 s comes at once; the caller, whose turn count is even, will interrupt it."""
    phone.heard.deltas += [(loop.now, 1, 200 * n) for n in range(20)]
    sound = base64.b64encode(bytes(32_000)).decode()
    hears(wire, loop, event="media", media={"payload": sound})


def test_an_interruption_without_a_clear_is_missed(
    phone: Phone, loop: VirtualLoop, wires: tuple[socket.socket, socket.socket]
) -> None:
    answered(phone, wires[0], loop)
    loop.pass_time(2.0 + 1.9)
    assert phone.felt.missing == []
    loop.pass_time(0.2)
    assert phone.felt.missing == ["a clear for an interruption"]


def test_a_clear_is_what_an_interruption_waits_for(
    phone: Phone, loop: VirtualLoop, wires: tuple[socket.socket, socket.socket]
) -> None:
    answered(phone, wires[0], loop)
    loop.pass_time(2.2)
    hears(wires[0], loop, event="clear")
    loop.pass_time(2.0)
    assert phone.felt.missing == []
    assert len(phone.felt.clears) == 1


def test_frames_that_never_come_are_in_no_figure_and_so_a_fault(loop: VirtualLoop) -> None:
    heard = Heard()
    heard.sent.extend(range(200))
    heard.inbound += [(0.0, 1.0)] * (200 - _load_ends.BEHIND_FRAMES)
    assert heard.behind() == _load_ends.BEHIND_FRAMES
    heard.inbound.pop()
    assert heard.behind() > _load_ends.BEHIND_FRAMES
