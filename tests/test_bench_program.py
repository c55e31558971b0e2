"""How a benchmark's program ends: whatever happens, what it has begun ends with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import _latency_machine as machine  # noqa: E402
from bench._program import calls, run  # noqa: E402

HANG_S = 60

# Begins a child that lives until it is ended, says which, and waits.
PROGRAM = """
import sys, trio
sys.path.insert(0, sys.argv[1])
from bench import _latency_machine as machine
from bench._program import run

async def main():
    child = await machine.begin(["-c", "import sys; print(1, flush=True); sys.stdin.read()"], None)
    try:
        await machine.Lines(child, "the child").next(60)
        print(child.pid, flush=True)
        async with trio.open_nursery() as nursery:
            await trio.sleep_forever()
    finally:
        await machine.end(child)

sys.exit(run(main))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_was_begun(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM, str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        child = int(program.stdout.readline())
        program.send_signal(number)
        _, said = program.communicate(timeout=HANG_S)
    assert program.returncode == 128 + number
    assert said.decode() == f"ended by {number.name}\n"
    assert not Path(f"/proc/{child}").exists()


def test_why_it_ends_comes_out_of_whatever_nurseries() -> None:
    async def fails() -> None:
        raise SystemExit("no model")

    async def nested() -> int:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(fails)
        return 0

    with pytest.raises(SystemExit) as ended:
        run(nested)
    assert ended.value.code == "no model"


def test_what_it_comes_to_and_its_errors_are_its_own() -> None:
    async def seven() -> int:
        await trio.lowlevel.checkpoint()
        return 7

    async def wrong() -> int:
        await trio.lowlevel.checkpoint()
        raise ValueError("wrong")

    assert run(seven) == 7
    with pytest.raises(ValueError, match="wrong"):
        run(wrong)


async def test_a_process_that_has_ended_is_not_waited_for() -> None:
    child = await machine.begin(["-c", "raise SystemExit(3)"], None)
    with trio.fail_after(HANG_S), pytest.raises(SystemExit, match=r"the child ended .* status 3"):
        await machine.Lines(child, "the child").ask(HANG_S)


def test_numbers_of_calls() -> None:
    assert calls("50,10,50") == [10, 50]
    for wrong in ("0,10", "-1", "ten", ""):
        with pytest.raises(ValueError, match=r"invalid literal|a call at least"):
            calls(wrong)


@pytest.mark.parametrize("program", ["_load_ends.py", "_latency_model.py", "_latency_machine.py"])
def test_ctrl_c_is_left_to_who_began_a_generator(program: str) -> None:
    command = [sys.executable, str(ROOT / "bench" / program)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as generator:  # type: ignore[call-overload]
        generator.stdout.readline()
        generator.send_signal(signal.SIGINT)
        _, said = generator.communicate(timeout=HANG_S)  # its input ends, and so does it
    assert (generator.returncode, said) == (0, b"")
