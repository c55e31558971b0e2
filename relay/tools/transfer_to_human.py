"""transfer_to_human: the core says goodbye and hands the call over. The number is configured."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.tools.tool import Arguments, acted_by_core


class TransferToHuman(Arguments):
    """Connect the caller to a person. Use it when the caller asks for one, in any emergency, and
    when you cannot help. Say first that you are connecting them."""

    reason: Annotated[
        str, msgspec.Meta(description="why, in a few words, for the person", max_length=200)
    ]


TOOL = acted_by_core("transfer_to_human", TransferToHuman)
