"""The flight recorder: bounded, private, out of the call's way, and complete whatever happens."""

from __future__ import annotations

import gzip
import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call
from relay.core.policy import CallPolicy
from relay.core.records import CallEnded, TranscriptLine
from relay.replay import first_difference
from relay.shell.recorder import WRITE_S, Recorder, into_folder
from relay.shell.recording import AUDIO, parse, read
from relay.shell.session import run_call
from relay.shell.tape import TAIL_BYTES, Tape
from relay.sim.brains import Scripted, reply, say
from relay.sim.pair import memory_pair
from tests.core.driver import clips
from tests.shell.flights import SOME_TIME, Recorded, Shelf, landed, recorded
from tests.shell.house import Placed, open_house

POLICY = CallPolicy()


def core() -> Call:
    return Call(POLICY, clips(), now=0.0)


def lines_of(data: bytes) -> list:
    return [json.loads(line) for line in gzip.decompress(data).splitlines()]


# ---- the tape -------------------------------------------------------------------------------


@given(
    max_bytes=st.integers(TAIL_BYTES + 40, 4000),
    lines=st.lists(st.one_of(st.binary(max_size=600), st.just(b"the same again")), max_size=80),
)
def test_a_tape_never_outgrows_its_bound_and_keeps_all_that_it_took(max_bytes, lines):
    tape = Tape(max_bytes)
    taken = []
    for line in lines:
        if not tape.write(line):
            break
        taken.append(line)
    data = tape.close(b'["over","unwritable"]\n')
    assert len(data) <= max_bytes
    assert gzip.decompress(data) == b"".join(taken) + b'["over","unwritable"]\n'


def test_a_tape_fills_its_bound():
    """What is refused would not have fitted: the reckoning with the worst costs little."""
    tape = Tape(20_000)
    while tape.write(os.urandom(100)):
        pass
    assert 19_000 < len(tape.close(b"")) <= 20_000
    tape, count = Tape(20_000), 0
    while tape.write(b'[1.25,["CallerAudio",1280,20,-31.5],[["AppendAudio",1280]]]\n'):
        count += 1
    assert 18_000 < len(tape.close(b"")) <= 20_000
    assert count > 20_000 / 10


# ---- one flight -----------------------------------------------------------------------------


def test_every_sound_is_left_out_and_nothing_else_is():
    kinds = (*get_args(on.Event), *get_args(do.Command))
    with_sound = {kind for kind in kinds if AUDIO & {field.name for field in fields(kind)}}
    heard = {on.CallerAudio, on.CallerPassed, on.AgentAudio}
    assert with_sound == {*heard, do.SendAudio, do.AppendAudio, do.RetellAudio}
    flight = recorded(core(), POLICY, clips())
    flight.handle(on.PhoneStarted("MZ1", "CA1"), 0.0)
    flight.handle(on.ModelReady(), 0.0)
    flight.handle(on.CallerAudio("U09VTkQ=", 20, -20.0), 0.1)
    _, started, _, heard, _ = lines_of(flight.close())
    sent = [command for command in started[2] if command[0] == "SendAudio"]
    assert sent[0] == ["SendAudio", 320, "0:clip_greeting_1:40"]
    assert heard[1][:4] == ["CallerAudio", 8, 20, -20.0]
    assert heard[2] == [["AppendAudio", 8]]


def test_a_full_recording_ends_with_a_marker_and_the_call_goes_on():
    plain, call = core(), core()
    flight = recorded(call, POLICY, clips(), max_bytes=8192)
    events: list[on.Event] = [on.PhoneStarted("MZ1", "CA1"), on.ModelReady()]
    events += [on.CallerAudio("AAAA", 20, -20.0 - n / 7) for n in range(2000)]
    for n, event in enumerate(events):
        assert flight.handle(event, n / 50) == plain.handle(event, n / 50)
        assert call.deadline == plain.deadline
    data = flight.close()
    recording = parse(data)
    assert len(data) <= 8192
    assert recording.over == "full"
    assert 100 < len(recording.steps) < 2000
    assert first_difference(recording) == ""


def test_what_cannot_be_written_ends_the_recording_and_not_the_call():
    flight = recorded(core(), POLICY, clips())
    flight.handle(on.PhoneStarted("MZ1", "CA1"), 0.0)
    assert flight.handle(on.ModelErrored("x", "half a pair: \ud800"), 0.1)
    flight.handle(on.PhoneStopped(), 0.2)
    recording = landed(flight)
    assert (len(recording.steps), recording.over) == (1, "unwritable")


def test_a_peers_words_name_no_file_elsewhere():
    recorder = Shelf().recorder()
    for sid in ("../../etc/passwd", "", "CA1\0", "x" * 300):
        head = {"call_sid": sid, "opened_at": 0.0, "started_at": SOME_TIME}
        name = recorder.begin(core(), POLICY, clips(), **head).name
        assert Path(name).name == name
        assert name.startswith("20261123T150000.000000-")
        assert name.endswith(".jsonl.gz")
        assert len(name) < 110


# ---- words that must not be kept ------------------------------------------------------------


def spoken(*, heard: bool) -> tuple[list, list[TranscriptLine]]:
    """A caller who speaks before the notice was heard, and after it if it was."""
    call = Recorded(echo=heard)
    call.start()
    call.feed(on.SpeechStarted("early", 0))
    call.wait(1.5)
    call.feed(on.CallerTranscribed("early", "My name is Bond."))
    call.feed(on.SpeechStarted("late", 3000))
    call.feed(on.CallerTranscribed("late", "When are you open?"))
    call.agent_says("a1", 1000, text="From nine to five.")
    call.wait(2)
    call.feed(on.PhoneClosed(1000))
    call.wait(5)
    return lines_of(call.flight.close()), call.kept(TranscriptLine)


def words(lines: list, kind: str) -> list[str]:
    return [
        step[1][2] if kind == "CallerTranscribed" else step[1][-1]
        for step in lines[1:-1]
        if step[1][0] == kind
    ]


def test_words_of_before_the_notice_are_veiled():
    lines, rows = spoken(heard=True)
    assert words(lines, "CallerTranscribed") == ["xx xxxx xx xxxxx", "When are you open?"]
    assert words(lines, "AgentTranscribed") == ["From nine to five."]
    assert "Bond" not in json.dumps(lines)
    assert "late" in {row.item_id for row in rows}


def test_no_words_are_kept_of_a_call_whose_notice_was_never_heard():
    lines, rows = spoken(heard=False)
    text = json.dumps(lines[1:])
    assert rows == []
    assert "xx xxxx xx xxxxx" in text
    for word in ("Bond", "open?", "nine"):
        assert word not in text


def test_veiled_words_stay_veiled_when_a_new_session_is_told_them():
    call = Recorded()
    call.start()
    call.feed(on.SpeechStarted("early", 0), on.CallerTranscribed("early", "My name is Bond."))
    call.wait(1.5)
    call.feed(on.ModelClosed(1006))
    call.wait(1)
    call.feed(on.ModelOpened("sess_2"), on.ModelReady())
    assert "Bond" in repr(call.sent(do.AddText))
    text = json.dumps(lines_of(call.flight.close()))
    assert "Bond" not in text
    assert text.count("xx xxxx xx xxxxx") == 2


def test_veiled_words_stay_veiled_when_the_model_is_to_say_what_a_voice_has_left_unsaid():
    call = Recorded()
    call.start()
    call.feed(on.ResponseStarted("r1", "turn"), on.AgentText("r1", "w1", "Yes, Mr Bond."))
    call.wait(3)
    call.feed(on.ResponseEnded("r1", "completed"))
    assert "Bond" in repr(call.sent(do.CreateResponse))
    data = call.flight.close()
    assert "Bond" not in json.dumps(lines_of(data))
    assert first_difference(parse(data)) == ""


def test_sound_is_kept_from_the_heard_notice_on():
    call = Recorded(audio=True)
    call.start()
    call.feed(on.CallerAudio("RUFSTFk=", 20, -70.0))
    call.wait(1.5)
    call.feed(on.CallerAudio("TEFURTA=", 20, -70.0))
    events = [step[1] for step in lines_of(call.flight.close())[1:-1]]
    assert [e[1] for e in events if e[0] == "CallerAudio"] == [8, "TEFURTA="]


# ---- files ----------------------------------------------------------------------------------


def test_files_are_their_owners_alone(tmp_path: Path):
    folder = tmp_path / "a" / "flights"
    write = into_folder(folder)
    write("call.jsonl.gz", b"one")
    assert stat.S_IMODE((folder / "call.jsonl.gz").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["call.jsonl.gz"]
    assert (folder / "call.jsonl.gz").read_bytes() == b"one"


def test_a_folder_that_cannot_be_made_is_known_at_once(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        into_folder(tmp_path / "file" / "flights")


async def test_a_recording_is_written_in_a_thread(tmp_path: Path):
    threads = []

    def write(name: str, data: bytes) -> None:
        threads.append(threading.current_thread())
        (tmp_path / name).write_bytes(data)

    recorder = Recorder(write, 100_000)
    flight = recorder.begin(
        core(), POLICY, clips(), call_sid="CA1", opened_at=0.0, started_at=SOME_TIME
    )
    flight.handle(on.PhoneStarted("MZ1", "CA1"), 0.0)
    await recorder.keep(flight)
    assert threads
    assert threads[0] is not threading.current_thread()
    assert len(read(tmp_path / flight.name).steps) == 1


# ---- through the shell ----------------------------------------------------------------------


async def talk(call: Placed) -> None:
    await call.greeted()
    await call.say()
    await call.answered()
    call.hang_up()


def brain() -> Scripted:
    return Scripted(reply(say("From nine to five.")), heard=["When are you open?"])


async def test_a_whole_call_is_recorded_and_does_the_same_again(autojump_clock):
    shelf = Shelf()
    async with open_house() as house:
        call = house.ring(brain(), kit=shelf.kit(house.kit))
        await talk(call)
    recording = shelf.newest()
    assert (recording.head.call_sid, recording.over) == (call.sid, "ended")
    assert first_difference(recording) == ""
    kept = [c[1] for step in recording.steps for c in step.commands or () if c[0] == "Keep"]
    assert sum(row[0] == CallEnded.__name__ for row in kept) == 1
    frames = sum(isinstance(step.event, on.CallerAudio) for step in recording.steps)
    assert frames * 0.02 == pytest.approx(call.over_at - call.began_at, abs=0.1)
    # Ten minutes of this would be well below the default bound.
    (data,) = shelf.files.values()
    assert len(data) < frames * 4_000_000 / 30_000 / 2 + 4000


async def test_a_cancelled_call_leaves_its_recording(autojump_clock):
    shelf = Shelf()
    async with open_house() as house:
        _, ours = memory_pair()
        with trio.move_on_after(1.0):
            kit = shelf.kit(house.kit)
            await run_call(ours, call_sid="CA9", kit=kit, choose=lambda _: None)
    recording = shelf.newest()
    assert (recording.head.call_sid, recording.steps) == ("CA9", ())


async def never(_write: Callable[[], None]) -> None:
    await trio.sleep_forever()


async def refused(_write: Callable[[], None]) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("run_sync", "takes_s"), [(never, WRITE_S), (refused, 0.0)])
async def test_a_disk_that_fails_ends_no_call(autojump_clock, run_sync, takes_s):
    def write(name: str, data: bytes) -> None:
        raise AssertionError("nobody runs it")

    async with open_house() as house:
        kit = replace(house.kit, recorder=Recorder(write, 100_000, False, run_sync))
        call = house.ring(brain(), kit=kit)
        await talk(call)
        hung_up_at = trio.current_time()
        await call.ended()
        assert call.over_at - hung_up_at == pytest.approx(takes_s, abs=0.3)
    assert len(house.logged("recording not written")) == 1
    assert call.outcome().outcome == "resolved"


async def test_a_call_without_a_recorder_leaves_no_file(autojump_clock):
    async with open_house() as house:
        kit = replace(house.kit, recorder=None)
        await talk(house.ring(brain(), kit=kit))
    assert house.flights == {}
