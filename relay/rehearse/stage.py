"""The relay as it is configured, with everybody around it simulated but the model; and its calls.

What a rehearsal does stays here: the database, the spool and the business's book are thrown away,
nobody is notified, and the telephone network with all its telephones is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from pydantic import SecretStr

from relay import config
from relay.config import Settings
from relay.core.budget import OVER_DAY, Level, level_of
from relay.demo.caller import Caller, Spoken, Tell, Timing
from relay.demo.checks import Row
from relay.demo.desk import Desk, until_opened
from relay.demo.model import open_model
from relay.demo.street import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    PUBLIC_URL,
    Street,
    open_street,
    stand_in_prompts,
)
from relay.rehearse.evidence import Book, Evidence, gather, spent
from relay.rehearse.scripts import Role
from relay.rehearse.want import Want
from relay.sim.person import Person
from relay.sim.twilio_call import PhoneCall

CALL_LIMIT_S: Final = 300.0
WRITTEN_S: Final = 15.0  # until a call's outcome is in the database
LOOK_S: Final = 0.1
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Called:
    """One call that is over. call: with the sound of both sides"""

    role: Role
    call: PhoneCall
    seen: Evidence


def isolated(settings: Settings, scratch: Path, flights: Path | None, cap: Decimal) -> Settings:
    """The same prompts, model, voice, functions and people; nothing that reaches beyond here.

    flights: where the calls' events are recorded, for `relay replay`; cap: USD, for all calls
    """
    changes: Mapping[str, Any] = {
        "twilio_account_sid": ACCOUNT_SID,
        "twilio_auth_token": SecretStr(AUTH_TOKEN),
        "public_url": PUBLIC_URL,
        "desk_hours": "always",
        "clips": "packaged",
        "business_api_base": None,
        "business_api_token": None,
        "notify_url": None,
        "notify_secret": None,
        "notify_sms_to": None,
        "confirm_by_sms": False,
        "host": "127.0.0.1",
        "port": 0,
        "drain_s": 10,
        "metrics_port": None,
        "database_url": SecretStr(f"sqlite:///{scratch / 'relay.db'}"),
        "spool_dir": scratch / "spool",
        "retention_days": 0,
        "flight_dir": flights,
        "block_numbers": (),
        "max_calls": None,
        "max_day_usd": cap,
    }
    return settings.model_copy(update=dict(changes))


def without_settings(scratch: Path) -> Settings:
    """Settings for the simulated model: none of them from the environment."""
    return config.load({**config.STAND_INS, "PROMPTS_DIR": str(stand_in_prompts(scratch))})


@dataclass(frozen=True, slots=True)
class Theatre:
    """What the calls need. voices: of the callers and the human, by their lines' names.

    settings: isolated; cap: USD; simulated: the model, too; at_once: how many calls
    """

    settings: Settings
    scratch: Path
    cap: Decimal
    want: Want
    voices: Mapping[str, Spoken]
    tell: Tell
    simulated: bool
    at_once: int = 1

    async def play(self, roles: Sequence[Role], ended: Callable[[Called], None]) -> None:
        """Place the calls in order, until the money is spent. ended: told of each."""
        book = Book(self.scratch / "relay.db")
        async with AsyncExitStack() as stack:
            changes: dict[str, Any] = {}
            if self.simulated:
                model = await stack.enter_async_context(open_model(_unheard))
                changes["openai_realtime_url"] = f"ws://127.0.0.1:{model.port}/v1/realtime"
            desk = Desk(self.settings.human_transfer_number, self.voices, self.tell)
            street = await stack.enter_async_context(open_street(desk.phones))
            changes["twilio_api_url"] = street.api_url
            settings = self.settings.model_copy(update=changes)
            free = trio.Semaphore(self.at_once)

            async def carry(role: Role) -> None:
                ended(await self._call(street, desk, book, role))
                free.release()

            async with street.open_relay(settings), trio.open_nursery() as calls:
                for role in roles:
                    await free.acquire()
                    if not affords_another(book.rows(), self.cap):
                        self.tell("problem", "the money is spent: no more calls")
                        break
                    calls.start_soon(carry, role)

    async def _call(self, street: Street, desk: Desk, book: Book, role: Role) -> Called:
        human = desk.answers(partial(until_opened, street.cloud))
        desk.phones.update(dict.fromkeys(self.settings.people.values(), human))
        call = street.place(self.settings.twilio_phone_number, role.number)
        timing, problems = Timing(), list[str]()

        def tell(who: str, what: str) -> None:
            if who == "problem":
                problems.append(what)
            self.tell(who, f"{role.name}: {what}")

        async def perform(person: Person) -> None:
            caller = Caller(person, call, human, self.voices, tell, timing)
            await caller.perform(lambda caller: role.script(caller, book, self.want))

        await street.cloud.run(call, perform, time_limit_s=CALL_LIMIT_S)
        with trio.move_on_after(WRITTEN_S):
            while not _ended(book, call.sid):  # noqa: ASYNC110 - a database rings no bell
                await trio.sleep(LOOK_S)
        return Called(role, call, gather(book.rows(), call, timing, gave_up=bool(problems)))


def affords_another(rows: Mapping[str, Sequence[Row]], cap: Decimal) -> bool:
    """Whether a call may still be placed: the cap (USD) is not near, and no call has met it."""
    near = level_of(spent(rows["spend"]), int(cap * MICRO)) is not Level.FREE
    return not near and not any(OVER_DAY in row["reason"] for row in rows["call_outcomes"])


def _ended(book: Book, sid: str) -> bool:
    return any(row["call_sid"] == sid for row in book.rows()["call_outcomes"])


def _unheard(_who: str, _what: str) -> None:
    """What the simulated model lets its audience know: the database tells the same."""
