"""A look at all sockets: what it notes, in what order, and what it is in a hurry for."""

from __future__ import annotations

import select
import socket as sockets
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from relay.audio import PhoneToModel, payload
from relay.websocket import (
    ENDED,
    HEARD,
    LAGS,
    PASSED,
    READABLE,
    TEXT,
    Ear,
    Lane,
    Link,
    Round,
    twin,
)
from tests.websocket.secure import secure

KEY = b"\x01\x02\x03\x04"
STREAM = "MZ" + "2" * 32
LONG_NS = 3600 * 1_000_000_000
SOON_NS = 5_000_000
TICK_NS = 200_000
QUIET_MULAW, LOUD_MULAW = b"\xff" * 160, (b"\x90" * 20 + b"\x10" * 20) * 4
QUIET, LOUD = payload(QUIET_MULAW), payload(LOUD_MULAW)
OTHER = '{"event":"dtmf"}'


def media(chunk: int, audio: str = QUIET) -> str:
    inner = f'"track":"inbound","chunk":"{chunk}","timestamp":"{chunk * 20}","payload":"{audio}"'
    return f'{{"event":"media","media":{{{inner}}},"streamSid":"{STREAM}"}}'


def mark(name: str) -> str:
    return f'{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}'


class Ends:
    """A phone in a round. `model`: the far end of where its lane leads."""

    def __init__(self, where: Round, epoll: select.epoll) -> None:
        self.phone, here = sockets.socketpair()
        there, self.model = sockets.socketpair()
        self._owned = (self.phone, here, there, self.model)
        for each in self._owned:
            each.setblocking(False)
        self.fd = here.fileno()
        self.ear = Ear(Link(self.fd, client=False, limit=1 << 16), PhoneToModel("pcmu"))
        self.ear.stream_started(STREAM)
        self.link = Link(there.fileno(), client=True, limit=1 << 16)
        where.lend(self.fd, self.ear)
        epoll.register(self.fd, select.EPOLLIN)

    def open_lane(self) -> None:
        self.link.takes = True
        self.ear.lead_to(Lane(self.link, lambda: None))

    def write(self, *texts: str) -> None:
        self.phone.sendall(b"".join(twin.write(twin.TEXT, text.encode(), KEY) for text in texts))

    def hear(self, where: Round, frames: int) -> list[int]:
        """Have so many frames come, some at a time. Returns what was noted."""
        found = []
        for begin in range(1, frames + 1, 5):
            self.write(*(media(n) for n in range(begin, min(begin + 5, frames + 1))))
            found += [kind for _, kind in kinds(where)]
        return found

    def close(self) -> None:
        for each in self._owned:
            each.close()


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


@pytest.fixture
def place(epoll: select.epoll) -> Iterator[tuple[Round, Callable[[], Ends]]]:
    made: list[Ends] = []
    where = Round(epoll.fileno())

    def begin() -> Ends:
        made.append(Ends(where, epoll))
        return made[-1]

    yield where, begin
    for each in made:
        where.take_back(each.fd)
        each.close()


def kinds(
    where: Round, slice_ns: int = 0, tick_ns: int = TICK_NS, patience_ns: int = LONG_NS
) -> list[tuple[int, int]]:
    return [(note[0], note[1]) for note in where.look(slice_ns, tick_ns, patience_ns)]


def test_frames_are_noted_and_marks_wait_in_their_ear(place) -> None:
    where, begin = place
    one, two = begin(), begin()
    one.write(media(1), mark("a"), media(2), mark("b"))
    two.write(mark("c"))
    assert kinds(where) == [(one.fd, HEARD)] * 2
    assert where.ready == 2
    for phone, name in ((one, "b"), (two, "c")):
        echoed = phone.ear.echoed()
        assert echoed is not None
        assert echoed[0] == name, "the last one"
        assert echoed[1] > 0
        assert phone.ear.echoed() is None
    assert kinds(where) == []


def test_a_mark_that_is_awaited_is_noted_once(place) -> None:
    where, begin = place
    one = begin()
    one.ear.await_mark("b")
    one.write(mark("a"), mark("bb"))
    assert kinds(where) == []
    one.write(mark("b"), mark("b"), mark("c"))
    assert kinds(where) == [(one.fd, PASSED)]
    echoed = one.ear.echoed()
    assert echoed is not None
    assert echoed[0] == "c", "it proves the one before it"
    one.write(mark("b"))
    assert kinds(where) == [(one.fd, PASSED)], "once for each time that the ear is asked"


GATHERED, KEPT = 20, 24


def test_what_has_passed_waits_in_its_ear_until_some_have_gathered(place) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    assert one.hear(where, GATHERED - 1) == []
    one.write(media(GATHERED, LOUD), media(GATHERED + 1))
    assert kinds(where) == [(one.fd, PASSED)], "once for all of it"
    passed = one.ear.passed()
    assert passed is not None
    mulaw, frames = passed
    quiet = GATHERED - 1
    assert mulaw == QUIET_MULAW * quiet + LOUD_MULAW + QUIET_MULAW
    assert [(ms, rises) for ms, _, rises in frames] == [(20, 0)] * quiet + [(20, 3)] + [(20, 0)]
    assert [level > -55 for _, level, _ in frames] == [False] * quiet + [True, False]
    assert one.ear.passed() is None
    one.write(media(GATHERED + 2))
    assert kinds(where) == []


def test_a_frame_for_which_an_ear_has_no_room_is_given_out_behind_the_others(place) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    assert one.hear(where, KEPT) == [PASSED], "since some have gathered"
    one.write(media(KEPT + 1), media(KEPT + 2))
    assert kinds(where) == [(one.fd, HEARD), (one.fd, HEARD)]
    passed = one.ear.passed()
    assert passed is not None
    assert len(passed[1]) == KEPT


def test_a_long_frame_passes_only_where_there_is_room_for_it(place) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    long = payload(b"\xff" * 1280)
    for chunk in range(1, KEPT // 8 + 1):
        one.write(media(chunk, long))
        assert kinds(where) == []
    one.write(media(KEPT // 8 + 1))
    assert kinds(where) == [(one.fd, HEARD)]
    passed = one.ear.passed()
    assert passed is not None
    assert [ms for ms, _, _ in passed[1]] == [160] * (KEPT // 8)


def test_a_frame_with_a_part_of_a_millisecond_does_not_pass(place) -> None:
    """Who counts those is in Python."""
    where, begin = place
    one = begin()
    one.open_lane()
    one.write(media(1), media(2, payload(b"\xff" * 161)), media(3, payload(b"\xff" * 80)))
    assert kinds(where) == [(one.fd, HEARD)]
    passed = one.ear.passed()
    assert passed is not None
    assert [ms for ms, _, _ in passed[1]] == [20, 10]


def test_what_is_neither_ends_the_look_at_its_phone_alone(place) -> None:
    where, begin = place
    one, two = begin(), begin()
    one.write(media(1), OTHER, media(2))
    two.write(media(1))
    assert sorted(kinds(where)) == sorted([(one.fd, HEARD), (one.fd, TEXT), (two.fd, HEARD)])
    assert one.ear.next(), "the rest is left to whoever goes on from there"


def test_a_mark_in_pieces_is_not_taken_for_a_whole_one(place) -> None:
    where, begin = place
    one = begin()
    text = mark("a").encode()
    first = bytearray(twin.write(twin.TEXT, text[:30], KEY))
    first[0] &= 0x7F  # not the last piece
    one.phone.sendall(bytes(first) + twin.write(twin.CONTINUATION, text[30:], KEY))
    assert kinds(where) == [(one.fd, TEXT)]


def test_a_socket_without_an_ear_is_named_and_a_patient_one_is_not(epoll) -> None:
    plain, patient = sockets.socketpair(), sockets.socketpair()
    where = Round(epoll.fileno(), patient=patient[0].fileno())
    for here, there in (plain, patient):
        epoll.register(here.fileno(), select.EPOLLIN)
        there.send(b"x")
    assert kinds(where) == [(plain[0].fileno(), READABLE)]
    assert where.ready == 1
    for each in (*plain, *patient):
        each.close()


def test_more_than_can_be_noted_at_once_is_left_and_named(place) -> None:
    where, begin = place
    phones = [begin() for _ in range(60)]
    for phone in phones:
        phone.write(*(media(n) for n in range(1, 11)))
    heard, left = 0, 0
    for _, kind in kinds(where):
        heard, left = heard + (kind == HEARD), left + (kind != HEARD)
    assert heard + left <= 256
    assert heard > 100
    assert left >= 1
    for phone in phones:
        while phone.ear.next() > 0:
            heard += 1
    assert heard <= 600, "none is there twice"


# ---- a look that lasts --------------------------------------------------------------------------


@pytest.fixture(params=[TICK_NS, 0], ids=["by ticks", "by wakes"])
def tick_ns(request) -> int:
    return int(request.param)


def hurried(
    where: Round, tick_ns: int, *calmly: Callable[[], None], urgently: Callable[[], None]
) -> list[int]:
    """The kinds of a look that would last an hour, while these things happen."""
    calm = threading.Event()

    def happen() -> None:
        for act in calmly:
            act()
            calm.wait(0.005)
        urgently()

    other = threading.Thread(target=happen)
    other.start()
    found = [kind for _, kind in kinds(where, LONG_NS, tick_ns)]
    other.join()
    return found


def test_frames_and_marks_go_on_at_once_and_are_told_later(place, tick_ns) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    told: list[bytes] = []

    def frame_and_mark() -> None:
        one.write(media(GATHERED - 1), mark("a"))

    def look_at_the_model() -> None:
        one.model.settimeout(30)
        told.append(one.model.recv(4096))
        one.write(media(GATHERED, LOUD))

    one.ear.await_mark("a")
    one.hear(where, GATHERED - 2)
    found = hurried(
        where, tick_ns, frame_and_mark, look_at_the_model, urgently=lambda: one.write(OTHER)
    )
    assert found == [PASSED, TEXT], "a voice alone is in no hurry"
    assert told[0], "it was on its way long before"


def test_a_voice_is_in_a_hurry_where_somebody_may_be_interrupted(place, tick_ns) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    one.ear.alert(-55.0)
    found = hurried(
        where, tick_ns, lambda: one.write(media(1)), urgently=lambda: one.write(media(2, LOUD))
    )
    assert found == [PASSED]
    passed = one.ear.passed()
    assert passed is not None
    assert len(passed[1]) == 2


def test_what_nobody_asks_for_becomes_a_hurry_before_the_ear_is_full(place, tick_ns) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    assert one.hear(where, KEPT - 2) == [PASSED], "which nobody heeds"
    assert (
        hurried(
            where,
            tick_ns,
            lambda: one.write(media(KEPT - 1)),
            urgently=lambda: one.write(media(KEPT)),
        )
        == []
    )


def test_a_frame_that_does_not_pass_is_in_a_hurry(place, tick_ns) -> None:
    where, begin = place
    one, two = begin(), begin()
    one.open_lane()
    found = hurried(
        where, tick_ns, lambda: one.write(media(1)), urgently=lambda: two.write(media(1))
    )
    assert found == [HEARD]


def test_under_tls_a_frame_goes_on_in_the_same_look(place, tick_ns) -> None:
    where, begin = place
    one = begin()
    far = secure(one.link, one.model)
    one.open_lane()
    told: list[bytes] = []

    def frame() -> None:
        one.write(media(1))
        assert select.select([far.tls], [], [], 30)[0]
        told.append(far.read())

    with far.tls:
        assert hurried(where, tick_ns, frame, urgently=lambda: one.write(OTHER)) == [TEXT]
    assert b"input_audio_buffer.append" in unmasked(told[0])
    assert one.link.unsent == 0


def unmasked(frame: bytes) -> bytes:
    read = twin.Reader(masked=True, limit=1 << 16).read(frame)
    assert isinstance(read, twin.Frame)
    return read.payload


def test_a_frame_that_the_model_does_not_take_is_in_a_hurry(place, tick_ns) -> None:
    where, begin = place
    one, full = begin(), begin()
    one.open_lane()
    full.open_lane()
    full.link.put(TEXT, b"x" * 60_000)
    while not full.link.flush():
        full.link.put(TEXT, b"x" * 60_000)
    found = hurried(
        where, tick_ns, lambda: one.write(media(1)), urgently=lambda: full.write(media(1))
    )
    assert found == [LAGS]


def test_an_end_is_in_a_hurry(place, tick_ns) -> None:
    where, begin = place
    one, two = begin(), begin()
    one.open_lane()
    found = hurried(where, tick_ns, lambda: one.write(media(1)), urgently=two.phone.close)
    assert found == [ENDED]


def test_an_eager_socket_ends_the_tick(epoll) -> None:
    here, there = sockets.socketpair()
    with select.epoll() as eager, here, there:
        where = Round(epoll.fileno(), eager_fd=eager.fileno())
        for each in (epoll, eager):
            each.register(here.fileno(), select.EPOLLIN)
        other = threading.Timer(0.02, lambda: there.send(b"x"))
        other.start()
        notes = list(where.look(LONG_NS, LONG_NS // 2))
        other.join()
    assert [note[1] for note in notes] == [READABLE]


@pytest.fixture
def eager() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


@pytest.fixture
def interrupter(epoll, eager) -> Iterator[tuple[Round, Ends]]:
    """A phone of which somebody may be interrupted."""
    where = Round(epoll.fileno(), eager_fd=eager.fileno())
    one = Ends(where, epoll)
    one.open_lane()
    one.ear.alert(-50.0)
    yield where, one
    where.take_back(one.fd)
    one.close()


def is_eager(one: Ends, eager: select.epoll, chunk: int, audio: str = QUIET) -> bool:
    """Whether the phone's next frame ends a tick. It is left to be read."""
    one.write(media(chunk, audio))
    return [fd for fd, _ in eager.poll(0)] == [one.fd]


def test_a_voice_that_may_interrupt_is_eager_until_it_has_been_quiet_for_a_while(
    interrupter, eager
) -> None:
    where, one = interrupter
    assert not is_eager(one, eager, 1, LOUD), "nobody knew that it would be loud"
    quiet = 0
    for chunk in range(2, 40):
        kinds(where)
        one.ear.passed()
        if not is_eager(one, eager, chunk):
            break
        quiet += 1
    assert 200 <= quiet * 20 <= 400
    kinds(where)
    assert not is_eager(one, eager, chunk + 1, LOUD)
    kinds(where)
    assert is_eager(one, eager, chunk + 2), "and anew"


def test_a_voice_where_nobody_can_be_interrupted_is_not_eager(interrupter, eager) -> None:
    where, one = interrupter
    one.ear.alert(float("inf"))
    one.write(media(1, LOUD))
    kinds(where)
    assert not is_eager(one, eager, 2, LOUD)


def test_a_phone_that_is_taken_back_is_not_eager_any_more(interrupter, eager) -> None:
    where, one = interrupter
    one.write(media(1, LOUD))
    kinds(where)
    where.take_back(one.fd)
    assert not is_eager(one, eager, 2, LOUD)
    where.lend(one.fd, one.ear)


def test_what_is_to_be_told_waits_a_while_and_no_longer(place, tick_ns) -> None:
    where, begin = place
    one = begin()
    one.open_lane()
    one.ear.await_mark("a")
    found = hurried(
        where,
        tick_ns,
        lambda: one.write(media(1), mark("a")),
        lambda: one.write(media(2)),
        urgently=lambda: one.write(OTHER),
    )
    assert found == [PASSED, TEXT], "nothing but patience ends it"
    one.ear.passed()
    one.write(media(3))
    later = threading.Timer(0.02, lambda: one.write(mark("a")))
    later.start()
    assert kinds(where, LONG_NS, tick_ns, SOON_NS) == [(one.fd, PASSED)]
    later.join()
    passed = one.ear.passed()
    assert passed is not None
    assert len(passed[1]) == 1, "it has waited for the mark, and not for the hour"


def test_the_news_of_a_patient_socket_are_waited_with_only_by_ticks(epoll) -> None:
    here, there = sockets.socketpair()
    with here, there:
        epoll.register(here.fileno(), select.EPOLLIN)
        where = Round(epoll.fileno(), patient=here.fileno())
        there.send(b"x")
        for tick_ns, patience_ns in ((0, LONG_NS), (TICK_NS, SOON_NS)):
            began = time.monotonic_ns()
            assert kinds(where, LONG_NS, tick_ns, patience_ns) == []
            assert tick_ns == 0 or time.monotonic_ns() - began >= SOON_NS
            assert where.ready == 0


def test_a_look_that_has_no_more_room_is_over(place) -> None:
    where, begin = place
    phones = [begin() for _ in range(70)]
    for phone in phones:
        phone.ear.await_mark("a")
        phone.write(mark("a"))
    assert sorted(kinds(where, LONG_NS)) == sorted((phone.fd, PASSED) for phone in phones)


def test_others_end_the_look_and_it_says_so(epoll, tick_ns) -> None:
    here, there = sockets.socketpair()
    with select.epoll() as others, here, there:
        where = Round(epoll.fileno(), others_fd=others.fileno())
        others.register(here.fileno(), select.EPOLLIN)
        assert kinds(where) == []
        assert not where.called, "a look that does not last asks nobody"
        other = threading.Timer(0.02, lambda: there.send(b"x"))
        other.start()
        assert kinds(where, LONG_NS, tick_ns) == []
        other.join()
        assert where.called
