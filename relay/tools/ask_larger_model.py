"""ask_larger_model: the core replaces the session by one of the model for hard calls."""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.tools.tool import Arguments, acted_by_core


class AskLargerModel(Arguments):
    """Let a more able colleague take this call over. Use it when the caller's matter is too
    tangled for you; say first that you need a moment."""

    reason: Annotated[str, msgspec.Meta(description="why, in a few words", max_length=200)]


TOOL = acted_by_core("ask_larger_model", AskLargerModel)
