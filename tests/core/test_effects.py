"""Every event has its effect at once, or after the voice that proves it; and the table says so."""

from __future__ import annotations

import sys

import pytest

from bench._effects import effects


def test_each_event_has_its_effect_within_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    rows = effects()
    with capsys.disabled():
        sys.stdout.write("\n  event -> first effect             virtual ms   own work, µs\n")
        for row in rows:
            case = f"{row['event']} -> {row['effect']}"
            sys.stdout.write(f"  {case:46} {row['virtual_ms']:4} {row['own_work_us']:8}\n")
    slow = {str(row["event"]): row["virtual_ms"] for row in rows if row["virtual_ms"]}
    assert list(slow) == ["voice begins, suspected"], "all else is done in the same instant"
    assert int(str(slow["voice begins, suspected"])) <= 200
