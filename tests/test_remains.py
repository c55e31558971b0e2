"""What an ended call leaves in memory: nothing that waits for the collector.

An object in a cycle lives until the collector gets to its generation, which on a busy relay takes
minutes: by then a few hundred calls' sockets, buffers and converters are waiting.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer

from relay.audio import ModelToPhone, PhoneToModel
from relay.core.call import Call
from relay.shell.native_socket import NativeSocket
from relay.shell.outbox import Outbox
from relay.shell.session import Session
from relay.shell.speaker import Speaker
from relay.sim import elevenlabs
from relay.sim.brains import Scripted, call, reply, say
from relay.sim.person import Person
from relay.sim.realtime import Options
from relay.sim.realtime import Session as Model
from relay.sim.realtime_listen import listen
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_net import open_internet
from relay.sim.ulaw import tone
from relay.websocket import Link
from tests.test_wiring import CALLER, PUBLIC, make_settings, open_relay

PARTS = (
    Call,
    Link,
    ModelToPhone,
    NativeSocket,
    Outbox,
    PhoneToModel,
    Session,
    Speaker,
    TCPServer,
)

Script = Callable[[Person, PhoneCall], Awaitable[None]]
Watch = Callable[[Model], Awaitable[None]]


async def hangs_up(caller: Person, _placed: PhoneCall) -> None:
    caller.hang_up()


async def talks(caller: Person, _placed: PhoneCall) -> None:
    await caller.say(tone(700, 700))
    await trio.sleep(1)
    caller.hang_up()


async def is_cut_off(caller: Person, placed: PhoneCall) -> None:
    placed.streams[-1].drop()
    await trio.sleep(0.5)
    caller.hang_up()


async def speaks_nonsense(caller: Person, placed: PhoneCall) -> None:
    await placed.streams[-1].socket.send('{"event":')
    await trio.sleep(0.2)
    caller.hang_up()


async def lost(session: Model) -> None:
    """A model that breaks off."""
    await trio.sleep(0.3)
    session.close(1011)


async def kept(_session: Model) -> None:
    return


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The collector does not run."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def parts_alive() -> Counter[str]:
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in PARTS)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("script", "watch"),
    [(hangs_up, kept), (talks, kept), (is_cut_off, kept), (speaks_nonsense, kept), (talks, lost)],
)
async def test_nothing_of_an_ended_call_waits_for_the_collector(
    tmp_path: Path, script: Script, watch: Watch
) -> None:
    before = parts_alive()
    at_work = await _call(tmp_path, script, watch)
    assert at_work["Session"] == 1
    assert at_work["NativeSocket"] >= 1
    assert parts_alive() - before == Counter()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("script", "watch"), [(hangs_up, kept), (talks, kept), (is_cut_off, kept), (talks, lost)]
)
async def test_nor_does_anything_of_a_call_with_a_second_voice(
    tmp_path: Path, script: Script, watch: Watch
) -> None:
    before = parts_alive()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(elevenlabs.listen, elevenlabs.Provider())
        at_work = await _call(
            tmp_path,
            script,
            watch,
            VOICE_PROVIDER="elevenlabs",
            ELEVENLABS_API_KEY="none-is-needed",
            ELEVENLABS_VOICE_ID="pico",
            ELEVENLABS_URL=f"ws://127.0.0.1:{port}",
        )
        nursery.cancel_scope.cancel()
    assert at_work["Speaker"] == 1
    assert parts_alive() - before == Counter()


async def _call(folder: Path, script: Script, watch: Watch, **changes: str) -> Counter[str]:
    """Carry one call to its end. Returns which parts it was made of."""
    before = parts_alive()
    at_work: Counter[str] = Counter()

    async def carried(caller: Person, placed: PhoneCall) -> None:
        await caller.hear_voice(0, timeout_s=10)
        await trio.sleep(0.3)
        at_work.update(parts_alive() - before)
        await script(caller, placed)

    def brain() -> Scripted:
        open_until = reply(call("lookup_hours", day="friday"))
        return Scripted(reply(say("We are open.", ms=300)), open_until)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            serving = partial(listen, brain, watch, options=Options(judge="level"))
            port = await nursery.start(serving)
            url = f"ws://127.0.0.1:{port}/v1/realtime"
            settings = make_settings(folder, OPENAI_REALTIME_URL=url, **changes)
            async with open_relay(settings) as served:
                await _phone(served.port, carried)
            nursery.cancel_scope.cancel()
    return at_work


async def _phone(port: int, script: Callable[[Person, PhoneCall], Awaitable[None]]) -> None:
    async with open_internet({PUBLIC: f"http://127.0.0.1:{port}"}) as network:
        cloud = TwilioCloud("AC" + "0" * 32, "12345", network)
        number = Number(
            "+14155550100",
            f"{PUBLIC}/twilio/incoming",
            f"{PUBLIC}/twilio/fallback",
            f"{PUBLIC}/twilio/status",
        )
        placed = cloud.place(number, CALLER)
        await cloud.run(placed, lambda person: script(person, placed))
