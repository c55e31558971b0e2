"""What is counted, under which names, and that the alerts ask for what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from relay.core.call import Statistics
from relay.core.records import CallEnded, CallOpened, SpendAdded, ToolCalled
from relay.memory import Room
from relay.metrics import LOSSES, MAX_CODES, Metrics, Watched

DOCS = Path(__file__).parents[1] / "docs"
ENDED = CallEnded(1.0, "booked", "", 61_000, 12, notice_heard=True, barge_ins=3)


def called(name: str, status: str, duration_ms: int | None = None) -> ToolCalled:
    return ToolCalled(1.0, "call_1", name, "{}", status, "", duration_ms)


def watched(**changes: Any) -> Watched:
    nothing: dict[str, Any] = {
        "live": lambda: 0,
        "tasks": lambda: 0,
        "draining": lambda: False,
        "strained": lambda: False,
        "memory": lambda: Room(0, 0),
        "memory_tight": lambda: False,
        "refused": lambda: {"full": 0},
        "strangers": lambda: {"bad_signature": 0},
        "journal_depth": lambda: 0,
        "journal_spooled": lambda: 0,
        "journal_state": lambda: "stored",
        "records_lost": lambda: 0,
        "lines_dropped": lambda: 0,
        "notices": lambda: {("webhook", "sent"): 0},
        "model_away": lambda: False,
        "business_away": lambda: 0,
    }
    return Watched(**{**nothing, **changes})


def samples(metrics: Metrics) -> dict[str, float]:
    """The page, read by Prometheus's own parser: name{labels} -> value."""
    found = {}
    for family in text_string_to_metric_families(metrics.page().decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_a_call_s_end_is_counted_by_its_outcome() -> None:
    metrics = Metrics()
    metrics.kept(CallOpened(0.0, "MZ1", "+14155550123"))
    metrics.kept(ENDED)
    found = samples(metrics)
    assert found["relay_calls_total{outcome=booked}"] == 1
    assert found["relay_barge_ins_total"] == 3
    assert found["relay_greeting_seconds_sum"] == 0.012
    assert found["relay_greeting_seconds_bucket{le=0.02}"] == 1
    assert found["relay_greeting_seconds_bucket{le=0.01}"] == 0
    assert found["relay_call_seconds_sum"] == 61


def test_functions_are_counted_once_they_have_ended_and_by_names_of_ours() -> None:
    metrics = Metrics(["lookup_hours"])
    metrics.kept(called("lookup_hours", "running"))
    metrics.kept(called("lookup_hours", "ok", 250))
    metrics.kept(called("invented by the model", "error"))
    found = samples(metrics)
    assert found["relay_tool_calls_total{status=ok,tool=lookup_hours}"] == 1
    assert found["relay_tool_calls_total{status=error,tool=other}"] == 1
    assert found["relay_tool_seconds_sum{tool=lookup_hours}"] == 0.25
    assert not any("running" in name or "invented" in name for name in found)


def test_what_calls_cost_is_counted_once_though_the_phone_s_row_grows() -> None:
    metrics = Metrics()
    for minutes in (1, 2, 3):
        row = SpendAdded(1.0, "phone_MZ1", "phone", minutes * 8500, audio_ms=minutes * 60_000)
        metrics.kept(row)
    metrics.kept(SpendAdded(1.0, "resp_1", "response", 12_345))
    found = samples(metrics)
    assert found["relay_cost_usd_total{kind=phone}"] == pytest.approx(0.0255)
    assert found["relay_cost_usd_total{kind=response}"] == pytest.approx(0.012345)


def test_what_the_core_notes_is_counted() -> None:
    metrics = Metrics()
    for kind, detail in (
        ("model_error", "invalid_value: audio_end_ms"),
        ("response_failed", "rate_limit_exceeded: try again"),
        ("model_closed", "1006 gone"),
        ("fault", "model_slow"),
        ("phone_misbehaved", "bad_json"),
        ("stale_mark", "1:item:100"),
    ):
        metrics.noted(kind, detail)
    found = samples(metrics)
    assert found["relay_model_errors_total{code=invalid_value}"] == 1
    assert found["relay_model_errors_total{code=rate_limit_exceeded}"] == 1
    assert found["relay_model_errors_total{code=closed_1006}"] == 1
    assert found["relay_faults_total{kind=model_slow}"] == 1
    assert found["relay_outbox_overflows_total{side=model}"] == 1
    assert found["relay_broken_messages_total{side=phone}"] == 1


def test_a_peer_cannot_fill_the_page_or_write_on_it() -> None:
    metrics = Metrics()
    for number in range(10 * MAX_CODES):
        metrics.noted("model_error", f"code_{number}: x")
    metrics.noted("model_error", "My name is Jane: x")
    codes = [name for name in samples(metrics) if name.startswith("relay_model_errors_total")]
    assert len(codes) == MAX_CODES + 1
    assert not any("Jane" in code for code in codes)


def test_answers_are_measured_at_a_call_s_end() -> None:
    metrics = Metrics()
    metrics.over(Statistics("ended", 1, 0, 2, 0, 0, notice_heard=True, answers_s=(0.5, 1.5)))
    found = samples(metrics)
    assert (found["relay_answer_seconds_count"], found["relay_answer_seconds_sum"]) == (2, 2.0)


def test_what_others_count_is_read_when_the_page_is_asked_for() -> None:
    metrics, depth = Metrics(), [0]
    metrics.watch(
        watched(
            journal_depth=lambda: depth[0],
            journal_state=lambda: "spooling",
            refused=lambda: {"full": 7},
            notices=lambda: {("sms_owner", "unknown"): 2},
        )
    )
    depth[0] = 42
    metrics.look()
    found = samples(metrics)
    assert found["relay_journal_depth"] == 42
    assert (found["relay_journal_spooling"], found["relay_journal_refusing"]) == (1, 0)
    assert found["relay_calls_refused_total{reason=full}"] == 7
    assert found["relay_notices_total{channel=sms_owner,state=unknown}"] == 2
    assert found["process_resident_memory_bytes"] > 0


def test_two_servers_in_a_process_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()
    first.kept(ENDED)
    assert "relay_calls_total{outcome=booked}" not in samples(second)


# ---- docs/alerts.yml and docs/operations.md -------------------------------------------------

ALERTS = yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
GUIDE = (DOCS / "operations.md").read_text(encoding="utf-8")
# What Prometheus itself adds.
FOREIGN = {"up"}


def known() -> set[str]:
    """Every name that the page can hold, and those that a family's samples have."""
    metrics = Metrics(["lookup_hours"])
    metrics.watch(watched())
    names = set()
    for family in metrics.registry.collect():
        ending = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
        }.get(family.type, ("",))
        names |= {family.name + each for each in ending}
    return names


def asked(text: str) -> set[str]:
    return set(re.findall(r"\b(?:relay|process)_[a-z_]+", text))


def test_every_alert_asks_for_metrics_that_exist_and_says_what_to_do() -> None:
    assert len(RULES) >= 10
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        names = asked(rule["expr"])
        assert names <= known(), rule["alert"]
        assert names or FOREIGN & set(re.findall(r"[a-z_]+", rule["expr"]))
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert re.fullmatch(r"\d+[smh]", rule["for"])
        assert rule["expr"].count("(") == rule["expr"].count(")")


def series_asked(expr: str) -> set[str]:
    """The series of counters that an alert names by a label, one for each value that it lists."""
    found = set()
    for name, label, values in re.findall(r"(\w+_total)\{(\w+)=~?\"([^\"]+)\"\}", expr):
        found |= {f"{name}{{{label}={value}}}" for value in values.split("|")}
    return found


def test_what_an_alert_names_is_there_before_it_happens() -> None:
    # `increase` is blind to the first event of a series that begins with it.
    metrics = Metrics(["lookup_hours"])
    metrics.watch(watched(refused=dict, notices=dict))
    born = samples(metrics)
    named = set().union(*(series_asked(rule["expr"]) for rule in RULES))
    assert len(named) >= 20
    for series in named:
        name, label = series.removesuffix("}").split("{")
        there = [each for each in born if re.match(rf"{name}\{{(.*,)?{label}(,.*)?\}}$", each)]
        assert there, series
        assert {born[each] for each in there} == {0}, series


def test_whatever_an_alert_counts_has_series_before_it_happens() -> None:
    metrics = Metrics(["lookup_hours"])
    metrics.watch(watched())
    born = {name.partition("{")[0] for name in samples(metrics)}
    counted = set().union(*(re.findall(r"increase\((\w+)", rule["expr"]) for rule in RULES))
    assert len(counted) >= 10
    assert counted <= born


def test_the_guide_has_every_way_to_lose_a_voice() -> None:
    (row,) = [line for line in GUIDE.splitlines() if line.startswith("| `relay_voice_lost_total`")]
    assert set(re.findall(r"`([a-z]+)`", row)) - {"why"} == set(LOSSES)


def test_the_guide_explains_every_metric_and_every_alert_and_no_other() -> None:
    ours = {name for name in known() if name.startswith("relay_")}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
    named = asked(GUIDE)
    assert {name for name in named if name.startswith("relay_")} == families
    assert named - families <= known()
    for rule in RULES:
        assert f"`{rule['alert']}`" in GUIDE
    assert set(re.findall(r"`(Relay[A-Za-z]+)`", GUIDE)) == {rule["alert"] for rule in RULES}
