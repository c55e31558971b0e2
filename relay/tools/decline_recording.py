"""decline_recording: the caller wants nothing of the call to be kept. At once, and for good."""

from __future__ import annotations

from relay.tools.tool import Arguments, ToolPorts, ToolResult, tool


class DeclineRecording(Arguments):
    """Stop recording and transcribing this call and delete what was kept of it, because the caller
    does not want it. Use it as soon as they say so, without asking back. It cannot be undone."""


async def run(_args: DeclineRecording, ports: ToolPorts) -> ToolResult:
    """Refuse in the caller's name."""
    await ports.recording.refuse()
    return ToolResult(
        {
            "status": "stopped",
            "message": "Nothing of this call is kept any more. Say so in one sentence, and go on.",
        }
    )


TOOL = tool("decline_recording", DeclineRecording, effect="read", run=run)
