"""list_slots: a few free times of a service on one day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from relay.tools.days import Day, far_ahead, read_coming_day, read_time, told, weekday
from relay.tools.services import ServiceName, offered, read_service
from relay.tools.tool import Arguments, BadArguments, ToolPorts, ToolResult, clip, tool

# What a caller can hear at once and still choose from.
MAX_TIMES = 6
MAX_LATER = 3


class ListSlots(Arguments):
    """Look up when a service is free on one day. Name two or three of the times, not all of them.
    When none is free, it says the next times on other days."""

    service: ServiceName
    day: Day
    around: Annotated[
        str,
        msgspec.Meta(description="HH:MM, if the caller has a time in mind", max_length=8),
    ] = ""


async def run(args: ListSlots, ports: ToolPorts) -> ToolResult:
    now = await ports.business.now()
    day = read_coming_day(args.day, now.date())
    around = datetime.combine(day, read_time(args.around)) if args.around.strip() else None
    service = read_service(args.service)
    free = await ports.business.slots(service, day)
    if free is None:
        names = ", ".join(await offered(ports))
        raise BadArguments(f"There is no such service: {service!r}. There are: {names}.")
    output: dict[str, object] = {
        "service": clip(free.service, 60),
        "day": weekday(day),
        "date": day.isoformat(),
        "free": [f"{at:%H:%M}" for at in few(free.starts, around)],
        "free_in_all": len(free.starts),
        **far_ahead(day, now.date()),
    }
    if not free.starts:
        output["next"] = [told(at) for at in free.later[:MAX_LATER]]
    return ToolResult(output)


def few(starts: Sequence[datetime], around: datetime | None) -> list[datetime]:
    """A few of many, in order: the nearest to a moment, or else spread over the day."""
    if len(starts) <= MAX_TIMES:
        return list(starts)
    if around is not None:
        return sorted(sorted(starts, key=lambda at: abs(at - around))[:MAX_TIMES])
    last = len(starts) - 1
    return [starts[round(number * last / (MAX_TIMES - 1))] for number in range(MAX_TIMES)]


TOOL = tool("list_slots", ListSlots, effect="read", run=run)
