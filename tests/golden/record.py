"""Record the golden calls again: `python -m tests.golden.record [NAME …]`.

Do it when the core decides otherwise on purpose, and read what has changed before you commit it:
`relay replay --check` of the old file names the first difference.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import trio
from trio.testing import MockClock

from tests.golden.scenes import SCENES, Scene
from tests.shell.flights import Shelf
from tests.shell.house import open_house, packaged_clips

CALLS = Path(__file__).parent / "calls"


def path_of(name: str) -> Path:
    return CALLS / f"{name}.jsonl.gz"


async def record(scene: Scene) -> bytes:
    """Play a scene. Returns its recording; the clock must jump."""
    shelf = Shelf()
    async with open_house(clips=packaged_clips()) as house:
        await scene.play(house, shelf.kit(house.kit))
    (data,) = shelf.files.values()
    return data


def main(*names: str) -> None:
    """Record the named scenes, or all, and say what each weighs."""
    unknown = set(names) - SCENES.keys()
    if unknown:
        sys.exit(f"no such scene: {', '.join(sorted(unknown))}; there are {', '.join(SCENES)}")
    CALLS.mkdir(exist_ok=True)
    for name in names or SCENES:
        data = trio.run(partial(record, SCENES[name]), clock=MockClock(autojump_threshold=0))
        path_of(name).write_bytes(data)
        sys.stdout.write(f"{name}: {len(data)} bytes\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
