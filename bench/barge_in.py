"""Does the agent yield when the caller speaks, and only then? `python bench/barge_in.py`.

Thirty simulated minutes in twelve calls, on a jumping clock: the real session, core and codec
between a simulated phone and a simulated model with a speech detector of its own (WebRTC's).
Callers between -28 and -16 dBFS interrupt; others cough, drive by, watch television, and the line
returns the agent's voice. What really happened is known from the script (_scene.py).

    false cuts    the agent fell silent though the caller said nothing
    cut           true interruptions that silenced the agent before they were over, or within 0.6 s
    onset         from the caller's first audible sound to silence at the caller's ear; the network
                  takes 20 to 60 ms of it each way
    deleted       user items that the detector made of a noise, and that the model had to forget

Beside it, what a single event costs: virtual milliseconds until its effect, and our own work.

Prints the tables, writes bench/results/barge_in.json and the picture of a call, barge_in.svg.
Exits with 1, naming it, when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import trio
import trio.testing

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench import _picture as pictures  # noqa: E402
from bench import _sounds as sounds  # noqa: E402
from bench._effects import effects  # noqa: E402
from bench._scene import ANSWERS, PHRASES, QUESTIONS, Caller, Scene  # noqa: E402
from relay.audio import level_db  # noqa: E402
from relay.sim.voice import MODEL_HZ  # noqa: E402
from tests.shell.house import open_house  # noqa: E402

CALLS, SECONDS = 12, 150.0
GRACE_S = 0.6
NOISES = (
    "coughs",
    "traffic",
    "television",
    "echo",
    "coughs echo",
    "coughs traffic",
    "television echo",
    "coughs television",
    "traffic echo",
    "coughs traffic television echo",
    "coughs",
    "coughs television echo",
)
VOICES = (("en-US", 1.0), ("en-GB", 0.8), ("en-US", 1.3), ("en-GB", 1.2), ("en-US", 0.75))
PICTURED, PICTURED_S = 11, 75.0  # coughs, television and echo at once
GOALS = {
    "barge_ins": (200, "at least"),
    "cut_share": (0.98, "at least"),
    "false_cuts_per_10_min": (1.0, "at most"),
    "onset_to_silence_p95_ms": (600.0, "at most"),
}


def scenes(calls: int, seconds: float) -> list[Scene]:
    """The same for every seed: levels spread over the whole range, out of step with the noises."""
    levels = np.linspace(-28, -16, CALLS)
    return [
        Scene(
            n,
            float(levels[n * 5 % CALLS]),
            VOICES[n % len(VOICES)],
            frozenset(NOISES[n % len(NOISES)].split()),
            seconds,
        )
        for n in range(calls)
    ]


def prepare(todo: list[Scene]) -> None:
    """Speak everything once: none of it is to be paid for on the simulated clock."""
    for text in ANSWERS:
        sounds.speech(text, rate=MODEL_HZ)
    for who in {scene.voice for scene in todo}:
        for text in (*PHRASES, *QUESTIONS):
            sounds.speech(text, *who)


async def play(todo: list[Scene], seed: int) -> list[Caller]:
    callers = [Caller(scene, seed) for scene in todo]
    async with open_house(max_call_s=3600.0) as house, trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(caller.run, house)
    return callers


# ---- figures --------------------------------------------------------------------------------


def figures(callers: list[Caller]) -> dict[str, object]:
    rows = [row(caller) for caller in callers]
    barge_ins = [s for caller in callers for s in caller.spoken if s.over]
    took = [1000 * (s.cut_at - s.onset) for s in barge_ins if s.cut_at is not None]
    minutes = sum(caller.scene.seconds for caller in callers) / 60
    return {
        "minutes": minutes,
        "barge_ins": len(barge_ins),
        "cut_share": len(took) / len(barge_ins),
        "false_cuts": sum(r["false_cuts"] for r in rows),
        "false_cuts_per_10_min": sum(r["false_cuts"] for r in rows) / minutes * 10,
        "onset_to_silence_p50_ms": float(np.percentile(took, 50)),
        "onset_to_silence_p95_ms": float(np.percentile(took, 95)),
        "coughs": sum(r["coughs"] for r in rows),
        "false_items": sum(r["false_items"] for r in rows),
        "false_items_deleted": sum(r["deleted"] for r in rows),
        "true_items_deleted": sum(r["true_items_deleted"] for r in rows),
        "missed": dict(Counter(s.text for s in barge_ins if s.cut_at is None)),
        "calls": rows,
    }


def row(caller: Caller) -> dict[str, object]:
    false = caller.judge(GRACE_S)
    over = [s for s in caller.spoken if s.over]
    took = [1000 * (s.cut_at - s.onset) for s in over if s.cut_at is not None]
    deleted = {event["item_id"] for event in caller.call.told("conversation.item.delete")}
    return {
        "noises": " ".join(sorted(caller.scene.noises)),
        "level_db": round(caller.scene.level_db, 1),
        "barge_ins": len(over),
        "cut": len(took),
        "false_cuts": len(false),
        "false_cuts_at_s": [round(at - caller.call.began_at, 2) for at in false],
        "p50_ms": float(np.percentile(took, 50)) if took else 0.0,
        "p95_ms": float(np.percentile(took, 95)) if took else 0.0,
        "coughs": len(caller.coughs),
        "false_items": len(caller.agent.false),
        "deleted": len(caller.agent.false & deleted),
        "true_items_deleted": len(caller.agent.real & deleted),
    }


def missed(found: dict[str, object]) -> list[str]:
    """The goals that were missed, in words."""
    out = []
    for name, (goal, how) in GOALS.items():
        value = float(found[name])  # type: ignore[arg-type]
        if (value < goal) if how == "at least" else (value > goal):
            out.append(f"{name} is {value:g}, and should be {how} {goal:g}")
    return out


def picture(caller: Caller) -> pictures.Picture:
    """A call as its two ends and the script saw it."""
    call, bed = caller.call, caller.bed
    start = call.began_at
    sent_from = call.leg.started_at or start
    step = int(pictures.STEP_S * sounds.RATE)
    heard = call.line.heard.read(0, int((sent_from - start + PICTURED_S) * sounds.RATE))
    sent = bytes(bed.sent[: len(heard)])

    def levels(mulaw: bytes) -> list[float]:
        return [level_db(mulaw[at : at + step]) for at in range(0, len(mulaw), step)]

    scene = caller.scene
    return pictures.Picture(
        f"A call at {scene.level_db:.0f} dBFS with {', '.join(sorted(scene.noises))}",
        levels(sent),
        levels(heard),
        [(s.onset - start, s.end - start) for s in caller.spoken],
        [(since - start, until - start) for since, until in caller.coughs],
        [
            logged.at - start
            for logged in call.session.log
            if logged.event["type"] == "input_audio_buffer.speech_started"
        ],
        [at - start for at in caller.cuts()],
        [
            call.line.time(mark.echoed) - start
            for mark in call.leg.playout.marks
            if mark.echoed is not None
        ],
    )


def table(found: dict[str, object]) -> None:
    head = ("level", "barge-ins", "cut", "p50 ms", "p95 ms", "coughs", "false cuts", "false items")
    print(f"{'noises':32}" + "".join(f"{name:>12}" for name in head) + "     deleted")
    for r in found["calls"]:  # type: ignore[attr-defined]
        print(
            f"{r['noises']:32}{r['level_db']:12.1f}{r['barge_ins']:12}{r['cut']:12}"
            f"{r['p50_ms']:12.0f}{r['p95_ms']:12.0f}{r['coughs']:12}{r['false_cuts']:12}"
            f"{r['false_items']:12}{r['deleted']:12}"
        )
    print(
        f"\n{found['minutes']:.0f} simulated minutes, {found['barge_ins']} barge-ins,"
        f" {found['coughs']} bouts of coughing\n"
        f"cut                {found['cut_share']:8.1%}      goal: at least 98 %\n"
        f"false cuts         {found['false_cuts_per_10_min']:8.2f}      in 10 minutes; at most 1\n"
        f"onset to silence   {found['onset_to_silence_p50_ms']:8.0f} ms   p50\n"
        f"                   {found['onset_to_silence_p95_ms']:8.0f} ms   p95; at most 600\n"
        f"false items        {found['false_items']:8}      {found['false_items_deleted']} deleted,"
        f" and {found['true_items_deleted']} true ones"
    )
    if found["missed"]:
        print(f"not cut by: {found['missed']}")
    print(f"\n{'event':28}{'first effect':24}{'virtual ms':>12}{'own work, us':>14}")
    for e in found["effects"]:  # type: ignore[attr-defined]
        print(f"{e['event']:28}{e['effect']:24}{e['virtual_ms']:12}{e['own_work_us']:14.1f}")


def main() -> int:
    ask = argparse.ArgumentParser(description="Barge-in, measured.")
    ask.add_argument("--seed", type=int, default=4)
    ask.add_argument("--calls", type=int, default=CALLS)
    ask.add_argument("--seconds", type=float, default=SECONDS)
    options = ask.parse_args()
    todo = scenes(options.calls, options.seconds)
    prepare(todo)
    started = time.process_time()
    clock = trio.testing.MockClock(autojump_threshold=0)
    callers = trio.run(play, todo, options.seed, clock=clock)
    found = figures(callers)
    found["effects"] = effects()
    found["cpu_s"] = round(time.process_time() - started, 1)
    table(found)
    print(f"\nCPU: {found['cpu_s']} s")
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / "barge_in.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = callers[min(PICTURED, len(callers) - 1)]
    drawn = pictures.svg(picture(shown), PICTURED_S)
    (out / "barge_in.svg").write_text(drawn, encoding="utf-8")
    wrong = missed(found)
    for line in wrong:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
