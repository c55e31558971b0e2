"""`relay doctor` and `relay number`, in processes of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from relay.cli_doctor import differences, set_number
from relay.errors import PhoneControlError
from relay.ports import Account, Number, NumberRoutes
from tests.test_cli import environ, relay

WANTED = NumberRoutes("https://r.example/in", "", "https://r.example/status")


def test_a_clean_checkout_is_told_what_is_missing_and_left_as_it_was(tmp_path: Path) -> None:
    prompts = Path(__file__).parents[1] / "prompts"
    (tmp_path / "prompts").symlink_to(prompts)
    done = relay("doctor", "--offline", folder=tmp_path, env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (1, "")
    assert "6 wrong" in done.stdout
    assert "OPENAI_API_KEY is missing" in done.stdout
    assert [each.name for each in tmp_path.iterdir()] == ["prompts"]


def test_a_machine_in_order_ends_with_0_and_can_be_read_by_machines(tmp_path: Path) -> None:
    done = relay("doctor", "--offline", "--json", folder=tmp_path, env=environ(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"settings", "prompts", "database", "caps"} <= {line["check"] for line in lines}
    assert {tuple(line) for line in lines} == {("check", "level", "says", "mend")}
    assert "sk-secret" not in done.stdout


def test_with_faulty_settings_nobody_else_is_asked(tmp_path: Path) -> None:
    done = relay("doctor", "--json", folder=tmp_path, env=environ(tmp_path, PORT="eighty"))
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["level"] == "skip"


def test_others_that_are_away_are_said_without_a_traceback(tmp_path: Path) -> None:
    env = environ(
        tmp_path,
        TWILIO_API_URL="http://127.0.0.1:9",
        OPENAI_REALTIME_URL="ws://127.0.0.1:9/v1/realtime",
        PUBLIC_URL="http://127.0.0.1:9",
    )
    done = relay("doctor", "--json", folder=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (1, "")
    levels = {line["check"]: line["level"] for line in map(json.loads, done.stdout.splitlines())}
    assert (levels["model"], levels["twilio"], levels["address"]) == ("fail", "fail", "warn")


def test_a_number_that_cannot_be_asked_about_is_one_line(tmp_path: Path) -> None:
    env = environ(tmp_path, TWILIO_API_URL="http://127.0.0.1:9")
    done = relay("number", folder=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "relay: Twilio: no connection: ConnectError (`relay doctor` says more)"
    ]
    done = relay("number", "--fallback", "http://x", folder=tmp_path, env=env)
    assert (done.returncode, "https://" in done.stderr) == (2, True)


class Numbers:
    """A ports.PhoneAccount with one number."""

    clock_ahead_s = None

    def __init__(self, routes: NumberRoutes) -> None:
        self.routes = routes
        self.changes = 0

    async def account(self) -> Account:
        return Account("active", "Full")

    async def number(self, number: str) -> Number | None:
        return Number("PN1", number, self.routes) if number == "+14155550100" else None

    async def route(self, sid: str, routes: NumberRoutes) -> None:
        assert sid == "PN1"
        self.routes, self.changes = routes, self.changes + 1


async def test_nothing_is_changed_before_somebody_says_yes() -> None:
    account = Numbers(NumberRoutes())
    told = await set_number(account, "+14155550100", WANTED, yes=False)
    assert account.changes == 0
    assert "a call comes in: nobody -> https://r.example/in" in told
    assert any("no fallback" in line for line in told)
    told = await set_number(account, "+14155550100", WANTED, yes=True)
    assert (account.routes, "Done." in told) == (WANTED, True)
    await set_number(account, "+14155550100", WANTED, yes=True)
    assert account.changes == 1, "what is right is left alone"
    with pytest.raises(PhoneControlError, match="does not have"):
        await set_number(account, "+14155550199", WANTED, yes=True)


@pytest.mark.parametrize(
    ("routes", "methods", "lines"),
    [
        (NumberRoutes(), (), 2),
        (WANTED, (), 0),
        (WANTED, ("GET",), 1),
        (NumberRoutes(WANTED.voice_url, "https://bin.example", "https://old.example"), (), 1),
    ],
)
def test_what_would_change_is_said_line_by_line(
    routes: NumberRoutes, methods: tuple[str, ...], lines: int
) -> None:
    assert len(differences(Number("PN1", "+1", routes, methods), WANTED)) == lines
