"""`relay calls`, `costs`, `export` and `erase`, as an owner types them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
from click.testing import CliRunner, Result

from relay.adapters.store import open_store
from relay.cli import main
from relay.core.records import (
    CallEnded,
    CallOpened,
    OwnerNotice,
    SpendAdded,
    ToolCalled,
    TranscriptLine,
)
from relay.ports import Entry
from relay.shell.entry_json import decode, encode
from relay.shell.spool import open_spool
from tests.databases import migrated
from tests.test_cli import environ

BEGAN = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
ANN, BOB = "+14155550123", "+14155550999"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def at(seconds: float, record: Any, call_sid: str) -> Entry:
    return Entry(call_sid, BEGAN + timedelta(seconds=seconds), record)


def line(position: int, speaker: str, text: str, heard: str = "") -> TranscriptLine:
    cut = bool(heard)
    return TranscriptLine(
        0.0, f"i{position}", speaker, position, text, heard or text, 900, interrupted=cut
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two calls: Ann books, Bob has only just rung."""
    store = open_store(migrated(tmp_path / "relay.db"))
    tool = ToolCalled(0.0, "c1", "book_appointment", '{"name":"Ann"}', "ok", '{"ok":1}', 41)
    store.write(
        [
            at(0, CallOpened(0.0, "MZ1", ANN, "+15559"), "CA1"),
            at(9, line(1, "caller", "A cleaning, please."), "CA1"),
            at(3, line(0, "agent", "Hello! How can I help you?"), "CA1"),
            at(30, line(2, "agent", "It is done. Anything else?", "It is done."), "CA1"),
            at(20, tool, "CA1"),
            at(12, SpendAdded(0.0, "r1", "response", 7206, "m", note="estimated"), "CA1"),
            at(0, SpendAdded(0.0, "phone", "phone", 12_500), "CA1"),
            at(65, CallEnded(0.0, "booked", "", 65_400, 12, True, 1, "Cleaning for Ann"), "CA1"),
            at(86_400, CallOpened(0.0, "MZ2", BOB, "+15559"), "CA2"),
        ]
    )
    store.close()
    return tmp_path


def relay(folder: Path, *words: str, **changes: str) -> Result:
    return CliRunner().invoke(main, words, env=environ(folder, **changes))


def test_the_list_has_a_line_for_each_call_the_newest_first(folder: Path) -> None:
    result = relay(folder, "calls")
    assert result.exit_code == 0
    head, bob, ann = (each.rstrip() for each in result.stdout.splitlines())
    assert head.split() == [
        "when",
        "caller",
        "outcome",
        "length",
        "cost",
        "greeting",
        "what",
        "call",
    ]
    assert bob.split()[2:] == [BOB, "under", "way", "$0.0000", "CA2"]
    day, hour = f"{BEGAN.astimezone():%Y-%m-%d %H:%M}".split()
    assert ann.split() == [
        *(day, hour, ANN, "booked", "1:05", "$0.0197", "12", "ms"),
        *("Cleaning", "for", "Ann", "CA1"),
    ]


def test_the_list_can_be_cut_by_number_and_by_time(folder: Path) -> None:
    def listed(*words: str) -> list[str]:
        return [call["call_sid"] for call in json.loads(relay(folder, *words).stdout)]

    assert listed("calls", "--json") == ["CA2", "CA1"]
    assert listed("calls", "--json", "--limit", "1") == ["CA2"]
    since = f"{(BEGAN + timedelta(hours=2)).astimezone():%Y-%m-%dT%H:%M}"
    assert listed("calls", "--json", "--since", since) == ["CA2"]
    assert relay(folder, "calls", "--limit", "0").exit_code == 2
    assert relay(folder, "calls", "--since", "yesterday").exit_code == 2


def test_the_list_as_json_keeps_money_whole_and_times_in_utc(folder: Path) -> None:
    ann = json.loads(relay(folder, "calls", "--json").stdout)[1]
    assert ann == {
        "call_sid": "CA1",
        "started_at": "2026-11-20T15:00:00+00:00",
        "caller": ANN,
        "called": "+15559",
        "outcome": "booked",
        "reason": "",
        "summary": "Cleaning for Ann",
        "duration_ms": 65_400,
        "greeting_ms": 12,
        "micro_usd": 19_706,
    }


@pytest.mark.parametrize("words", [("calls", "CA1"), ("calls", "show", "CA1")])
def test_one_call_is_told_as_it_was_heard(folder: Path, words: tuple[str, ...]) -> None:
    result = relay(folder, *words)
    assert result.exit_code == 0
    head, outcome, cost, _, *told = (each.rstrip() for each in result.stdout.splitlines())
    assert head.split()[0] == "CA1"
    assert head.endswith(ANN)
    assert outcome.split() == ["booked", "1:05"]
    assert cost == "$0.0197 (1 amounts are estimates)"
    assert told == [
        "  0:03  agent  Hello! How can I help you?",
        "  0:09  caller A cleaning, please.",
        '  0:20  does   book_appointment({"name":"Ann"}) ok 41 ms: {"ok":1}',
        "  0:30  agent  It is done. —",
    ]


def test_a_call_that_is_under_way_is_told_so_far(folder: Path) -> None:
    result = relay(folder, "calls", "CA2")
    assert result.exit_code == 0
    assert BOB in result.stdout


def test_what_a_caller_says_is_no_markup(folder: Path) -> None:
    store = open_store(f"sqlite:///{folder}/relay.db")
    store.write([at(5, line(9, "caller", "[bold]Hi[/] [red"), "CA2")])
    store.close()
    assert "[bold]Hi[/] [red" in relay(folder, "calls", "CA2").stdout


def test_an_export_is_everything_of_one_call(folder: Path) -> None:
    exported = json.loads(relay(folder, "export", "CA1").stdout)
    assert set(exported) == {"calls", "transcripts", "tool_calls", "call_outcomes", "spend"}
    assert exported == json.loads(relay(folder, "calls", "show", "CA1", "--json").stdout)
    assert exported["transcripts"][2]["generated_text"] == "It is done. Anything else?"
    assert exported["transcripts"][0]["started_at"] == "2026-11-20T15:00:03+00:00"


@pytest.mark.parametrize("words", [("calls", "CA9"), ("export", "CA9")])
def test_a_call_that_is_not_there(folder: Path, words: tuple[str, ...]) -> None:
    result = relay(folder, *words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "relay: there is no call CA9\n"


def test_two_calls_at_once_are_not_shown(folder: Path) -> None:
    assert relay(folder, "calls", "CA1", "CA2").exit_code == 2


def test_the_days_costs(folder: Path) -> None:
    result = relay(folder, "costs")
    _, day = (each.split() for each in result.stdout.splitlines())
    assert day == ["2026-11-20", "1", "$0.0072", "$0.0000", "$0.0000", "$0.0125", "$0.0197"]
    (row,) = json.loads(relay(folder, "costs", "--json").stdout)
    sorts = {"model": 7206, "words": 0, "voice": 0, "phone": 12_500}
    assert row == {"day": "2026-11-20", "calls": 1, **sorts}


def test_a_person_is_erased_and_nobody_else(folder: Path) -> None:
    result = relay(folder, "erase", "--phone", ANN, "--yes")
    assert result.exit_code == 0
    told = [each.split() for each in result.stdout.splitlines()]
    assert told == [
        ["call_outcomes", "1", "removed"],
        ["calls", "1", "removed"],
        ["tool_calls", "1", "removed"],
        ["transcripts", "3", "removed"],
        ["1", "call", "of", ANN, "erased."],
        told[-1],
    ]
    assert result.stdout.splitlines()[-1].startswith(f"Nothing of theirs waits in {folder}/spool.")
    assert relay(folder, "export", "CA1").exit_code == 1
    assert relay(folder, "export", "CA2").exit_code == 0
    assert not [f for f in folder.iterdir() if b"A cleaning, please." in f.read_bytes()]


def spooled(folder: Path, *entries: Entry) -> None:
    spool = open_spool(folder)
    spool.append([encode(entry) for entry in entries])
    spool.close()


@pytest.mark.parametrize("where", ["spool", "spool/worker-2"])
def test_who_is_known_from_the_disk_alone_is_erased_at_the_first_run(
    folder: Path, where: str
) -> None:
    cat = "+14155550777"
    (folder / "spool").mkdir(exist_ok=True)
    opened, said = CallOpened(0.0, "MZ7", cat), line(0, "caller", "It is me, Cat.")
    spooled(folder / where, at(0, opened, "CA7"), at(1, said, "CA7"), at(2, said, "CA2"))
    result = relay(folder, "erase", "--phone", cat, "--yes")
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == f"1 call of {cat} erased."
    assert second.startswith(f"2 records of theirs still in {folder}/spool: a running relay")
    store = open_store(f"sqlite:///{folder}/relay.db")
    with closing(open_spool(folder / where)) as spool:
        store.write([decode(payload) for payload in spool.oldest(9).payloads])
    assert store.everything("CA7") == {}
    assert "transcripts" in store.everything("CA2"), "and nobody else is"
    store.close()


def test_words_that_wait_of_a_call_that_is_stored_are_told_of(folder: Path) -> None:
    spooled(folder / "spool", at(40, line(3, "caller", "One more thing."), "CA1"))
    result = relay(folder, "erase", "--phone", ANN, "--yes")
    assert "1 record of theirs still in" in result.stdout.splitlines()[-1]


def test_a_disk_that_another_version_wrote_is_no_obstacle(folder: Path) -> None:
    spool = open_spool(folder / "spool")
    spool.append([b'{"v":99}', b"no JSON"])
    spool.close()
    (folder / "spool" / "00000099.spool").write_bytes(b"no segment")
    assert relay(folder, "erase", "--phone", ANN, "--yes").exit_code == 0


class Twilio(BaseHTTPRequestHandler):
    """Twilio's REST API, as far as it deletes recordings; RE9 it has never heard of."""

    deleted: ClassVar[list[str]] = []

    def do_DELETE(self) -> None:
        sid = self.path.rpartition("/")[2].removesuffix(".json")
        self.deleted.append(sid)
        unknown = sid == "RE9"
        body = b'{"code":20404,"message":"not found","status":404}' if unknown else b""
        self.send_response(404 if unknown else 204)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def with_voicemails(folder: Path) -> None:
    store = open_store(f"sqlite:///{folder}/relay.db")
    for n, sid in enumerate(("RE1", "RE9")):
        store.write([at(70 + n, OwnerNotice(0.0, sid, "voicemail", f"from {ANN}"), "CA1")])
    store.close()


def test_voicemails_of_an_erased_person_are_deleted_at_twilio(folder: Path) -> None:
    with_voicemails(folder)
    Twilio.deleted.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Twilio) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = relay(folder, "erase", "--phone", ANN, "--yes", TWILIO_API_URL=url)
        server.shutdown()
    assert result.exit_code == 0, result.stderr
    assert Twilio.deleted == ["RE1", "RE9"], "one that is gone is no fault"
    assert ["recordings", "2", "removed"] in [each.split() for each in result.stdout.splitlines()]


def test_a_voicemail_that_cannot_be_deleted_is_named(folder: Path) -> None:
    with_voicemails(folder)
    result = relay(folder, "erase", "--phone", ANN, "--yes", TWILIO_API_URL="http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "delete RE1 in Twilio's console" in result.stderr
    assert relay(folder, "export", "CA1").exit_code == 1, "the rest is erased all the same"


def test_an_erasure_asks_first(folder: Path) -> None:
    runner = CliRunner()
    words = ["erase", "--phone", ANN]
    assert runner.invoke(main, words, input="n\n", env=environ(folder)).exit_code == 1
    assert relay(folder, "export", "CA1").exit_code == 0
    assert runner.invoke(main, words, input="y\n", env=environ(folder)).exit_code == 0
    assert relay(folder, "export", "CA1").exit_code == 1


@pytest.mark.parametrize("phone", ["", "4155550123", "+1 415 555 0123", "Ann"])
def test_what_is_no_number_erases_nobody(folder: Path, phone: str) -> None:
    assert relay(folder, "erase", "--phone", phone, "--yes").exit_code == 2
    assert relay(folder, "export", "CA1").exit_code == 0


def test_a_setting_that_is_missing_is_said_plainly(folder: Path) -> None:
    result = relay(folder, "calls", DATABASE_URL="mysql://nowhere")
    assert result.exit_code == 2
    assert result.stderr.startswith("relay: these settings need attention")


def test_an_empty_database_is_named_and_not_shown_as_an_empty_table(tmp_path: Path) -> None:
    where = f"sqlite:///{tmp_path}/relay.db"
    for command in ("calls", "costs"):
        result = relay(tmp_path, command)
        assert (result.exit_code, result.stdout) == (0, f"There are no calls yet in {where}.\n")
        assert json.loads(relay(tmp_path, command, "--json").stdout) == []
    since = relay(tmp_path, "calls", "--since", "2026-11-20")
    assert since.stdout == f"There are no calls since 2026-11-20 00:00 in {where}.\n"


def test_whoever_reads_calls_needs_no_keys(folder: Path) -> None:
    alone = {"DATABASE_URL": f"sqlite:///{folder}/relay.db"}
    env: dict[str, str | None] = {**dict.fromkeys(environ(folder)), **alone}
    for words in (["calls"], ["calls", "CA1"], ["costs"], ["export", "CA1"]):
        assert CliRunner().invoke(main, words, env=env).exit_code == 0, words
