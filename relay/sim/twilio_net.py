"""How the simulated cloud reaches a relay: signed HTTP requests and a signed WebSocket.

`Internet` uses real sockets and maps the public origin that a relay tells Twilio about to where
it really listens, so that no TLS and no tunnel is needed; what is signed is always the public
URL. `InProcess` calls functions and memory pairs, for tests under a jumping clock.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, TypeAlias, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import httpx
import trio
import trio_websocket
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from relay.errors import PortError, SocketClosed
from relay.sim.pair import memory_pair
from relay.sim.twilio_stream import PhoneSocket

HTTP_TIMEOUT_S = 15.0  # Twilio's own, for a whole request; 5 s of it to connect
STREAM_OPEN_S = 5.0
CLOSE_S = 2.0
MESSAGE_QUEUE = 64

Form: TypeAlias = Sequence[tuple[str, str]]
T = TypeVar("T")


def sign(auth_token: str, url: str, form: Form = ()) -> str:
    """X-Twilio-Signature of a request: the URL as Twilio writes it, without a fragment, and the
    parameters of a POST."""
    fields = _Fields(tuple(form))
    signature: str = RequestValidator(auth_token).compute_signature(url.partition("#")[0], fields)
    return signature


@dataclass(frozen=True, slots=True)
class _Fields:
    """A form with names that may come twice, in the shape that Twilio's validator reads."""

    form: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.form)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.form])

    def getlist(self, name: str) -> list[str]:
        return [value for found, value in self.form if found == name]


class NetworkError(PortError):
    """The relay could not be reached, or refused a stream. `code` is Twilio's error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    content_type: str
    text: str


def _too_slow(url: str) -> NetworkError:
    return NetworkError(11200, f"{url} took more than {HTTP_TIMEOUT_S:.0f} s")


class Network(Protocol):
    """What lies between the cloud and a relay."""

    async def request(
        self, method: str, url: str, form: Form, headers: Mapping[str, str]
    ) -> Answer:
        """Send one request; a POST carries `form` as its body. Raises NetworkError (11205, or 11200
        when it takes too long)."""
        ...

    async def stream(
        self,
        url: str,
        headers: Mapping[str, str],
        use: Callable[[PhoneSocket], Awaitable[T]],
    ) -> T:
        """Open a WebSocket, hand it to `use`, and leave nothing open behind it. Raises NetworkError
        (31901 to 31924) when it cannot be opened."""
        ...


# ---- real sockets ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Internet:
    """Real sockets. origins maps "https://relay.example.com" to "http://127.0.0.1:8080"; the
    wss/ws pair follows from it. An origin that is not in the map is reached as it is written. The
    map is looked at for each request: a relay that has no port yet can be added later."""

    client: httpx.AsyncClient
    origins: Mapping[str, str] = field(default_factory=dict)

    async def request(
        self, method: str, url: str, form: Form, headers: Mapping[str, str]
    ) -> Answer:
        body = urlencode(form).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        sent = {**headers, **(kind if body else {})}
        try:
            with trio.fail_after(HTTP_TIMEOUT_S):
                answer = await self.client.request(
                    method, self._local(url), content=body or None, headers=sent
                )
        except (trio.TooSlowError, httpx.ReadTimeout):
            raise _too_slow(url) from None
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise NetworkError(11205, f"{type(fault).__name__} {fault}".strip()) from None
        return Answer(answer.status_code, answer.headers.get("content-type", ""), answer.text)

    async def stream(
        self,
        url: str,
        headers: Mapping[str, str],
        use: Callable[[PhoneSocket], Awaitable[T]],
    ) -> T:
        parts = urlsplit(self._local(url))
        results: list[T] = []
        faults: list[Exception] = []
        tcp = await _connect(parts)
        try:
            async with trio.open_nursery() as nursery:
                socket = await _shake_hands(nursery, tcp, parts, headers)
                results.append(await use(socket))
                nursery.cancel_scope.cancel()
        except* (NetworkError, trio_websocket.ConnectionRejected) as group:
            faults.append(_first(group))
        finally:
            await trio.aclose_forcefully(tcp)
        if faults:
            status = getattr(faults[0], "status_code", None)
            raise NetworkError(31920, f"answered {status}, not 101") if status else faults[0]
        return results[0]

    def _local(self, url: str) -> str:
        """Where a public URL really is."""
        url = url.partition("#")[0]
        for origin, at in self.origins.items():
            public, local = origin.rstrip("/"), at.rstrip("/")
            for here, there in ((public, local), (_as_ws(public), _as_ws(local))):
                if url == here or url.startswith((here + "/", here + "?")):
                    return there + url[len(here) :]
        return url


@cache
def _authorities() -> ssl.SSLContext:
    """Read once a process: each network would take 40 ms for it."""
    return httpx.create_ssl_context(trust_env=False)


@asynccontextmanager
async def open_internet(origins: Mapping[str, str] | None = None) -> AsyncIterator[Internet]:
    """A network of real sockets, with a connection pool of its own."""
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(HTTP_TIMEOUT_S, connect=5.0), trust_env=False, verify=_authorities()
    ) as client:
        yield Internet(client, {} if origins is None else origins)


def _as_ws(origin: str) -> str:
    return "ws" + origin.removeprefix("http")


def _first(group: ExceptionGroup[Exception]) -> Exception:
    inner: Exception = group
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]
    return inner


_Tcp: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"


async def _connect(parts: SplitResult) -> _Tcp:
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise NetworkError(31923, f"not the URL of a WebSocket: {parts.geturl()}")
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        with trio.fail_after(STREAM_OPEN_S):
            tcp = await trio.open_tcp_stream(parts.hostname, port)
            return tcp if parts.scheme == "ws" else await _secure(tcp, parts.hostname)
    except trio.TooSlowError:
        raise NetworkError(31901, f"no connection to {parts.netloc} in time") from None
    except (ssl.SSLError, trio.BrokenResourceError) as fault:
        raise NetworkError(31910, f"TLS with {parts.netloc}: {fault.__cause__ or fault}") from None
    except OSError as fault:
        raise NetworkError(31902, f"{parts.netloc}: {fault}") from None


async def _secure(tcp: trio.SocketStream, host: str) -> trio.SSLStream[trio.SocketStream]:
    context = ssl.create_default_context()
    secure = trio.SSLStream(tcp, context, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(tcp)
        raise
    return secure


async def _shake_hands(
    nursery: trio.Nursery, tcp: _Tcp, parts: SplitResult, headers: Mapping[str, str]
) -> WebSocketPhone:
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with trio.fail_after(STREAM_OPEN_S):
            connection = await trio_websocket.wrap_client_stream(
                nursery,
                tcp,
                parts.netloc,
                resource,
                extra_headers=[(k.encode(), v.encode()) for k, v in headers.items()],
                message_queue_size=MESSAGE_QUEUE,
            )
    except trio.TooSlowError:
        raise NetworkError(31901, f"no handshake within {STREAM_OPEN_S:.0f} s") from None
    return WebSocketPhone(connection, tcp)


@dataclass(frozen=True, slots=True)
class WebSocketPhone:
    """trio-websocket behind the socket seam."""

    connection: trio_websocket.WebSocketConnection
    tcp: _Tcp

    async def receive(self) -> str | bytes:
        try:
            message: str | bytes = await self.connection.get_message()
        except trio_websocket.ConnectionClosed as gone:
            raise _closed(gone) from None
        return message

    async def send(self, text: str) -> None:
        try:
            await self.connection.send_message(text)
        except trio_websocket.ConnectionClosed as gone:
            raise _closed(gone) from None

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        with trio.move_on_after(CLOSE_S):
            await self.connection.aclose(code, reason or None)

    def drop(self) -> None:
        tcp = self.tcp.transport_stream if isinstance(self.tcp, trio.SSLStream) else self.tcp
        tcp.socket.close()


def _closed(gone: trio_websocket.ConnectionClosed) -> SocketClosed:
    return (
        SocketClosed(gone.reason.code, gone.reason.reason or "")
        if gone.reason
        else SocketClosed(1006)
    )


# ---- no sockets -----------------------------------------------------------------------------

Handler: TypeAlias = Callable[[PhoneSocket], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class InProcess:
    """A relay as two functions, for a clock that jumps.

    app answers requests; accept looks at (url, headers) and returns what serves the relay's end
    of the stream, or the HTTP status with which it refuses. delay: see sim.pair.memory_pair.
    """

    app: Callable[[str, str, Form, Mapping[str, str]], Awaitable[Answer]]
    accept: Callable[[str, Mapping[str, str]], Handler | int]
    delay: Callable[[], float] | None = None

    async def request(
        self, method: str, url: str, form: Form, headers: Mapping[str, str]
    ) -> Answer:
        with trio.move_on_after(HTTP_TIMEOUT_S):
            return await self.app(method, url, form, headers)
        raise _too_slow(url)

    async def stream(
        self,
        url: str,
        headers: Mapping[str, str],
        use: Callable[[PhoneSocket], Awaitable[T]],
    ) -> T:
        handler = self.accept(url, headers)
        if isinstance(handler, int):
            raise NetworkError(31920, f"answered {handler}, not 101")
        phone, relay = memory_pair(delay=self.delay)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler, relay)
            result = await use(phone)
            await phone.aclose()
        return result
