"""wait_for_caller: the core stops asking "are you still there?" for up to two minutes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.tools.tool import Arguments, acted_by_core


class WaitForCaller(Arguments):
    """Wait in silence. Use it when the caller asks for a moment, to fetch a calendar or a card;
    say first that you will wait."""

    reason: Annotated[str, msgspec.Meta(description="what the caller fetches", max_length=200)]


TOOL = acted_by_core("wait_for_caller", WaitForCaller)
