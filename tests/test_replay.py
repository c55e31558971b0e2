"""A recorded call through the core again: the same decisions, or a difference that is named."""

from __future__ import annotations

import gzip
import re
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize

from relay import wiring
from relay.cli import main
from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call
from relay.core.policy import CallPolicy, Effect
from relay.errors import ConfigError, RecordingError
from relay.replay import first_difference, replay
from relay.shell.recording import FORMAT, Recording, read
from relay.timeline import timeline
from tests.core.driver import EFFECTS, TIMES, clips
from tests.core.test_call_machine import AnyCall
from tests.shell.flights import Recorded, landed, recorded
from tests.test_wiring import make_settings, open_relay, phone, scripted_model


@pytest.fixture
def talk() -> Recording:
    """A greeting, a turn, an answer that is cut, a hang-up."""
    call = Recorded()
    call.greeted()
    call.caller_says("u1", words="When are you open?")
    call.agent_says("a1", 5000, text="From nine to five, but on Sunday never at all.")
    call.wait(2.0)
    call.hear(0.3)
    call.feed(on.SpeechStarted("u2", 9000))
    call.hear(0.5)
    assert call.sent(do.TruncateItem)
    call.feed(on.PhoneStopped(), on.PhoneClosed(1000))
    call.wait(5)
    return landed(call.flight)


def changed(recording: Recording, number: int, **changes: object) -> Recording:
    """The recording with one step that was different."""
    steps = list(recording.steps)
    steps[number - 1] = replace(steps[number - 1], **changes)  # type: ignore[arg-type]
    return replace(recording, steps=tuple(steps))


def number_of(recording: Recording, command: str) -> int:
    """The first step that led to such a command."""
    return next(
        number
        for number, step in enumerate(recording.steps, 1)
        if command in {packed[0] for packed in step.commands or ()}
    )


# ---- the same again -------------------------------------------------------------------------


def test_a_call_does_the_same_again(talk: Recording) -> None:
    assert first_difference(talk) == ""
    played = list(replay(talk))
    assert len(played) == len(talk.steps) > 100
    assert [p.after for p in played if p.after != p.before] == [
        "GREETING",
        "TALKING",
        "LAST_WORDS",
        "ENDED",
    ]


class AnyRecordedCall(AnyCall):
    """The core, driven at random: whatever it did, it does again from its recording."""

    @initialize(echo=st.booleans(), ready=st.booleans(), begun=st.booleans())
    def open(self, echo: bool, ready: bool, begun: bool) -> None:
        super().open(echo, ready, begun, live="", cap=None, day_cap=False, second_voice=False)
        self.driver = Recorded(echo=echo, max_call_s=60.0)
        if begun:
            self.driver.start(ready=ready)

    def teardown(self) -> None:
        super().teardown()
        recording = landed(self.driver.flight)
        assert len(recording.steps) >= len({now for now, _ in self.driver.log})
        assert first_difference(recording) == ""


TestAnyRecordedCall = AnyRecordedCall.TestCase
TestAnyRecordedCall.settings = settings(
    max_examples=25 * TIMES, stateful_step_count=40, deadline=None
)


def test_sound_makes_no_difference() -> None:
    """With the sound kept, and with silence in its place: the same decisions."""
    for audio in (False, True):
        call = Recorded(audio=audio)
        call.greeted()
        call.feed(on.ResponseStarted("r1", "turn"))
        call.feed(on.AgentAudio("r1", "a1", b"\x12\x34" * 4001, -20.0))
        call.feed(on.CallerAudio("U09VTkQ=", 20, -70.0))
        call.feed(on.AgentAudioEnded("r1", "a1"))
        call.wait(3)
        recording = landed(call.flight)
        assert first_difference(recording) == ""
        events = [step.event for step in recording.steps]
        (sound,) = [event.mulaw for event in events if isinstance(event, on.AgentAudio)]
        assert sound == (b"\x12\x34" * 4001 if audio else bytes(8002))
        *_, frame = (event.audio for event in events if isinstance(event, on.CallerAudio))
        assert frame == ("U09VTkQ=" if audio else "AAAAAAAA")


# ---- differences ----------------------------------------------------------------------------


def test_another_command_is_named_with_its_step(talk: Recording) -> None:
    number = number_of(talk, "TruncateItem")
    commands = [
        ["TruncateItem", "a1", 17] if packed[0] == "TruncateItem" else packed
        for packed in talk.steps[number - 1].commands or ()
    ]
    told = first_difference(changed(talk, number, commands=commands))
    assert told.startswith(f"step {number}, ")
    assert f"{type(talk.steps[number - 1].event).__name__}: command " in told
    assert "was TruncateItem('a1', 17) and is TruncateItem('a1', " in told


def test_a_command_more_or_less_is_named(talk: Recording) -> None:
    number = number_of(talk, "DialModel")
    commands = talk.steps[number - 1].commands or []
    more = changed(talk, number, commands=[*commands, ["EndCall"]])
    assert first_difference(more).endswith(
        f"command {len(commands) + 1} was EndCall() and is nothing"
    )
    less = changed(talk, number, commands=commands[:-1])
    assert f"command {len(commands)} was nothing and is " in first_difference(less)


def test_another_order_is_a_difference(talk: Recording) -> None:
    number = number_of(talk, "DialModel")
    commands = talk.steps[number - 1].commands or []
    assert first_difference(changed(talk, number, commands=commands[::-1]))


def test_another_time_to_wake_is_a_difference(talk: Recording) -> None:
    assert "the alarm was set to 7.0 and is to " in first_difference(changed(talk, 9, deadline=7.0))


def test_another_policy_decides_otherwise(talk: Recording) -> None:
    hasty = replace(talk.head, policy=replace(talk.head.policy, lead_ms=500))
    assert first_difference(replace(talk, head=hasty)).startswith("step 1, ")


def test_the_replay_ends_at_the_first_difference(talk: Recording) -> None:
    number = number_of(talk, "CreateResponse")
    *before, last = replay(changed(talk, number, commands=[]))
    assert last.number == number
    assert last.difference
    assert not any(played.difference for played in before)


# ---- a core that raises ---------------------------------------------------------------------


class Breaking(Call):
    """A core with a bug: it cannot bear the key 5."""

    def handle(self, event: on.Event, now: float) -> list[do.Command]:
        if event == on.KeyPressed("5"):
            raise ZeroDivisionError("the bug")
        return super().handle(event, now)


def test_a_step_in_which_the_core_raised_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flight = recorded(Breaking(CallPolicy(), clips(), now=0.0), CallPolicy(), clips())
    flight.handle(on.PhoneStarted("MZ1", "CA1"), 0.1)
    with pytest.raises(ZeroDivisionError, match="the bug"):
        flight.handle(on.KeyPressed("5"), 0.2)
    recording = landed(flight)
    assert recording.steps[-1].event == on.KeyPressed("5")
    assert recording.steps[-1].commands is None
    assert first_difference(recording) == (
        "step 2, 0.200 s, KeyPressed: the recorded core raised here, and this one does not"
    )
    monkeypatch.setattr("relay.replay.Call", Breaking)
    with pytest.raises(ZeroDivisionError, match="the bug"):
        first_difference(recording)


# ---- files ----------------------------------------------------------------------------------


def rewritten(folder: Path, *lines: bytes) -> Path:
    path = folder / "call.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines)))
    return path


def lines_of(call: Recorded) -> list[bytes]:
    return gzip.decompress(call.flight.close()).splitlines()


def test_what_is_no_recording_is_refused_in_one_line(tmp_path: Path) -> None:
    head, *steps = lines_of(Recorded())
    bad = {
        "nothing": [],
        "no head": steps,
        "another format": [head.replace(b'"flight":1', b'"flight":2')],
        "no step": [head, b"{}"],
        "half a step": [head, b'[0.0,["ModelReady"]]'],
        "an unknown event": [head, b'[0.0,["Sneezed",1],[],null]'],
        "a field of another kind": [head, b'[0.0,["CallerAudio",4,"long",-20.0],[],null]'],
        "a field too few": [head, b'[0.0,["CallerAudio",4],[],null]'],
        "half a line": [head, b"[0.0,["],
    }
    for name, lines in bad.items():
        with pytest.raises(RecordingError) as refused:
            read(rewritten(tmp_path, *lines))
        assert "\n" not in str(refused.value), name
    whole = rewritten(tmp_path, head, *steps)
    assert read(whole).over == "ended"
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(RecordingError, match="no whole gzip file"):
        read(whole)
    with pytest.raises(RecordingError, match="cannot be read"):
        read(tmp_path / "absent")


def test_fields_that_came_later_have_their_defaults(tmp_path: Path) -> None:
    """A recording of an older version, whose event had fewer fields."""
    head, *_ = lines_of(Recorded())
    recording = read(rewritten(tmp_path, head, b'[0.0,["PhoneStarted","MZ1","CA1"],[],5.0]'))
    assert recording.steps[0].event == on.PhoneStarted("MZ1", "CA1")
    assert recording.over == ""
    assert (recording.head.flight, recording.head.call_sid) == (FORMAT, "CA1")


def test_the_head_holds_the_policy_and_the_clips(talk: Recording) -> None:
    assert talk.head.policy == replace(CallPolicy(), effects=dict(EFFECTS))
    assert talk.head.policy.effects["end_call"] is Effect.CALL
    silent = talk.head.clips_of_silence()
    assert {n: (c.text, len(c.mulaw), c.level_db) for n, c in silent.items()} == {
        n: (c.text, len(c.mulaw), c.level_db) for n, c in clips().items()
    }


# ---- what one reads -------------------------------------------------------------------------


def test_the_timeline_tells_the_call(talk: Recording) -> None:
    told = [(line.sign, line.text.split()[0]) for line in timeline(talk, replay(talk))]
    assert told[:5] == [
        ("<", "PhoneStarted"),
        ("·", "in"),
        (">", "DialModel"),
        (">", "Keep"),
        (">", "Keep"),
    ]
    assert told[5] == ("=", "IDLE")
    cut = told.index((">", "ClearPhone"))
    assert (">", "TruncateItem") in told[cut : cut + 4]
    assert told[-1] == ("=", "recording:")
    text = "\n".join(map(str, timeline(talk, replay(talk))))
    assert re.search(r"a1 sent [0-9]{4}, heard [0-9]{4}", text)
    assert "marks of before the cut" in text
    assert "TALKING → LAST_WORDS" in text
    assert "SendAudio" not in text
    assert text.endswith("recording: ended")


def test_every_frame_can_be_shown(talk: Recording) -> None:
    lines = list(timeline(talk, replay(talk), every=True))
    frames = [line for line in lines if line.text.startswith("CallerAudio")]
    assert len(frames) == sum(isinstance(step.event, on.CallerAudio) for step in talk.steps)
    assert frames[0].text.startswith("CallerAudio audio=<4> ms=20 level_db=-20.0")
    assert any(line.text.startswith("SendAudio mulaw=<320> mark='0:") for line in lines)
    assert not any(line.sign == "·" for line in lines)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["replay", *words])
    return done.exit_code, done.output


def test_the_command_ends_with_1_at_a_difference_and_with_2_without_a_recording(
    tmp_path: Path,
) -> None:
    call = Recorded()
    call.greeted()
    head, *rest = lines_of(call)
    path = rewritten(tmp_path, head, *rest)
    status, text = run(str(path))
    assert status == 0
    assert text.splitlines()[0] == ("CA1 at 2026-11-23 15:00:00 UTC, relay 0.1.0, without sound")
    assert "GREETING → TALKING" in text
    assert run("--check", str(path)) == (0, "")
    other = [line.replace(b'["DialModel"', b'["EndCall"') for line in rest]
    status, text = run("--check", str(rewritten(tmp_path, head, *other)))
    assert status == 1
    assert re.search(
        r"!  step 1: command [0-9]+ was EndCall\(.* and is DialModel\(", text, re.MULTILINE
    )
    status, text = run(str(rewritten(tmp_path, b"[]")))
    assert status == 2
    assert text.startswith("relay: ")


# ---- a whole relay --------------------------------------------------------------------------


async def test_a_relay_that_is_told_to_leaves_a_file_of_each_call(tmp_path: Path) -> None:
    flights = tmp_path / "flights"
    settings = make_settings(tmp_path, FLIGHT_DIR=str(flights))
    with trio.fail_after(20):
        async with open_relay(settings, model_dialer=partial(scripted_model, [])) as served:
            call = await phone(served.port, listen_s=0.3)
    (path,) = flights.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    recording = read(path)
    assert (recording.head.call_sid, recording.over) == (call.sid, "ended")
    assert first_difference(recording) == ""


async def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = make_settings(tmp_path, FLIGHT_DIR=str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"FLIGHT_DIR .* cannot be written"):
        await wiring.serve(settings)
