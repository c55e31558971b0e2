"""A telephone exchange: callers, humans, Twilio and a whole relay, in memory on one jumping clock.

    async with open_exchange(brain, human) as exchange:
        await exchange.call(script)

Between the simulated Twilio and the simulated model stand the real webhooks, switchboard, calls,
humans and REST adapter; only the store keeps its rows in memory. HTTP takes HTTP_S each way round,
REST half a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import trio

from relay.adapters.twilio_rest import TwilioPhone
from relay.core.records import CallEnded, OwnerNotice
from relay.ports import OpenCall
from relay.shell.humans import Humans
from relay.shell.session import run_call
from relay.shell.stragglers import Stragglers
from relay.sim.brains import Brain
from relay.sim.line import Line
from relay.sim.pair import MemorySocket
from relay.sim.person import Script
from relay.sim.realtime import Options
from relay.sim.twilio_call import Number, PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_courier import Deliveries, once
from relay.sim.twilio_dial import HumanPhone
from relay.sim.twilio_net import Answer, Form, InProcess
from relay.sim.twilio_rest import RestApi, RestTransport, open_rest
from relay.switchboard import Switchboard
from relay.web.app import create_app
from relay.web.desk import FrontDesk
from relay.web.health import Probe
from relay.web.outcomes import Outcomes
from relay.web.twilio import ended
from tests.fakes import FakeStore, ask_inline, make_humans
from tests.shell.house import NUMBER, PLAIN, House, Placed, clock, open_house

PUBLIC = "https://relay.example.com"
STREAMS = "wss://relay.example.com"
ACCOUNT, TOKEN = "AC" + "1" * 32, "token"
OURS, HUMAN, BILLING = "+15559990000", "+15550000001", "+15550000002"
HTTP_S = 0.08
REST_S = 0.5


@dataclass
class Exchange:
    """One relay and its telephone network.

    legs: streams of the call, each with its model's end
    """

    house: House
    board: Switchboard
    cloud: TwilioCloud
    rest: RestApi
    human: HumanPhone
    brain: Brain
    options: Options
    refuse: str = ""
    legs: list[Placed] = field(default_factory=list)
    placed: PhoneCall | None = None
    asked: list[str] = field(default_factory=list)  # whose end nobody had told

    async def call(self, script: Script, caller: str = NUMBER, **extra: str) -> PhoneCall:
        """Make one call, to its end and to the end of all that came of it."""
        base = f"{PUBLIC}/twilio"
        number = Number(OURS, f"{base}/incoming", f"{base}/fallback", f"{base}/status")
        self.placed = self.cloud.place(number, caller, extra=extra)
        await self.cloud.run(self.placed, script, time_limit_s=300)
        await trio.sleep(20)  # a leg that nobody ends would still be there
        return self.placed

    def heard(self, line: Line) -> bytes:
        return bytes(line.heard.audio)

    @property
    def human_line(self) -> Line:
        line = self.human.calls[-1].line
        assert line is not None
        return line

    def orphans(self) -> list[PhoneCall]:
        """Calls that have not ended."""
        return [call for call in self.cloud.calls.values() if call.ended_at is None]

    def outcome(self) -> tuple[str, str]:
        """What the row says in the end."""
        assert self.placed is not None
        row = self.house.store.rows[self.placed.sid]
        return row.outcome or "", row.reason or ""

    def notices(self) -> list[str]:
        rows = [e.record for e in self.house.store.entries]
        return [row.kind for row in rows if isinstance(row, OwnerNotice)]

    def ends(self) -> int:
        return sum(isinstance(e.record, CallEnded) for e in self.house.store.entries)

    # ---- the relay, as Twilio reaches it ----------------------------------------------------

    def accept(self, url: str, headers: Mapping[str, str]) -> Any:
        async def carry(ours: MemorySocket) -> None:
            path = url.removeprefix(STREAMS)
            token = path.rpartition("/")[2]
            call_sid = await self.board.admit(path, token, headers["x-twilio-signature"])
            assert call_sid is not None
            assert self.placed is not None
            placed = Placed(
                call_sid,
                self.house.store,
                self.placed.streams[-1],
                ours,
                ours,
                self.brain,
                self.options,
                self.refuse,
            )
            self.legs.append(placed)
            self.house.calls[call_sid] = placed
            with self.board.on_line(call_sid) as choose:
                past = await self.board.story(
                    call_sid,
                    journal_flushed=self.house.journal.flushed,
                    here=self.house.kit.recordings.consented(call_sid),
                )
                await run_call(
                    ours, call_sid=call_sid, kit=self.house.kit, choose=choose, past=past
                )
            placed.over.set()

        return carry


@asynccontextmanager
async def open_exchange(
    brain: Brain,
    human: HumanPhone,
    *,
    options: Options = PLAIN,
    refuse: str = "",
    there: bool = True,
    deliveries: Deliveries = once,
    **policy: Any,
) -> AsyncIterator[Exchange]:
    """human: who is at HUMAN_TRANSFER_NUMBER; there: whether at this hour; refuse: no model.

    deliveries: what becomes of Twilio's status callbacks
    """
    app_of: list[Any] = []

    async def ask_relay(method: str, url: str, form: Form, headers: Mapping[str, str]) -> Answer:
        await trio.sleep(HTTP_S / 2)
        client = app_of[0].test_client()
        sent = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        answer = await client.open(
            url.removeprefix(PUBLIC), method=method, headers=sent, data=urlencode(form)
        )
        text = await answer.get_data(as_text=True)
        await trio.sleep(HTTP_S / 2)
        return Answer(answer.status_code, answer.content_type or "", text)

    exchange: list[Exchange] = []

    def accept(url: str, headers: Mapping[str, str]) -> Any:
        return exchange[0].accept(url, headers)

    network = InProcess(ask_relay, accept)
    cloud = TwilioCloud(ACCOUNT, TOKEN, network, phones={HUMAN: human}, deliveries=deliveries)
    async with open_rest(cloud, latency_s=REST_S) as rest:
        control = TwilioPhone(ACCOUNT, TOKEN, OURS, transport=RestTransport(rest))

        def humans(store: FakeStore) -> Humans:
            return make_humans(control, store, there=lambda: there)  # type: ignore[arg-type]

        async with open_house(humans=humans, control=control, **policy) as house:
            house.kit = replace(house.kit, phone_control=control)
            board = Switchboard(
                house.store,
                auth_token=TOKEN,
                stream_base=STREAMS,
                ask=ask_inline,
                wall_clock=lambda: clock().timestamp(),
            )
            outcomes = Outcomes(house.journal.keep)
            numbers = {"": HUMAN, "billing": BILLING}
            desk = FrontDesk(
                board,
                outcomes,
                house.kit.humans,
                house.journal.keep,
                TOKEN,
                PUBLIC,
                STREAMS,
                OURS,
                numbers,
                house.kit.recordings,
                recorded=bool(policy.get("record_calls")),
            )
            app_of.append(create_app(desk, Probe(lambda: None, house.journal)))
            one = Exchange(house, board, cloud, rest, human, brain, options, refuse)
            exchange.append(one)

            async def over(call: OpenCall) -> None:
                one.asked.append(call.call_sid)
                await ended(desk, call.call_sid, had_stream=call.had_stream)

            stragglers = Stragglers(
                house.store,
                control,
                house.kit.humans,
                ask=ask_inline,
                carried=board.carries,
                ended=over,
                # The webhooks' clock is the machine's, which hardly moves meanwhile.
                wall_clock=lambda: datetime.now(UTC) + timedelta(seconds=trio.current_time()),
            )
            house.nursery.start_soon(stragglers.run)
            yield one
        await control.aclose()
