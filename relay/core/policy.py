"""The numbers that a call lives by, each with its reason, and the clips it may play.

Frozen and shared by all calls of a process; tests and settings replace single values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from relay.core.budget import Prices
from relay.core.consent import PHRASES as REFUSALS
from relay.core.consent import ConsentPolicy
from relay.core.emergency import PHRASES, phrases_of


class Effect(StrEnum):
    """What a function does to the world, which decides when it may run."""

    READ = "read"  # at once, as often as asked
    WRITE = "write"  # only after the speech before it was heard
    CALL = "call"  # upon the call itself: the core acts, no tool runs


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech that is ready to play: raw mu-law at 8 kHz, its words, its loudest moment in dBFS."""

    name: str
    text: str
    mulaw: bytes
    level_db: float = -20.0


#: Clips that every call needs, whatever the model does.
CLIP_NAMES = (
    "greeting",
    "one_moment",
    "apology",
    "connecting",
    "still_there",
    "goodbye",
    "wrap_up",
    "hold",
    "nobody",
    "back",
    "emergency",
)

#: The emergency line for who says in Spanish that it is one; at hand where that is spoken.
SPANISH_EMERGENCY = "emergency_es"

#: The greeting of a caller who need not hear the notice; not at hand unless there may be one.
PLAIN_GREETING = "greeting_plain"

#: Clips of these names have words and no sound: the model itself is to greet with them.
LIVE_GREETING = "live_greeting"
LIVE_PLAIN_GREETING = "live_greeting_plain"


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Durations are in the unit that ends their name."""

    # Twilio may hold this much unplayed audio, and a chunk more.
    lead_ms: int = 1300
    # It is let fall so far below that before it is filled again, every 400 ms: a wake costs more
    # than what is sent in it. What is left even then rides out a second of our own stall.
    refill_ms: int = 300
    # A message's length, or twice that far ahead: its mark is what proves how far was heard.
    chunk_ms: int = 100
    # A mark that has not come back this long after its audio must have ended is lost.
    mark_patience_s: float = 2.0

    # How much voice confirms a suspicion of barge-in, and in how long a stretch of line; or how
    # long a single vowel. bench/barge_in.py measures what these cost and save.
    confirm_voiced_ms: int = 200
    confirm_window_ms: int = 500
    confirm_vowel_ms: int = 140
    # So much voice in that stretch needs no suspicion of the server's: it is late, or was deaf.
    alone_voiced_ms: int = 400
    # Voice stands this far above the line's noise; our own echo comes back this much weaker, until
    # the line has shown what it does.
    voice_margin_db: float = 9.0
    echo_gain_db: float = -15.0
    # Somebody further below the caller's loudest moments than this is not the caller.
    voice_range_db: float = 12.0
    # Echo trails its cause by the round trip through the telephone network.
    echo_tail_ms: int = 500

    # While the greeting plays, a shorter utterance than this is a "hello?" and gets no answer.
    hello_ms: int = 700
    # A model that is to greet must be ready this soon, and then begin to speak; else the clip does.
    live_greeting_s: float = 2.0
    # Speech that was no proven voice waits so long for its words; then it is answered without.
    words_within_s: float = 2.0
    # … and so long a function that is to last, or a hang-up, waits for such speech to be words or
    # none: a short "no, wait", the server's hold behind it, and its words, twice over.
    objection_s: float = 3.0
    # The server answers each turn by itself (create_response), for those who want it back.
    server_turns: bool = False
    # The session's own VAD settings: needed to tell speech from its padding.
    prefix_padding_ms: int = 300
    silence_ms: int = 500
    # … and while a caller reads out what has pauses in it: numbers, names, addresses.
    long_silence_ms: int = 1100
    collecting_words: frozenset[str] = frozenset(
        {"number", "name", "address", "email", "mail", "spell", "code", "digits", "birthday"}
    )

    # An utterance that the server does not end: the agent cuts in after so long. People who dictate
    # or tell a story have been heard to go on for 40 s; a tape or music goes on for ever.
    unbroken_s: float = 45.0
    # … or the caller has finished and a noise goes on: our own ear has heard no voice in it for so
    # long. Nobody is silent for longer within a thought, or waits for longer for an answer.
    voiceless_s: float = 4.0
    # Whom the agent has cut in on begins anew when they have paused for so long. The server's hold
    # is half of that, twice over where numbers are read out: without a noise it would have ended.
    anew_s: float = 1.0

    # The phone must say `start` this soon after its socket opens.
    start_within_s: float = 5.0
    # The model must take our configuration this soon after `start`.
    ready_within_s: float = 5.0
    # A session that is lost this soon after the last one was replaced has no successor.
    relapse_s: float = 60.0
    # The API ends a session after 60 minutes; it is replaced between two turns before that.
    session_s: float = 3300.0
    # Whatever keeps an answer, the caller is not left in silence for longer than this. An answer
    # that takes 2 s from the end of a turn, which is slow, is not spoken over.
    dead_air_s: float = 3.5
    # A response that was asked for and says nothing: the ladder.
    stall_lost_s: float = 6.0
    # Caller audio kept for a model that is not ready, oldest dropped.
    hold_audio_ms: int = 10_000
    # A phone that is this far ahead of the clock is no telephone line.
    flood_ms: int = 30_000
    # Broken messages a second that a call outlives.
    misbehaviour_per_s: int = 10

    # Nothing said for so long after a function was called: "one moment".
    filler_after_ms: int = 700
    # … unless something was heard this recently.
    filler_quiet_ms: int = 1500
    # The model is told "still pending" after this long and goes on talking.
    tool_deadline_s: float = 3.0
    max_tools_per_call: int = 40

    # Confirmed speech this soon after a goodbye takes the hang-up back.
    second_thoughts_s: float = 1.5
    # … so often in a row. A caller says "oh", then "wait!", and listens to the answer; a television
    # or a tape listens to none, speaks over the third goodbye, too, and is paid for until then.
    max_taken_back: int = 2
    # A lone 0 goes to a human; other keys within this time make it a number.
    key_pause_s: float = 1.2
    # … of no more digits than this: no number that people dial or type is longer.
    max_keys: int = 32
    # Nobody speaks: ask, then leave.
    idle_prompt_s: float = 10.0
    idle_goodbye_s: float = 25.0
    # … unless the caller asked us to wait, for a calendar, say.
    wait_for_caller_s: float = 120.0
    # The process is about to end: so long a call waits for a turn's end before it moves.
    move_within_s: float = 4.0
    # The longest call. The caller hears why it ends.
    max_call_s: float = 600.0
    # … by so much later while a human is rung, or it is still to be heard what came of a function:
    # as long as somebody may be rung, told what it is about and asked for a key.
    overtime_s: float = 65.0
    # The agent is told this long before, so that it can wrap up in its own words.
    wrap_up_s: float = 30.0
    # Whether there is a larger model to go to, and after how many failed functions in a row.
    hard_model: bool = False
    hard_after_failures: int = 2
    # The caller is gone: how long the model may still send the last words' transcript, and a bill.
    last_words_s: float = 3.0
    # … and how long a function that has begun may still end: the shell gives one 10 s at most,
    # and a booking that was made belongs into the call's outcome.
    finish_tools_s: float = 11.0
    # A rate-limited model is asked again after what it says, if that is no longer than this.
    max_retry_wait_s: float = 10.0

    # While a human is rung and nobody speaks, the caller hears so often that we are still at it.
    hold_line_s: float = 8.0
    # Whether a second voice speaks what the model writes.
    second_voice: bool = False
    # So long may it keep the caller waiting; then the model's own voice goes on.
    voice_patience_s: float = 1.0
    # One that is lost in a silence is called back, unless it did not last for so long.
    voice_relapse_s: float = 10.0
    # Words of the caller after which the emergency line is played and the call is flagged.
    emergency_phrases: tuple[str, ...] = phrases_of(PHRASES, PHRASES)
    # Whether the call is recorded once its greeting was heard, and who must hear the notice in it.
    record_calls: bool = False
    consent_policy: ConsentPolicy = "always"
    business_state: str = ""
    # Words of the caller after which nothing of the call is kept.
    refusal_phrases: tuple[str, ...] = phrases_of(REFUSALS, REFUSALS)
    # A pause for what must not be kept ends by itself: a card's number takes half a minute.
    pause_s: float = 120.0
    # What the call's parts cost, and what the whole may: micro-USD, None for no cap.
    prices: Prices = field(default_factory=Prices)
    max_call_micro_usd: int | None = None
    # Whether there is a cap on the day, too: then every cost is answered by a DayBudget.
    day_cap: bool = False

    # What each function that the model may call does to the world.
    effects: Mapping[str, Effect] = field(default_factory=lambda: MappingProxyType({}))
