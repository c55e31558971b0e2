"""What a call leaves behind. Emitted by the core, stamped by the journal, kept by a store.

Every record has a natural key inside its call, so that writing it again changes nothing.
`at` and `started_at` are monotonic seconds of the call's process; the journal turns them into UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Answer: TypeAlias = Literal["hung_up_before", "none_needed", "stayed", "declined"]


@dataclass(frozen=True, slots=True)
class CallOpened:
    """Key: the call. The caller's number is personal."""

    at: float
    stream_sid: str
    caller: str = ""
    called: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """Key: item_id. What one side said, and what of it was heard.

    speaker: "caller" | "agent"
    position: place in the conversation; rises, and may leave gaps
    heard_ms: of an agent's line; None for a caller's
    """

    at: float
    item_id: str
    speaker: str
    position: int
    generated_text: str
    heard_text: str
    heard_ms: int | None = None
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """Key: call_id. status: running | ok | error | cancelled | late."""

    at: float
    call_id: str
    name: str
    arguments: str
    status: str
    output: str = ""
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DispositionChosen:
    """Key: the call. What `after-stream` shall do: hang_up | join | fallback | voicemail,
    or resume: the call goes on in another stream.

    returns: how often the call had come back before the stream that chose it
    """

    at: float
    disposition: str
    reason: str = ""
    returns: int = 0


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Key: the call. Its outcome: exactly one a call.

    outcome: booked | changed | cancelled | quoted | message, as the last function that wrote said;
        or else resolved | transferred | abandoned | failed
    greeting_ms: `start` to the first media sent; None when none was
    notice_heard: whether the notice's mark came back, without which no transcript is kept
    summary: one line for a person, of what was kept alone; personal
    """

    at: float
    outcome: str
    reason: str
    duration_ms: int
    greeting_ms: int | None
    notice_heard: bool
    barge_ins: int = 0
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ConsentNoted:
    """Key: the call. What the caller was told about being recorded, and what came of it.

    policy: always | states; needed: whether the notice had to be heard
    caller_country, caller_state: of the caller's number, as the phone network says; or ""
    notice_hash: SHA-256 of the greeting's words, in hexadecimal
    heard_at: when the greeting's own mark came back, on the clock of `at`; None before
    greeting_ms: as CallEnded's, for a stream that goes on with the call; None before heard_at
    answer: declined: nothing of the call is kept, neither what comes nor what came before
    """

    at: float
    policy: str
    caller_country: str
    caller_state: str
    business_state: str
    needed: bool
    notice_hash: str
    heard_at: float | None
    answer: Answer
    greeting_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OwnerNotice:
    """Key: the call and ref. Something that the business's owner shall hear of, once.

    kind: booked | changed | cancelled | quoted | message | voicemail | failed | flagged
    ref: the function's call_id, the recording's SID, or the kind itself when one a call is enough
    text: one line for a person; personal
    """

    at: float
    ref: str
    kind: str
    text: str


#: The ref of that notice: a call fails once.
CALL_FAILED: Final = "failed"


def failed_notice(at: float, reason: str) -> OwnerNotice:
    """The one notice of a call that failed, whoever finds that out."""
    why = reason.replace("_", " ") or "unknown"
    return OwnerNotice(at, CALL_FAILED, "failed", f"A call could not be finished ({why}).")


@dataclass(frozen=True, slots=True)
class SpendAdded:
    """Key: the call and ref. What one thing cost, in whole micro-USD, rounded up.

    ref: the response's id, "words_" and the utterance's item, "voice_" and the item and place of
        a text, or "phone_" and the stream, whose row grows
    kind: response | transcription | voice | phone
    model: whose price was taken; "" for the phone
    input_text: tokens, but characters for a voice
    note: "" | estimated (no usage came) | cached_guessed (a sum of cached tokens without its
        parts) | unpriced (the price table does not know the model)
    """

    at: float
    ref: str
    kind: str
    micro_usd: int
    model: str = ""
    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0
    audio_ms: int = 0
    note: str = ""


Record: TypeAlias = (
    CallOpened
    | TranscriptLine
    | ToolCalled
    | DispositionChosen
    | CallEnded
    | ConsentNoted
    | OwnerNotice
    | SpendAdded
)
