"""Health pages: alive, ready, draining, database away."""

import trio

from relay.web import health as module
from relay.web.health import Probe
from tests.web.conftest import Office


async def ask(office: Office, page: str) -> tuple[int, str]:
    reply = await office.app.test_client().get(page)
    return reply.status_code, (await reply.get_json())["status"]


async def test_a_ready_process_says_so(office: Office) -> None:
    assert await ask(office, "/healthz") == (200, "ok")
    assert await ask(office, "/readyz") == (200, "ready")


async def test_a_draining_process_is_alive_and_not_ready(office: Office) -> None:
    office.board.drain()
    assert await ask(office, "/readyz") == (503, "draining")
    assert await ask(office, "/healthz") == (200, "ok")


async def test_without_its_database_a_process_is_not_ready(office: Office) -> None:
    office.store.away = True
    assert await ask(office, "/readyz") == (503, "database")
    assert await ask(office, "/healthz") == (200, "ok")


async def test_a_hung_database_is_noticed_in_time(office: Office, monkeypatch) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.05)
    office.store.hung = True
    with trio.fail_after(2):
        assert await ask(office, "/readyz") == (503, "database")
    office.store.release.set()


async def test_the_database_is_asked_seldom_however_many_ask(nursery) -> None:
    asked = []
    probe = Probe(lambda: asked.append(1))
    for _ in range(20):
        nursery.start_soon(probe.fault)
    assert await probe.fault() == ""
    assert len(asked) == 1
