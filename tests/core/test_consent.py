"""Who must be told: every state, and everything that is no state."""

from __future__ import annotations

import pytest

from relay.core.consent import ALL_PARTY, ONE_PARTY, PHRASES, STATES, notice_needed
from relay.core.emergency import alarming, phrases_of

EVERY = phrases_of(PHRASES, PHRASES)
TEXAN = {"caller": "+12145550100", "country": "US", "state": "TX"}


def test_every_state_has_its_place() -> None:
    assert " ".join(sorted(ALL_PARTY)) == "CA CT DE FL IL MA MD MI MT NH NV OR PA WA"
    assert not ALL_PARTY & ONE_PARTY
    assert len(STATES) == 51  # and the District of Columbia


@pytest.mark.parametrize("state", sorted(STATES))
def test_the_notice_is_left_out_only_between_two_one_party_states(state: str) -> None:
    from_there = {**TEXAN, "state": state}
    assert notice_needed("states", "TX", from_there) is (state in ALL_PARTY)
    assert notice_needed("states", state, TEXAN) is (state in ALL_PARTY)
    assert notice_needed("always", "TX", from_there)


@pytest.mark.parametrize(
    "unknown",
    [
        {"state": ""},  # toll-free, many of the voice-over-IP kind
        {"state": "XX"},
        {"state": "tx"},
        {"state": "PR"},  # a territory: its law is another
        {"country": ""},
        {"country": "CA"},
        {"country": "DE", "state": "IN"},  # Germany's Ingolstadt is not Indiana
        {"caller": ""},  # withheld
        {"caller": "+4989550100"},
    ],
)
def test_what_is_not_known_asks_for_the_notice(unknown: dict[str, str]) -> None:
    assert notice_needed("states", "TX", {**TEXAN, **unknown})


def test_parameters_that_are_missing_ask_for_the_notice() -> None:
    for name in TEXAN:
        assert notice_needed("states", "TX", {k: v for k, v in TEXAN.items() if k != name})
    assert notice_needed("states", "TX", {})
    assert notice_needed("states", "", TEXAN)
    assert notice_needed("states", "XX", TEXAN)


@pytest.mark.parametrize(
    "said",
    [
        "Please don't record this.",
        "Don\u2019t record me!",
        "Could you stop recording, please?",
        "I do not want to be recorded.",
        "I'd rather not be recorded",
        "Turn the recording off.",
        "I don't consent to that.",
        "Do not transcribe what I say.",
        "Por favor, no me grabe.",
        "No quiero que se grabe esta llamada.",
        "¿Puede parar? Deje de grabar, por favor.",
        "Borre la grabacion",
        "Prefiero hablar sin ser grabada.",
    ],
)
def test_a_refusal_is_understood(said: str) -> None:
    assert alarming(said, EVERY)


@pytest.mark.parametrize(
    "said",
    [
        "Is this call recorded?",
        "I would like a copy of the recording.",
        "My records are with another dentist.",
        "We set a record, don't we?",
        "¿Esta llamada se graba?",
        "Quiero una copia de la grabación.",
        "No me gusta el anillo grabado.",
        "",
    ],
)
def test_what_is_no_refusal_is_not(said: str) -> None:
    assert not alarming(said, EVERY)
