"""end_call: the core hangs up once the goodbye was heard."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.tools.tool import Arguments, acted_by_core


class EndCall(Arguments):
    """Hang up. Use it only when the caller has said goodbye or wants nothing more, and say goodbye
    first."""

    reason: Annotated[str, msgspec.Meta(description="why, in a few words", max_length=200)]


TOOL = acted_by_core("end_call", EndCall)
