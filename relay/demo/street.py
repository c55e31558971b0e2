"""What a relay needs around it on this machine: a telephone network with its REST API, and a start.

Both `relay demo` and `relay rehearse` call a relay here. It is the real one, `wiring.serve`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from relay import server, wiring
from relay.config import Settings
from relay.sim import voice
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_net import open_internet
from relay.sim.twilio_rest import RestApi, open_rest
from relay.sim.twilio_rest_server import serve_rest
from relay.stop import Stop
from relay.web.humans import ON_THE_LINE, ONE_MOMENT, PRESS

PUBLIC_URL = "https://relay.demo"
ACCOUNT_SID = "AC" + secrets.token_hex(16)
AUTH_TOKEN = secrets.token_hex(16)
NETWORK_PITCH = 1.1  # of what the telephone network says
REST_S = 0.5  # from a request to the telephone network's API to its answer
START_S, STOP_S = 30.0, 20.0
NETWORK_SAYS = (ON_THE_LINE, PRESS, ONE_MOMENT)


def network_says(text: str) -> bytes:
    """The telephone network's own voice: mu-law. Quick for sentences that it has said before."""
    return voice.speak(text, pitch=NETWORK_PITCH)


@dataclass(frozen=True, slots=True)
class Street:
    """An open telephone network. api_url: of its REST API."""

    cloud: TwilioCloud
    rest: RestApi
    api_url: str
    _origins: dict[str, str]

    @asynccontextmanager
    async def open_relay(self, settings: Settings) -> AsyncIterator[server.Served]:
        """Run a relay under PUBLIC_URL for the length of a block, and see it to its end."""
        async with trio.open_nursery() as nursery:
            stop = Stop()
            with trio.fail_after(START_S):
                serve = partial(wiring.serve, settings, stop=stop)
                served: server.Served = await nursery.start(serve)
            self._origins[PUBLIC_URL] = f"http://127.0.0.1:{served.port}"
            yield served
            stop.ask()
            nursery.cancel_scope.deadline = trio.current_time() + STOP_S

    def place(self, dialled: str, caller: str) -> PhoneCall:
        """Make a call to the relay's number that has not begun yet."""
        base = f"{PUBLIC_URL}/twilio"
        number = Number(dialled, f"{base}/incoming", f"{base}/fallback", f"{base}/status")
        return self.cloud.place(number, caller)


@asynccontextmanager
async def open_street(phones: Mapping[str, HumanPhone]) -> AsyncIterator[Street]:
    """Open a telephone network. phones: who can be rung, by number."""
    origins: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        internet = await stack.enter_async_context(open_internet(origins))
        cloud = TwilioCloud(ACCOUNT_SID, AUTH_TOKEN, internet, phones=phones, speak=network_says)
        rest = await stack.enter_async_context(open_rest(cloud, latency_s=REST_S))
        api_url: str = await rest.nursery.start(serve_rest, rest)
        yield Street(cloud, rest, api_url, origins)


def stand_in_prompts(scratch: Path) -> Path:
    """The project's prompts, or a stand-in where the package was installed without them: the
    simulated model does not read them."""
    here = Path("prompts")
    if (here / "system.md").exists():
        return here
    (scratch / "system.md").write_text("You answer for {business_name}.\n", encoding="utf-8")
    return scratch
