"""What the simulated model believes was said: the conversation, item by item.

Tests read this to find out whether a truncation, a deletion or a function's output arrived as it
should. An item keeps two lengths: what was generated, and what of it the model still remembers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import trio

from relay.sim.realtime_config import Json, text_tokens

Status = Literal["in_progress", "completed", "incomplete"]


@dataclass(slots=True, kw_only=True)
class Item:
    """One item of the conversation.

    type: message | function_call | function_call_output
    spoken: it is audio (the caller's, or the agent's own)
    text: of a text item; or the transcript of a spoken one, "" once it was truncated
    said: the whole transcript as generated or heard, whatever became of the item
    generated_ms, audio_ms: audio there ever was, and what of it the model remembers
    heard: set when the brain has understood a caller's turn
    """

    id: str
    type: str = "message"
    role: str = ""
    status: Status = "completed"
    spoken: bool = False
    text: str = ""
    said: str = ""
    generated_ms: int = 0
    audio_ms: int = 0
    truncated_ms: int | None = None
    deleted: bool = False
    phase: str | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    heard: trio.Event = field(default_factory=trio.Event)

    def grow(self, ms: int) -> None:
        """More of its audio was generated."""
        self.generated_ms += ms
        if self.truncated_ms is None:
            self.audio_ms += ms

    def truncate(self, audio_end_ms: int) -> None:
        """Forget the audio behind a point, and with it the whole transcript."""
        self.truncated_ms = audio_end_ms
        self.audio_ms = min(self.audio_ms, audio_end_ms)
        self.text = ""


def wire(item: Item) -> Json:
    """The item as events carry it."""
    head: Json = {"id": item.id, "object": "realtime.item", "type": item.type}
    head["status"] = item.status
    match item.type:
        case "function_call":
            call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
            return head | call
        case "function_call_output":
            return head | {"call_id": item.call_id, "output": item.output}
    message: Json = head | {"role": item.role, "content": _content(item)}
    return message | {"phase": item.phase} if item.phase else message


def _content(item: Item) -> list[Json]:
    match item.role:
        case "assistant" if item.status == "in_progress":
            return []
        case "assistant" if item.spoken:
            return [{"type": "output_audio", "transcript": item.text}]
        case "assistant":
            return [{"type": "output_text", "text": item.text}]
        case "user" if item.spoken:
            return [{"type": "input_audio", "transcript": None}]
    return [{"type": "input_text", "text": item.text}]


def read(item_id: str, sent: Json) -> Item:
    """The item that a client's `conversation.item.create` describes; text only."""
    parts = sent.get("content") or []
    text = " ".join(part.get("text") or part.get("transcript") or "" for part in parts)
    return Item(
        id=item_id,
        type=sent["type"],
        role=sent.get("role", ""),
        text=text,
        said=text,
        call_id=sent.get("call_id", ""),
        name=sent.get("name", ""),
        arguments=sent.get("arguments", ""),
        output=sent.get("output", ""),
    )


def tokens(item: Item) -> tuple[int, int]:
    """What an item costs as input: (text, audio) tokens."""
    per_token_ms = 100 if item.role == "user" else 50
    words = "" if item.spoken else item.text
    return text_tokens(words + item.arguments + item.output), -(-item.audio_ms // per_token_ms)
