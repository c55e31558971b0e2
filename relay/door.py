"""The one listener: it reads each connection's request head and decides who may speak to it.

    bytes ─▶ head (≤ 16 KiB, ≤ 5 s, h11) ─┬─ GET /twilio/stream/<token>, upgrade ─▶ admit ─▶ take
                                          ├─ any other upgrade, not HTTP/1.x ─▶ refused
                                          ├─ POST /twilio/… ─▶ exchange.py, one request, ≤ 30 s
                                          └─ everything else ─▶ Hypercorn, one request, ≤ 30 s

Why not let Hypercorn listen: on Trio, one byte behind an upgrade request ends its whole process
(pgjones/hypercorn#225), before any authentication, and its message limit does not bound memory.
So no upgrade ever reaches it: the head is looked at first, and `keep_alive_max_requests = 1` means
that no second request can follow on the same connection. What was read is pushed back, so both
servers see the connection from its first byte. Twilio's webhooks have the same app, but no server
around it: for hundreds at once Hypercorn costs twice what they do.

Four rules hold whatever a peer sends:

* no connection's exception passes the guard (`_guarded`): a connection dies alone;
* no stage lasts for ever: the head, the admission, the handshake, a refusal, a whole HTTP
  exchange each have a deadline, and `TCP_USER_TIMEOUT` frees a send to a peer that reads nothing;
* connections that have not yet shown a head, or a webhook's body, are bounded (waiting.py);
* of a crowd one begins in each turn of the loop, first come first served (`_turnstile`): between
  two of them the calls that are under way have their turn.

WebSockets are accepted by relay.shell.sockets, which sets their deadlines and limits (64 KiB a
message, no compression); here they get the certainty that the TCP connection is closed afterwards.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

import h11
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from quart_trio import QuartTrio

from relay import exchange
from relay.logs import Seldom
from relay.ports import Socket
from relay.shell import sockets
from relay.shell.push_back import PushBack
from relay.waiting import Waiting

WEBHOOKS: Final = "/twilio/"
STREAM_PATH: Final = "/twilio/stream/"

MAX_HEAD_BYTES: Final = 16 * 1024  # h11's own default; Twilio's heads are under 2 KiB
HEAD_TIMEOUT_S: Final = 5.0
ADMIT_TIMEOUT_S: Final = 2.0  # the switchboard's own deadlines are far below
HANDSHAKE_TIMEOUT_S: Final = 5.0
HTTP_TIMEOUT_S: Final = 30.0  # Twilio gives up on a webhook after 15
MAX_WAITING_HEADS: Final = 512
MAX_WAITING_BODIES: Final = 256  # each of them may hold 64 KiB meanwhile
PATIENCE_S: Final = 0.5  # neither is given up earlier, however many wait
USER_TIMEOUT_MS: Final = 5_000
BACKLOG: Final = 1024
READ_BYTES: Final = 4096

_KEY: Final = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # the base64 of 16 bytes

_log = structlog.get_logger("relay.door")


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head. Header names are lower case; raw is all that was read, body included.

    rest: of that, what came behind the head
    request, parser: what h11 read, and where it stands
    """

    method: str
    target: str
    http_version: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes = field(repr=False)
    rest: bytes = field(repr=False)
    request: h11.Request = field(repr=False)
    parser: h11.Connection = field(repr=False)

    def header(self, name: str) -> str:
        """The first value of a header, "" when it is absent."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def wants_upgrade(self) -> bool:
        return any(key == "upgrade" for key, _ in self.headers) or _lists(
            self.header("connection"), "upgrade"
        )

    @property
    def wants_stream(self) -> bool:
        return (
            self.method == "GET"
            and self.http_version == "1.1"
            and self.target.startswith(STREAM_PATH)
            and self.header("upgrade").lower() == "websocket"
            and _lists(self.header("connection"), "upgrade")
        )

    @property
    def is_webhook(self) -> bool:
        return self.method == "POST" and self.target.startswith(WEBHOOKS)

    @property
    def unfit(self) -> int:
        """The status that refuses a handshake which is none (RFC 6455, 4.2.1); 0: it is one."""
        if self.header("sec-websocket-version") != "13":
            return 426
        return 0 if _KEY.fullmatch(self.header("sec-websocket-key")) else 400


# Which call may have this stream? A CallSid, or None: 403, before anything is upgraded.
Admit = Callable[[Head], Awaitable[str | None]]
# Carry an admitted stream to its end: its socket is there for the length of the block.
Take = Callable[[str, AbstractAsyncContextManager[Socket]], Awaitable[None]]


async def open_listeners(
    host: str, port: int, *, shared: bool = False
) -> list[trio.SocketListener]:
    """Listen; port 0 takes any free one. Raises OSError when the address cannot be had.

    shared: beside other processes of ours, of which the kernel chooses one for each connection
    """
    if shared:
        listeners = await _shared_listeners(host, port)
    else:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    for listener in listeners:
        _harden(listener.socket)
    return listeners


async def _shared_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """As trio.open_tcp_listeners, but with SO_REUSEPORT, which that does not know."""
    found = await trio.socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners: list[trio.SocketListener] = []
    for family, kind, protocol, _, address in found:
        listening = trio.socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await listening.bind(address)
        listening.listen(BACKLOG)
        listeners.append(trio.SocketListener(listening))
    return listeners


def _harden(listening: trio.socket.SocketType) -> None:
    """Let the kernel notice dead and deaf peers; accepted sockets inherit all of it."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_KEEPIDLE", 15),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
    ):
        option = getattr(socket, name, None)  # Linux has them all
        if option is not None:
            listening.setsockopt(socket.IPPROTO_TCP, option, value)


class Door:
    """What the connections of one process share. `counts` tells what became of them."""

    def __init__(
        self, app: QuartTrio, admit: Admit, take: Take, counts: Counter[str] | None = None
    ) -> None:
        """counts: to count in, for somebody who reads it elsewhere."""
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._admit = admit
        self._take = take
        self._webhooks = cast("exchange.App", app)  # the same, in Hypercorn's types
        self._app = ASGIWrapper(app)  # no lifespan: the app has nothing to start or stop
        self._config = _hypercorn_config()
        self._context = WorkerContext(None)
        self._failures = Seldom()
        self._heads = Waiting(MAX_WAITING_HEADS, PATIENCE_S)
        self._bodies = Waiting(MAX_WAITING_BODIES, PATIENCE_S)
        self._turnstile = trio.Lock()

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept until cancelled. Out of file descriptors, trio's loop backs off for 100 ms."""
        async with trio.open_nursery() as connections:
            await connections.start(
                partial(
                    trio.serve_listeners,
                    self._guarded,
                    list(listeners),
                    handler_nursery=connections,
                )
            )
            task_status.started()

    async def _guarded(self, stream: trio.SocketStream) -> None:
        """The guard: whatever happens on a connection ends that connection, and nothing else.

        trio.serve_listeners closes it."""
        try:
            await self._connection(stream)
        except* Exception as group:  # noqa: BLE001 - one of the three places that may
            self._report(group)

    def _report(self, group: ExceptionGroup[Exception]) -> None:
        kind = type(_first(group)).__name__
        self.counts[f"failed:{kind}"] += 1
        # A flood must not fill the log: a traceback for the first of its kind only.
        exc_info = group if self.counts[f"failed:{kind}"] == 1 else None
        if times := self._failures.due(kind):
            _log.error("! connection failed", kind=kind, times=times, exc_info=exc_info)

    async def _connection(self, stream: trio.SocketStream) -> None:
        match await self._read_head(stream):
            case None:
                self.counts["no_head"] += 1
            case int(status):
                await self._refuse(stream, status)
            case head if head.wants_stream:
                await self._stream(stream, head)
            case head if head.wants_upgrade:
                await self._refuse(stream, 400)
            case head:
                await self._http(stream, head)

    async def _read_head(self, stream: trio.SocketStream) -> Head | int | None:
        """A head, the status that refuses it, or None when there was none in time."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        raw, since = bytearray(), trio.current_time()
        with trio.move_on_after(HEAD_TIMEOUT_S) as scope, suppress(trio.BrokenResourceError):
            head = None
            while head is None:
                await self._may_read(stream, scope, since)
                some = await stream.receive_some(READ_BYTES)
                if not some:
                    return None
                raw += some
                head = _read_on(parser, some, raw)
            return head
        return None

    async def _may_read(
        self, stream: trio.SocketStream, scope: trio.CancelScope, since: float
    ) -> None:
        """Wait until a connection, which came then, has something to say and it is its turn."""
        with self._heads.among(scope, since):
            await trio.lowlevel.wait_readable(stream.socket)
        async with self._turnstile:  # passes on to the next in line, who runs in the next turn
            pass

    async def _http(self, stream: trio.SocketStream, head: Head) -> None:
        self.counts["http"] += 1
        with trio.move_on_after(HTTP_TIMEOUT_S):
            if head.is_webhook:
                await exchange.answer(
                    self._webhooks, stream, head.parser, head.request, self._bodies
                )
                return
            whole = PushBack(stream, head.raw)
            # Hypercorn declares the stream narrower than it uses it.
            server = TCPServer(self._app, self._config, self._context, {}, whole)  # type: ignore[arg-type]
            try:
                await server
            finally:
                vars(server).pop("protocol", None)  # it knows the server: a cycle

    async def _stream(self, stream: trio.SocketStream, head: Head) -> None:
        if head.unfit:
            await self._refuse(stream, head.unfit)
            return
        call_sid = None
        with trio.move_on_after(ADMIT_TIMEOUT_S):
            call_sid = await self._admit(head)
        if call_sid is None:
            await self._refuse(stream, 403)
            return
        self.counts["streams"] += 1
        opening = sockets.welcome(
            stream,
            head.raw,
            key=head.header("sec-websocket-key"),
            rest=head.rest,
            handshake_s=HANDSHAKE_TIMEOUT_S,
        )
        await self._take(call_sid, opening)

    async def _refuse(self, stream: trio.SocketStream, status: int) -> None:
        """Answer with an empty page, then let the peer read it: closing at once would reset."""
        self.counts[f"refused:{status}"] += 1
        with suppress(trio.BrokenResourceError):
            await stream.send_all(_empty_response(status))
            await exchange.linger(stream)


def _read_on(parser: h11.Connection, some: bytes | bytearray, raw: bytearray) -> Head | int | None:
    """The head if it is complete with this, or the status that refuses it."""
    try:
        parser.receive_data(bytes(some))
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        error.__traceback__ = None  # h11's frame in it knows the error: a cycle
        return error.error_status_hint
    return _head(event, parser, bytes(raw)) if isinstance(event, h11.Request) else None


def _head(request: h11.Request, parser: h11.Connection, raw: bytes) -> Head | int:
    version = request.http_version.decode("ascii")
    if version not in {"1.0", "1.1"}:
        return 505
    if not request.target.startswith(b"/"):
        return 400  # a proxy is asked by a whole URL, and nobody asks us by less than a path
    return Head(
        method=request.method.decode("ascii"),
        target=request.target.decode("latin-1"),
        http_version=version,
        headers=tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers),
        raw=raw,
        rest=parser.trailing_data[0],
        request=request,
        parser=parser,
    )


def _lists(value: str, token: str) -> bool:
    return any(part.strip().lower() == token for part in value.split(","))


def _empty_response(status: int) -> bytes:
    connection = h11.Connection(h11.SERVER)
    headers = [("Content-Length", "0"), ("Connection", "close")]
    if status == 426:
        headers += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    return connection.send(h11.Response(status_code=status, headers=headers)) or b""


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _hypercorn_config() -> Config:
    config = Config()
    config.keep_alive_max_requests = 1
    config.keep_alive_timeout = HEAD_TIMEOUT_S
    config.h11_max_incomplete_size = MAX_HEAD_BYTES + READ_BYTES
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    return config
