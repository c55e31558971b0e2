"""change_appointment: another time for an appointment of the number on the line."""

from __future__ import annotations

from datetime import datetime

from relay.ports import Appointment, ChangeRequest, NotBooked, is_number
from relay.tools.appointments import (
    NO_REFERENCE,
    WITHHELD,
    Again,
    WhichDay,
    WhichReference,
    WhichTime,
    coming,
    describe,
    meant,
    offer,
    undone,
    which_one,
)
from relay.tools.days import Day, TimeOfDay, far_ahead, read_coming_day, read_time, written
from relay.tools.people import named
from relay.tools.tool import Arguments, ToolPorts, ToolResult, clip, tool


class ChangeAppointment(Arguments):
    """Move an appointment of the caller's to another day or time. Call it only after you have read
    back which one and its new day and time, and the caller has agreed. If it answers changed
    false, the appointment stays as it was."""

    new_day: Day
    new_time: TimeOfDay
    day: WhichDay = ""
    time: WhichTime = ""
    reference: WhichReference = ""
    again: Again = 0


async def run(args: ChangeAppointment, ports: ToolPorts) -> ToolResult:
    if not is_number(ports.caller):
        return ToolResult({"changed": False, **WITHHELD})
    today = (await ports.business.now()).date()
    day = read_coming_day(args.new_day, today)
    starts_at, far = datetime.combine(day, read_time(args.new_time)), far_ahead(day, today)
    theirs = await coming(ports)
    found = await meant(theirs, ports, day=args.day, time=args.time, reference=args.reference)
    reference = found[0].reference if len(found) == 1 else NO_REFERENCE
    request = ChangeRequest(reference, ports.caller, starts_at)
    match await ports.business.change(request, ports.key):
        case Appointment() as changed:
            if (stale := await undone(changed, ports, args.again)) is not None:
                return ToolResult({"changed": False, **stale})
            output = {"changed": True, **describe(changed), **far}
            return ToolResult(output, "changed", _notice(changed, ports))
        case NotBooked("unknown_appointment"):
            return ToolResult({"changed": False, **which_one(theirs, found)})
        case NotBooked() as refused:
            return ToolResult({"changed": False, **offer(refused), **far})


def _notice(changed: Appointment, ports: ToolPorts) -> str:
    who, what = named(clip(changed.name, 80), ports), clip(changed.service, 60)
    when, number = written(changed.starts_at), clip(changed.reference, 40)
    return f"{who} changed: {what}, now {when}, no. {number}"


TOOL = tool("change_appointment", ChangeAppointment, effect="write", run=run)
