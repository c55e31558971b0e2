"""What an operator sees, and what a program does."""

from __future__ import annotations

import io
import wave
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from relay import config
from relay.rehearse.evidence import Evidence, Line, Used
from relay.rehearse.score import Mark
from relay.rehearse.scripts import ROLES
from relay.rehearse.show import Marked, as_json, keep, passed, report, transcript
from relay.rehearse.stage import Called
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.ulaw import tone
from tests.test_config import ENVIRON

AT = datetime.fromisoformat("2026-11-25T12:00:00")
SEEN = Evidence(
    "CA1",
    "+14155550171",
    150.0,
    (900.0, 1300.0, 1000.0),
    [Line("caller", "the hours?", AT), Line("agent", "[b]Nine[/b] to five.", AT)],
    [Used("lookup_hours", {"day": "friday"}, "ok", {}, AT + timedelta(seconds=1))],
    outcome="resolved",
    micro_usd=12_345,
)
GOOD, BAD = Mark("greeting", True, "one"), Mark("end", False, "the agent did not hang up")


def called() -> Called:
    call = PhoneCall(
        Number("+15125550100", "https://relay.demo/in"),
        "+14155550171",
        "AC1",
    )
    return Called(ROLES[1], call, SEEN)


def shown(*calls: Marked) -> str:
    out = io.StringIO()
    report(Console(file=out, width=100), calls, simulated=False)
    return out.getvalue()


async def test_nothing_passes_but_all_calls_with_all_marks() -> None:
    good = Marked(ROLES[1], called(), [GOOD])
    assert passed([good])
    assert not passed([])
    assert not passed([good, Marked(ROLES[1], called(), [GOOD, BAD])])
    assert not passed([good, Marked(ROLES[0], None, ())])


async def test_a_failure_is_said_in_words() -> None:
    text = shown(Marked(ROLES[1], called(), [GOOD, BAD]), Marked(ROLES[0], None, ()))
    assert "hours: end: the agent did not hang up" in text
    assert "silence: was not called" in text
    assert "It did not pass." in text
    assert "1000 ms" in text
    assert "0.0123" in text


async def test_a_pass_is_one() -> None:
    assert "It passed." in shown(Marked(ROLES[1], called(), [GOOD]))


async def test_programs_are_told_the_same() -> None:
    settings = config.load(ENVIRON)
    calls = [Marked(ROLES[1], called(), [GOOD, BAD]), Marked(ROLES[0], None, ())]
    told = as_json(calls, settings, simulated=False)
    assert told["passed"] is False
    assert told["model"] == settings.realtime_model
    assert (told["answers_p50_ms"], told["answers_max_ms"]) == (1000.0, 1300.0)
    assert told["usd"] == 0.012345
    first, second = told["calls"]
    assert first["marks"][1] == {
        "criterion": "end",
        "passed": False,
        "says": "the agent did not hang up",
    }
    assert (second["placed"], second["passed"]) == (False, False)
    assert as_json(calls, settings, simulated=True)["model"] == "simulated"


def test_a_transcript_has_words_and_functions_in_their_order() -> None:
    assert transcript(SEEN).splitlines() == [
        "12:00:00 caller   the hours?",
        "12:00:00 agent    [b]Nine[/b] to five.",
        "12:00:01 function lookup_hours {'day': 'friday'} -> ok",
    ]


async def test_both_sides_are_kept(tmp_path: Path) -> None:
    over = called()
    over.call.line.said.play(tone(440, 500), 0)
    over.call.line.heard.play(tone(300, 1000), 0)
    keep(tmp_path, over)
    assert (tmp_path / "rehearsal-hours.txt").read_text() == transcript(SEEN)
    with wave.open(str(tmp_path / "rehearsal-hours.wav")) as sound:
        assert (sound.getnchannels(), sound.getnframes()) == (2, 8000)
