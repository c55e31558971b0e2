"""The agent's voice from a model's link to mu-law: one C call reads a delta's frame and JSON, and
converts and measures its sound (native/speech.h).

It takes what is entirely usual of the item that is followed, and of no other: an item's first
delta, and what is spelled otherwise, is read as any other message, by the same codec.
"""

from __future__ import annotations

from typing import Any, Final

from relay.audio import ModelToPhone
from relay.audio._native import ffi, lib
from relay.websocket.link import Link

SPOKEN: Final = lib.SPEECH_TAKEN
_ID_BYTES: Final = 64

_next, _bytes_at = lib.speech_next, ffi.buffer


class Mouth:
    """One session's link and codec, joined. Neither is used by anybody else meanwhile."""

    __slots__ = ("_c", "_codec", "_link", "_space")

    def __init__(self, link: Link, codec: ModelToPhone) -> None:
        self._link, self._codec = link, codec  # C points to what they hold
        self._c: Any = ffi.new("speech_mouth *")
        self._c.model = link.c
        self._c.stream, self._space = codec.parts()
        self._c.space = self._space

    def follow(self, response_id: str, item_id: str) -> None:
        """Take the deltas that say they are of these, from now on."""
        # What is no character is none of what a peer can send, either.
        response = response_id.encode(errors="surrogatepass")
        item, c = item_id.encode(errors="surrogatepass"), self._c
        if len(response) > _ID_BYTES or len(item) > _ID_BYTES:
            c.item_id_n = 0
            return
        ffi.memmove(c.response_id, response, len(response))
        ffi.memmove(c.item_id, item, len(item))
        c.response_id_n, c.item_id_n = len(response), len(item)

    def rest(self) -> None:
        """Give back the room that long messages needed: none of them is to come for a while."""
        self._link.shrink()

    def next(self) -> int:
        """Take a frame of what was received: SPOKEN, or what Link.next says."""
        return _next(self._c)

    def speech(self) -> tuple[bytes, float]:
        """What was SPOKEN: mu-law, and the level of its loudest 60 ms in dBFS."""
        c = self._c
        return _bytes_at(self._space.buffer, c.mulaw_n)[:], c.loudest_db
