"""Everything that runs during the calls, and the calls, one after another.

This process holds the relay (the real one: `wiring.serve`, SQLite, its own port), the telephone
network with everybody who has a telephone, and the owner's webhook. The model has a process of its
own, because hearing and speaking hold the GIL; so has each ear that hears a call again afterwards.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from relay import config, wiring
from relay.demo import callers
from relay.demo.caller import Caller, Spoken, Timing
from relay.demo.desk import Desk, until_opened
from relay.demo.ears import listen
from relay.demo.measure import sounds
from relay.demo.model import Model, open_model
from relay.demo.owner import Owner
from relay.demo.scenario import BOOK
from relay.demo.show import Stage
from relay.demo.street import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    PUBLIC_URL,
    Street,
    open_street,
    stand_in_prompts,
)
from relay.sim import grammars
from relay.sim.person import Person
from relay.sim.twilio_call import PhoneCall
from relay.sim.twilio_cloud import TwilioCloud
from relay.sim.twilio_dial import HumanPhone
from relay.web.humans import ON_THE_LINE, ONE_MOMENT, PRESS

RELAY_NUMBER, HUMAN_NUMBER = "+15125550100", "+15125550199"
CALLERS = ("+14155550123", "+12125550177", "+13055550144", "+14155550166")
NOTIFY_SECRET = secrets.token_hex(32)
NOTICES = 2  # a booking and a message
NOTICES_S = 10.0  # until they have come
CALL_LIMIT_S = 120.0
LOOK_S = 0.01
NEWS_S = 0.1  # until a new call is known of
ASIDE_NICE = 10  # of what runs beside a call
PRESS_SPOKEN = PRESS.replace("1", "one")

Script = Callable[[Caller], Awaitable[None]]


@dataclass(slots=True)
class Ended:
    """One call that is over.

    rung: the human's telephone, for those who wanted one; leg: the call that made it ring
    heard, at_desk: the sentences at the caller's ear and at the human's, once they are known
    """

    call: PhoneCall
    timing: Timing
    rung: HumanPhone | None
    leg: PhoneCall | None = None
    heard: list[str] = field(default_factory=list)
    at_desk: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Lag:
    """How late this process's event loop was at worst, in ms."""

    worst_ms: float = 0.0

    async def watch(self) -> None:
        while True:
            due = trio.current_time() + LOOK_S
            await trio.sleep_until(due)
            self.worst_ms = max(self.worst_ms, 1000 * (trio.current_time() - due))


@dataclass(slots=True)
class Done:
    """What is left when the house is dark. complaints: of the model about its client."""

    calls: list[Ended]
    cloud: TwilioCloud
    owner: Owner
    lag: Lag
    complaints: list[str]


@dataclass(frozen=True, slots=True)
class House:
    """What the calls need. voices: of the callers and the human, by their lines' names.

    provider: who speaks for the agent, as VOICE_PROVIDER has it
    """

    scratch: Path
    stage: Stage
    voices: Mapping[str, Spoken]
    provider: str = "openai"

    async def calls(self) -> Done:
        """Place all calls."""
        owner = Owner(NOTIFY_SECRET, self.stage.tell)
        desk = Desk(HUMAN_NUMBER, self.voices, self.stage.tell)
        async with AsyncExitStack() as stack:
            model = await stack.enter_async_context(open_model(self.stage.tell))
            ears = await stack.enter_async_context(trio.open_nursery())
            street = await stack.enter_async_context(open_street(desk.phones))
            done = Done([], street.cloud, owner, Lag(), model.complaints)
            notify_url: str = await street.rest.nursery.start(owner.listen)
            settings = self._settings(model, street.api_url, notify_url)
            async with street.open_relay(settings) as served, trio.open_nursery() as watch:
                self.stage.tell("relay", f"on port {served.port}, the model on {model.port}")
                watch.start_soon(done.lag.watch)
                watch.start_soon(self._narrate, street.cloud)
                opened = partial(until_opened, street.cloud)
                call = partial(self._call, done, street, ears)
                await call(callers.book)
                await call(callers.press_zero, desk.answers(opened))
                await call(callers.want_human, desk.answers(opened, "has_it"))
                await call(callers.leave_message, desk.nobody())
                with trio.move_on_after(NOTICES_S):
                    await owner.told_of(NOTICES)
                watch.cancel_scope.cancel()
        return done

    def _settings(self, model: Model, api_url: str, notify_url: str) -> config.Settings:
        """The relay's own settings, none of them from the environment."""
        return config.load(
            {
                "OPENAI_API_KEY": "sk-none-is-needed",
                "OPENAI_REALTIME_URL": f"ws://127.0.0.1:{model.port}/v1/realtime",
                "VOICE_PROVIDER": self.provider,
                "ELEVENLABS_API_KEY": "none-is-needed",
                "ELEVENLABS_VOICE_ID": "pico",
                "ELEVENLABS_URL": f"ws://127.0.0.1:{model.voice_port}",
                "CLIPS": "packaged",
                "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
                "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
                "TWILIO_PHONE_NUMBER": RELAY_NUMBER,
                "TWILIO_API_URL": api_url,
                "HUMAN_TRANSFER_NUMBER": HUMAN_NUMBER,
                "DESK_HOURS": "always",
                "NOTIFY_URL": notify_url,
                "NOTIFY_SECRET": NOTIFY_SECRET,
                "PUBLIC_URL": PUBLIC_URL,
                "HOST": "127.0.0.1",
                "PORT": "0",
                "DRAIN_S": "10",
                "DATABASE_URL": f"sqlite:///{self.scratch / 'relay.db'}",
                "BUSINESS_FILE": str(self.scratch / "business.toml"),
                "PROMPTS_DIR": str(stand_in_prompts(self.scratch)),
            }
        )

    # ---- a call -----------------------------------------------------------------------------

    async def _call(
        self,
        done: Done,
        street: Street,
        ears: trio.Nursery,
        script: Script,
        rung: HumanPhone | None = None,
    ) -> None:
        """Place one call, carry it to its end, and have it heard again."""
        number = len(done.calls) + 1
        self.stage.heading(f"Call {number}")
        timing = Timing()
        call = street.place(RELAY_NUMBER, CALLERS[number - 1])

        async def perform(person: Person) -> None:
            caller = Caller(person, call, rung, self.voices, self.stage.tell, timing)
            await caller.perform(script)

        await done.cloud.run(call, perform, time_limit_s=CALL_LIMIT_S)
        ended = Ended(call, timing, rung)
        if rung is not None and rung.calls:
            ended.leg = done.cloud.calls.get(rung.calls[-1].sid)
        done.calls.append(ended)
        nice = ASIDE_NICE if number < len(CALLERS) else 0
        ears.start_soon(self._hear_again, ended, nice)

    async def _narrate(self, cloud: TwilioCloud) -> None:
        """Show what the telephone network does, on every call that there is."""
        seen: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for sid in cloud.calls.keys() - seen:
                    seen.add(sid)
                    nursery.start_soon(self._narrate_one, cloud.calls[sid])
                await trio.sleep(NEWS_S)

    async def _narrate_one(self, call: PhoneCall) -> None:
        outbound = call.direction != "inbound"
        who = "the human" if outbound else "the caller"
        async for event in call.log.follow():
            match event.kind:
                case "say":
                    self.stage.tell("network", f"to {who}: {event.detail}")
                case "gathered":
                    self.stage.tell("human", f"(presses {event.detail})")
                case "participant-join":
                    self.stage.tell("phone", f"{who} comes into the room")
                case "ringing" | "answered" | "hang-up" | "ended" | "conference-end":
                    detail = f"{event.kind} {event.detail}".rstrip()
                    self.stage.tell("phone", f"the human's: {detail}" if outbound else detail)
                case "complaint":
                    self.stage.tell("problem", event.detail)

    # ---- afterwards -------------------------------------------------------------------------

    async def _hear_again(self, ended: Ended, nice: int) -> None:
        clips = (clip.text for clip in wiring.load_clips().values())
        lines = [(sounds(ended.call.line.heard), grammars.agent_grammar(BOOK, *clips))]
        if ended.leg is not None:
            told = grammars.desk_grammar(BOOK, ON_THE_LINE, PRESS_SPOKEN, ONE_MOMENT)
            lines.append((sounds(ended.leg.line.heard), told))
        ended.heard, *at_desk = await listen(*lines, nice=nice)
        for sentences in at_desk:
            ended.at_desk += sentences
