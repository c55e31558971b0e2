"""The conversation as it was heard: lines by item, in the order in which they were said.

No line is kept before the caller has heard the notice: until `open_gate`, what the caller said
is dropped, and what the agent said waits for its own mark like everything else. A line goes out
as soon as it is complete, and again when more is known of it; the store upserts by item.

The agent's line holds two texts: what was generated and what was heard of it. The model gives no
times for its words, so the heard text is cut by proportion, at a word.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.playout import Heard
from relay.core.records import TranscriptLine


@dataclass(slots=True)
class _Line:
    item_id: str
    speaker: str
    position: int
    at: float
    text: str | None = None
    heard: Heard | None = None
    kept: bool = True


class Transcript:
    """Lines of one call. Every method returns the rows that are ready to be kept."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._before: tuple[tuple[str, str], ...] = ()
        self.gate_open = False

    def open_gate(self) -> None:
        """The notice was heard: from now on lines are kept."""
        self.gate_open = True

    def resume(self, lines: tuple[tuple[str, str], ...]) -> None:
        """Go on behind what was said, and heard, in a stream before this one."""
        self._before = lines
        self.gate_open = True

    def caller_spoke(self, item_id: str, at: float) -> None:
        """An utterance takes its place in the order. Not kept if it came before the notice."""
        self._place(item_id, "caller", at).kept = self.gate_open

    def caller_words(self, item_id: str, text: str, at: float) -> list[TranscriptLine]:
        line = self._lines.get(item_id) or self._place(item_id, "caller", at)
        line.text = text
        return self._rows(line)

    def agent_spoke(self, item_id: str, at: float, text: str | None = None) -> None:
        """The first audio of an item; the text is known at once for a clip."""
        line = self._place(item_id, "agent", at)
        line.text = text if line.text is None else line.text

    def agent_words(self, item_id: str, text: str) -> list[TranscriptLine]:
        line = self._lines.get(item_id)
        if line is None:
            return []  # no audio came of it, so nothing of it was said
        line.text = text
        return self._rows(line)

    def agent_heard(self, heard: Heard) -> list[TranscriptLine]:
        line = self._lines.get(heard.item_id)
        if line is None:
            return []
        line.heard = heard
        return self._rows(line)

    def forget(self, item_id: str) -> None:
        """The item was no speech, or nothing of it was heard."""
        line = self._lines.get(item_id)
        if line is not None:
            line.kept = False

    def retell(self) -> list[tuple[str, str]]:
        """The conversation for a new session: role and text of every line, as it was heard."""
        told: list[tuple[str, str]] = list(self._before)
        for line in self._lines.values():
            if not line.text:
                continue
            if line.speaker == "caller":
                told.append(("user", line.text))
            elif line.heard is not None and (text := heard_text(line.text, line.heard)):
                told.append(("assistant", text))
        return told

    def _place(self, item_id: str, speaker: str, at: float) -> _Line:
        line = self._lines.get(item_id)
        if line is None:
            line = self._lines[item_id] = _Line(
                item_id, speaker, len(self._before) + len(self._lines), at
            )
        return line

    def _rows(self, line: _Line) -> list[TranscriptLine]:
        if not (self.gate_open and line.kept) or line.text is None:
            return []
        if line.speaker == "caller":
            return [
                TranscriptLine(line.at, line.item_id, "caller", line.position, line.text, line.text)
            ]
        if line.heard is None:
            return []
        return [
            TranscriptLine(
                line.at,
                line.item_id,
                "agent",
                line.position,
                line.text,
                heard_text(line.text, line.heard),
                line.heard.heard_ms,
                line.heard.interrupted,
            )
        ]


def heard_text(text: str, heard: Heard) -> str:
    """The part of a generated text that was heard, in proportion, cut at a word."""
    if not heard.interrupted:
        return text
    if not heard.received_ms:
        return ""
    end = len(text) * heard.heard_ms // heard.received_ms
    if end >= len(text):
        return text
    return text[:end].rpartition(" ")[0]
