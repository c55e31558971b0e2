"""lookup_hours: when the business is open on one day; of today also whether it is open now."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay.ports import DayHours
from relay.tools.days import Day, far_ahead, read_coming_day, told, weekday
from relay.tools.tool import Arguments, ToolPorts, ToolResult, clip, tool

# A day with more spans than this is a fault of the business's system, and nobody would listen.
MAX_SPANS = 6
# How far ahead the next opening is looked for: each day is a question to the business.
NEXT_DAYS = 7


class LookupHours(Arguments):
    """Look up the opening hours of one day, holidays included. An empty list means closed. For
    "are you open now?" ask for today: it also says whether it is open now, until when, and when
    it opens next. Times are those of its time zone."""

    day: Day


async def run(args: LookupHours, ports: ToolPorts) -> ToolResult:
    now = await ports.business.now()
    day = read_coming_day(args.day, now.date())
    hours = await ports.business.hours(day)
    output: dict[str, object] = {
        "day": weekday(day),
        "date": day.isoformat(),
        "open": [[f"{start:%H:%M}", f"{end:%H:%M}"] for start, end in hours.spans[:MAX_SPANS]],
        "note": clip(hours.note, 120),
        "timezone": clip((await ports.business.profile()).timezone, 40),
        **far_ahead(day, now.date()),
    }
    if day == now.date():
        output["now"] = await _now(now, hours, ports)
    return ToolResult(output)


async def _now(now: datetime, today: DayHours, ports: ToolPorts) -> dict[str, object]:
    """Whether it is open at this minute; until when, or when it opens next."""
    clock = {"time": f"{now:%H:%M}"}
    for opens, closes in today.spans:
        if opens <= now.time() < closes:
            return {**clock, "open": True, "until": f"{closes:%H:%M}"}
    opening = await _next_opening(now, today, ports)
    return {**clock, "open": False, "opens_next": told(opening) if opening else None}


async def _next_opening(now: datetime, today: DayHours, ports: ToolPorts) -> datetime | None:
    hours = today
    for ahead in range(1, NEXT_DAYS + 2):
        for opens, _ in hours.spans:
            if (opening := datetime.combine(hours.day, opens)) > now:
                return opening
        if ahead <= NEXT_DAYS:
            hours = await ports.business.hours(now.date() + timedelta(days=ahead))
    return None


TOOL = tool("lookup_hours", LookupHours, effect="read", run=run)
