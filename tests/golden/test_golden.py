"""Calls that once went as they should still do, to the command and to the moment."""

from __future__ import annotations

import pytest

from relay.replay import first_difference, replay
from relay.shell.recording import Packed, Recording, read
from tests.golden.record import CALLS, path_of, record
from tests.golden.scenes import SCENES, Scene
from tests.shell.flights import Shelf

MAX_BYTES = 30_000
AGAIN = "if that is on purpose: python -m tests.golden.record"


def commands_of(recording: Recording) -> list[Packed]:
    return [command for step in recording.steps for command in step.commands or ()]


def check_scene(scene: Scene, recording: Recording) -> None:
    """The recording shows what it is kept for."""
    rest = iter(commands_of(recording))
    for wanted in scene.shows:
        assert any(tuple(c[: len(wanted)]) == wanted for c in rest), f"{wanted} is not in its place"
    phases = [played.after for played in replay(recording) if played.after != played.before]
    assert " ".join(["IDLE", *phases]) == scene.phases
    assert recording.over == "ended"


def test_every_scene_has_its_call_and_every_call_its_scene() -> None:
    assert {path.name for path in CALLS.iterdir()} == {path_of(name).name for name in SCENES}


@pytest.mark.parametrize("name", SCENES)
def test_a_golden_call_does_the_same_again(name: str) -> None:
    assert path_of(name).stat().st_size < MAX_BYTES
    recording = read(path_of(name))
    assert first_difference(recording) == "", AGAIN
    check_scene(SCENES[name], recording)


@pytest.mark.parametrize("name", SCENES)
async def test_a_scene_can_be_recorded_again(autojump_clock, name: str) -> None:
    """What would be recorded today does the same again, and shows what the scene is for."""
    shelf = Shelf({"again.jsonl.gz": await record(SCENES[name])})
    recording = shelf.newest()
    assert first_difference(recording) == ""
    check_scene(SCENES[name], recording)
