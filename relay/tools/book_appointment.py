"""book_appointment: one appointment, for the caller on the line.

The telephone number that goes with it is the one the network reported. The model cannot give
another, so a caller cannot book in somebody else's name and number by saying so.
"""

from __future__ import annotations

from datetime import datetime

from relay.ports import Booked, BookingRequest, NotBooked
from relay.tools.appointments import Again, describe, offer, undone
from relay.tools.days import Day, TimeOfDay, far_ahead, read_coming_day, read_time, written
from relay.tools.people import Name, named, read_name
from relay.tools.services import ServiceName, offered, read_service
from relay.tools.tool import Arguments, ToolPorts, ToolResult, clip, tool


class BookAppointment(Arguments):
    """Book an appointment for the caller. Call it only after you have read back the service, day,
    time and name and the caller has agreed. If it answers booked false, offer the alternatives."""

    service: ServiceName
    day: Day
    time: TimeOfDay
    name: Name
    again: Again = 0


async def run(args: BookAppointment, ports: ToolPorts) -> ToolResult:
    today = (await ports.business.now()).date()
    name = read_name(args.name)
    day = read_coming_day(args.day, today)
    far = far_ahead(day, today)
    request = BookingRequest(
        service=read_service(args.service),
        starts_at=datetime.combine(day, read_time(args.time)),
        name=name,
        phone=ports.caller,
    )
    match await ports.business.book(request, ports.key):
        case Booked() as booked:
            if (stale := await undone(booked, ports, args.again)) is not None:
                return ToolResult({"booked": False, **stale})
            return ToolResult(_told(booked) | far, "booked", _notice(booked, name, ports))
        case NotBooked() as refused:
            return ToolResult({"booked": False, **await _offer(refused, ports), **far})


def _told(booked: Booked) -> dict[str, object]:
    return {"booked": True, "reference": clip(booked.reference, 40), **describe(booked)}


def _notice(booked: Booked, name: str, ports: ToolPorts) -> str:
    what, when = clip(booked.service, 60), written(booked.starts_at)
    return f"{named(name, ports)} booked: {what}, {when}, no. {clip(booked.reference, 40)}"


async def _offer(refused: NotBooked, ports: ToolPorts) -> dict[str, object]:
    output = offer(refused)
    if refused.reason == "unknown_service":
        output["services"] = await offered(ports)
    return output


TOOL = tool("book_appointment", BookAppointment, effect="write", run=run)
