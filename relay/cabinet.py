"""The clips at hand: which ones a call gets, and how the agent's own voice comes to be in them.

    wanted text ──▶ spoken by the model?  ──▶ that clip
                      └─ not yet, or never ──▶ the packaged one of that name

A call is given the newest clips when it begins, and keeps them to its end. What the model has not
spoken yet is looked for in the store (another process may have recorded it), then recorded, then
kept: in the background, for as long as the server lives, so that a server without a model starts,
answers, and comes to its own voice when the model is back. A clip is recorded again only when the
model, the voice or the text is another; a text that the model will not say is given up, and the
operator told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog
import trio

from relay.audio import loudest_db
from relay.core.policy import (
    CLIP_NAMES,
    LIVE_GREETING,
    LIVE_PLAIN_GREETING,
    PLAIN_GREETING,
    SPANISH_EMERGENCY,
    Clip,
)
from relay.errors import StoreError
from relay.ports import ClipStore, StoredClip
from relay.shell.clip_studio import Recorded

AFTER_HOURS: Final = "after_hours"
PLAIN_AFTER_HOURS: Final = "after_hours_plain"
#: Every clip that may be wanted; the last ones only by who has a text for them.
NAMES: Final = (
    *CLIP_NAMES,
    SPANISH_EMERGENCY,
    AFTER_HOURS,
    PLAIN_GREETING,
    PLAIN_AFTER_HOURS,
)
#: Each greeting, what takes its place after hours, and its name when the model itself is to greet.
_GREETINGS: Final = (
    ("greeting", AFTER_HOURS, LIVE_GREETING),
    (PLAIN_GREETING, PLAIN_AFTER_HOURS, LIVE_PLAIN_GREETING),
)

#: The port first: a server that has just started has calls to answer.
FIRST_S: Final = 1.0
#: How often it is looked whether other texts are wanted: the business may have a new name.
LOOK_S: Final = 30.0
#: After a session that broke, and after each one in a row.
RETRY_S: Final = (5.0, 15.0, 60.0, 300.0, 900.0)
STORE_S: Final = 15.0

Record = Callable[[list[str]], Awaitable[Recorded]]
RunSync = Callable[[Callable[[], Any]], Awaitable[Any]]

_log = structlog.get_logger("relay.clips")


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run a blocking question in a thread that may be left behind."""
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: half of a clip's key."""

    model: str
    voice: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """One clip as it stands, for people. rendered_at: None for a packaged one."""

    clip: Clip
    rendered_at: datetime | None


class Cabinet:
    """A process's clips."""

    def __init__(
        self,
        packaged: Mapping[str, Clip],
        store: ClipStore,
        voice: Voice,
        *,
        texts: Callable[[], Mapping[str, str]],
        closed: Callable[[], bool],
        record: Record,
        live: bool = False,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        run_sync: RunSync = in_thread,
    ) -> None:
        """packaged: all of CLIP_NAMES, and of the others those that there are

        texts: what is wanted now, by name; a name without a text is not recorded
        closed: whether the business is closed now
        record: has texts spoken; never raises
        live: calls are greeted by the model itself, and by the clip only if it is late
        """
        self._packaged = packaged
        self._store = store
        self._voice = voice
        self._texts = texts
        self._closed = closed
        self._record = record
        self._live = live
        self._wall_clock = wall_clock
        self._run_sync = run_sync
        self._own: dict[str, StoredClip] = {}  # by text
        self._levels: dict[str, float] = {}
        self._given_up: set[str] = set()

    # ---- for calls --------------------------------------------------------------------------

    def at_hand(self) -> Mapping[str, Clip]:
        """The clips for a call that begins now, greeted by the hour. From memory."""
        texts = self._texts()
        clips = {name: shelf.clip for name in NAMES if (shelf := self._shelf(name, texts))}
        closed = self._closed()
        for greeting, after_hours, live in _GREETINGS:
            other = clips.pop(after_hours, None)
            if greeting not in clips:
                continue
            if other is not None and closed:
                clips[greeting] = replace(other, name=greeting)  # named by its place
            if self._live:
                name = after_hours if closed and after_hours in texts else greeting
                clips[live] = Clip(live, texts.get(name, clips[greeting].text), b"")
        return clips

    def shelves(self) -> Mapping[str, Shelf]:
        """Every clip by name, and whose voice it is."""
        texts = self._texts()
        return {name: shelf for name in NAMES if (shelf := self._shelf(name, texts))}

    def _shelf(self, name: str, texts: Mapping[str, str]) -> Shelf | None:
        own = self._own.get(texts.get(name, ""))
        if own is not None:
            clip = Clip(name, own.text, own.mulaw, self._levels[own.text])
            return Shelf(clip, own.rendered_at)
        packaged = self._packaged.get(name)
        return None if packaged is None else Shelf(packaged, None)

    # ---- in the background ------------------------------------------------------------------

    def wanted(self, names: Iterable[str] = NAMES) -> list[str]:
        """The texts of clips, each once."""
        texts = self._texts()
        return list(dict.fromkeys(texts[name] for name in names if name in texts))

    def missing(self, names: Iterable[str] = NAMES) -> list[str]:
        """Texts that the model has not spoken yet, and may be asked for."""
        return [
            text
            for text in self.wanted(names)
            if text not in self._own and text not in self._given_up
        ]

    async def load(self) -> None:
        """Fetch what was recorded before. Without the store the packaged clips serve."""
        look = partial(self._store.clips, self._voice.model, self._voice.voice)
        try:
            with trio.fail_after(STORE_S):
                found: list[StoredClip] = await self._run_sync(look)
        except (StoreError, trio.TooSlowError) as error:
            _log.warning("! the clips cannot be read", error=str(error) or "no answer")
            return
        for clip in found:
            self._take(clip)

    async def keep_filled(self) -> None:
        """Record what is missing, now and whenever something is, for ever."""
        failures = 0
        await trio.sleep(FIRST_S)
        while True:
            wait_s = LOOK_S
            if self.missing():
                await self.load()
            if missing := self.missing():
                recorded = await self.render(missing)
                wait_s = RETRY_S[min(failures, len(RETRY_S) - 1)] if recorded.broken else LOOK_S
                failures = failures + 1 if recorded.broken else 0
            await trio.sleep(wait_s)

    async def render(self, texts: list[str]) -> Recorded:
        """Have texts spoken, and put what came of it at hand and into the store."""
        recorded = await self._record(texts)
        now = self._wall_clock()
        for text, mulaw in recorded.clips.items():
            clip = StoredClip(self._voice.model, self._voice.voice, text, mulaw, now)
            self._take(clip)
            await self._keep(clip)
        if recorded.clips:
            _log.info("= clips recorded", clips=len(recorded.clips), voice=self._voice.voice)
        for text, said in recorded.refused.items():
            self._given_up.add(text)
            _log.warning("! the model does not say a clip's words", text=text, said=said)
        if recorded.broken:
            _log.warning("! clips cannot be recorded", error=recorded.broken)
        return recorded

    def _take(self, clip: StoredClip) -> None:
        self._own[clip.text] = clip
        self._levels[clip.text] = loudest_db(clip.mulaw)

    async def _keep(self, clip: StoredClip) -> None:
        """Into the store. If that fails, this process has it all the same."""
        try:
            with trio.fail_after(STORE_S):
                await self._run_sync(partial(self._store.keep_clip, clip))
        except (StoreError, trio.TooSlowError) as error:
            _log.warning("! a clip cannot be kept", error=str(error) or "no answer")
