"""A relay that starts while its database is away, or is not ours."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import trio

from relay.adapters.store import open_store, upgrade
from relay.errors import StoreError
from relay.ports import CallRow
from relay.trust import authorities
from tests.adapters import postgres
from tests.test_wiring import make_settings, open_relay, phone, scripted_model


def url_of(server: postgres.Server, name: str = "postgres") -> str:
    return f"postgresql://postgres@/{name}?host={server.home}"


async def wait_for_row(url: str, call_sid: str) -> CallRow | None:
    store = open_store(url)
    try:
        with trio.move_on_after(15):
            while True:
                try:
                    row = await trio.to_thread.run_sync(store.call, call_sid)
                except StoreError:
                    row = None
                if row is not None and row.outcome is not None:
                    return row
                await trio.sleep(0.2)
    finally:
        store.close()
    return None


async def test_calls_are_served_and_their_records_wait_for_the_database(tmp_path: Path) -> None:
    """D1: PostgreSQL is down when the relay starts, and comes later, without any table."""
    with postgres.server() as server:
        await trio.to_thread.run_sync(server.stop)
        settings = make_settings(
            tmp_path, DATABASE_URL=url_of(server), SPOOL_DIR=str(tmp_path / "spool")
        )
        with trio.fail_after(60):
            async with open_relay(
                settings, model_dialer=lambda call: scripted_model([], call)
            ) as at:
                call = await phone(at.port, listen_s=0.5)
                assert call.exchanges[0].status == 200
                async with httpx.AsyncClient(trust_env=False, verify=authorities()) as http:
                    ready = await http.get(f"http://127.0.0.1:{at.port}/readyz")
                assert (ready.status_code, ready.json()["records"]) == (200, "spooling")
                await trio.to_thread.run_sync(server.start)
                row = await wait_for_row(url_of(server), call.sid)
        assert row is not None
        assert row.caller


@pytest.mark.parametrize("fault", ["no such database", "newer tables"])
async def test_a_fault_that_waiting_does_not_mend_is_no_start(tmp_path: Path, fault: str) -> None:
    with postgres.server() as server:
        url = url_of(server, "nowhere" if fault == "no such database" else "postgres")
        if fault == "newer tables":
            await trio.to_thread.run_sync(upgrade, url)
            engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
            with engine.begin() as connection:
                connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
            engine.dispose()
        settings = make_settings(tmp_path, DATABASE_URL=url, SPOOL_DIR=str(tmp_path / "spool"))
        words = "nowhere" if fault == "no such database" else "newer than this relay"
        with trio.fail_after(30), pytest.raises(BaseExceptionGroup) as raised:
            async with open_relay(settings):
                pass
    assert words in str(raised.value.exceptions[0])
    assert isinstance(raised.value.exceptions[0], StoreError)
