"""What holds for every test: none depends on how fast or how busy the machine is.

Tests with sockets have a clock that counts no time that the machine gave to others (patience.py),
and Hypothesis sets no deadlines.

What needs several processes passes in real time. A test of those files that fails while the machine
was late (lateness.py) is repeated once, and the report says so: `1 repeated`, and which.

The two of those files that last longest begin first, and beside them the long ones that only work:
whoever waits needs somebody who works meanwhile. Then come the others that pass in real time, which
would else be what a run still waits for at its end.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from functools import cache, partial
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import structlog
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from relay.shell import pump
from tests import patience
from tests.lateness import Lateness

REPEATED = "repeated"

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
LONGEST_WAITS = ("demo/test_demo.py", "handover/test_processes.py")
# The files that work longest: whichever began last would keep one worker when the others are done.
LONG = (
    "transfer/test_warm.py",
    "shell/test_ten_minutes.py",
    "test_cli.py",
    "test_cli_clips.py",
    "sim/test_grammars.py",
    "adapters/test_business_contract.py",
    "shell/test_second_voice.py",
    "shell/test_bad_input.py",
    "core/test_call_machine.py",
    "faults/test_model_faults.py",
    "adapters/test_store_upgrade.py",
    "adapters/test_store_bookings.py",
    "audio/test_quality.py",
    "shell/test_endings.py",
    "shell/test_notifier.py",
    "test_door.py",
)
# Callers here, the relay in a process of its own: a second of sound must be one for both.
BESIDE_ANOTHER_CLOCK = ("handover/", "test_canaries.py")


@pytest.fixture(autouse=True, scope="session")
def no_logger_outlives_its_configuration() -> Iterator[None]:
    """One that is cached would go on saying to a test's log what later ones wait for in theirs."""
    configure = partial(structlog.configure, cache_logger_on_first_use=False)

    def configured(**settings: object) -> None:
        settings.pop("cache_logger_on_first_use", None)
        configure(**settings)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configured)
        yield


@pytest.fixture(autouse=True, scope="session")
def tracebacks_are_plain() -> Iterator[None]:
    """Where a test sets up no log, each would be a table of coloured sources: 30 ms and more."""
    console = structlog.dev.ConsoleRenderer.get_active()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "exception_formatter", structlog.dev.plain_traceback)
        yield


@pytest.fixture(autouse=True, scope="session")
def clocks_are_told_of_the_pump_s_sleep() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pump, "Round", patience.Resting)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: no collection need look through it, now or later."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
            alone = item.get_closest_marker("in_one_process") is not None
            run = patience.in_jumps if alone else patience.patiently
            if not _is_of(item.path, BESIDE_ANOTHER_CLOCK):
                item.add_marker(pytest.mark.trio(run=run), append=False)
    items.sort(key=lambda item: _turn(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if not _in_real_time(item.path):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    with Lateness() as machine:
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if machine.late and any(report.failed for report in reports):
        for report in (each for each in reports if each.failed):
            report.outcome = REPEATED  # type: ignore[assignment]
            report.sections.append((REPEATED, f"the machine was {machine}"))
            item.ihook.pytest_runtest_logreport(report=report)
        item._initrequest()  # type: ignore[attr-defined]
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_report_teststatus(
    report: pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    if report.outcome == REPEATED:
        return REPEATED, "R", ("REPEATED", {"yellow": True})
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get(REPEATED, ()):
        why = dict(report.sections)[REPEATED]
        terminalreporter.section(f"REPEATED {report.nodeid}: {why}")
        terminalreporter.line(report.longreprtext)


def _turn(path: Path) -> int:
    """When a file begins: all of one turn before those of the next."""
    turns = (LONGEST_WAITS, LONG, IN_REAL_TIME)
    return next((turn for turn, those in enumerate(turns) if _is_of(path, those)), len(turns))


def _in_real_time(path: Path) -> bool:
    return _is_of(path, IN_REAL_TIME)


@cache  # for thousands of tests in some hundred files
def _is_of(path: Path, those: tuple[str, ...]) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).as_posix().startswith(those)
