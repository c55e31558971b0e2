"""One run: what is drawn, four calls, and the verdict."""

from __future__ import annotations

import secrets
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import trio

from relay import server
from relay.demo.caller import pronounce
from relay.demo.callers import lines
from relay.demo.checks import Evidence, Left, judge, outcome_of, read_rows
from relay.demo.desk import joined, room_of
from relay.demo.house import CALLERS, Done, Ended, House
from relay.demo.measure import gaps, longest_silence
from relay.demo.scenario import business_toml, draw, early_zone, starts_at
from relay.demo.show import Stage
from relay.demo.street import NETWORK_SAYS, network_says
from relay.logs import set_up_logs
from relay.sim import phrases
from relay.sim.line import stereo_wav
from relay.sim.twilio_call import PhoneCall

HUMAN_PITCH = 0.9
MET_S = 3.0  # after the joining, both have been heard
EXIT_FAILED = 1


async def run(seed: int, stage: Stage, folder: Path, *, provider: str = "openai") -> bool:
    """Run the demo. folder: where the recordings go. Returns whether every check is good.

    provider: who speaks for the agent: openai (the model) or elevenlabs, both simulated
    """
    scenario = draw(seed)
    stage.scenario(scenario)
    voices = {name: pronounce(text) for name, text in lines(scenario).items()}
    voices["hello"] = pronounce(phrases.HUMAN, pitch=HUMAN_PITCH)
    voices["has_it"] = pronounce(phrases.HUMAN_HAS_IT, pitch=HUMAN_PITCH)
    # The network's voice, too, speaks beforehand what it will have to say.
    abouts = (phrases.tell_about(scenario.topic), phrases.WANTS_PERSON)
    for text in (*NETWORK_SAYS, *abouts):
        network_says(text)
    zone = early_zone(datetime.now(UTC))
    today = datetime.now(ZoneInfo(zone)).date()
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as name:
        scratch = Path(name)
        (scratch / "business.toml").write_text(business_toml(scenario, zone), encoding="utf-8")
        done = await House(scratch, stage, voices, provider).calls()
        rows = read_rows(scratch / "relay.db")
    complaints = [each.text for call in done.cloud.calls.values() for each in call.complaints]
    holes = [
        (number, gap)
        for number, ended in enumerate(done.calls, 1)
        for leg in ended.call.streams
        for gap in gaps(leg)
    ]
    evidence = Evidence(
        calls=[_left(done, ended) for ended in done.calls],
        rows=rows,
        callers=CALLERS,
        starts_at=starts_at(scenario.booking, today),
        barge_in_ms=done.calls[0].timing.barge_in,
        notices=list(done.owner.notices.values()),
        refused=done.owner.refused,
        gaps=[gap.ms for _, gap in holes],
        complaints=complaints + done.complaints,
    )
    files = [_record(folder, n, each) for n, each in enumerate(done.calls, 1)]
    outcomes = [outcome_of(rows, each.call.sid) for each in done.calls]
    stage.rows(rows)
    for number, each in enumerate(done.calls, 1):
        stage.heard(f"the caller's ear, call {number}", each.heard)
        if each.at_desk:
            stage.heard(f"the human's ear, call {number}", each.at_desk)
    quiet = [left.quiet_ms for left in evidence.calls]
    stage.calls([each.timing for each in done.calls], quiet, outcomes, files)
    stage.tell("loop", f"the relay's event loop was {done.lag.worst_ms:.0f} ms late at worst")
    stage.tell("gaps", f"{len(holes)} in the agent's speech")
    for number, gap in holes:
        stage.tell("problem", f"call {number}: {gap.ms:.0f} ms of nothing at {gap.at_s:.2f} s")
    for complaint in evidence.complaints:
        stage.tell("problem", complaint)
    verdicts = judge(scenario, evidence)
    stage.verdicts(verdicts)
    return all(verdict.good for verdict in verdicts)


def _left(done: Done, ended: Ended) -> Left:
    call, leg = ended.call, ended.leg
    room = room_of(done.cloud, call)
    return Left(
        sid=call.sid,
        ear=ended.heard,
        desk=ended.at_desk,
        rang=len(ended.rung.calls) if ended.rung else 0,
        together=room is not None and leg is not None and {*joined(room)} == {call.sid, leg.sid},
        quiet_ms=_quiet(call, leg) if leg is not None else None,
    )


def _quiet(call: PhoneCall, leg: PhoneCall) -> tuple[float, float] | None:
    """The longest silences in ms, at the caller's ear and at the human's, from the human's key
    until both have been heard; None: they did not meet."""
    keys = [event.at for event in leg.log.events if event.kind == "gathered"]
    joins = [
        event.at
        for each in (call, leg)
        for event in each.log.events
        if event.kind == "participant-join"
    ]
    if not keys or len(joins) < 2:
        return None
    start, end = keys[0], max(joins) + MET_S
    return longest_silence(call.line, start, end), longest_silence(leg.line, start, end)


def _record(folder: Path, number: int, ended: Ended) -> str:
    """Write down what a caller said and heard, and what a human did who was put on the line."""
    lines = {f"demo-call-{number}.wav": ended.call.line}
    if ended.leg is not None and ended.leg.answered_at is not None:
        lines[f"demo-call-{number}-human.wav"] = ended.leg.line
    for name, line in lines.items():
        (folder / name).write_bytes(stereo_wav(bytes(line.said.audio), bytes(line.heard.audio)))
    return ", ".join(lines)


def main(seed: int | None = None, provider: str = "openai") -> int:
    """Run the demo, and leave its recordings in the current folder. Returns the exit status."""
    set_up_logs("WARNING", sys.stderr)
    server.prepare_process()
    drawn = secrets.randbelow(1_000_000) if seed is None else seed
    good = trio.run(partial(run, drawn, Stage(), Path.cwd(), provider=provider))
    return 0 if good else EXIT_FAILED
