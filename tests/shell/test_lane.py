"""The lane: a caller's frame goes on to the model where it is received, and its call is told after.

Whatever is written to the sockets before the pump gets its turn is read in one round.
"""

from __future__ import annotations

import socket as sockets
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing

from relay.audio import PhoneToModel, payload
from relay.core import events as on
from relay.errors import SocketClosed
from relay.shell import pump
from relay.shell.outbox import Outbox
from relay.shell.phone import Way, read_phone
from relay.websocket import twin
from tests.shell.test_ear import CALL, KEY, START, STREAM, usual
from tests.shell.test_native_socket import native
from tests.websocket.secure import Far, secure

ROOMY = 1 << 20


def sound(n: int) -> str:
    """A frame's payload that is no other's. The codec of these tests passes it as it is."""
    return payload(n.to_bytes(4, "big") * 40)


def mark(name: str) -> str:
    return (
        f'{{"event":"mark","sequenceNumber":"9","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}'
    )


def appended(audio: str) -> str:
    return f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}'


class Line:
    """A call's two connections and what its core would see. `lane`: the core lets frames go on."""

    def __init__(self, *, secret: bool = False, room: int = ROOMY) -> None:
        self.phone, here = sockets.socketpair()
        self.model, there = sockets.socketpair()
        there.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, room)
        self._owned = (self.phone, here, self.model, there)
        self._here = native(here, client=False)
        self._there = native(there, client=True)
        self._in_the_clear = self._secured() if secret else None
        self.far = native(self.model, client=False)
        self.outbox = Outbox(1000)
        self.way = Way()
        self.heard: list[on.Event] = []
        self.step: Callable[[on.Event], None] = lambda _: None
        self.lane, self.alert_db, self.awaited = True, float("inf"), ""
        self._chunk = 0

    def _secured(self) -> Far:
        """TLS between, which ends before `far`."""
        far = secure(self._there._link, self.model)
        self.model, self._clear = sockets.socketpair()
        self._owned += (self.model, self._clear, far.tls)
        return far

    async def decipher(self) -> None:
        """Pass on to `far` what its TLS says, until there is no more."""
        assert self._in_the_clear is not None
        while True:
            came = self._in_the_clear.read(4096)
            self._clear.sendall(came)
            if not came:
                await trio.lowlevel.wait_readable(self._in_the_clear.tls)

    def feed(self, event: on.Event) -> None:
        """As Session.feed does."""
        if not isinstance(event, on.CallerPassed | on.MarkEchoed):
            self.catch_up()
        self.step(event)
        self.heard.append(event)
        if isinstance(event, on.CallerAudio) and not self.outbox.append(event.audio):
            assert self.outbox.post(appended(event.audio))
        self.outbox.flush()
        lane = self.outbox.lane if self.lane else None
        self.way.lead(lane, alert_db=self.alert_db, awaited=self.awaited)

    def hear(self, sound: on.CallerAudio | on.CallerPassed) -> None:
        self.feed(sound)

    def catch_up(self) -> None:
        if (echoed := self.way.echoed()) is not None:
            self.feed(echoed)
        if (passed := self.way.passed()) is not None:
            self.feed(passed)

    async def run(self) -> None:
        with suppress(SocketClosed):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self.outbox.run, self._there)
                codec = PhoneToModel("pcmu")
                await read_phone(self._here, codec, CALL, self, self.way)
                tasks.cancel_scope.cancel()

    def close(self) -> None:
        for each in self._owned:
            each.close()

    def write(self, *texts: str) -> None:
        """In one piece."""
        frames = (twin.write(twin.TEXT, text.encode(), KEY) for text in texts)
        self.phone.sendall(b"".join(frames))

    def hear_all_at_once(self) -> None:
        self.alert_db = float("-inf")
        self.led_anew()

    def led_anew(self) -> None:
        """Have what the core wants to be told of take effect."""
        self.feed(on.DeadlinePassed())
        self.heard.clear()

    def say(self, frames: int = 1) -> None:
        begin = self._chunk + 1
        self._chunk += frames
        self.write(*(usual(n, sound(n)) for n in range(begin, self._chunk + 1)))

    def told(self) -> list[bool]:
        """Of each frame that its call knows of, whether it had gone on before."""
        self.catch_up()
        frames: list[bool] = []
        for event in self.heard:
            if isinstance(event, on.CallerPassed):
                frames += [True] * len(event.frames)
            elif isinstance(event, on.CallerAudio):
                frames.append(False)
        return frames

    async def at_the_model(self, count: int) -> list[str]:
        with trio.fail_after(5):
            return [str(await self.far.receive()) for _ in range(count)]

    def nothing_more(self) -> bool:
        self.model.setblocking(False)
        with suppress(BlockingIOError):
            return not self.model.recv(1)
        return True


def of(frames: int) -> list[str]:
    return [appended(sound(n)) for n in range(1, frames + 1)]


@pytest.fixture(params=["by wakes", "by ticks"])
async def place(request, nursery, monkeypatch):
    """Begins calls that stand on one pump, with their streams started."""
    if request.param == "by ticks":
        monkeypatch.setattr(pump, "LOAD", 0.0)  # every wake is load enough
        monkeypatch.setattr(pump, "WEIGHED_S", 0.0)
    nursery.start_soon(pump.Pump().run)
    await trio.testing.wait_all_tasks_blocked()
    lines: list[Line] = []

    async def begin(line: Line, run: Callable[[], object] | None = None) -> Line:
        lines.append(line)
        nursery.start_soon(run or line.run)
        await until(lambda: line.outbox.lane is not None)
        line.write(START)
        await until(lambda: bool(line.heard))
        await settled()
        assert isinstance(line.heard.pop(), on.PhoneStarted)
        return line

    yield begin
    nursery.cancel_scope.cancel()
    for line in lines:
        for each in line._owned:
            with suppress(OSError):
                trio.lowlevel.notify_closing(each)
        line.close()


async def settled() -> None:
    """What was written has been looked at, and what came of it has been done."""
    await trio.testing.wait_all_tasks_blocked(0.005)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what the pump does, it does without an event
        await trio.sleep(0.001)


# ---- the usual --------------------------------------------------------------------------------


async def test_a_frame_goes_on_and_its_call_is_told_so(place):
    line = await place(Line())
    line.say(3)
    assert await line.at_the_model(3) == of(3)
    assert line.told() == [True] * 3
    assert line.nothing_more(), "nothing is sent twice"
    passed = line.heard[0]
    assert isinstance(passed, on.CallerPassed)
    assert [payload(passed.mulaw[at : at + 160]) for at in (0, 160, 320)] == [
        sound(n) for n in (1, 2, 3)
    ]
    assert [ms for ms, _, _ in passed.frames] == [20] * 3


async def test_where_the_core_wants_to_hear_first_nothing_goes_on_before(place):
    line = await place(Line())
    line.lane = False
    line.feed(on.DeadlinePassed())
    line.say(2)
    assert await line.at_the_model(2) == of(2)
    assert line.told() == [False] * 2
    assert line.nothing_more()


async def test_under_tls_it_is_the_same(place, nursery):
    line = await place(Line(secret=True))
    nursery.start_soon(line.decipher)
    flushed: list[None] = []
    line._there.send_held = lambda: flushed.append(None)
    line.say(3)
    assert await line.at_the_model(3) == of(3)
    assert line.told() == [True] * 3
    assert not flushed, "nothing was left for Python to send"
    assert line.nothing_more()


async def test_more_frames_than_an_ear_can_keep_are_all_heard_in_order(place):
    lines = [await place(Line()) for _ in range(10)]
    for line in lines:
        line.say(40)
    await settled()
    for line in lines:
        assert await line.at_the_model(40) == of(40)
        assert len(line.told()) == 40
        assert line.nothing_more()


# ---- what may happen in the middle of a round -------------------------------------------------


async def test_a_lane_that_closes_in_the_middle_of_a_round_loses_and_repeats_nothing(place):
    first, second = await place(Line()), await place(Line())
    first.hear_all_at_once()

    def close_the_other(_event: on.Event) -> None:
        second.lane = False
        second.way.lead(None, alert_db=float("inf"), awaited="")

    first.step = close_the_other
    first.say()
    second.say()
    await settled()
    second.say()
    assert await second.at_the_model(2) == of(2)
    assert second.told() == [True, False], "what had gone on was told as such"
    assert second.nothing_more()


async def test_a_call_that_breaks_in_a_round_breaks_alone(place):
    broken: list[BaseException] = []
    lines = [Line() for _ in range(3)]

    async def victim() -> None:
        try:
            await lines[1].run()
        except* ZeroDivisionError as group:
            broken.extend(group.exceptions)

    await place(lines[0])
    await place(lines[1], victim)
    await place(lines[2])

    def fail(_event: on.Event) -> None:
        raise ZeroDivisionError

    lines[1].hear_all_at_once()
    lines[1].step = fail
    for _ in range(2):
        for line in lines:
            line.say()
        await settled()
    assert len(broken) == 1
    for line in (lines[0], lines[2]):
        assert await line.at_the_model(2) == of(2)
        assert line.told() == [True] * 2


@pytest.mark.parametrize("secret", [False, True])
async def test_a_model_that_stops_reading_closes_the_lane_and_gets_everything_in_order(
    place, nursery, secret
):
    line = await place(Line(room=4096, secret=secret))
    frames = 0
    while not line.told() or line.told()[-1]:
        line.say(5)
        frames += 5
        await settled()
        assert frames < 2000
    line.say(5)
    await settled()
    if secret:
        nursery.start_soon(line.decipher)
    assert await line.at_the_model(frames + 5) == of(frames + 5)
    await settled()
    line.say()
    assert await line.at_the_model(1) == of(frames + 6)[-1:]
    assert line.told()[-1], "it is open again"
    assert line.nothing_more()


async def test_a_model_that_is_gone_is_not_written_to(place):
    line = await place(Line())
    line.say()
    await settled()
    line.model.close()
    line.say(2)
    await settled()
    line.say(2)
    await settled()
    assert line.told()[0] is True
    assert line.told()[-1] is False
    assert len(line.told()) == 5, "its call is told of every frame"


async def test_a_lost_frame_is_silence_in_its_place(place):
    line = await place(Line())
    line.write(*(usual(n, sound(n)) for n in (1, 2, 4, 5)))
    await settled()
    line.write(usual(6, sound(6)))
    silence = PhoneToModel("pcmu").gap(20).audio
    sounds = [sound(1), sound(2), silence, sound(4), sound(5), sound(6)]
    assert await line.at_the_model(6) == [appended(each) for each in sounds]
    assert line.told() == [True, True, False, False, False, True]


async def test_what_is_no_frame_is_read_between_the_frames(place):
    line = await place(Line())
    line.write(usual(1, sound(1)), mark("m"), usual(2, sound(2)), START, usual(3, sound(3)))
    assert await line.at_the_model(3) == of(3)
    await settled()
    kinds = [type(event) for event in line.heard]
    assert kinds == [on.MarkEchoed, on.CallerPassed, on.PhoneStarted, on.CallerAudio]
    assert line.told() == [True, True, False]


def marks(line: Line) -> list[str]:
    return [event.name for event in line.heard if isinstance(event, on.MarkEchoed)]


async def test_of_the_marks_that_come_the_last_is_told_before_what_is_said_next(place):
    line = await place(Line())
    line.write(mark("a"), usual(1, sound(1)), mark("b"))
    await settled()
    assert line.heard == []
    line.feed(on.DeadlinePassed())
    (echoed, passed, _) = line.heard
    assert isinstance(echoed, on.MarkEchoed)
    assert echoed.name == "b"
    assert 0.0 < echoed.ago_s < 60.0
    assert isinstance(passed, on.CallerPassed)
    line.feed(on.DeadlinePassed())
    assert marks(line) == ["b"], "once"


async def test_a_mark_that_is_awaited_is_told_at_once(place):
    line = await place(Line())
    line.awaited = "b"
    line.led_anew()
    line.write(mark("a"))
    await settled()
    assert marks(line) == []
    line.write(mark("b"))
    await until(lambda: marks(line) == ["b"])
    line.awaited = "a name that no ear keeps" + "." * 96
    line.led_anew()
    line.write(mark("c"))
    await until(lambda: marks(line) == ["c"])


@pytest.mark.parametrize("name", ["x" * 97, "\u00e9" * 49, "a\\nb", ""])
async def test_a_mark_that_no_ear_keeps_is_read_as_ever(place, name):
    line = await place(Line())
    line.write(mark(name))
    await until(lambda: marks(line) == [name.replace("\\n", "\n")])


async def test_a_mark_of_another_stream_is_a_mistake_of_its_phone(place):
    line = await place(Line())
    line.write(mark("a").replace(STREAM, "MZ" + "9" * 32))
    await until(lambda: bool(line.heard))
    assert line.heard == [on.PeerMisbehaved("phone", "wrong_stream")]


async def test_a_message_in_pieces_is_put_together(place):
    line = await place(Line())
    whole = b"".join(twin.write(twin.TEXT, usual(n, sound(n)).encode(), KEY) for n in (1, 2))
    for at in range(0, len(whole), 100):
        line.phone.sendall(whole[at : at + 100])
        await settled()
    assert await line.at_the_model(2) == of(2)
    assert line.told() == [True] * 2


async def test_a_phone_that_hangs_up_behind_its_frames_is_heard_to_its_end(place):
    line = await place(Line())
    line.say(2)
    line.phone.sendall(twin.write(twin.CLOSE, b"", KEY))
    await settled()
    assert line.told() == [True] * 2
    assert isinstance(line.heard[-1], on.PhoneClosed)
