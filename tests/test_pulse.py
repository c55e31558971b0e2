"""The loop's beat, and the thread that listens for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.pulse import (
    BEAT_S,
    DUMP_S,
    END_S,
    LOOK_S,
    STRAIN_LAG_S,
    STRAIN_S,
    Pulse,
    Verdict,
    Watch,
    stacks,
)

ROOT = Path(__file__).parents[1]
WAIT_S = 60.0  # a loaded machine is slow


def looks(watch: Watch, start: float, seconds: float) -> list[tuple[float, Verdict]]:
    """What is said of a stretch of time, without FINE; times are from its start."""
    times = [start + step * LOOK_S for step in range(1, round(seconds / LOOK_S) + 1)]
    said = [(at - start, watch.look(at)) for at in times]
    return [(at, verdict) for at, verdict in said if verdict is not Verdict.FINE]


def test_a_stall_is_dumped_once_and_then_ends_the_process() -> None:
    pulse = Pulse()
    pulse.beat_at = 100.0
    assert looks(Watch(pulse, 100.0), 100.0, END_S) == [
        (DUMP_S, Verdict.DUMP),
        (END_S, Verdict.END),
    ]


def test_every_stall_is_dumped_anew() -> None:
    pulse = Pulse()
    watch = Watch(pulse, 100.0)
    for start in (100.0, 102.0):
        pulse.beat_at = start
        assert looks(watch, start, 2.0) == [(DUMP_S, Verdict.DUMP)]


def test_a_loop_that_beats_or_has_not_begun_is_fine() -> None:
    pulse = Pulse()
    watch = Watch(pulse, 0.0)
    assert looks(watch, 0.0, 60.0) == []
    for beat in range(100):
        pulse.beat_at = 60.0 + beat * BEAT_S
        assert watch.look(pulse.beat_at) is Verdict.FINE


def test_a_machine_that_stood_still_is_no_stall() -> None:
    pulse = Pulse()
    pulse.beat_at = 100.0
    watch = Watch(pulse, 100.0)
    assert watch.look(100.0 + 3600.0) is Verdict.FINE
    # And if the loop does not wake up either, it is a stall after all.
    assert looks(watch, 3700.0, END_S)[-1] == (END_S, Verdict.END)


def test_lateness_for_a_while_is_strain_and_so_is_its_end() -> None:
    pulse, told = Pulse(), []
    pulse.observe = told.append
    late = STRAIN_LAG_S * 2

    def beats(lag_s: float, start: float, seconds: float) -> list[bool]:
        strained = []
        for beat in range(round(seconds / BEAT_S)):
            pulse.note(lag_s, start + beat * BEAT_S)
            strained.append(pulse.strained)
        return strained

    assert not any(beats(late, 1000.0, STRAIN_S))
    assert beats(late, 1000.0 + STRAIN_S, 1.0)[-1]
    pulse.note(0.0, 1003.1)
    pulse.note(late, 1003.2)
    assert pulse.strained, "one punctual beat is no recovery"
    assert beats(0.0, 1003.3, STRAIN_S + 1.0)[-1] is False
    assert told[0] == late


async def test_it_beats_while_it_runs_and_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    pulse, lags = Pulse(clock=trio.current_time), []
    pulse.observe = lags.append
    with trio.move_on_after(1.05):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pulse.run)
            await trio.sleep(1.0)
            assert pulse.beat_at == pytest.approx(trio.current_time(), abs=BEAT_S * 1.1)
            await trio.sleep_forever()
    assert pulse.beat_at is None
    assert len(lags) == 10
    assert max(lags) == 0.0


def test_stacks_name_functions_and_no_values() -> None:
    secret = "+14155550123"
    text = stacks()
    assert "test_stacks_name_functions_and_no_values" in text
    assert secret not in text


PROGRAM = """
import sys, time, trio
from relay import pulse
from relay.log_pipe import LogPipe
from relay.logs import set_up_logs
pulse.DUMP_S, pulse.END_S = %s
pipe = LogPipe(1)
set_up_logs("INFO", pipe)
beat = pulse.Pulse()
pulse.watch_over(beat, pipe.close)
async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat.run)
        await trio.sleep(0.3)
        print("ready", file=sys.stderr, flush=True)
        %s
        nursery.cancel_scope.cancel()
trio.run(main)
pipe.close()
"""


def start(dump_s: float, end_s: float, body: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM % ((dump_s, end_s), body)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    return process


def test_a_blocked_loop_is_dumped_and_the_process_ends_with_70() -> None:
    process = start(0.5, 1.5, "time.sleep(3600)")
    output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (70, "")
    *dumps, end = output.splitlines()
    assert dumps  # two, if the machine itself stood still between them
    assert all("the loop stands still" in dump and "in main" in dump for dump in dumps)
    assert "the process ends" in end


def test_a_frozen_process_goes_on_when_it_thaws() -> None:
    """And has END_S anew, in which a busy machine lets the loop beat again, soon or late."""
    process = start(3, 4, "await trio.sleep(1)")
    process.send_signal(signal.SIGSTOP)
    time.sleep(5)  # a real machine's real standstill, longer than END_S and FROZEN_S
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (0, "")
