"""cancel_transfer: the core lets go of a human who is being rung."""

from __future__ import annotations

from relay.tools.tool import Arguments, acted_by_core


class CancelTransfer(Arguments):
    """Stop ringing the person that transfer_to_human has begun to ring, because the caller does not
    want it any more."""


TOOL = acted_by_core("cancel_transfer", CancelTransfer)
