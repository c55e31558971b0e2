"""`relay clips` in a process of its own, with a simulated model behind a real port."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
import trio

from relay.cabinet import NAMES
from relay.sim.brains import Brain, Scripted
from relay.sim.realtime import Options
from relay.sim.realtime_listen import Door, listen
from tests.readers import paraphrase, reader
from tests.started import started
from tests.test_cli import environ

QUICK = Options(pace=1000.0)


async def clips(*words: str, folder: Path, port: int = 9) -> subprocess.CompletedProcess[bytes]:
    """Run `relay clips` with a model on a port; nobody is on port 9."""
    env = environ(folder, OPENAI_REALTIME_URL=f"ws://127.0.0.1:{port}/v1/realtime")
    run = partial(started, "clips", *words, folder=folder, env=env, within_s=60)
    return await trio.to_thread.run_sync(run)


async def with_model(
    *runs: tuple[str, ...],
    folder: Path,
    brain: Callable[[], Brain] = reader,
    door: Door | None = None,
) -> list[subprocess.CompletedProcess[bytes]]:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(lambda task_status: _model(brain, door, task_status))
        done = [await clips(*words, folder=folder, port=port) for words in runs]
        nursery.cancel_scope.cancel()
    return done


async def _model(
    brain: Callable[[], Brain], door: Door | None, task_status: trio.TaskStatus[int]
) -> None:
    await listen(brain, door=door, options=QUICK, task_status=task_status)


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stdout.decode().splitlines()


async def test_a_list_shows_every_clip_and_whose_voice_it_is_in(tmp_path: Path) -> None:
    before, rendered, after, again = await with_model(
        ("list",), ("render",), ("list",), ("render",), folder=tmp_path
    )
    assert {line.split()[1] for line in lines(before)} == {"packaged"}
    assert rendered.returncode == 0, rendered.stderr
    # The plain greetings are for calls of which nothing is kept; by these settings there is none.
    names = [name for name in NAMES if not name.endswith("_plain")]
    assert len(lines(rendered)) == len(names)
    assert [line.split()[0] for line in lines(after)] == names
    assert {line.split()[1] for line in lines(after)} == {"marin"}
    assert "AI assistant" in lines(after)[0]
    assert lines(again) == ["All clips are recorded."]


async def test_only_what_is_named_is_recorded_and_again_only_by_force(tmp_path: Path) -> None:
    first, second, forced = await with_model(
        ("render", "goodbye"),
        ("render", "goodbye"),
        ("render", "--force", "goodbye"),
        folder=tmp_path,
    )
    assert lines(first) == lines(forced) == ["recorded  Thank you for calling. Goodbye."]
    assert lines(second) == ["All clips are recorded."]


async def test_a_clip_can_be_heard(tmp_path: Path) -> None:
    done = await clips("play", "greeting", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with wave.open(str(tmp_path / "greeting.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (8000, 1, 2)
        assert sound.getnframes() > 3 * 8000
    piped = await clips("play", "goodbye", "-o", "-", folder=tmp_path)
    with wave.open(BytesIO(piped.stdout)) as sound:
        assert sound.getnframes() > 8000


async def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    done = await clips("play", "goodbye", "-o", "no/such/folder.wav", folder=tmp_path)
    assert done.returncode == 1
    assert (
        done.stderr.decode()
        == "Error: no/such/folder.wav cannot be written: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("brain", "door", "words"),
    [
        (lambda: Scripted(otherwise=paraphrase), None, "the model said: Sure! Thank you"),
        (reader, Door(refuse=503), "could not be recorded: HTTP 503"),
        (reader, Door(key="sk-another"), "could not be recorded"),
    ],
)
async def test_what_could_not_be_recorded_is_told_and_is_the_exit_code(
    tmp_path: Path, brain: Callable[[], Brain], door: Door | None, words: str
) -> None:
    (done,) = await with_model(("render", "goodbye"), folder=tmp_path, brain=brain, door=door)
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert done.stdout == b""


async def test_a_clip_that_there_is_not(tmp_path: Path) -> None:
    done = await clips("play", "farewell", folder=tmp_path)
    assert done.returncode == 2
    assert b"after_hours" in done.stderr


def test_settings_that_need_attention(tmp_path: Path) -> None:
    env = environ(tmp_path)
    del env["PUBLIC_URL"]
    done = started("clips", "list", folder=tmp_path, env=env, within_s=60)
    assert done.returncode == 2
    assert b"PUBLIC_URL is missing" in done.stderr
