"""A chunk of our speech and its mark, framed in C: what the renderer makes of them, or nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.commands import SendAudio
from relay.websocket import BINARY
from relay.wire.twilio import render
from tests.websocket.test_link import pair, receive

NAMES = st.text(st.characters(codec="utf-8"))
PLAIN = st.text(st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters='"\\'))


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=5000), PLAIN), max_size=6), PLAIN, st.booleans())
def test_it_is_spelled_as_the_renderer_does(chunks: list, sid: str, server: bool) -> None:
    with pair() as (client, far):
        ours, theirs = (far, client) if server else (client, far)
        spelled = []
        for mulaw, mark in chunks:
            assert ours.play(sid.encode(), mulaw, mark.encode())
            spelled += render(SendAudio(mulaw, mark), sid)
        assert ours.flush() == 0
        assert [payload.decode() for payload in receive(theirs)] == spelled


@settings(deadline=None)
@given(NAMES, NAMES)
def test_what_json_escapes_is_left_to_the_renderer(sid: str, mark: str) -> None:
    as_it_is = {f'{{"event":"mark","streamSid":"{sid}","mark":{{"name":"{mark}"}}}}'}
    with pair() as (_, ours):
        framed = ours.play(sid.encode(), b"\xff" * 160, mark.encode())
        assert framed == (as_it_is <= set(render(SendAudio(b"", mark), sid)))
        assert (ours.unsent > 0) == framed


@settings(deadline=None)
@given(st.lists(st.integers(0, 9000), max_size=8))
def test_it_waits_behind_what_is_not_sent_yet(sizes: list[int]) -> None:
    with pair() as (theirs, ours):
        expected: list[bytes] = []
        for size in sizes:
            ours.put(BINARY, bytes(size // 2))
            assert ours.play(b"MZ1", b"\x7f" * size, b"0:a:20")
            behind = render(SendAudio(b"\x7f" * size, "0:a:20"), "MZ1")
            expected += [bytes(size // 2), *map(str.encode, behind)]
            if size % 3 == 0:
                assert ours.flush() == 0
        assert ours.flush() == 0
        assert receive(theirs) == expected
