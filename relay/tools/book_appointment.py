"""book_appointment: one appointment, for the caller on the line.

The telephone number that goes with it is the one the network reported. The model cannot give
another, so a caller cannot book in somebody else's name and number by saying so.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from relay.ports import Booked, BookingRequest, NotBooked
from relay.tools.days import Day, TimeOfDay, read_day, read_time, weekday
from relay.tools.tool import Arguments, BadArguments, ToolPorts, ToolResult, clip, tool

# More than this nobody remembers on a telephone.
MAX_ALTERNATIVES = 5


class BookAppointment(Arguments):
    """Book an appointment for the caller. Call it only after you have read back the service, day,
    time and name and the caller has agreed. If it answers booked false, offer the alternatives."""

    service: Annotated[
        str, msgspec.Meta(description="one of the services offered", min_length=1, max_length=60)
    ]
    day: Day
    time: TimeOfDay
    name: Annotated[
        str, msgspec.Meta(description="the caller's own name", min_length=1, max_length=80)
    ]


async def run(args: BookAppointment, ports: ToolPorts) -> ToolResult:
    today = (await ports.business.now()).date()
    request = BookingRequest(
        service=clip(args.service, 60),
        starts_at=datetime.combine(read_day(args.day, today), read_time(args.time)),
        name=_person(args.name),
        phone=ports.caller,
    )
    match await ports.business.book(request, ports.key):
        case Booked() as booked:
            return ToolResult(_told(booked), outcome="booked")
        case NotBooked() as refused:
            return ToolResult(await _offer(refused, ports))


def _person(text: str) -> str:
    name = clip(text, 80)
    if not any(character.isalpha() for character in name):
        raise BadArguments("name must be the caller's name. Ask the caller for it.")
    return name


def _told(booked: Booked) -> dict[str, object]:
    return {
        "booked": True,
        "reference": clip(booked.reference, 40),
        "service": clip(booked.service, 60),
        "day": weekday(booked.starts_at),
        "date": booked.starts_at.date().isoformat(),
        "time": f"{booked.starts_at:%H:%M}",
    }


async def _offer(refused: NotBooked, ports: ToolPorts) -> dict[str, object]:
    output: dict[str, object] = {
        "booked": False,
        "reason": clip(refused.reason, 40),
        "alternatives": [
            at.isoformat(timespec="minutes") for at in refused.alternatives[:MAX_ALTERNATIVES]
        ],
    }
    if refused.reason == "unknown_service":
        services = (await ports.business.profile()).services
        output["services"] = [clip(service.name, 30) for service in services[:8]]
    return output


TOOL = tool("book_appointment", BookAppointment, effect="write", run=run)
