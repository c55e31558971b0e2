"""Late outcomes: noted at once, as records like all others."""

from __future__ import annotations

from datetime import timedelta

from relay.ports import Entry, OutcomeSettled
from relay.web.outcomes import Outcomes


def test_an_outcome_becomes_a_record_stamped_in_utc() -> None:
    kept: list[Entry] = []
    outcomes = Outcomes(kept.append)
    outcomes.note("CA1", "failed", "human_busy")
    outcomes.note("CA1", "abandoned", only_if_none=True)
    assert [(entry.call_sid, entry.record) for entry in kept] == [
        ("CA1", OutcomeSettled("failed", "human_busy")),
        ("CA1", OutcomeSettled("abandoned", guess=True)),
    ]
    assert {entry.at.utcoffset() for entry in kept} == {timedelta(0)}
