"""The owner believes what the relay signed, and nothing else."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import h11
import pytest
import trio

from relay.adapters.webhook import HttpWebhook
from relay.demo.owner import FRESH_S, Owner, fault_in
from relay.ports import Notice
from relay.shell.notices import payload, signed
from relay.sim.http_port import Asked
from relay.trust import authorities

SECRET = "s" * 32
AT = datetime(2026, 11, 26, tzinfo=UTC)
NOTICE = Notice("ab" * 16, "webhook", "CA1", "message", AT, "Call me.", "+14155550123", 1)
BODY = payload(NOTICE)
NOW = 1_764_150_000


def owner() -> tuple[Owner, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    return Owner(SECRET, lambda who, what: told.append((who, what))), told


def asked(headers: dict[str, str]) -> Asked:
    head = [("Host", "h"), *headers.items()]
    return Asked(h11.Request(method="POST", target="/", headers=head), BODY)


async def test_what_the_relay_posts_is_shown_once() -> None:
    there, told = owner()
    async with trio.open_nursery() as nursery:
        hook = HttpWebhook(await nursery.start(there.listen), tls=authorities())
        for _ in range(2):
            await hook.post(BODY, signed(BODY, SECRET, round(time.time())))
        with trio.fail_after(5):
            await there.told_of(1)
        await hook.aclose()
        nursery.cancel_scope.cancel()
    assert told == [("webhook", "message: Call me.")]
    assert there.notices == {NOTICE.id: json.loads(BODY)}
    assert there.refused == []


async def test_what_somebody_else_signed_is_refused() -> None:
    there, told = owner()
    answer = await there.take(asked(signed(BODY, "t" * 32, round(time.time()))))
    assert answer.status == 400
    assert (there.notices, there.refused) == ({}, ["wrong signature"])
    assert told[0][0] == "problem"


def signature(at: int = NOW) -> str:
    return signed(BODY, SECRET, at)["Relay-Signature"]


@pytest.mark.parametrize(
    ("header", "body", "late_s", "fault"),
    [
        (signature(), BODY, 0, ""),
        (signature(), BODY, FRESH_S, ""),
        (signature(), BODY, FRESH_S + 1, "too old"),
        (signature(), BODY + b" ", 0, "wrong signature"),
        (signature().replace("t=", "t=1"), BODY, 0, "wrong signature"),
        (signature().partition(",")[0], BODY, 0, "wrong signature"),
        ("", BODY, 0, "no time"),
        ("t=now,v1=00", BODY, 0, "no time"),
    ],
)
def test_every_part_of_a_signature_counts(
    header: str, body: bytes, late_s: int, fault: str
) -> None:
    assert fault_in(header, body, SECRET, NOW + late_s) == fault
