"""What can happen to a call. Past tense; plain data; built by wire and shell, read by core.

Clocks: `now` (monotonic seconds) is never in an event, it is passed beside it. `item_ms` counts
inside one assistant item; `buffer_ms` counts audio written to the model's input buffer.
Text events of both wires that mean nothing to the core never become events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

# ---- phone ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PhoneStarted:
    """Twilio's `start`: the stream is up and may be spoken to."""

    stream_sid: str
    call_sid: str
    account_sid: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class CallerAudio:
    """One frame of the caller, already in the model's format.

    audio: base64 text, ready for `input_audio_buffer.append`
    ms: its length on the line, silence put in for lost frames included
    level_db: its level in dBFS, -100.0 for digital silence
    rises: how often it crosses zero upwards, which tells a vowel from breath
    """

    audio: str
    ms: int
    level_db: float
    rises: int = 0


@dataclass(slots=True)
class CallerPassed:
    """Frames of the caller that the model has already: Call.hears_at_once allowed it.

    mulaw: their sound as it came, in one piece
    frames: of each its ms, level_db and rises, as in CallerAudio; the last one ends now
    """

    mulaw: bytes
    frames: list[tuple[int, float, int]]


@dataclass(frozen=True, slots=True)
class MarkEchoed:
    """Twilio says that a mark was reached, or discarded by `clear`.

    ago_s: how long before it is told. Of several that came meanwhile only the last one is.
    """

    name: str
    ago_s: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """One DTMF digit: 0-9, *, #, A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class PhoneStopped:
    """Twilio's `stop`: the stream ended. Not the same as: the call ended."""


@dataclass(frozen=True, slots=True)
class PhoneClosed:
    """The phone's socket is gone."""

    code: int = 1006
    reason: str = ""


# ---- model ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """`session.created`: the model answers; it does not yet have our configuration."""

    session_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelReady:
    """`session.updated`: our configuration holds; caller audio may flow."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The server's VAD hears the caller. buffer_ms includes the prefix padding."""

    item_id: str
    buffer_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The server's VAD heard the caller stop. buffer_ms includes the silence hold."""

    item_id: str
    buffer_ms: int


@dataclass(frozen=True, slots=True)
class InputCommitted:
    """The caller's utterance is an item of the conversation now."""

    item_id: str
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """What the caller said in one item. text is "" when the recogniser failed (`failed`).

    alarming: an emergency may be meant (core/emergency.py); found where the words arrive, since a
        recording must not hold them before the notice was heard
    refusing: the caller may refuse to be recorded (core/consent.py); found there as well
    usage: token counts ("input_text", "input_audio", "output_text") or "audio_ms", whichever the
        recogniser is billed by; empty when absent
    language: of what is alarming, where that is known
    """

    item_id: str
    text: str
    failed: bool = False
    alarming: bool = False
    refusing: bool = False
    usage: dict[str, int] = field(default_factory=dict)
    language: str = ""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """`response.created`. purpose is our own metadata, "" when the response is not ours."""

    response_id: str
    purpose: str = ""


@dataclass(slots=True)
class AgentAudio:
    """A piece of the agent's voice, already mu-law at 8 kHz (8 bytes a ms).

    level_db: its loudest moment in dBFS, which an echo can come back with
    """

    response_id: str
    item_id: str
    mulaw: bytes
    level_db: float


@dataclass(frozen=True, slots=True)
class AgentAudioEnded:
    """No more audio of this item; its resampler tail came before this event."""

    response_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class AgentTranscribed:
    """The full text that was generated for an item, heard or not."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class FunctionCalled:
    """A completed function_call item. arguments is the model's JSON text, not yet trusted."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AgentText:
    """The next sentences of an item that is written and not spoken, with the blank behind them."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class AgentWrote:
    """All of an item that is written and not spoken: for a second voice, or out of band, for us."""

    response_id: str
    text: str
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """`response.done`, exactly once a response.

    status: completed | cancelled | incomplete | failed; "" when it was not told
    reason: the status_details' reason ("turn_detected", "max_output_tokens", …) or ""
    error_code, error_message: of a failed one
    usage: token counts, flat ("input_text", "cached_audio", "output_audio", …), empty when absent;
        "cached_guessed" is 1 when only the sum of the cached ones was told
    """

    response_id: str
    status: str
    reason: str = ""
    error_code: str = ""
    error_message: str = ""
    usage: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelErrored:
    """An `error` event. event_id is the id of our event that caused it, "" if none did."""

    code: str
    message: str
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelClosed:
    """The model's socket is gone, or was never to be had (`reason` says which)."""

    code: int = 1006
    reason: str = ""


# ---- a second voice -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WordsTimed:
    """How far into an item's sound some of its words end. Comes before that sound.

    words: pairs of how many characters of the item's text are said, and by which ms of the item
    """

    item_id: str
    words: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class VoiceLost:
    """The second voice is gone, or will not speak.

    why: quota | voice | key | refused | unreachable | closed | broken; detail: in its own words
    """

    why: str
    detail: str = ""


# ---- inside the process ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool ended. output is what the model is told: small JSON, never a traceback.

    outcome: "" or what this means for the call's outcome row ("booked", "message", …)
    notice: "" or the one line that the business's owner shall hear of it; personal
    refused: "" or why nobody is rung: closed | unknown | ringing | too_often | loop | not_rung
    told_as: the call_id that the notice goes by, if another request had it done; "": this one's
    """

    call_id: str
    output: str
    ok: bool = True
    outcome: str = ""
    notice: str = ""
    refused: str = ""
    told_as: str = ""


@dataclass(frozen=True, slots=True)
class CallResumed:
    """This stream goes on with a call whose stream before it ended. Comes before PhoneStarted.

    lines: role (user | assistant) and text of all that was heard, oldest first; empty: the notice
        was not heard, so that the call begins anew; or none were kept
    spent: what those streams have cost, in micro-USD
    elapsed_s: since the first of them began
    answers: how often the agent has said something of its own
    tools: name, arguments, status (as in ToolCalled) and output of each function call, in order
    outcomes, notices: as of a ToolFinished, of what those did
    consent: its answer; "" when there was none yet, unknown when nobody could be asked
    recording: the SID of what is being recorded, or ""
    hard: the call had gone to the larger model
    returns: how often it has come back by now
    greeting_ms: how long its first stream's greeting was waited for; None: none was heard
    """

    lines: tuple[tuple[str, str], ...] = ()
    spent: int = 0
    elapsed_s: float = 0.0
    answers: int = 0
    tools: tuple[tuple[str, str, str, str], ...] = ()
    outcomes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    consent: str = ""
    recording: str = ""
    hard: bool = False
    returns: int = 0
    greeting_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RecordingRefused:
    """The caller does not want to be recorded, as the model understood."""


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """What is said next must not be kept."""


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """It was said. What the agent is saying about it is still not kept."""


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """This process is about to end: the call shall go on in another one."""


@dataclass(frozen=True, slots=True)
class HumanRinging:
    """A human's telephone rings for this call. attempt: a name of its own for each try."""

    attempt: str


@dataclass(frozen=True, slots=True)
class HumanAccepted:
    """The human pressed the key, and waits for the caller."""

    attempt: str


@dataclass(frozen=True, slots=True)
class HumanLost:
    """Nothing came of an attempt. reason: busy | no_answer | declined | hung_up | failed"""

    attempt: str
    reason: str


@dataclass(frozen=True, slots=True)
class DayBudget:
    """How near the day's cap is, all calls of all processes counted, this one up to now.

    level: budget.Level
    """

    level: int


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The alarm rang: `Call.deadline` has come."""


@dataclass(frozen=True, slots=True)
class OutboxFull:
    """A peer reads too slowly: side is "phone" or "model"."""

    side: str


@dataclass(frozen=True, slots=True)
class PeerMisbehaved:
    """A message broke its protocol and was dropped. kind is a fixed word."""

    side: str
    kind: str


Event: TypeAlias = (
    PhoneStarted
    | CallerAudio
    | CallerPassed
    | MarkEchoed
    | KeyPressed
    | PhoneStopped
    | PhoneClosed
    | ModelOpened
    | ModelReady
    | SpeechStarted
    | SpeechStopped
    | InputCommitted
    | CallerTranscribed
    | ResponseStarted
    | AgentAudio
    | AgentAudioEnded
    | AgentTranscribed
    | FunctionCalled
    | AgentText
    | AgentWrote
    | ResponseEnded
    | ModelErrored
    | ModelClosed
    | WordsTimed
    | VoiceLost
    | ToolFinished
    | CallResumed
    | MoveAsked
    | RecordingRefused
    | PauseAsked
    | ResumeAsked
    | HumanRinging
    | HumanAccepted
    | HumanLost
    | DayBudget
    | DeadlinePassed
    | OutboxFull
    | PeerMisbehaved
)
