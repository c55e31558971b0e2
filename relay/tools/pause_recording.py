"""pause_recording: something is about to be said that must not be kept, such as a card's number.

The same function ends the pause; one that nobody ends ends by itself (core/keeping.py).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from relay.tools.tool import Arguments, ToolPorts, ToolResult, tool


class PauseRecording(Arguments):
    """Pause recording and transcribing before the caller says a card's number, a password or the
    like; and go on again, with resume, when that was said."""

    resume: Annotated[
        bool, msgspec.Meta(description="true: it was said, go on recording; else leave it out")
    ] = False


async def run(args: PauseRecording, ports: ToolPorts) -> ToolResult:
    """Pause, and say whether the pause holds; or end it."""
    if args.resume:
        ports.recording.resume()
        return ToolResult({"status": "goes_on"})
    if await ports.recording.pause():
        return ToolResult({"status": "paused", "message": "Now it may be said."})
    return ToolResult(
        {
            "status": "not_paused",
            "message": "The recording cannot be paused. Do not let them say it; offer a human.",
        }
    )


TOOL = tool("pause_recording", PauseRecording, effect="read", run=run)
