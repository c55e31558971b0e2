"""One look at all media sockets in one C call.

native/round.h has the theory. What can be read is received there. A caller's frame that is entirely
usual goes on to the model if its lane is open, and waits in its ear to be told of; if not, it
comes out converted. The last mark that came back waits there, too. All else comes out as the kind
of what is there, to be read as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any, Final, TypeAlias

from relay.audio._native import ffi, lib
from relay.websocket.ear import Ear

HEARD: Final = lib.ROUND_HEARD
PASSED: Final = lib.ROUND_PASSED
LAGS: Final = lib.ROUND_LAGS
READABLE: Final = lib.ROUND_READABLE
REST: Final = lib.ROUND_REST

#: fd, kind; of a HEARD: bytes on the line, rises, level in dBFS; where its audio stands and how
#: long it is.
Note: TypeAlias = tuple[int, int, int, int, float, int, int]

_NOTE: Final = Struct("=iiiidII")
_SIZE: Final = _NOTE.size
_FIRST_FDS: Final = 64
_FOREVER_NS: Final = 1 << 62

_look = lib.round_look


class Round:
    """The sockets of one epoll set, by their fds."""

    __slots__ = ("_c", "_ears", "_notes", "_table", "sound")

    def __init__(
        self, epoll_fd: int, *, eager_fd: int = -1, others_fd: int = -1, patient: int = -1
    ) -> None:
        """In a look that lasts:

        eager_fd: an epoll set of those whose news ends a tick before its time; phones of which
            somebody may be interrupted are put into it meanwhile
        others_fd: an epoll set whose news ends the look
        patient: an fd whose news makes no note, but waits no longer than one
        """
        self._c: Any = ffi.new("media_round *")
        self._c.epoll, self._c.eager, self._c.patient = epoll_fd, eager_fd, patient
        self._c.others = others_fd
        self._notes = ffi.buffer(self._c.notes)
        self.sound = ffi.buffer(self._c.sound)  # what a note's audio is a slice of
        self._ears: dict[int, Ear] = {}
        self._give_table(_FIRST_FDS)

    def lend(self, fd: int, ear: Ear) -> None:
        """Have the phone at fd read by its ear, until it is taken back."""
        if fd >= self._c.ears_n:
            self._give_table(2 * fd)
        self._ears[fd] = ear
        self._table[fd] = ear.c

    def take_back(self, fd: int) -> bool:
        """False: nothing was lent there."""
        if self._ears.pop(fd, None) is None:
            return False
        lib.round_take_back(self._c, fd)
        return True

    def look(
        self, slice_ns: int = 0, tick_ns: int = 0, patience_ns: int = _FOREVER_NS
    ) -> Iterator[Note]:
        """Look at all of them. The notes are to be read in order, and before the next look.

        slice_ns: go on looking for as long, while nothing comes that is in a hurry; this thread
            does nothing else meanwhile
        tick_ns: look as often; 0: whenever something can be read
        patience_ns: how long a note may wait, at the most
        """
        notes = _look(self._c, slice_ns, tick_ns, patience_ns)
        return _NOTE.iter_unpack(self._notes[: notes * _SIZE])

    @property
    def ready(self) -> int:
        """How many sockets the last look found something at."""
        return int(self._c.ready)

    @property
    def called(self) -> bool:
        """Whether the last look ended because the others have something to be read."""
        return bool(self._c.called)

    def _give_table(self, size: int) -> None:
        self._table = ffi.new("media_ear *[]", size)
        for fd, ear in self._ears.items():
            self._table[fd] = ear.c
        self._c.ears, self._c.ears_n = self._table, size
