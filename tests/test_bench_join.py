"""How bench/latency.py pairs what both ends of a call saw, and what it misses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._latency_join import join, voiced_runs  # noqa: E402

VOICED = [*range(50, 60), *range(120, 130)]  # an utterance, and one over the answer to it


def two_ends(added_s: float = 0.003) -> tuple[dict[str, Any], dict[str, Any]]:
    """A call of 4 s whose relay adds the same to everything, as both ends tell of it."""
    frames = [n * 0.02 for n in range(200)]
    stopped = [frames[59] + added_s + 0.5, frames[129] + added_s + 0.5]
    created = [at + added_s for at in stopped]
    phone: dict[str, Any] = {
        "caller": "+1",
        "knocks": False,
        "started": -0.1,
        "webhook": 0.005,
        "gaps": [],
        "missing": [],
        "frames": frames,
        "voiced": VOICED,
        "media": [(-0.1 + added_s, 800)],
        "clears": [frames[126] + added_s],
    }
    deltas = []
    for number, at in enumerate(created):
        for k in range(3):
            sent = at + 0.1 + 0.02 * k
            deltas.append((sent, number + 1, 9600))
            phone["media"].append((sent + added_s, 1600 - (40 if k == 0 else 0)))
    model = {
        "caller": "pseudonym",
        "appends": [(at + added_s, 960 if n else 720) for n, at in enumerate(frames)],
        "onsets": [50 * 960 + 2, 120 * 960 + 2],
        "stopped": stopped,
        "created": created,
        "called": [],
        "deltas": deltas,
    }
    return phone, model


def delays_of(phone: dict[str, Any], model: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    delays = join([phone], [model], proof_frames=7, names={"+1": "pseudonym"})
    return {name: [round(ms, 6) for ms in each] for name, each in delays.of.items()}, delays.missing


def test_what_the_relay_adds_is_found_everywhere() -> None:
    found, missing = delays_of(*two_ends())
    assert missing == []
    assert set(found["inbound"]) == {3}
    assert len(found["inbound"]) == 199  # the first one was sent before the session was ready
    assert found["outbound"] == [3] * 6
    assert found["greeting"] == [3]
    assert found["turn"] == [3, 3]
    assert found["answer"] == [609, 609]  # 500 of silence, 100 of thought, and three ways
    assert found["answer, ours"] == [9, 9]
    assert found["barge-in"] == [123]
    assert found["barge-in, ours"] == [3]
    assert found["silence"] == [123]
    assert found["tool"] == []
    assert max(found["probe"]) < 0.1


def test_a_frame_that_was_lost_on_the_way_moves_the_sound() -> None:
    phone, model = two_ends()
    model["onsets"] = [at - 960 for at in model["onsets"]]
    found, _ = delays_of(phone, model)
    assert min(found["probe"]) > 19


def test_a_frame_that_comes_late_counts_as_late() -> None:
    phone, model = two_ends()
    at, size = model["appends"][20]
    model["appends"][20] = (at + 0.01, size)
    found, _ = delays_of(phone, model)
    assert sorted(found["inbound"])[-2:] == [3, 13]


def test_a_tool_turn_is_a_turn_of_its_own_kind() -> None:
    phone, model = two_ends()
    # The second answer began with a function, for which the relay took 30 ms.
    asked = model["created"][1]
    model["called"] = [asked + 0.1]
    model["created"].append(asked + 0.13)
    model["deltas"] = [
        (at + 0.13 * (turn == 2), turn + (turn == 2), size) for at, turn, size in model["deltas"]
    ]
    phone["media"] = [(at + 0.13 * (at > asked), size) for at, size in phone["media"]]
    found, missing = delays_of(phone, model)
    assert missing == []
    assert found["tool"] == [30]
    assert found["tool turn"] == [609 + 130]
    assert found["answer"] == [609]
    assert found["turn"] == [3]
    assert found["outbound"] == [3] * 6


def test_what_is_sent_behind_clear_is_still_heard() -> None:
    phone, model = two_ends()
    (clear,) = phone["clears"]
    phone["media"] = sorted([*phone["media"], (clear + 0.01, 800)])
    found, _ = delays_of(phone, model)
    assert found["barge-in"] == [123]
    assert found["silence"] == [123 + 10 + 100]


# ---- what did not happen --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda phone, model: phone["clears"].clear(), "clear for an interruption"),
        (lambda phone, model: model["deltas"].clear(), "an answer"),
        (lambda phone, model: model["onsets"].pop(), "an utterance at the model"),
        (lambda phone, model: model["appends"].clear(), "never got to the model"),
        (lambda phone, model: model["appends"].__delitem__(slice(140, None)), "sound at the model"),
        (lambda phone, model: phone["media"].pop(), "the end of an answer"),
        (lambda phone, model: phone["missing"].append("no answer within 8 s"), "no answer within"),
    ],
)
def test_what_did_not_happen_is_missed(spoil: Any, what: str) -> None:
    phone, model = two_ends()
    spoil(phone, model)
    _, missing = delays_of(phone, model)
    assert any(what in each for each in missing)


def test_a_caller_whom_the_model_never_met_is_missed() -> None:
    phone, _ = two_ends()
    delays = join([phone], [], proof_frames=7, names={"+1": "pseudonym"})
    assert delays.missing == ["a call that never got to the model"]


def test_stretches_of_voice() -> None:
    assert voiced_runs([]) == []
    assert voiced_runs([3, 4, 5, 9, 11, 12]) == [(3, 5), (9, 9), (11, 12)]
