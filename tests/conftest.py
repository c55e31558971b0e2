"""What holds for every test: none depends on how fast or how busy the machine is.

Tests in real time have a clock that counts no time that the machine gave to others (patience.py),
and Hypothesis sets no deadlines. Files whose tests pass in real time begin first: they wait more
than they work, and would else be what a run still waits for when everything else is done.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import patience

settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

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
    for item in items:
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
            alone = item.get_closest_marker("in_one_process") is not None
            run = patience.in_jumps if alone else patience.patiently
            item.add_marker(pytest.mark.trio(run=run), append=False)
    items.sort(key=lambda item: not _in_real_time(item.path))


def _in_real_time(path: Path) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix().startswith(IN_REAL_TIME)
