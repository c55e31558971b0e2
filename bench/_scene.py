"""One simulated call with a caller who interrupts, in a room that makes noises.

    said (the caller's voice) ─┐
    bed (road, television)     ├─ Bed.mix ─▶ StreamLeg ─▶ the relay ─▶ Realtime, with its own VAD
    coughs, echo of the agent ─┘

Ground truth is what this file did: when speech began and ended, when somebody coughed. The agent
talks for ten seconds at a time; the caller lets it talk, coughs perhaps, and then interrupts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import trio

from bench import _sounds as sounds
from bench._sounds import RATE, Dice, Sound
from relay.sim.brains import Reply, Request, Say, Turn, reply
from relay.sim.realtime import Options
from relay.sim.voice import MODEL_HZ, from_mulaw, to_mulaw
from tests.shell.house import House, Placed

LINE_NOISE_DB = -62.0
TELEVISION_DB, TRAFFIC_DB = -20.0, -12.0  # of the caller's level
ECHO_DB, ECHO_MS = -15.0, 300
VARIES_DB = 2.0  # from one utterance of a caller to the next
NETWORK_S = (0.02, 0.06)  # one way, each message, on either wire
THINK_S = 0.35
OPTIONS = Options()  # a session with WebRTC's detector at its usual threshold

QUESTIONS = ("What are your opening hours?", "Tell me about your services, please.")
PHRASES = (
    "Stop.",
    "No.",
    "Wait.",
    "Hold on.",
    "No, not Tuesday.",
    "Wait a moment.",
    "One second please.",
    "Let me stop you there.",
    "That is not what I asked.",
    "Sorry, can I say something?",
    "Excuse me, I have a question.",
    "Actually, I meant Friday.",
    "Can I speak to a human?",
    "Sorry to interrupt, but I am in a hurry.",
)
# Ten seconds each.
ANSWERS = (
    (
        "We are open from nine to five on Monday, Tuesday, Wednesday and Thursday. On Friday we"
        " close at noon, and on Saturday and Sunday we are closed. In December that is different."
    ),
    (
        "A cleaning takes half an hour, and a consultation takes an hour. Both can be booked by"
        " telephone or in person. Please bring your insurance card and come ten minutes early."
    ),
    (
        "You can park behind the house, where the first hour is free. The bus stops across the"
        " street every ten minutes, and from the station it is a short walk along the river."
    ),
    (
        "Our prices depend on what has to be done. The first visit is free, and after that you get"
        " a written offer. Nothing is begun before you have agreed to it, and you can always ask."
    ),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """One call. level_db: the caller's voice; noises: coughs, traffic, television, echo."""

    number: int
    level_db: float
    voice: tuple[str, float]
    noises: frozenset[str]
    seconds: float


@dataclass(slots=True)
class Spoken:
    """One utterance of the caller, in seconds of trio's clock. onset: its first audible sound.

    over: whether the agent was to be interrupted by it
    """

    text: str
    onset: float
    end: float
    over: bool
    cut_at: float | None = None


class Bed:
    """The caller's surroundings, in place of a sim Room: a bed of noise, and the agent's echo."""

    def __init__(self, scene: Scene, dice: Dice) -> None:
        room = scene.seconds + 60
        self.sound: Sound = sounds.line_noise(dice, room, LINE_NOISE_DB)
        if "traffic" in scene.noises:
            self._put(sounds.traffic(dice, room, scene.level_db + TRAFFIC_DB))
        if "television" in scene.noises:
            self._put(sounds.television(dice, room, scene.level_db + TELEVISION_DB))
        self._echo = sounds.gain(ECHO_DB) if "echo" in scene.noises else 0.0
        self.echo_delay_ms = ECHO_MS
        self.sent = bytearray()  # all that the telephone sent, in its order: for the picture

    def _put(self, sound: Sound) -> None:
        sounds.add(self.sound, sound, 0)

    def cough(self, sound: Sound, at: int) -> None:
        sounds.add(self.sound, sound, at)

    def mix(self, said: bytes, echo: bytes, at: int) -> bytes:
        """What the telephone sends of [at, at + len(said))."""
        sound = self.sound[at : at + len(said)] + _linear(said)
        if self._echo:
            sound += self._echo * _linear(echo)
        mulaw = encoded(sound)
        self.sent += mulaw
        return mulaw


def encoded(sound: Sound) -> bytes:
    return to_mulaw((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())


def _linear(mulaw: bytes) -> Sound:
    return np.frombuffer(from_mulaw(mulaw), "<i2").astype(np.float32) / 32768


@dataclass
class Agent:
    """A brain that answers at length and knows from the script what was said."""

    spoke_between: Callable[[float, float], bool]
    offset: int
    replies: int = 0
    asked_at: float = 0.0
    real: set[str] = field(default_factory=set)
    false: set[str] = field(default_factory=set)

    async def hear(self, turn: Turn) -> str | None:
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        # The turn ends with half a second of silence, and is up to a tenth old.
        real = self.spoke_between(now - turn.ms / 1000 - 0.15, now - 0.4)
        (self.real if real else self.false).add(turn.item_id)
        return "Some words." if real else ""

    async def reply(self, _request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        self.replies += 1
        self.asked_at = trio.current_time()
        text = ANSWERS[(self.offset + self.replies) % len(ANSWERS)]
        return reply(Say(text, pcm=sounds.speech(text, rate=MODEL_HZ)), think_s=THINK_S)

    def left_s(self) -> float:
        """How much of the latest answer is still to be heard, about, if it plays in one piece."""
        text = ANSWERS[(self.offset + self.replies) % len(ANSWERS)]
        length = len(sounds.speech(text, rate=MODEL_HZ)) / 2 / MODEL_HZ
        return self.asked_at + THINK_S + length - trio.current_time()


class Caller:
    """Drives one scene, and keeps what it did."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.dice = np.random.default_rng([seed, scene.number])
        self.bed = Bed(scene, np.random.default_rng([seed, scene.number, 1]))
        self.spoken: list[Spoken] = []
        self.coughs: list[tuple[float, float]] = []
        self.agent = Agent(self._spoke_between, scene.number)
        self.phrases = count(int(self.dice.integers(len(PHRASES))))
        self.call: Placed

    def _spoke_between(self, since: float, until: float) -> bool:
        return any(s.onset < until and s.end > since for s in self.spoken)

    async def run(self, house: House) -> None:
        network = np.random.default_rng([0, self.scene.number])
        self.call = house.ring(
            self.agent,
            room=self.bed,  # type: ignore[arg-type]
            delay=lambda: float(network.uniform(*NETWORK_S)),
            options=OPTIONS,
        )
        self.call.strict_model = False  # the tests hold every event to its type; here it is time
        await self.call.greeted()
        ends_at = trio.current_time() + self.scene.seconds
        while trio.current_time() < ends_at:
            await self._one_answer()
        self.call.hang_up()
        await self.call.ended()

    async def _one_answer(self) -> None:
        """Ask if nobody speaks, hear the answer for a while, and interrupt it."""
        dice = self.dice
        if self.agent.left_s() < 4.0:
            await self.call.quiet()
            await self._say(str(dice.choice(QUESTIONS)), over=False)
        if not await self._answer_begins():
            return
        await trio.sleep(dice.uniform(0.4, 2.0))
        if "coughs" in self.scene.noises and dice.random() < 0.75:
            await self._cough()
            await trio.sleep(dice.uniform(1.2, 2.0))
        await trio.sleep(dice.uniform(0.0, 1.0))
        if self.agent.left_s() < 2.5 or not self._audible():
            return
        before = self.agent.replies
        await self._say(PHRASES[next(self.phrases) % len(PHRASES)], over=True)
        with trio.move_on_after(4.0):
            await self.call.until(lambda: self.agent.replies > before, 10)

    async def _answer_begins(self) -> bool:
        with trio.move_on_after(6.0):
            await self.call.until(lambda: self._audible() and self.agent.left_s() > 4.0, 10)
            return True
        return False

    def _audible(self) -> bool:
        line = self.call.line
        return line.heard.end > line.sample() + RATE // 2

    async def _say(self, text: str, *, over: bool) -> None:
        level_db = self.scene.level_db + self.dice.uniform(-VARIES_DB, VARIES_DB)
        sound = sounds.at_level(sounds.voice(text, *self.scene.voice), level_db)
        now = trio.current_time()
        first, last = audible(sound)
        spoken = Spoken(text, now + first / RATE, now + last / RATE, over)
        self.spoken.append(spoken)
        await self.call.say(encoded(sound))

    async def _cough(self) -> None:
        level_db = self.scene.level_db + self.dice.uniform(-2, 8)
        sound = sounds.cough(self.dice, min(level_db, -10.0))
        at = self.call.line.sample()
        self.bed.cough(sound, at + RATE // 50)
        now = trio.current_time()
        self.coughs.append((now, now + len(sound) / RATE))
        await trio.sleep(len(sound) / RATE)

    # ---- what came of it --------------------------------------------------------------------

    def cuts(self) -> list[float]:
        """When the caller's loudspeaker fell silent in mid-speech."""
        return [self.call.line.time(sample) for sample in self.call.leg.playout.clears]

    def judge(self, grace_s: float) -> list[float]:
        """Give each cut to the utterance that caused it. Returns the cuts that nobody caused."""
        false: list[float] = []
        for cut in self.cuts():
            causes = [s for s in self.spoken if s.onset <= cut <= s.end + grace_s]
            for spoken in causes[-1:]:
                spoken.cut_at = spoken.cut_at or cut
            if not causes:
                false.append(cut)
        return false


def audible(sound: Sound) -> tuple[int, int]:
    """The first and last sample of the 10 ms blocks within 25 dB of a sound's level."""
    blocks = sound[: len(sound) // 80 * 80].reshape(-1, 80)
    loud = np.flatnonzero((blocks**2).mean(axis=1) > 10 ** ((sounds.level_db(sound) - 25) / 10))
    return int(loud[0]) * 80, int(loud[-1] + 1) * 80
