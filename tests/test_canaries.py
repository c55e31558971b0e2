"""Whose call it was, what was said in it, and the keys of the house: none of it is in the log.

A whole call over real sockets, logged at DEBUG: the caller gives a name and a number, a function
fails, another takes a message, the model complains and quotes, keys are pressed. Every value that
must not get out is a word of its own, and every line is searched for it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from relay.adapters.store import open_store
from relay.sim.brains import Scripted, call, failed, reply, say
from relay.sim.person import Person
from relay.sim.realtime import Options
from relay.sim.realtime_listen import listen
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import open_internet
from relay.sim.ulaw import tone
from tests.started import begun
from tests.test_cli import environ
from tests.test_wiring import PUBLIC

CALLER = "+14155557213"
NAME, WORD, ANSWER = "Zebulon", "rutabaga", "marzipan"
SECRETS = {
    "caller": CALLER,
    "caller without its plus": CALLER[1:],
    "caller as it is said": "415-555-7213",
    "name": NAME,
    "word": WORD,
    "answer": ANSWER,
    "key": "sk-canary-key",
    "token": "canary-auth-token",
    "human": "+14155558888",
    "card": "4111 1111 1111 1111",
    "social": "123-45-6789",
}


def brain() -> Scripted:
    return Scripted(
        reply(
            say(f"A {ANSWER} for you.", ms=400),
            call("book_appointment", name=NAME, service=WORD, start="2031-01-01T10:00"),
        ),
        reply(
            call(
                "take_message",
                name=NAME,
                message=f"The {WORD}: {SECRETS['card']}.",
                call_back=CALLER,
            )
        ),
        failed("server_error", f"cannot say {WORD} to {NAME}"),
        otherwise=reply(say(f"The {ANSWER} is yours.", ms=400)),
        heard=[
            f"I am {NAME}, 415-555-7213, about the {WORD}.",
            f"More {WORD}! My card is {SECRETS['card']}, and {SECRETS['social']}.",
        ],
    )


async def talk(port: int, token: str) -> PhoneCall:
    async def script(caller: Person) -> None:
        await caller.hear_voice(0, timeout_s=5)
        await caller.hear_silence(500, timeout_s=15)
        for _ in range(2):
            asked = caller.line.sample(await caller.say(tone(700, 900)))
            await caller.hear_voice(asked, timeout_s=10)
            await caller.hear_silence(600, timeout_s=15)
        caller.press("42")
        await trio.sleep(1.5)
        caller.hang_up()

    async with open_internet({PUBLIC: f"http://127.0.0.1:{port}"}) as network:
        cloud = TwilioCloud("AC" + "0" * 32, token, network)
        pages = (f"{PUBLIC}/twilio/{name}" for name in ("incoming", "fallback", "status"))
        placed = cloud.place(Number("+14155550100", *pages), CALLER)
        await cloud.run(placed, script)
        return placed


def port_in(log: Path) -> int:
    """The port that a relay says it listens on, 0 before."""
    lines = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if "\n" in line]
    return next((line["port"] for line in lines if line["event"] == "= listening"), 0)


@asynccontextmanager
async def running(folder: Path, log: Path, **changes: str) -> AsyncIterator[int]:
    """A relay in a process of its own, whose whole output goes into a file. Gives its port."""
    env = environ(folder, LOG_LEVEL="DEBUG", **changes)
    process = begun("serve", folder=folder, env=env, out=log, err=log)
    try:
        while not (port := port_in(log)):  # noqa: ASYNC110 - another process's
            await trio.sleep(0.05)
        yield port
        process.terminate()
        while process.poll() is None:  # noqa: ASYNC110 - another process
            await trio.sleep(0.05)
    finally:
        process.kill()
        process.wait()


def files_with(folder: Path, secret: str) -> list[str]:
    """Files that hold it: the database, its log, the spool, recordings of events."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        data += gzip.decompress(data) if path.suffix == ".gz" else b""
        found += [path.name] if secret.encode() in data else []
    return found


def without_personal(line: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in line.items() if not key.startswith("pii.")})


@pytest.mark.parametrize("pii", ["off", "on"])
async def test_no_line_of_a_whole_call_tells_whose_it_was(tmp_path: Path, pii: str) -> None:
    """Off: not at all. On: where it says so, under keys that begin with `pii.`."""
    log = tmp_path / "log"
    with trio.fail_after(240):
        async with trio.open_nursery() as nursery:
            model = partial(listen, brain, options=Options(judge="level"))
            model_port = await nursery.start(model)
            async with running(
                tmp_path,
                log,
                LOG_PII=pii,
                FLIGHT_DIR=str(tmp_path / "flights"),
                TWILIO_AUTH_TOKEN=SECRETS["token"],
                OPENAI_API_KEY=SECRETS["key"],
                HUMAN_TRANSFER_NUMBER=SECRETS["human"],
                OPENAI_REALTIME_URL=f"ws://127.0.0.1:{model_port}/v1/realtime",
            ) as port:
                placed = await talk(port, SECRETS["token"])
                await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"call began", "call over", "note"} <= {line["event"] for line in lines}

    store = open_store(f"sqlite:///{tmp_path}/relay.db")
    kept = json.dumps(store.everything(placed.sid), default=str)
    store.close()
    for wanted in (CALLER, NAME, WORD, ANSWER):
        assert wanted in kept, "it was said in the call, and written down"

    for never in ("card", "social"):
        assert SECRETS[never] not in kept
        assert files_with(tmp_path, SECRETS[never]) == [], never
    assert "#### #### #### ####" in kept

    searched = text.splitlines() if pii == "off" else [without_personal(line) for line in lines]
    hits = {what: [x for x in searched if secret in x] for what, secret in SECRETS.items()}
    assert {what: found for what, found in hits.items() if found} == {}
    assert (CALLER in text) is (pii == "on")
