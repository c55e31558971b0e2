"""lookup_hours: when the business is open on one day."""

from __future__ import annotations

from relay.tools.days import Day, read_day, weekday
from relay.tools.tool import Arguments, BadArguments, ToolPorts, ToolResult, clip, tool

# A day with more spans than this is a fault of the business's system, and nobody would listen.
MAX_SPANS = 6


class LookupHours(Arguments):
    """Look up the opening hours of one day, holidays included. An empty list means closed."""

    day: Day


async def run(args: LookupHours, ports: ToolPorts) -> ToolResult:
    today = (await ports.business.now()).date()
    day = read_day(args.day, today)
    if day < today:
        raise BadArguments(
            f"{day.isoformat()} is past. Today is {weekday(today)} {today.isoformat()}."
        )
    hours = await ports.business.hours(day)
    return ToolResult(
        {
            "day": weekday(day),
            "date": day.isoformat(),
            "open": [[f"{start:%H:%M}", f"{end:%H:%M}"] for start, end in hours.spans[:MAX_SPANS]],
            "note": clip(hours.note, 120),
        }
    )


TOOL = tool("lookup_hours", LookupHours, effect="read", run=run)
