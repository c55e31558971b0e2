"""The table of bench/peers/run.py: whom it compares, where, and when a goal is kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._load_verdict import Point, sum_up  # noqa: E402
from bench._peers_table import Goal, Side, compare, goals  # noqa: E402

PEERS = ROOT / "bench" / "peers"


def stage(calls: int, cpu_ms: float, *why: str, inbound: float = 1.0) -> Point:
    figures = sum_up({"inbound": [inbound], "outbound": [2.0], "onset": [3.0], "clear": [1.5]})
    return Point(calls, cpu_ms, 1000.0 + 100 * calls, 0.1, (), figures, why)


MINE = Side("relay", [stage(n, 2.0) for n in (1, 10, 50, 100)], filter_ms=5.0)
NODE = Side("node", [stage(1, 4.0), stage(50, 4.0), stage(100, 2.4), stage(200, 3.0, "a gap")])
SLOW = Side("pipecat", [stage(1, 40.0, inbound=150.0), stage(10, 36.0)], paced=True)


def kept(*sides: Side, ramped: bool = False) -> dict[str, Goal]:
    return {goal.what: goal for goal in goals(sides, ramped=ramped)}


def test_a_filters_delay_is_added_to_what_counting_shows() -> None:
    assert MINE.delay("inbound", "p50", MINE.compared()) == 6.0
    assert NODE.delay("inbound", "p50", NODE.compared()) == 1.0


def test_delays_are_compared_at_fifty_calls_or_as_many_as_held() -> None:
    lines = compare([MINE, NODE, SLOW]).splitlines()
    assert lines[2].startswith("| relay | 100 | 2.00 | 2.00 | 50 | 6.00 |")
    assert lines[3].startswith("| node | 100 | 4.00 | 2.40 | 50 | 1.00 |")
    # A paced relay is held to an answer's first sound; its own delay is not forgotten.
    assert lines[4].startswith("| pipecat | 0 (10 beyond its own delay) | - | - | 10 |")
    assert lines[4].split(" | ")[-3:-1] == ["3.00", "3.00"]
    assert len({line.count("|") for line in lines}) == 1


def test_goals_are_ratios_to_the_peers_of_the_same_run() -> None:
    found = kept(MINE, NODE, SLOW)
    assert found["cost at 50 calls over Node's"].got == 0.5
    assert found["cost at 50 calls over Node's"].kept
    assert not found["cost at 100 calls over Node's"].kept
    assert found["cost at 10 calls over Pipecat's"].kept
    assert "calls a core, over node's" not in found


def test_more_calls_means_more_and_not_as_many() -> None:
    found = kept(MINE, NODE, SLOW, ramped=True)
    assert not found["calls a core, over node's"].kept
    assert found["calls a core, over pipecat's"].kept


def test_what_could_not_be_measured_is_no_goal_kept() -> None:
    small = Side("relay", [stage(1, 2.0)])
    goal = kept(small, NODE, ramped=True)["cost at 100 calls over Node's"]
    assert not goal.kept
    assert "not measured" in str(goal)
    assert "cost at 100 calls over Node's" not in kept(small, NODE)
    assert goals([NODE], ramped=True) == []


def test_a_goal_at_fifty_calls_is_not_kept_by_fewer() -> None:
    weak = Side("relay", [stage(1, 2.0), stage(25, 2.0), stage(50, 2.0, "a gap")], filter_ms=5.0)
    assert not kept(weak, ramped=True)["inbound p50 at 50 calls, ms"].kept
    assert "inbound p50 at 50 calls, ms" not in kept(weak)


def test_a_stage_of_ours_that_was_asked_for_has_to_hold() -> None:
    assert kept(MINE)["stages that did not hold"].kept
    broken = Side("relay", [stage(10, 2.0, "a gap")])
    assert [goal.kept for goal in goals([broken, NODE], ramped=False)] == [False]


def test_a_relay_that_is_measured_twice_is_two_rows_with_goals_of_their_own() -> None:
    dear = Side("relay", [stage(n, 3.8) for n in (1, 10, 50, 100)], filter_ms=5.0, again=1)
    rows = compare([MINE, NODE, dear]).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| relay", "| node", "| relay (2)"]
    found = kept(MINE, NODE, dear, ramped=True)
    assert found["cost at 50 calls over Node's"].kept
    assert not found["relay (2): cost at 50 calls over Node's"].kept
    assert not any("over relay's" in what for what in found)


def test_peers_are_pinned_and_name_no_registry() -> None:
    for name in ("fastapi.txt", "pipecat.txt"):
        lines = (PEERS / name).read_text(encoding="utf-8").splitlines()
        assert all("==" in line for line in lines)
    lock = json.loads((PEERS / "node" / "package-lock.json").read_text(encoding="utf-8"))
    packages = [fields for name, fields in lock["packages"].items() if name]
    assert packages
    assert all("integrity" in each and "resolved" not in each for each in packages)
