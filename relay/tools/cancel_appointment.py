"""cancel_appointment: an appointment of the number on the line, given up."""

from __future__ import annotations

from relay.ports import Appointment, is_number
from relay.tools.appointments import (
    NO_REFERENCE,
    WITHHELD,
    Again,
    WhichDay,
    WhichReference,
    WhichTime,
    another_one,
    coming,
    describe,
    listed,
    meant,
    which_one,
)
from relay.tools.days import written
from relay.tools.people import named
from relay.tools.tool import Arguments, ToolPorts, ToolResult, clip, tool


class CancelAppointment(Arguments):
    """Cancel an appointment of the caller's. Call it only after you have read back which one and
    the caller has agreed. Tell the caller which one it says that it cancelled."""

    day: WhichDay = ""
    time: WhichTime = ""
    reference: WhichReference = ""
    again: Again = 0


async def run(args: CancelAppointment, ports: ToolPorts) -> ToolResult:
    if not is_number(ports.caller):
        return ToolResult({"cancelled": False, **WITHHELD})
    theirs = await coming(ports)
    found = await meant(theirs, ports, day=args.day, time=args.time, reference=args.reference)
    reference = found[0].reference if len(found) == 1 else NO_REFERENCE
    cancelled = await ports.business.cancel(reference, ports.caller, ports.key)
    if cancelled is None:
        return ToolResult({"cancelled": False, **which_one(theirs, found)})
    if cancelled.repeated and reference not in (NO_REFERENCE, cancelled.reference):
        return ToolResult({"cancelled": False, **another_one(found, args.again)})
    left = [each for each in theirs if each.reference != cancelled.reference]
    output = {
        "cancelled": True,
        **describe(cancelled),
        "still_booked": listed(left)["appointments"],
    }
    return ToolResult(output, "cancelled", _notice(cancelled, ports))


def _notice(cancelled: Appointment, ports: ToolPorts) -> str:
    who, what = named(clip(cancelled.name, 80), ports), clip(cancelled.service, 60)
    when, number = written(cancelled.starts_at), clip(cancelled.reference, 40)
    return f"{who} cancelled: {what}, {when}, no. {number}"


TOOL = tool("cancel_appointment", CancelAppointment, effect="write", run=run)
