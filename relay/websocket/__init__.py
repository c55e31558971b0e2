"""RFC 6455 on a socket that does not block, in C (native/ws, tls, link, media, speech, round).

Link    one connection's end: bytes in, frames out, and back; no waiting, no clock, no tasks
Trust   whom a link that is to be secure believes
Ear     the same for the phone's media: from the socket to the model's format in one C call
Mouth   the same for the agent's voice, from what was received to mu-law
Round   one look at all sockets of a process, in one C call

twin.py is the readable specification and the tests' oracle. Who waits, and what a closed connection
means, is shell/native_socket.py's business.
"""

from relay.websocket.ear import Ear, Lane
from relay.websocket.link import (
    AGAIN,
    BINARY,
    BROKEN,
    CLOSE,
    ENDED,
    MORE,
    NO_ROOM,
    PING,
    PONG,
    TEXT,
    WANTS_READ,
    Link,
)
from relay.websocket.mouth import SPOKEN, Mouth
from relay.websocket.round import HEARD, LAGS, PASSED, READABLE, REST, Note, Round
from relay.websocket.tls import Trust

__all__ = [
    "AGAIN",
    "BINARY",
    "BROKEN",
    "CLOSE",
    "ENDED",
    "HEARD",
    "LAGS",
    "MORE",
    "NO_ROOM",
    "PASSED",
    "PING",
    "PONG",
    "READABLE",
    "REST",
    "SPOKEN",
    "TEXT",
    "WANTS_READ",
    "Ear",
    "Lane",
    "Link",
    "Mouth",
    "Note",
    "Round",
    "Trust",
]
