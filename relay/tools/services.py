"""What can be booked, as the model names it and as it is told."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from relay.tools.tool import ToolPorts, clip

# A name that is told must be one that is taken: a shortened one names nothing.
MAX_CHARS = 60
MAX_TOLD = 20

ServiceName: TypeAlias = Annotated[
    str,
    msgspec.Meta(description="one of the services offered", min_length=1, max_length=MAX_CHARS),
]


def read_service(text: str) -> str:
    """A service's name on one line."""
    return clip(text, MAX_CHARS)


async def offered(ports: ToolPorts) -> list[str]:
    """The names of what can be booked, for who has named something else."""
    services = (await ports.business.profile()).services
    return [clip(each.name, MAX_CHARS) for each in services[:MAX_TOLD]]
