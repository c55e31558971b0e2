"""Files whose tests pass in real time begin first: they wait more than they work, and would else be
what a run still waits for when everything else is done.

Hypothesis holds no example to a time: how long one takes is the machine's matter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent
IN_REAL_TIME = (
    "demo/test_demo.py",
    "handover/",
    "test_money.py",
    "test_cli_rehearse.py",
    "test_canaries.py",
    "test_remains.py",
    "adapters/test_durability.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not _in_real_time(item.path))


def _in_real_time(path: Path) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix().startswith(IN_REAL_TIME)
