"""One rehearsal: what it will do and cost, the calls, the marks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import trio
from rich.console import Console

from relay import config, server
from relay.adapters.business_file import load_business
from relay.config import Settings
from relay.demo.caller import pronounce
from relay.demo.scenario import BOOK
from relay.demo.show import Stage
from relay.demo.street import NETWORK_SAYS, network_says
from relay.errors import ConfigError
from relay.logs import set_up_logs
from relay.prices import load_prices
from relay.rehearse import show, want
from relay.rehearse.cost import at_most
from relay.rehearse.score import score
from relay.rehearse.scripts import ROLES, Role
from relay.rehearse.show import Marked
from relay.rehearse.stage import MICRO, Called, Theatre, isolated, without_settings
from relay.sim import phrases
from relay.wiring_clips import load_texts
from relay.wiring_money import call_prices

HUMAN_PITCH: Final = 0.9


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to happen. settings: the relay's own, not isolated yet."""

    settings: Settings
    roles: Sequence[Role]
    simulated: bool
    cap: Decimal
    keep: Path | None
    at_once: int

    def says(self) -> str:
        """What an operator should know before it begins."""
        how = "one after another" if self.at_once == 1 else f"{self.at_once} at once"
        calls = f"{len(self.roles)} calls, {how}"
        if self.simulated:
            return f"{calls}, to the simulated model: it costs nothing."
        prices = load_prices(self.settings.prices_file)
        micro = at_most(
            self.roles,
            call_prices(self.settings, prices),
            load_texts(self.settings),
            self.settings,
        )
        return (
            f"{calls}, to {self.settings.realtime_model} with your key. By the prices of"
            f" {prices.as_of} this should cost {micro / MICRO:.2f} USD at most; it stops at"
            f" {self.cap.normalize():f} USD.\nNo telephone rings, nobody is notified, and nothing"
            " is booked outside of a business of its own, out of BUSINESS_FILE."
        )


def plan(
    names: Sequence[str], *, simulated: bool, cap: Decimal, keep: Path | None, at_once: int
) -> Plan:
    """Look at everything that can be wrong before a call. Raises ConfigError."""
    roles = [role for role in ROLES if not names or role.name in names]
    if simulated:
        with tempfile.TemporaryDirectory(prefix="relay-rehearse-") as name:
            settings = without_settings(Path(name))
    else:
        settings = config.load()
    if keep is not None:
        try:
            keep.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{keep} cannot be made: {error.strerror}") from None
    return Plan(settings, roles, simulated, cap, keep, at_once)


async def perform(planned: Plan, stage: Stage) -> list[Marked]:
    """Place the calls and mark them. Raises ConfigError or StoreError when the relay will not."""
    business = load_business(planned.settings.business_file)
    now = datetime.now(ZoneInfo(business.profile.timezone)).replace(tzinfo=None)
    wanted = want.choose(business, now, BOOK.services if planned.simulated else None)
    voices = {name: pronounce(text) for name, text in want.lines(wanted).items()}
    voices["hello"] = pronounce(phrases.HUMAN, pitch=HUMAN_PITCH)
    for text in (*NETWORK_SAYS, phrases.WANTS_PERSON):
        network_says(text)
    placed: dict[str, Called] = {}

    def ended(called: Called) -> None:
        placed[called.role.name] = called
        stage.heading(called.role.name)
        stage.console.print(show.transcript(called.seen), style="dim", markup=False, end="")
        if planned.keep is not None:
            show.keep(planned.keep, called)

    with tempfile.TemporaryDirectory(prefix="relay-rehearse-") as name:
        scratch = Path(name)
        settings = without_settings(scratch) if planned.simulated else planned.settings
        theatre = Theatre(
            isolated(settings, scratch, planned.keep, planned.cap),
            scratch,
            planned.cap,
            wanted,
            voices,
            stage.tell,
            planned.simulated,
            planned.at_once,
        )
        await theatre.play(planned.roles, ended)
    marked = []
    for role in planned.roles:
        called = placed.get(role.name)
        marks = score(role.name, wanted, called.seen) if called else ()
        marked.append(Marked(role, called, marks))
    return marked


def main(planned: Plan, *, as_json: bool) -> tuple[bool, dict[str, object]]:
    """Rehearse, and show it. Returns whether it passed, and the report for programs."""
    set_up_logs("WARNING", sys.stderr)
    server.prepare_process()
    console = Console(stderr=as_json, highlight=False)
    marked = trio.run(partial(perform, planned, Stage(console)))
    show.report(console, marked, simulated=planned.simulated)
    whole = show.as_json(marked, planned.settings, simulated=planned.simulated)
    return show.passed(marked), whole
