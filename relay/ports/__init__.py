"""The seams to everything outside: who implements them lives above, who uses them never asks who.

Socket       one WebSocket, either side (shell/sockets.py in production, sim/pair.py in tests)
CallStore    where records go (adapters/store.py); synchronous, called in worker threads
WriteStore   writes that happen once (adapters/store.py); synchronous
ReturnStore  calls that go on after their stream (adapters/store.py); synchronous
DayBudgets   what is spent of the day's cap (adapters/store.py); synchronous
Voice        a second voice that speaks what the model writes (adapters/elevenlabs.py)
ClipStore    where the clips in the agent's own voice are kept (adapters/store.py); synchronous
Bookings     where the embedded business keeps appointments (adapters/store.py); synchronous
BusinessApi  the business's own system (adapters/business_local.py, adapters/business_http.py)
NoticeStore  notices for the owner that wait to be delivered (adapters/store.py); synchronous
Webhook      where they are posted (adapters/webhook.py)
PhoneAccount our account and numbers there (adapters/twilio_account.py)
PhoneControl calls that we place, end and record (adapters/twilio_rest.py)
RecordingStore  which recordings must go (adapters/store.py); synchronous
RecordingDesk   where a call's recording is paused and refused (shell/recordings.py)
HumanDesk    where a call asks for a human (shell/humans.py)
AttemptStore what came of that, for every process (adapters/store.py); synchronous
LooseEndStore   calls and legs whose end nobody has told (adapters/store.py); synchronous
"""

from __future__ import annotations

from relay.core.breaker import Breaker
from relay.core.records import (
    CALL_FAILED,
    CallEnded,
    CallOpened,
    ConsentNoted,
    DispositionChosen,
    OwnerNotice,
    Record,
    SpendAdded,
    ToolCalled,
    TranscriptLine,
    failed_notice,
)
from relay.ports.account import Account, Number, NumberRoutes, PhoneAccount
from relay.ports.business import (
    Appointment,
    Booked,
    BookingRequest,
    Bookings,
    BusinessApi,
    BusinessProfile,
    ChangeRequest,
    DayHours,
    FreeStarts,
    Message,
    NotBooked,
    Service,
    is_number,
)
from relay.ports.clips import ClipStore, StoredClip
from relay.ports.humans import Attempt, AttemptStore, HumanDesk
from relay.ports.loose_ends import LooseEndStore, OpenCall
from relay.ports.notices import Claimed, Notice, NoticeStore, Settled, Webhook
from relay.ports.phone import ENDED, Leg, PhoneControl, RecordingDesk
from relay.ports.records import (
    CallRow,
    CallStore,
    CallSummary,
    Consented,
    DayCosts,
    Entry,
    Erased,
    Kept,
    OutcomeSettled,
    RecordingNoted,
    RecordingState,
    RecordingStore,
    UnwantedRecording,
    WriteBegun,
    WriteEnded,
    WriteRow,
    WriteStatus,
    WriteStore,
)
from relay.ports.returns import CallPast, ReturnStore, Standing, WhyBack
from relay.ports.sockets import AnsweringSocket, QuickSocket, Socket
from relay.ports.spending import DayBudgets, Drawn
from relay.ports.voice import Voice, VoiceOver, VoiceSays, VoiceSound

# Adapters see records, and the breaker, through this seam: they never import the core.
__all__ = [
    "CALL_FAILED",
    "ENDED",
    "Account",
    "AnsweringSocket",
    "Appointment",
    "Attempt",
    "AttemptStore",
    "Booked",
    "BookingRequest",
    "Bookings",
    "Breaker",
    "BusinessApi",
    "BusinessProfile",
    "CallEnded",
    "CallOpened",
    "CallPast",
    "CallRow",
    "CallStore",
    "CallSummary",
    "ChangeRequest",
    "Claimed",
    "ClipStore",
    "ConsentNoted",
    "Consented",
    "DayBudgets",
    "DayCosts",
    "DayHours",
    "DispositionChosen",
    "Drawn",
    "Entry",
    "Erased",
    "FreeStarts",
    "HumanDesk",
    "Kept",
    "Leg",
    "LooseEndStore",
    "Message",
    "NotBooked",
    "Notice",
    "NoticeStore",
    "Number",
    "NumberRoutes",
    "OpenCall",
    "OutcomeSettled",
    "OwnerNotice",
    "PhoneAccount",
    "PhoneControl",
    "QuickSocket",
    "Record",
    "RecordingDesk",
    "RecordingNoted",
    "RecordingState",
    "RecordingStore",
    "ReturnStore",
    "Service",
    "Settled",
    "Socket",
    "SpendAdded",
    "Standing",
    "StoredClip",
    "ToolCalled",
    "TranscriptLine",
    "UnwantedRecording",
    "Voice",
    "VoiceOver",
    "VoiceSays",
    "VoiceSound",
    "Webhook",
    "WhyBack",
    "WriteBegun",
    "WriteEnded",
    "WriteRow",
    "WriteStatus",
    "WriteStore",
    "failed_notice",
    "is_number",
]
