"""transfer_to_human: ring a human, while the agent keeps the caller company.

The model chooses among names, never a number: there is no field that could hold one. The tool
returns once a telephone rings; what comes of that the call is told by events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from relay.tools.tool import Arguments, Tool, ToolPorts, ToolResult, clip, tool


class TransferToHuman(Arguments):
    """Ring a person who can take this call over. Say first that you will try to reach someone. You
    stay with the caller until they are there, and are told how it went. If the caller does not want
    it any more, use cancel_transfer."""

    reason: Annotated[
        str, msgspec.Meta(description="what it is about, in a few words", max_length=200)
    ]


_RINGING = {
    "status": "ringing",
    "message": "A telephone rings. Say so in a few words, and stay with the caller; you will be"
    " told how it went.",
}
_REFUSED = {
    "closed": "Nobody is there at this hour. Say so, and offer to take a message.",
    "unknown": "There is nobody of that name. Leave person out.",
    "ringing": "Somebody is being rung already. Stay with the caller; you will be told.",
    "too_often": "It was tried often enough in this call. Offer to take a message.",
    "loop": "The caller is the person who would be rung. Offer to help yourself.",
    "cancelled": "It was taken back with cancel_transfer. Go on yourself.",
    "not_rung": "The telephone network does not take it. Apologise, and offer to take a message.",
}


async def run(args: TransferToHuman, ports: ToolPorts) -> ToolResult:
    person = getattr(args, "person", "") or ""
    refused = await ports.human.ring(person, clip(args.reason, 200))
    if not refused:
        return ToolResult(dict(_RINGING))
    told = {"status": "not_ringing", "reason": refused, "message": _REFUSED[refused]}
    return ToolResult(told, refused=refused)


def make(people: Sequence[str] = ()) -> Tool:
    """The tool for a business with these named people, besides whoever answers its telephone."""
    arguments: Any = TransferToHuman
    if people:
        arguments = msgspec.defstruct(
            "TransferToHuman",
            [("person", _one_of(people), msgspec.UNSET)],
            bases=(TransferToHuman,),
            namespace={"__doc__": TransferToHuman.__doc__},
        )
    # A try that is over may be made again: only what lasts is done once a key.
    return tool("transfer_to_human", arguments, effect="write", run=run, lasting=False)


def _one_of(people: Sequence[str]) -> Any:
    """The type of a name out of these, or of none: no default is told, for it would be no name."""
    description = "whom to ring; leave it out for whoever is there"
    name: Any = Annotated[Literal[tuple(people)], msgspec.Meta(description=description)]
    return name | msgspec.UnsetType


TOOL = make()
