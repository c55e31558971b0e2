"""What the process counts, and under which names: the one place that knows prometheus-client.

Nothing is counted on the path of a frame. Calls are counted from what passes anyway: their records
on the way to the journal, the core's notes, and the statistics at their end. What others keep count
of by themselves (the switchboard, the door, the journal) is read when somebody asks for the page,
which is then written in a thread: it takes longer than a frame may be late.

Label values come from small sets of our own. A peer's words never become one as they are: an error
code that is no short word, or one too many, counts as "other".

What an alert asks for by name is on the page from the start, at zero: Prometheus's `increase` sees
nothing of a series that begins with its first event, and a business's line may have no second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.core.call import Statistics
from relay.core.ladder import CLOSE_REFUSED, FATAL_CODES, RUNGS
from relay.core.records import CallEnded, Record, SpendAdded, ToolCalled
from relay.memory import Room

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"
MAX_CODES: Final = 50
MINUTE_MS: Final = 60_000
_CODE = re.compile(r"[a-z0-9_.]{1,60}")

GREETING_BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
ANSWER_BUCKETS: Final = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
TOOL_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.7, 1.0, 2.0, 3.0, 5.0, 10.0)
CALL_BUCKETS: Final = (5, 15, 30, 60, 120, 180, 300, 600, 1200)
LAG_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

TOOL_STATES: Final = ("ok", "error", "cancelled", "late")
REFUSALS: Final = (
    "draining",
    "full",
    "strained",
    "memory",
    "over_budget",
    "model_away",
    "number_at_once",
    "number_an_hour",
    "blocked",
)
NOTICES: Final = tuple(
    (channel, state)
    for channel in ("webhook", "sms_owner", "sms_caller")
    for state in ("sent", "pending", "failed", "unknown")
)

# Why a second voice is lost, and what money goes into.
LOSSES: Final = (
    *("quota", "voice", "key", "refused"),
    *("unreachable", "slow", "closed", "broken"),
)
SPENDING: Final = ("response", "transcription", "voice", "phone")

# What the core notes and an operator wants to see: note -> metric's label.
_OVERFLOWS: Final = {"phone_slow": "phone", "model_slow": "model"}


@dataclass(frozen=True, slots=True)
class Watched:
    """What is read when the page is asked for. Each function answers from memory.

    refused: calls that got no stream, by reason; strangers: streams and connections, by reason
    notices: tries to tell the owner, by channel and what came of them
    model_away, business_away: whom new calls, or functions, do not ask for a while; how many ways
    """

    live: Callable[[], int]
    tasks: Callable[[], int]
    draining: Callable[[], bool]
    strained: Callable[[], bool]
    memory: Callable[[], Room]
    memory_tight: Callable[[], bool]
    refused: Callable[[], Mapping[str, int]]
    strangers: Callable[[], Mapping[str, int]]
    journal_depth: Callable[[], int]
    journal_spooled: Callable[[], int]
    journal_state: Callable[[], str]
    records_lost: Callable[[], int]
    lines_dropped: Callable[[], int]
    notices: Callable[[], Mapping[tuple[str, str], int]]
    model_away: Callable[[], bool]
    business_away: Callable[[], int]


class Metrics:
    """One server's metrics: a shell.kit.Meter, and a page."""

    def __init__(self, tools: Collection[str] = ()) -> None:
        """tools: names of the functions there are; the model may ask for others."""
        self.registry = CollectorRegistry()
        self._tools = frozenset(tools)
        self._codes: set[str] = set()
        self._watched: Watched | None = None
        self._seen = _Seen()
        ProcessCollector(registry=self.registry)
        self._ended = self._counter(
            "relay_calls", "Calls whose stream has ended, by what had become of them", "outcome"
        )
        self._seconds = self._histogram("relay_call_seconds", "Length of a call", CALL_BUCKETS)
        self._greeting = self._histogram(
            "relay_greeting_seconds",
            "From the stream's start to the greeting's first sound",
            GREETING_BUCKETS,
        )
        self._answer = self._histogram(
            "relay_answer_seconds",
            "From the end of the caller's speech, as the VAD has it, to the answer's first sound",
            ANSWER_BUCKETS,
        )
        self._barge_ins = self._counter("relay_barge_ins", "Times that a caller cut the agent off")
        self._tool = self._histogram(
            "relay_tool_seconds", "How long a function took", TOOL_BUCKETS, "tool"
        )
        self._tool_calls = self._counter(
            "relay_tool_calls", "Functions that the model called, by how it ended", "tool", "status"
        )
        self._model_errors = self._counter(
            "relay_model_errors",
            "Errors, failed responses and closes of the model, by code",
            "code",
        )
        self._cost = self._counter(
            "relay_cost_usd", "What calls have cost by the price table, by what for", "kind"
        )
        self._voices = self._counter(
            "relay_voice_lost",
            "Calls that went on in the model's own voice, by why",
            "why",
        )
        self._faults = self._counter(
            "relay_faults", "Faults that a call had to get over, by kind", "kind"
        )
        self._overflows = self._counter(
            "relay_outbox_overflows", "Times that a peer did not read what was sent", "side"
        )
        self._broken = self._counter(
            "relay_broken_messages", "Messages that broke their protocol and were dropped", "side"
        )
        self.lag = self._histogram(
            "relay_event_loop_lag_seconds", "How late the event loop is", LAG_BUCKETS
        )
        self._begin_at_zero()

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(name, what, labels, buckets=tuple(buckets), registry=self.registry)

    def _begin_at_zero(self) -> None:
        self._ended.labels("failed")
        for code in (*FATAL_CODES, "rate_limit_exceeded"):
            self._model_errors.labels(self._code(code))
        self._model_errors.labels(f"closed_{self._code(str(CLOSE_REFUSED))}")
        for kind in RUNGS:
            self._faults.labels(kind)
        for why in LOSSES:
            self._voices.labels(why)
        for kind in SPENDING:
            self._cost.labels(kind)
        for side in _OVERFLOWS.values():
            self._overflows.labels(side)
        for tool in self._tools:
            for status in TOOL_STATES:
                self._tool_calls.labels(tool, status)

    # ---- told by the calls ------------------------------------------------------------------

    def kept(self, record: Record) -> None:
        match record:
            case CallEnded():
                self._ended.labels(record.outcome).inc()
                self._barge_ins.inc(record.barge_ins)
                self._seconds.observe(record.duration_ms / 1000)
                if record.greeting_ms is not None:
                    self._greeting.observe(record.greeting_ms / 1000)
            case ToolCalled(name=name, status=status) if status != "running":
                tool = name if name in self._tools else OTHER
                self._tool_calls.labels(tool, status).inc()
                if record.duration_ms is not None:
                    self._tool.labels(tool).observe(record.duration_ms / 1000)
            case SpendAdded():
                # The phone's row grows by a minute each time it is written; the others are whole.
                minutes = max(1, record.audio_ms // MINUTE_MS) if record.kind == "phone" else 1
                self._cost.labels(record.kind).inc(record.micro_usd / minutes / 1e6)
            case _:
                pass

    def noted(self, kind: str, detail: str) -> None:
        match kind:
            case "model_error" | "response_failed":
                self._model_errors.labels(self._code(detail.partition(":")[0])).inc()
            case "model_closed":
                self._model_errors.labels(f"closed_{self._code(detail.partition(' ')[0])}").inc()
            case "voice_lost":
                self._voices.labels(detail.partition(":")[0]).inc()
            case "fault":
                self._faults.labels(detail).inc()
                if detail in _OVERFLOWS:
                    self._overflows.labels(_OVERFLOWS[detail]).inc()
            case "phone_misbehaved" | "model_misbehaved":
                self._broken.labels(kind.partition("_")[0]).inc()
            case _:
                pass

    def over(self, seen: Statistics) -> None:
        for wait_s in seen.answers_s:
            self._answer.observe(wait_s)

    def _code(self, code: str) -> str:
        if code not in self._codes:
            if len(self._codes) >= MAX_CODES or not _CODE.fullmatch(code):
                return OTHER
            self._codes.add(code)
        return code

    # ---- read from the others ---------------------------------------------------------------

    def watch(self, watched: Watched) -> None:
        """Read these from now on, once a server."""
        self._watched = watched
        for name, what in _GAUGES.items():
            Gauge(name, what, registry=self.registry).set_function(
                lambda name=name: self._seen.gauges[name]  # type: ignore[misc]
            )
        self.registry.register(_Counts(lambda: self._seen))
        self.look()

    def look(self) -> Callable[[], bytes]:
        """Read the others, in their own thread. Returns what renders the page, in any thread."""
        if self._watched is not None:
            self._seen = _see(self._watched)
        return self.page

    def page(self) -> bytes:
        """All of it as of the last look, as Prometheus reads it. Some milliseconds of work."""
        return generate_latest(self.registry)


_GAUGES: Final = {
    "relay_calls_live": "Calls whose stream is open",
    "relay_tasks": "Tasks of the process, those of its calls and connections included",
    "relay_draining": "1 when no new call is taken",
    "relay_strained": "1 when new calls are refused, as the loop is late",
    "relay_memory_used_bytes": "What is used of the nearest limit, by whoever lives below it",
    "relay_memory_limit_bytes": "That limit: the machine's or a control group's; 0: not known",
    "relay_memory_tight": "1 when new calls are refused, as too little of it is free",
    "relay_journal_depth": "Records that are in memory alone",
    "relay_journal_spooled": "Records that wait on disk",
    "relay_journal_spooling": "1 when records go to the disk, not the database",
    "relay_journal_refusing": "1 when neither takes them and memory fills",
    "relay_model_away": "1 while new calls go to the human, as no session can be had",
    "relay_business_away": "Requests of the business's API that are not made, as none was answered",
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the others counted at one moment."""

    gauges: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    strangers: Mapping[str, int] = field(default_factory=dict)
    records_lost: int = 0
    lines_dropped: int = 0
    notices: Mapping[tuple[str, str], int] = field(default_factory=dict)


def _see(watched: Watched) -> _Seen:
    state, room = watched.journal_state(), watched.memory()
    gauges = {
        "relay_calls_live": watched.live(),
        "relay_tasks": watched.tasks(),
        "relay_draining": watched.draining(),
        "relay_strained": watched.strained(),
        "relay_memory_used_bytes": room.used,
        "relay_memory_limit_bytes": room.limit,
        "relay_memory_tight": watched.memory_tight(),
        "relay_journal_depth": watched.journal_depth(),
        "relay_journal_spooled": watched.journal_spooled(),
        "relay_journal_spooling": state == "spooling",
        "relay_journal_refusing": state == "refusing",
        "relay_model_away": watched.model_away(),
        "relay_business_away": watched.business_away(),
    }
    return _Seen(
        gauges,
        {**dict.fromkeys(REFUSALS, 0), **watched.refused()},
        dict(watched.strangers()),
        watched.records_lost(),
        watched.lines_dropped(),
        {**dict.fromkeys(NOTICES, 0), **watched.notices()},
    )


class _Counts(Collector):
    """Counters that others keep."""

    def __init__(self, seen: Callable[[], _Seen]) -> None:
        self._seen = seen

    def collect(self) -> Iterable[Metric]:
        seen = self._seen()
        yield _family("relay_calls_refused", "Calls that got no stream, by reason", seen.refused)
        yield _family(
            "relay_strangers_refused",
            "Streams and connections that were turned away at the door, by reason",
            seen.strangers,
        )
        yield CounterMetricFamily(
            "relay_records_lost", "Records that found the journal full", value=seen.records_lost
        )
        yield CounterMetricFamily(
            "relay_log_lines_dropped",
            "Log lines that nobody read in time",
            value=seen.lines_dropped,
        )
        told = CounterMetricFamily(
            "relay_notices",
            "Tries to tell the owner, by channel and what came of them",
            labels=["channel", "state"],
        )
        for labels, count in seen.notices.items():
            told.add_metric(labels, count)
        yield told


def _family(name: str, what: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, what, labels=["reason"])
    for reason, count in counts.items():
        family.add_metric([reason], count)
    return family
