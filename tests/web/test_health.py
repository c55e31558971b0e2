"""Health pages: alive, ready, draining, database away."""

import errno
from datetime import UTC, datetime

import pytest
import trio

from relay.ports import Entry, OutcomeSettled
from relay.shell.journal import Journal
from relay.web import health as module
from relay.web.health import Probe
from tests.fakes import FakeStore, memory_spool
from tests.web.conftest import Office

SOMETHING = Entry("CA1", datetime(2026, 11, 23, tzinfo=UTC), OutcomeSettled("failed"))


async def ask(office: Office, page: str) -> tuple[int, str]:
    reply = await office.app.test_client().get(page)
    return reply.status_code, (await reply.get_json())["status"]


async def told(office: Office) -> dict[str, object]:
    return dict(await (await office.app.test_client().get("/readyz")).get_json())


async def test_a_ready_process_says_so(office: Office) -> None:
    assert await ask(office, "/healthz") == (200, "ok")
    assert await ask(office, "/readyz") == (200, "ready")


async def test_a_draining_process_is_alive_and_not_ready(office: Office) -> None:
    office.board.drain()
    assert await ask(office, "/readyz") == (503, "draining")
    assert await ask(office, "/healthz") == (200, "ok")


async def test_without_its_database_a_process_takes_calls_and_says_so(
    office: Office, nursery
) -> None:
    office.store.away = True
    assert (await told(office))["database"] == "away"
    nursery.start_soon(office.journal.run)
    office.journal.keep(SOMETHING)
    with trio.fail_after(3):
        await office.journal.flushed()
    assert await told(office) == {
        "status": "ready",
        "calls": 0,
        "database": "away",
        "records": "spooling",
        "on_disk": 1,
        "lost": 0,
    }
    assert await ask(office, "/healthz") == (200, "ok")


async def test_with_nowhere_for_its_records_a_process_is_not_ready(office: Office, nursery) -> None:
    def full(step: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    office.store.away = True
    office.disk.fail = full
    nursery.start_soon(office.journal.run)
    office.journal.keep(SOMETHING)
    with trio.fail_after(3):
        while await ask(office, "/readyz") != (503, "refusing"):  # noqa: ASYNC110 - it polls, too
            await trio.sleep(0.01)
    office.disk.fail = lambda step: None
    with trio.fail_after(3):
        await office.journal.flushed()
    assert await ask(office, "/readyz") == (200, "ready")


async def test_a_hung_database_is_noticed_in_time(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.05)
    office.store.hung = True
    with trio.fail_after(2):
        assert (await told(office))["database"] == "away"
    office.store.release.set()


async def test_the_database_is_asked_seldom_however_many_ask(nursery) -> None:
    asked = []
    probe = Probe(lambda: asked.append(1), Journal(FakeStore(), memory_spool()))
    for _ in range(20):
        nursery.start_soon(probe.database)
    assert await probe.database() == "ok"
    assert len(asked) == 1


def test_nothing_answers_but_what_is_documented(office: Office) -> None:
    routes = {rule.rule: rule.methods or set() for rule in office.app.url_map.iter_rules()}
    pages = {route for route in routes if not route.startswith("/twilio/")}
    assert pages == {"/healthz", "/readyz"}
    for route in routes.keys() - pages:
        assert routes[route] == {"POST", "OPTIONS"}, route


async def test_every_webhook_asks_for_a_signature_first(office: Office) -> None:
    for rule in office.app.url_map.iter_rules():
        if rule.rule.startswith("/twilio/"):
            path = rule.rule.replace("<attempt>", "x")
            reply = await office.app.test_client().post(path, data={"CallSid": "CA1"})
            assert reply.status_code == 403, path


@pytest.mark.parametrize("host", ["evil.example", "..", "a..b", "a" * 300, ""])
async def test_whatever_host_a_stranger_names_the_pages_are_the_same(
    office: Office, host: str
) -> None:
    client, named = office.app.test_client(), {"Host": host}
    assert (await client.get("/healthz", headers=named)).status_code == 200
    for path in ("/twilio//room", "/nothing"):
        reply = await client.post(path, headers=named)
        assert (reply.status_code, "Location" in reply.headers) == (404, False), path
    assert (await client.post("/twilio/room", headers=named)).status_code == 403
