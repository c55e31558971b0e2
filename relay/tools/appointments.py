"""The caller's own appointments: which there are, which one is meant, and how they are told.

Whose they are is decided by the number that the network reported, and by nothing else: not by a
name, a reference or anybody's word. A reference is mere help to tell one's own apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec

from relay.errors import BusinessError
from relay.ports import Appointment, Booked, NotBooked, is_number
from relay.tools.days import WEEKDAYS, read_day, read_time, told, weekday
from relay.tools.tool import ToolPorts, clip

# More than these nobody remembers on a telephone.
MAX_TOLD = 5

# Sent in the place of a reference when none is meant: a key that is known is answered all the same.
NO_REFERENCE = "none"

WhichDay: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        description="the day that it is on now, if they have several: a weekday or YYYY-MM-DD",
        max_length=20,
    ),
]
WhichTime: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        description="the time that it is at now, if they have several: HH:MM", max_length=8
    ),
]
WhichReference: TypeAlias = Annotated[
    str,
    msgspec.Meta(description="its reference, if the caller gives one; never needed", max_length=40),
]
Again: TypeAlias = Annotated[
    int,
    msgspec.Meta(
        description="leave out; 1 to do once more what was undone in this call, then 2, and so on",
        ge=0,
        le=9,
    ),
]

WITHHELD = {
    "reason": "number_withheld",
    "message": "The caller withholds their number, so their appointments cannot be found."
    " Offer to take a message, or a person.",
}


async def coming(ports: ToolPorts) -> Sequence[Appointment]:
    """The caller's own appointments that have not begun, in order."""
    if not is_number(ports.caller):
        return ()
    return await ports.business.appointments(ports.caller)


async def meant(
    appointments: Sequence[Appointment], ports: ToolPorts, *, day: str, time: str, reference: str
) -> list[Appointment]:
    """Which of them the caller means: all that what was said of it does not rule out.

    Raises BadArguments for what is no day or time.
    """
    found = list(appointments)
    if day.strip().capitalize() in WEEKDAYS:
        found = [each for each in found if weekday(each.starts_at) == day.strip().capitalize()]
    elif day.strip():
        on = read_day(day, (await ports.business.now()).date())
        found = [each for each in found if each.starts_at.date() == on]
    if time.strip():
        at = read_time(time)
        found = [each for each in found if each.starts_at.time() == at]
    # Six digits are easily misheard: one that fits none of theirs says nothing.
    spelled = _plain(reference)
    return [each for each in found if _plain(each.reference) == spelled] or found


def which_one(
    appointments: Sequence[Appointment], found: Sequence[Appointment]
) -> dict[str, object]:
    """What to tell the model when it is not clear which one is meant."""
    if not appointments:
        message = "This number has no appointment before it. Say so; offer to book, or a person."
        return {"reason": "none_found", "message": message}
    message = "Ask which one is meant, then call again with its day and time."
    if not found:
        message = "None is at that day and time. Tell the caller which there are, and ask."
    return {
        "reason": "which_one" if found else "no_such_one",
        "message": message,
        **listed(found or appointments),
    }


def another_one(found: Sequence[Appointment], again: int) -> dict[str, object]:
    """What to tell the model when its words have cancelled another one before, in the same call.

    The key is that of the first time, and so is the answer. again: what the model has said
    """
    return {
        "reason": "another_one",
        "message": "These words cancelled another appointment in this call; this one still stands."
        f" If the caller wants it cancelled as well, call again with again {again + 1}.",
        **listed(found),
    }


def listed(appointments: Sequence[Appointment]) -> dict[str, object]:
    """Appointments as the model is told them, the first few."""
    few = {"appointments": [describe(each) for each in appointments[:MAX_TOLD]]}
    rest = len(appointments) - MAX_TOLD
    return {**few, "more": rest} if rest > 0 else {**few}


def describe(appointment: Appointment | Booked) -> dict[str, object]:
    """One appointment, ready to be said."""
    return {"service": clip(appointment.service, 60), **told(appointment.starts_at)}


def offer(refused: NotBooked) -> dict[str, object]:
    """Why it could not be had, and what could, ready to be said: a model counts weekdays badly."""
    return {
        "reason": clip(refused.reason, 40),
        "alternatives": [told(at) for at in refused.alternatives[:MAX_TOLD]],
    }


async def undone(
    answer: Appointment | Booked, ports: ToolPorts, again: int
) -> dict[str, object] | None:
    """What to tell the model when an old answer holds no more; None: it holds.

    A call's second wish for the same thing has the key of the first, and gets its answer. When the
    thing was changed or cancelled in between, that answer would be a lie. again: what the model
    has said; another number makes another key.
    """
    if not answer.repeated or not is_number(ports.caller):
        return None
    try:
        appointments = await coming(ports)
    except BusinessError:  # the answer itself was had, and most likely holds
        return None
    for each in appointments:
        if each.reference == answer.reference and each.starts_at == answer.starts_at:
            return None
    return {
        "reason": "undone_since",
        "message": "This was done in this call, and changed or cancelled after that. If the caller"
        f" wants it once more, call again with again {again + 1}.",
        **listed(appointments),
    }


def _plain(reference: str) -> str:
    return "".join(character for character in reference.casefold() if character.isalnum())
