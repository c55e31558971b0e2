from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from quart import Response
from quart_trio import QuartTrio
from twilio.request_validator import RequestValidator

from relay.limits import NO_RULES, NumberRules
from relay.ports import Entry
from relay.shell.humans import Humans
from relay.shell.journal import Journal
from relay.shell.recordings import Recordings
from relay.switchboard import Switchboard
from relay.web import app as app_module
from relay.web.app import create_app
from relay.web.desk import FrontDesk
from relay.web.health import Probe
from relay.web.outcomes import Outcomes
from tests.fakes import FakePhone, FakeStore, MemoryDisk, make_humans, memory_spool

AUTH = "12345"
PUBLIC = "https://relay.example.com"
OURS, HUMAN, CALLER = "+14155550100", "+14155550199", "+14155550123"
BILLING = "+14155550188"
KIND = "application/x-www-form-urlencoded; charset=UTF-8"


@dataclass
class Office:
    """The webhooks without a network. Forms are signed by Twilio's own code."""

    store: FakeStore
    board: Switchboard
    journal: Journal
    phone: FakePhone
    humans: Humans
    app: QuartTrio
    disk: MemoryDisk
    kept: list[Entry] = field(default_factory=list)

    async def post(self, page: str, **params: str) -> Response:
        form = {"CallSid": "CA1", "From": CALLER, "To": OURS, "Blank": "", **params}
        return await self.post_form(f"/twilio/{page}", form)

    async def post_form(
        self, target: str, form: Any, *, signed: str | None = None, body: str | None = None
    ) -> Response:
        signed = self.sign(target, form) if signed is None else signed
        headers = {"X-Twilio-Signature": signed, "Content-Type": KIND}
        data = urlencode(form, doseq=True) if body is None else body
        return await self.app.test_client().post(target, headers=headers, data=data)

    def sign(self, target: str, form: Any) -> str:
        return str(RequestValidator(AUTH).compute_signature(PUBLIC + target, form))

    def sign_url(self, url: str) -> str:
        return str(RequestValidator(AUTH).compute_signature(url, {}))

    async def twiml(self, page: str, **params: str) -> ElementTree.Element:
        answer = await self.post(page, **params)
        assert answer.status_code == 200
        assert answer.content_type == "text/xml; charset=utf-8"
        text = await answer.get_data(as_text=True)
        assert text.startswith("<?xml")
        return ElementTree.fromstring(text)  # noqa: S314


def make_office(
    max_calls: int | None = None,
    store: FakeStore | None = None,
    rules: NumberRules = NO_RULES,
    recorded: bool = False,
    **humans: Any,
) -> Office:
    """humans: settings of Humans, `there` for one."""
    store = store or FakeStore()
    board = Switchboard(
        store,
        auth_token=AUTH,
        stream_base="wss://relay.example.com",
        max_calls=max_calls,
        rules=rules,
    )

    kept: list[Entry] = []
    outcomes = Outcomes(kept.append)
    disk = MemoryDisk()
    journal = Journal(store, memory_spool(disk))
    phone = FakePhone(place_s=0)
    rung = make_humans(phone, store, numbers={"": HUMAN, "billing": BILLING}, **humans)
    desk = FrontDesk(
        board,
        outcomes,
        rung,
        kept.append,
        AUTH,
        PUBLIC,
        "wss://relay.example.com",
        OURS,
        {"": HUMAN, "billing": BILLING},
        Recordings(phone, kept.append, status_url=f"{PUBLIC}/twilio/recording"),
        recorded,
    )
    app = create_app(desk, Probe(lambda: store.write([]), journal))
    return Office(store, board, journal, phone, rung, app, disk, kept)


@pytest.fixture(autouse=True, params=["express", "framework"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers first, the answers are the same."""
    if request.param == "framework":
        monkeypatch.setattr(app_module, "Express", lambda behind, *_, **__: behind)


@pytest.fixture
def office() -> Office:
    return make_office()
