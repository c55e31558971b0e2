"""Which clips a call gets, while the model and the store come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
import trio

from relay.cabinet import AFTER_HOURS, FIRST_S, LOOK_S, PLAIN_AFTER_HOURS, RETRY_S, Cabinet, Voice
from relay.core.policy import (
    CLIP_NAMES,
    LIVE_GREETING,
    LIVE_PLAIN_GREETING,
    PLAIN_GREETING,
    Clip,
)
from relay.errors import StoreError
from relay.ports import StoredClip
from relay.shell.clip_studio import TRIES, record, studio_settings
from relay.sim.brains import Scripted
from tests.readers import Models, paraphrase, read_out, words_in

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PACKAGED = {name: Clip(name, f"The packaged {name}.", bytes(800)) for name in CLIP_NAMES}
SETTINGS = studio_settings("marin", "pcm", None, 4096)
EVERY = (*CLIP_NAMES, AFTER_HOURS)
MARIN = Voice("gpt-realtime", "marin")


@dataclass
class MemoryClips:
    """A ports.ClipStore. away: every question fails."""

    away: bool = False
    rows: dict[tuple[str, str, str], StoredClip] = field(default_factory=dict)

    def clips(self, model: str, voice: str) -> Sequence[StoredClip]:
        self._asked()
        return [clip for clip in self.rows.values() if (clip.model, clip.voice) == (model, voice)]

    def keep_clip(self, clip: StoredClip) -> None:
        self._asked()
        self.rows[clip.model, clip.voice, clip.text] = clip

    def _asked(self) -> None:
        if self.away:
            raise StoreError("the database is away")


async def inline(work: Callable[[], Any]) -> Any:
    await trio.lowlevel.checkpoint()
    return work()


@dataclass
class House:
    """A cabinet and all that stands around it."""

    models: Models = field(default_factory=Models)
    store: MemoryClips = field(default_factory=MemoryClips)
    texts: dict[str, str] = field(
        default_factory=lambda: {n: f"Our own {n}." for n in (*CLIP_NAMES, AFTER_HOURS)}
    )
    closed: bool = False

    def cabinet(
        self, voice: Voice = MARIN, packaged: dict[str, Clip] = PACKAGED, *, live: bool = False
    ) -> Cabinet:
        async def have_said(texts: list[str]) -> Any:
            return await record(self.models.dial(), SETTINGS, texts)

        return Cabinet(
            packaged,
            self.store,
            voice,
            texts=lambda: self.texts,
            closed=lambda: self.closed,
            record=have_said,
            live=live,
            wall_clock=lambda: NOON,
            run_sync=inline,
        )


async def run_for(seconds: float, cabinet: Cabinet) -> list[Any]:
    """Let a cabinet fill for a while. Returns what was logged."""
    with structlog.testing.capture_logs() as logs, trio.move_on_after(seconds):
        await cabinet.keep_filled()
    return logs


def heard(cabinet: Cabinet) -> dict[str, str]:
    return {name: clip.text for name, clip in cabinet.at_hand().items()}


OWN = {name: f"Our own {name}." for name in CLIP_NAMES}
BOUGHT = {name: clip.text for name, clip in PACKAGED.items()}


# ---- how they come to be --------------------------------------------------------------------


async def test_packaged_clips_serve_until_the_model_has_spoken(autojump_clock: object) -> None:
    cabinet = House().cabinet()
    assert heard(cabinet) == BOUGHT
    logs = await run_for(60, cabinet)
    assert heard(cabinet) == OWN
    assert [line["event"] for line in logs] == ["= clips recorded"]
    assert all(len(clip.mulaw) > 4000 for clip in cabinet.at_hand().values())


async def test_nothing_is_asked_of_the_model_in_the_first_moment(autojump_clock: object) -> None:
    house = House()
    await run_for(FIRST_S / 2, house.cabinet())
    assert house.models.sessions == []


async def test_a_call_keeps_the_clips_that_it_began_with(autojump_clock: object) -> None:
    cabinet = House().cabinet()
    of_a_call = cabinet.at_hand()
    before = dict(of_a_call)
    await run_for(60, cabinet)
    assert dict(of_a_call) == before
    assert heard(cabinet) == OWN


async def test_what_was_recorded_is_not_recorded_again(autojump_clock: object) -> None:
    house = House()
    await run_for(60, house.cabinet())
    assert len(house.models.sessions) == 1
    after_restart = house.cabinet()
    await after_restart.load()
    assert heard(after_restart) == OWN
    await run_for(600, after_restart)
    assert len(house.models.sessions) == 1


async def test_what_another_process_has_recorded_is_taken_from_the_store(
    autojump_clock: object,
) -> None:
    house = House()
    late = house.cabinet()
    await run_for(60, house.cabinet())
    await run_for(60, late)
    assert heard(late) == OWN
    assert len(house.models.sessions) == 1


@pytest.mark.parametrize(
    "voice", [replace(MARIN, model="gpt-realtime-mini"), replace(MARIN, voice="cedar")]
)
async def test_another_model_or_voice_speaks_for_itself(
    voice: Voice, autojump_clock: object
) -> None:
    house = House()
    await run_for(60, house.cabinet())
    other = house.cabinet(voice)
    await other.load()
    assert heard(other) == BOUGHT
    await run_for(60, other)
    assert heard(other) == OWN
    assert len(house.store.rows) == 2 * len(EVERY)


async def test_a_text_that_changes_is_recorded_alone_and_packaged_until_then(
    autojump_clock: object,
) -> None:
    house = House()
    cabinet = house.cabinet()
    await run_for(60, cabinet)
    house.texts["greeting"] = "Hello from the new owner."
    assert heard(cabinet)["greeting"] == BOUGHT["greeting"]
    await run_for(60, cabinet)
    assert heard(cabinet) == OWN | {"greeting": "Hello from the new owner."}
    told = house.models.sessions[1].received
    assert [event["type"] for event in told].count("response.create") == 1


async def test_a_name_without_a_text_waits_for_one(autojump_clock: object) -> None:
    house = House()
    greeting = house.texts.pop("greeting")
    cabinet = house.cabinet()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cabinet.keep_filled)
        await trio.sleep(60)
        assert heard(cabinet) == OWN | {"greeting": BOUGHT["greeting"]}
        house.texts["greeting"] = greeting
        await trio.sleep(LOOK_S + 30)
        assert heard(cabinet) == OWN
        nursery.cancel_scope.cancel()


async def test_a_model_that_is_away_is_tried_again_ever_more_seldom(autojump_clock: object) -> None:
    house = House()
    house.models.away = "no answer within 3 s"
    cabinet = house.cabinet()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cabinet.keep_filled)
        with structlog.testing.capture_logs() as logs:
            await trio.sleep(sum(RETRY_S) + RETRY_S[-1])
        tries = [line for line in logs if line["event"] == "! clips cannot be recorded"]
        assert len(tries) == len(RETRY_S) + 1
        assert heard(cabinet) == BOUGHT
        house.models.away = ""
        await trio.sleep(RETRY_S[-1] + 60)
        assert heard(cabinet) == OWN
        nursery.cancel_scope.cancel()


async def test_a_clip_that_the_model_will_not_say_stays_packaged_and_the_operator_knows(
    autojump_clock: object,
) -> None:
    greeting = "Our own greeting."

    def stubborn(request: Any) -> Any:
        return paraphrase(request) if words_in(request) == greeting else read_out(request)

    house = House(Models(lambda: Scripted(otherwise=stubborn)))
    cabinet = house.cabinet()
    logs = await run_for(3600, cabinet)
    assert heard(cabinet) == OWN | {"greeting": BOUGHT["greeting"]}
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert warning["event"] == "! the model does not say a clip's words"
    assert (warning["text"], warning["said"]) == (greeting, f"Sure! {greeting}")
    asked = [e for s in house.models.sessions for e in s.received if e["type"] == "response.create"]
    assert len(asked) == len(EVERY) - 1 + TRIES, "and it is not asked for ever"


# ---- without the store ----------------------------------------------------------------------


async def test_without_the_store_this_process_has_its_own_voice_all_the_same(
    autojump_clock: object,
) -> None:
    house = House(store=MemoryClips(away=True))
    cabinet = house.cabinet()
    await cabinet.load()
    logs = await run_for(60, cabinet)
    assert heard(cabinet) == OWN
    assert {line["error"] for line in logs if "error" in line} == {"the database is away"}


async def test_a_store_that_hangs_stops_nothing(autojump_clock: object) -> None:
    async def hang(_work: Callable[[], Any]) -> Any:
        await trio.sleep_forever()

    house = House()
    cabinet = house.cabinet()
    cabinet._run_sync = hang
    await run_for(600, cabinet)
    assert heard(cabinet) == OWN


# ---- the greeting, by the hour --------------------------------------------------------------


async def test_callers_are_greeted_by_the_hour(autojump_clock: object) -> None:
    house = House()
    cabinet = house.cabinet()
    await run_for(60, cabinet)
    house.closed = True
    assert heard(cabinet) == OWN | {"greeting": f"Our own {AFTER_HOURS}."}
    house.closed = False
    assert heard(cabinet) == OWN


async def test_without_an_after_hours_clip_the_greeting_serves_at_night(
    autojump_clock: object,
) -> None:
    house = House(closed=True)
    del house.texts[AFTER_HOURS]
    cabinet = house.cabinet()
    await run_for(60, cabinet)
    assert heard(cabinet) == OWN


async def test_a_packaged_after_hours_clip_serves_until_the_model_s_own(
    autojump_clock: object,
) -> None:
    night = Clip(AFTER_HOURS, "We are closed.", bytes(800))
    house = House(closed=True)
    cabinet = house.cabinet(packaged=PACKAGED | {AFTER_HOURS: night})
    assert heard(cabinet)["greeting"] == "We are closed."
    await run_for(60, cabinet)
    assert heard(cabinet)["greeting"] == f"Our own {AFTER_HOURS}."


async def test_a_model_that_greets_itself_is_told_the_words_of_the_hour(
    autojump_clock: object,
) -> None:
    house = House()
    cabinet = house.cabinet(live=True)
    assert heard(cabinet) == BOUGHT | {LIVE_GREETING: "Our own greeting."}
    house.closed = True
    assert heard(cabinet)[LIVE_GREETING] == f"Our own {AFTER_HOURS}."
    del house.texts[AFTER_HOURS]
    assert heard(cabinet)[LIVE_GREETING] == "Our own greeting."
    house.texts.clear()
    assert heard(cabinet)[LIVE_GREETING] == BOUGHT["greeting"]


async def test_people_see_whose_voice_each_clip_is_in(autojump_clock: object) -> None:
    house = House()
    cabinet = house.cabinet()
    assert {shelf.rendered_at for shelf in cabinet.shelves().values()} == {None}
    await run_for(60, cabinet)
    shelves = cabinet.shelves()
    assert set(shelves) == set(EVERY)
    assert {shelf.rendered_at for shelf in shelves.values()} == {NOON}


async def test_one_clip_can_be_said_again_on_demand(autojump_clock: object) -> None:
    house = House()
    cabinet = house.cabinet()
    await run_for(60, cabinet)
    assert cabinet.missing(["goodbye"]) == []
    recorded = await cabinet.render([house.texts["goodbye"]])
    assert list(recorded.clips) == [house.texts["goodbye"]]
    assert len(house.models.sessions) == 2


async def test_a_greeting_without_notice_is_at_hand_only_where_there_may_be_one() -> None:
    packaged = {**PACKAGED, PLAIN_GREETING: Clip(PLAIN_GREETING, "Plain.", bytes(800))}
    night = Clip(PLAIN_AFTER_HOURS, "Plain night.", bytes(800))
    house = House(texts={})
    assert PLAIN_GREETING not in heard(house.cabinet())
    assert heard(house.cabinet(packaged=packaged))[PLAIN_GREETING] == "Plain."
    assert LIVE_PLAIN_GREETING not in heard(house.cabinet(live=True))
    house.closed = True
    closed = heard(house.cabinet(packaged={**packaged, PLAIN_AFTER_HOURS: night}, live=True))
    assert closed[PLAIN_GREETING] == closed[LIVE_PLAIN_GREETING] == "Plain night."
    assert PLAIN_AFTER_HOURS not in closed
