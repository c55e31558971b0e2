"""What a call wants done. Imperative; plain data; decided by core, carried out by shell's route().

Order within one step is the order of the list. None of them waits, none of them answers: what
comes of a command comes back as an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from relay.core.records import Record

# ---- phone ----------------------------------------------------------------------------------


@dataclass(slots=True)
class SendAudio:
    """Media for the phone, raw mu-law at 8 kHz, and a mark behind it.

    mark: its name, the ledger's: `<epoch>:<item>:<item_ms>`
    """

    mulaw: bytes
    mark: str


@dataclass(frozen=True, slots=True)
class ClearPhone:
    """Empty Twilio's play-out buffer."""


@dataclass(frozen=True, slots=True)
class ClosePhone:
    """End the stream; Twilio then asks `after-stream`, which acts on the disposition.

    disposition: hang_up | join (the human who waits) | fallback (a human, else voicemail) |
        voicemail
    """

    disposition: str
    reason: str = ""


# ---- model ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DialModel:
    """Open a session; ModelOpened or ModelClosed follows. hard: with the model for hard calls."""

    hard: bool = False


#: How the id of an event begins that configures a session. An `error` about that one is a refusal.
SETUP: Final = "setup"


@dataclass(frozen=True, slots=True)
class ConfigureModel:
    """Send `session.update` with the call's session settings; ModelReady follows. Its id: SETUP."""


@dataclass(frozen=True, slots=True)
class SetTurnSilence:
    """How much silence ends the caller's turn from now on."""

    silence_ms: int


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """Make an item of what the caller has said so far; InputCommitted follows."""


@dataclass(slots=True)
class AppendAudio:
    """Caller audio for the model: base64 text as it came in CallerAudio."""

    audio: str


@dataclass(slots=True)
class RetellAudio:
    """Caller audio that another session has heard, for its successor: mu-law as in CallerPassed."""

    mulaw: bytes


@dataclass(frozen=True, slots=True)
class AddText:
    """Add a text item to the conversation. role: system | user | assistant."""

    role: str
    text: str
    item_id: str = ""


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Ask the model to speak. purpose goes out as metadata and comes back in ResponseStarted.

    instructions: take the place of the session's for this one response; "": the session's hold
    """

    purpose: str = "turn"
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class CreateText:
    """Ask the model to write what a second voice will say; else like CreateResponse."""

    purpose: str = "turn"
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class AskPrivately:
    """Ask the model to write something, out of band: no part of the conversation, not heard."""

    purpose: str
    instructions: str


@dataclass(frozen=True, slots=True)
class CancelResponse:
    response_id: str


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Make the model forget what of an item was not heard."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    item_id: str


@dataclass(frozen=True, slots=True)
class PostToolOutput:
    """Answer a function call. output is small JSON."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class CloseModel:
    reason: str = ""


# ---- a second voice -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenVoice:
    """Open the second voice's connection; only its failure comes back, as VoiceLost."""


@dataclass(frozen=True, slots=True)
class CloseVoice:
    """It is not wanted any more in this call."""


@dataclass(frozen=True, slots=True)
class SayText:
    """Have the second voice say more of an item. last: nothing more of it will come.

    AgentAudio and WordsTimed follow, and AgentAudioEnded after the last of it.
    """

    response_id: str
    item_id: str
    text: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class DropText:
    """Nobody wants to hear the rest of an item."""

    item_id: str


# ---- a human --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BriefHuman:
    """What the human shall hear before they press the key."""

    attempt: str
    summary: str


@dataclass(frozen=True, slots=True)
class DropHuman:
    """The human is not wanted any more: stop ringing, or say so to who has answered."""

    attempt: str


# ---- the call's recording -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record the call, in the telephone network."""


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Record nothing until ResumeRecording."""


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    pass


@dataclass(frozen=True, slots=True)
class DropRecording:
    """The caller refused: stop what is recorded, delete it, and record no more."""


# ---- codec, tools, journal ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResetCodec:
    """Forget the model→phone resampler's state: the next agent audio begins a new utterance."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """Start a tool; ToolFinished follows, whatever happens."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Write a record. Never waited for."""

    record: Record


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a log line. kind is a fixed word; detail may be personal."""

    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EndCall:
    """Nothing more will come of this call: close what is open and leave."""


Command: TypeAlias = (
    SendAudio
    | ClearPhone
    | ClosePhone
    | DialModel
    | ConfigureModel
    | SetTurnSilence
    | CommitAudio
    | AppendAudio
    | RetellAudio
    | AddText
    | CreateResponse
    | CreateText
    | AskPrivately
    | CancelResponse
    | TruncateItem
    | DeleteItem
    | PostToolOutput
    | CloseModel
    | OpenVoice
    | CloseVoice
    | SayText
    | DropText
    | BriefHuman
    | DropHuman
    | StartRecording
    | PauseRecording
    | ResumeRecording
    | DropRecording
    | ResetCodec
    | RunTool
    | Keep
    | Note
    | EndCall
)
