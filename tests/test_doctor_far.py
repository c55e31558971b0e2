"""What the others say: the model, Twilio, our own address. All of them simulated, none mocked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from ssl import SSLCertVerificationError

import httpx
import pytest
import trio

from relay import config
from relay.config import Settings
from relay.doctor import Finding, Level
from relay.doctor_far import look_far, wanted_routes
from relay.errors import DialError, PhoneControlError
from relay.ports import Account, Number, NumberRoutes, Socket
from relay.shell.kit import CallFacts
from relay.sim.brains import Scripted
from relay.sim.pair import memory_pair
from relay.sim.realtime import Session, serve_session
from tests.test_config import ENVIRON

PROMPTS = Path(__file__).parents[1] / "prompts"
BIN = "https://handler.example.com/twiml"


def make_settings(folder: Path, **changes: str) -> Settings:
    return config.load(
        {
            **ENVIRON,
            "PROMPTS_DIR": str(PROMPTS),
            "DATABASE_URL": f"sqlite:///{folder}/relay.db",
            **changes,
        }
    )


@dataclass
class FakeAccount:
    """A ports.PhoneAccount. fault: what every question raises."""

    state: Account = field(default_factory=lambda: Account("active", "Full"))
    numbers: dict[str, Number] = field(default_factory=dict)
    clock_ahead_s: float | None = 0.0
    fault: str = ""

    async def account(self) -> Account:
        if self.fault:
            raise PhoneControlError(self.fault)
        return self.state

    async def number(self, number: str) -> Number | None:
        return self.numbers.get(number)

    async def route(self, sid: str, routes: NumberRoutes) -> None:
        raise AssertionError("a doctor looks and changes nothing")


def account_in_order(settings: Settings) -> FakeAccount:
    ours = settings.twilio_phone_number
    return FakeAccount(numbers={ours: Number("PN1", ours, wanted_routes(settings, BIN))})


@asynccontextmanager
async def model(sessions: list[Session], _call: CallFacts) -> AsyncIterator[Socket]:
    ours, theirs = memory_pair()
    session = Session()
    sessions.append(session)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_session, theirs, Scripted(), session=session))
        yield ours
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def no_model(why: str, _call: CallFacts) -> AsyncIterator[Socket]:
    raise DialError(why)
    yield


async def look(
    settings: Settings,
    *,
    account: FakeAccount | None = None,
    dial: Callable[[CallFacts], AbstractAsyncContextManager[Socket]] | None = None,
    page: int = 200,
    fault: Exception | None = None,
) -> dict[str, list[Finding]]:
    """page, fault: what is at our own address."""

    def at_home(_: httpx.Request) -> httpx.Response:
        if fault is not None:
            raise fault
        return httpx.Response(page)

    transport = httpx.MockTransport(at_home)
    with trio.fail_after(20):
        findings = await look_far(
            settings,
            account=account or account_in_order(settings),
            dial=dial or partial(model, []),
            transport=transport,
        )
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        assert finding.mend or finding.level in {Level.OK, Level.SKIP}
        found.setdefault(finding.check, []).append(finding)
    return found


def of(found: dict[str, list[Finding]], check: str) -> tuple[Level, str, str]:
    (finding,) = found[check]
    return finding.level, finding.says, finding.mend


async def test_with_everybody_in_order_nothing_is_wrong(tmp_path: Path) -> None:
    sessions: list[Session] = []
    found = await look(make_settings(tmp_path), dial=partial(model, sessions))
    assert {each.level for says in found.values() for each in says} == {Level.OK}
    assert set(found) == {"model", "twilio", "clock", "number", "address"}
    (session,) = sessions
    said = [event["type"] for event in session.received]
    assert said == ["session.update"], "a session that is configured, and costs nothing"
    assert "book_appointment" in {tool["name"] for tool in session.config["tools"]}


async def test_the_larger_model_is_asked_too(tmp_path: Path) -> None:
    found = await look(make_settings(tmp_path, REALTIME_MODEL_HARD="gpt-realtime-2.1"))
    assert [each.says.split()[0] for each in found["model"]] == [
        "gpt-realtime-2.1-mini",
        "gpt-realtime-2.1",
    ]


@pytest.mark.parametrize(
    ("why", "mend"),
    [
        ("HTTP 401 invalid_api_key", "OPENAI_API_KEY"),
        ("insufficient_quota: pay", "credit"),
        ("HTTP 404 model_not_found", "REALTIME_MODEL"),
        ("HTTP 429", "tier"),
        ("OSError: refused", "network"),
    ],
)
async def test_a_model_that_refuses_is_said_with_what_to_do(
    tmp_path: Path, why: str, mend: str
) -> None:
    level, says, what = of(
        await look(make_settings(tmp_path), dial=partial(no_model, why)), "model"
    )
    assert level is Level.FAIL
    assert why in says
    assert mend in what


async def test_credentials_that_are_wrong_end_the_questions(tmp_path: Path) -> None:
    found = await look(make_settings(tmp_path), account=FakeAccount(fault="HTTP 401"))
    level, _, mend = of(found, "twilio")
    assert level is Level.FAIL
    assert "TWILIO_AUTH_TOKEN" in mend
    assert "number" not in found


@pytest.mark.parametrize(
    ("state", "level"),
    [(Account("active", "Trial"), Level.WARN), (Account("suspended", "Full"), Level.FAIL)],
)
async def test_an_account_that_cannot_do_everything(
    tmp_path: Path, state: Account, level: Level
) -> None:
    settings = make_settings(tmp_path)
    account = account_in_order(settings)
    account.state = state
    assert of(await look(settings, account=account), "twilio")[0] is level


@pytest.mark.parametrize(
    ("ahead_s", "level"),
    [(1.0, Level.OK), (-10.0, Level.WARN), (45.0, Level.FAIL), (None, Level.SKIP)],
)
async def test_a_clock_that_is_wrong(tmp_path: Path, ahead_s: float | None, level: Level) -> None:
    settings = make_settings(tmp_path)
    account = account_in_order(settings)
    account.clock_ahead_s = ahead_s
    assert of(await look(settings, account=account), "clock")[0] is level


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voice_url": "https://old.example.com/x"}, "not https://relay.example.com/twilio/inc"),
        ({"status_url": ""}, "nobody, not https://relay.example.com/twilio/status"),
        ({"fallback_url": ""}, "callers hear an error"),
        ({"fallback_url": "https://relay.example.com/twilio/fallback"}, "which is what failed"),
        ({"application": "AP1"}, "takes the calls"),
    ],
)
async def test_a_number_that_leads_elsewhere(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    settings = make_settings(tmp_path)
    account = account_in_order(settings)
    ours = settings.twilio_phone_number
    routes = replace(wanted_routes(settings, BIN), **changes)
    account.numbers[ours] = Number("PN1", ours, routes)
    _, says, _ = of(await look(settings, account=account), "number")
    assert words in says


async def test_a_number_of_another_account_and_a_webhook_by_get(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert of(await look(settings, account=FakeAccount()), "number")[0] is Level.FAIL
    account = account_in_order(settings)
    ours = settings.twilio_phone_number
    account.numbers[ours] = replace(account.numbers[ours], methods=("GET",))
    assert "GET" in of(await look(settings, account=account), "number")[1]


async def test_a_human_who_is_the_relay_again(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    account = account_in_order(settings)
    human = settings.human_transfer_number
    account.numbers[human] = Number("PN2", human, wanted_routes(settings))
    assert of(await look(settings, account=account), "human")[0] is Level.FAIL


async def test_an_address_where_something_else_answers(tmp_path: Path) -> None:
    level, says, _ = of(await look(make_settings(tmp_path), page=502), "address")
    assert level is Level.WARN
    assert "502" in says


async def test_an_address_whose_certificate_twilio_refuses_too(tmp_path: Path) -> None:
    expired = SSLCertVerificationError()
    expired.verify_message = "certificate has expired"
    fault = httpx.ConnectError("no TLS")
    fault.__cause__ = expired
    level, says, _ = of(await look(make_settings(tmp_path), fault=fault), "address")
    assert level is Level.FAIL
    assert "certificate has expired" in says
    away = httpx.ConnectError("refused")
    level, says, _ = of(await look(make_settings(tmp_path), fault=away), "address")
    assert level is Level.WARN, "it need not run yet"


async def test_a_database_and_a_business_that_are_away(tmp_path: Path) -> None:
    found = await look(
        make_settings(
            tmp_path,
            DATABASE_URL="postgresql://127.0.0.1:9/relay",
            BUSINESS_API_BASE="http://127.0.0.1:9",
        )
    )
    for check in ("database", "business"):
        assert of(found, check)[0] is Level.FAIL
    assert "127.0.0.1:9" in of(found, "business")[1], "and why"
    assert found["model"][0].level is Level.OK, "the others are asked all the same"
