"""500 calls that ring at the same moment, beside ten that talk: who waits, and what is heard of it.

    python bench/door.py        a minute; exit 1 when a goal is missed

Ends with 1 as well when a webhook was not answered with a stream, or anything went wrong with the
calls beside them: a frame that never came is in no figure.

`relay serve` has one core, everything else the other: ten simulated phones, the simulated model,
and 500 signed `POST /twilio/incoming`, each on a connection of its own. BURSTS times they all
connect at once, with a pause between; what is printed is the median of the bursts.

    answer   from the connect to the last byte, ms
    cpu      of the relay per webhook, ms, less what the ten calls take anyway
    gap      how much longer a caller's frame was on its way to the model during a burst than the
             median frame of that call: the hole that the burst tears into what the model hears, ms
"""

from __future__ import annotations

import argparse
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import trio
from twilio.request_validator import RequestValidator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _latency_machine as machine
from bench._latency_join import arrivals_of
from bench._latency_live import sessions_of
from bench._latency_phones import ACCOUNT_SID, AUTH_TOKEN, OWN_NUMBER
from bench._latency_stage import joined
from bench._latency_stats import quantile
from bench._program import one_core, run
from bench._relay_process import HERE, PUBLIC, pseudonym, running_relay

WEBHOOKS: Final = 500
CALLS: Final = 10
TURNS: Final = 6
BURSTS: Final = 5
QUIET_S: Final = 2.0
# Who is refused is answered within half a second; a hole of one frame is not heard.
GOALS: Final = {"answer p99": 500.0, "cpu": 0.8, "gap": 20.0}
WAIT_S: Final = 150.0
ANSWERED_S: Final = 30.0  # twice what Twilio waits


@dataclass(frozen=True, slots=True)
class Burst:
    """When it was, monotonic; ms of each answer; CPU ms of the relay per webhook."""

    began: float
    ended: float
    took: list[float]
    cpu_ms: float


def webhook(number: int) -> bytes:
    """A ringing call, as it stands on the wire; the head is as long as Twilio's."""
    form = {
        "AccountSid": ACCOUNT_SID,
        "ApiVersion": "2010-04-01",
        "CallSid": f"CA{number:032x}",
        "CallStatus": "ringing",
        "Called": OWN_NUMBER,
        "Caller": f"+1213{number:07d}",
        "Direction": "inbound",
        "From": f"+1213{number:07d}",
        "FromCity": "LOS ANGELES",
        "FromCountry": "US",
        "FromState": "CA",
        "FromZip": "",
        "To": OWN_NUMBER,
        "ToCity": "AUSTIN",
        "ToCountry": "US",
        "ToState": "TX",
        "ToZip": "",
    }
    url, body = f"{PUBLIC}/twilio/incoming", urlencode(form)
    headers = {
        "Host": urlsplit(PUBLIC).netloc,
        "User-Agent": "TwilioProxy/1.1",
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "Content-Length": str(len(body)),
        "Accept": "*/*",
        "X-Home-Region": "us1",
        "I-Twilio-Idempotency-Token": f"{number:08x}-0000-4000-8000-000000000000",
        "X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(url, form),
        "X-Forwarded-For": "54.172.60.1",
        "X-Forwarded-Proto": "https",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /twilio/incoming HTTP/1.1\r\n{head}\r\n{body}".encode()


def fire(port: int, wires: Sequence[bytes]) -> list[float]:
    """Ask all at once, as lean as can be: it is the relay that is to be measured. ms of each.

    Raises SystemExit when one is not answered with a stream of its own.
    """
    took: list[float] = []
    until = time.monotonic() + ANSWERED_S
    with selectors.DefaultSelector() as selector:
        try:
            for wire in wires:
                asking = socket.socket()
                asking.setblocking(False)
                asking.connect_ex(("127.0.0.1", port))
                selector.register(asking, selectors.EVENT_WRITE, [time.monotonic(), wire, b""])
            while selector.get_map():
                for key, _ in selector.select(timeout=1.0):
                    if (ms := _go_on(selector, key)) is not None:
                        took.append(ms)
                if time.monotonic() > until:
                    left = len(wires) - len(took)
                    raise SystemExit(f"{left} webhooks without an answer after {ANSWERED_S:.0f} s")
        except OSError as fault:
            raise SystemExit(f"a webhook's connection broke: {fault}") from None
        finally:
            for key in list(selector.get_map().values()):
                _socket(key).close()
    return took


def _go_on(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> float | None:
    """One step of one connection. Returns what its answer took, ms, once it is whole."""
    asking, state = _socket(key), key.data
    if key.events == selectors.EVENT_WRITE:
        asking.sendall(state[1])
        selector.modify(asking, selectors.EVENT_READ, state)
    elif some := asking.recv(65536):
        state[2] += some
    else:
        took = 1000 * (time.monotonic() - state[0])
        selector.unregister(asking)
        asking.close()
        if not state[2].startswith(b"HTTP/1.1 200") or b"<Stream" not in state[2]:
            raise SystemExit(f"not answered with a stream: {state[2][-300:]!r}")
        return took
    return None


def _socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - nothing else was registered
    return key.fileobj


async def bursts(relay: trio.Process, port: int) -> list[Burst]:
    """One after another, once the calls have begun; the quiet before each says what calls cost."""
    found = []
    await trio.sleep(QUIET_S)
    for number in range(BURSTS):
        wires = [webhook(number * WEBHOOKS + n) for n in range(WEBHOOKS)]
        before = machine.sample(relay.pid)
        await trio.sleep(QUIET_S)
        start = machine.sample(relay.pid)
        took = await trio.to_thread.run_sync(fire, port, wires)
        end = machine.sample(relay.pid)
        calls_ms = (start.cpu_ms - before.cpu_ms) / (start.at - before.at) * (end.at - start.at)
        cpu_ms = (end.cpu_ms - start.cpu_ms - calls_ms) / WEBHOOKS
        found.append(Burst(start.at, end.at, took, cpu_ms))
    return found


def faults(phones: Sequence[Any], sessions: Sequence[Any]) -> list[str]:
    """What went wrong with the calls beside the bursts."""
    found = list(joined(phones, sessions).missing)
    found += [text for each in phones for text in each["complaints"]]
    return found + [text for each in sessions for text in each["faults"]]


def gap_ms(phones: Sequence[Any], sessions: Sequence[Any], burst: Burst) -> float:
    """The most that a frame of any call came later than that call's frames usually do."""
    by_name, worst = {each["caller"]: each for each in sessions}, []
    for phone in phones:
        session = by_name.get(pseudonym(phone["caller"]))
        if session is None:
            continue  # it is a fault, too
        came = arrivals_of(phone["frames"], session["appends"])
        late = [
            (sent, 1000 * (at - sent))
            for sent, at in zip(phone["frames"], came, strict=True)
            if at is not None
        ]
        usual = statistics.median(ms for _, ms in late)
        worst += [ms - usual for sent, ms in late if burst.began <= sent <= burst.ended]
    if not worst:
        raise SystemExit("nobody talked during a burst")
    return max(worst)


async def measure(folder: Path) -> tuple[dict[str, float], list[str]]:
    """The figures, each the median of the bursts, and what went wrong."""
    cores = machine.share_out()
    process = await machine.begin([str(HERE / "_latency_model.py")], cores.others)
    model = machine.Lines(process, "the simulated model")
    try:
        model_port = (await model.next(WAIT_S))["port"]
        async with running_relay(model_port, cores.relay, folder) as (relay, local):
            arguments = [
                str(HERE / "_latency_phones.py"),
                PUBLIC,
                local,
                str(CALLS),
                str(TURNS),
                "0",
            ]
            phones = await machine.begin(arguments, cores.others)
            try:
                port = urlsplit(local).port or 0
                found = await bursts(relay, port)
                seen = (await machine.Lines(phones, "the simulated phones").next(WAIT_S))["calls"]
            finally:
                await machine.end(phones)
            sessions = await sessions_of(model, CALLS)
    finally:
        await machine.end(process)
    points = [
        {
            "answer p50": quantile(sorted(burst.took), 0.5),
            "answer p99": quantile(sorted(burst.took), 0.99),
            "answer max": max(burst.took),
            "cpu": burst.cpu_ms,
            "gap": gap_ms(seen, sessions, burst),
        }
        for burst in found
    ]
    medians = {name: statistics.median(each[name] for each in points) for name in points[0]}
    return medians, faults(seen, sessions)


def main() -> int:
    alone = one_core()
    with tempfile.TemporaryDirectory() as folder:
        figures, wrong = run(measure, Path(folder))
    print(f"{WEBHOOKS} webhooks at once beside {CALLS} calls, median of {BURSTS} bursts, ms")
    for name, ms in figures.items():
        goal = GOALS.get(name)
        verdict = "" if goal is None else f"   goal {goal:g}: {'kept' if ms <= goal else 'MISSED'}"
        print(f"  {name:<10} {ms:8.2f}{verdict}")
    for text, count in Counter(wrong).items():
        print(f"FAULT    {count} times {text}")
    missed = any(figures[name] > goal for name, goal in GOALS.items())
    return int(missed or bool(wrong) or alone)


if __name__ == "__main__":
    argparse.ArgumentParser(description="500 calls that ring at the same moment.").parse_args()
    sys.exit(main())
