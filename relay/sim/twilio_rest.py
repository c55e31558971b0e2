"""Twilio's REST API of 2010-04-01, as far as a relay uses it.

`RestApi` takes requests apart from any transport: `RestTransport` hands it those of an
`httpx.AsyncClient` in memory, under a clock that jumps; `serve_rest` (twilio_rest_server) those of
a socket. A request is carried out by the API's own tasks, so that a client which stops waiting for
the answer does not undo it. Latency and faults can be set for each kind of request, and each is
kept.
"""

from __future__ import annotations

import base64
import collections
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

import httpx
import trio

from relay.errors import Misuse
from relay.sim import twilio_rest_calls as calls
from relay.sim import twilio_rest_others as others
from relay.sim.twilio_account import Account
from relay.sim.twilio_rest_form import Fields, Json, RestError

REFUSED_TEXT: Final = "refused"
_ROOT: Final = "/2010-04-01/Accounts/"
_SID: Final = r"([A-Za-z]{2}[0-9a-fA-F]{32}|Twilio\.CURRENT)"

Work: TypeAlias = Callable[[Account, trio.Nursery, list[str], Fields], tuple[int, Json]]

# What can be asked: the kind's name, the method, the path behind the account, and who does it.
_KINDS: Final[tuple[tuple[str, str, str, Work], ...]] = (
    ("calls.create", "POST", r"Calls\.json", calls.create_call),
    ("calls.fetch", "GET", rf"Calls/{_SID}\.json", calls.fetch_call),
    ("calls.update", "POST", rf"Calls/{_SID}\.json", calls.update_call),
    ("recordings.create", "POST", rf"Calls/{_SID}/Recordings\.json", calls.create_recording),
    ("recordings.update", "POST", rf"Calls/{_SID}/Recordings/{_SID}\.json", calls.update_recording),
    ("recordings.fetch", "GET", rf"(?:Calls/\w+/)?Recordings/{_SID}\.json", others.fetch_recording),
    (
        "recordings.delete",
        "DELETE",
        rf"(?:Calls/\w+/)?Recordings/{_SID}\.json",
        others.delete_recording,
    ),
    ("messages.create", "POST", r"Messages\.json", others.create_message),
    ("messages.fetch", "GET", rf"Messages/{_SID}\.json", others.fetch_message),
    ("numbers.list", "GET", r"IncomingPhoneNumbers\.json", others.list_numbers),
    ("numbers.fetch", "GET", rf"IncomingPhoneNumbers/{_SID}\.json", others.fetch_number),
    ("numbers.update", "POST", rf"IncomingPhoneNumbers/{_SID}\.json", others.update_number),
)
KINDS: Final = frozenset(kind for kind, *_ in _KINDS)


@dataclass(frozen=True, slots=True)
class RestFault:
    """What goes wrong with one request.

    delay_s: beside the usual latency; refused: no connection, nothing is done; lost: it is done,
    but no answer comes; status, code: nothing is done, and this is the answer
    """

    delay_s: float = 0.0
    refused: bool = False
    lost: bool = False
    status: int = 0
    code: int = 0


REFUSED: Final = RestFault(refused=True)
LOST: Final = RestFault(lost=True)
TOO_MANY: Final = RestFault(status=429, code=20429)
BROKEN: Final = RestFault(status=500, code=20500)
GONE: Final = RestFault(status=404, code=20404)
NOT_IN_PROGRESS: Final = RestFault(status=400, code=21220)


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """status 0: none came, and `text` says why."""

    status: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request, kept. form: of the body, or of the query of a GET."""

    at: float
    took_s: float
    kind: str
    method: str
    path: str
    form: tuple[tuple[str, str], ...]
    status: int
    text: str

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.form)


@dataclass(eq=False, slots=True)
class RestApi:
    """The API of one account. nursery: where calls, callbacks and the requests themselves run.

    latency_s: from request to answer, half of it each way; delays_s: for a kind, instead of that
    requests: all of them, in the order of their ends
    """

    account: Account
    nursery: trio.Nursery
    latency_s: float = 0.0
    delays_s: dict[str, float] = field(default_factory=dict)
    requests: list[RestRequest] = field(default_factory=list)
    _faults: dict[str, collections.deque[RestFault | None]] = field(default_factory=dict)

    def fail(self, kind: str, *faults: RestFault | None) -> None:
        """Let the next requests of a kind go wrong, one fault each. None: that one goes well.
        Raises Misuse if there is no such kind."""
        if kind not in KINDS:
            raise Misuse(f"{kind!r} is none of {', '.join(sorted(KINDS))}")
        self._faults.setdefault(kind, collections.deque()).extend(faults)

    def of_kind(self, kind: str) -> list[RestRequest]:
        return [request for request in self.requests if request.kind == kind]

    async def ask(self, method: str, target: str, authorization: str, body: bytes) -> RestAnswer:
        """Take one request, and wait for its answer."""
        answers: list[RestAnswer] = []
        done = trio.Event()

        async def work() -> None:
            answers.append(await self._take(method, target, authorization, body))
            done.set()

        self.nursery.start_soon(work)
        await done.wait()
        return answers[0]

    async def _take(self, method: str, target: str, authorization: str, body: bytes) -> RestAnswer:
        at = trio.current_time()
        path, _, query = target.partition("?")
        text = query if method == "GET" else body.decode("utf-8", "replace")
        form = tuple(parse_qsl(text, keep_blank_values=True))
        kind, sids, do = self._kind(method, path)
        fault = self._next_fault(kind)
        delay = self.delays_s.get(kind, self.latency_s) + fault.delay_s
        await trio.sleep(delay / 2)
        try:
            self._admit(authorization, path)
            _obey(fault)
            status, result = do(self.account, self.nursery, sids, Fields(form))
            answer = RestAnswer(status, "" if result is None else json.dumps(result))
        except RestError as refusal:
            answer = RestAnswer(refusal.status, json.dumps(refusal.json()))
        await trio.sleep(delay / 2)
        if fault.lost or fault.refused:
            answer = RestAnswer(0, REFUSED_TEXT if fault.refused else "lost")
        took = trio.current_time() - at
        self.requests.append(
            RestRequest(at, took, kind, method, path, form, answer.status, answer.text)
        )
        return answer

    def _kind(self, method: str, path: str) -> tuple[str, list[str], Work]:
        inside = path.removeprefix(f"{_ROOT}{self.account.account_sid}/")
        for kind, wanted, pattern, do in _KINDS:
            match = re.fullmatch(pattern, inside)
            if match and method == wanted:
                return kind, list(match.groups()), do
        return "unknown", [path], _refuse_path

    def _next_fault(self, kind: str) -> RestFault:
        waiting = self._faults.get(kind)
        return (waiting.popleft() if waiting else None) or RestFault()

    def _admit(self, authorization: str, path: str) -> None:
        """Basic authorization by account SID and token, for that account's own resources."""
        own = f"{self.account.account_sid}:{self.account.auth_token}"
        wanted = "Basic " + base64.b64encode(own.encode()).decode()
        if authorization != wanted or not path.startswith(_ROOT + self.account.account_sid):
            raise RestError(401, 20003, "Authenticate")


def _obey(fault: RestFault) -> None:
    if fault.refused or fault.status:
        raise RestError(fault.status, fault.code, "as the test wants it")


def _refuse_path(
    _account: Account, _nursery: trio.Nursery, sids: list[str], _fields: Fields
) -> tuple[int, Json]:
    raise RestError(404, 20404, f"The requested resource {sids[0]} was not found")


@asynccontextmanager
async def open_rest(account: Account, *, latency_s: float = 0.0) -> AsyncIterator[RestApi]:
    """The API, as long as this block lasts; calls and callbacks that are still running then are
    dropped. What a human's script raises comes out of here, in a group."""
    async with trio.open_nursery() as nursery:
        yield RestApi(account, nursery, latency_s)
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class RestTransport(httpx.AsyncBaseTransport):
    """The way to the API without a socket. The client's read timeout is kept."""

    rest: RestApi

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        limit: Mapping[str, float | None] = request.extensions.get("timeout", {})
        timeout = limit.get("read")
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            answer = await self.rest.ask(
                request.method,
                request.url.raw_path.decode(),
                request.headers.get("authorization", ""),
                body,
            )
            if answer.text == REFUSED_TEXT:
                raise httpx.ConnectError("connection refused", request=request)
            if answer.status == 0:
                await trio.sleep_forever()
            return _response(answer, request)
        raise httpx.ReadTimeout("no answer in time", request=request)


def _response(answer: RestAnswer, request: httpx.Request) -> httpx.Response:
    """An answer that may be read whole or as a stream, as from a socket."""
    body = answer.text.encode()
    headers = {"Content-Length": str(len(body))} if answer.status != 204 else {}
    if body:
        headers["Content-Type"] = "application/json"
    return httpx.Response(
        answer.status, headers=headers, stream=httpx.ByteStream(body), request=request
    )
