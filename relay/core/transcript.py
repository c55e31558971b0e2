"""The conversation as it was heard: lines by item, in the order in which they were said.

That order is the model's own: a commit names the item before it (`previous_item_id`), and words
come whenever their recogniser is done, those of the second utterance before those of the first. So
an utterance takes its place at its commit, behind the item that is named, even if nothing has come
of that one yet; its words find it there. The agent's items stand where their first audio came.

No line is kept before the caller has heard the notice: until `open_gate`, what the caller said
is dropped, and what the agent said waits for its own mark like everything else. None is kept of
what begins during a pause, and none at all of a call whose caller refused. A line goes out
as soon as it is complete, and again when more is known of it; the store upserts by item.

The agent's line holds two texts: what was generated and what was heard of it. The model gives no
times for its words, so the heard text is cut by proportion, at a word. A second voice does give
them: there it is cut at the last word that had ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from relay.audio.frames import mulaw_ms
from relay.core.playout import Heard
from relay.core.records import TranscriptLine

#: A stream that goes on with a call begins this far behind each line before it: they have gaps.
STRIDE = 1000
#: What stands for speech that the recogniser failed on.
INAUDIBLE = "[inaudible]"

#: How far a text is said by which ms of its sound: pairs of characters and ms, both rising.
Words: TypeAlias = list[tuple[int, int]]


@dataclass(slots=True)
class _Line:
    """position: None until it is known. speaker: "" for a place that another item has named."""

    item_id: str
    speaker: str
    position: int | None
    at: float
    local: bool = False
    text: str | None = None
    heard: Heard | None = None
    kept: bool = True
    shown: bool = False  # a row of it has gone out
    words: Words | None = None  # a second voice's timing; it may grow
    short: bool = False  # its sound ends before its text
    missed_bytes: int = 0  # of its sound, which came after it was cut

    def heard_text(self) -> str:
        """What the caller heard of the agent's text."""
        if self.text is None or self.heard is None:
            return ""
        if self.words is None:
            return heard_text(self.text, self.heard, mulaw_ms(self.missed_bytes))
        if not (self.heard.interrupted or self.short):
            return self.text
        return self.text[: said_by(self.words, self.heard.heard_ms)].rstrip()


class Transcript:
    """Lines of one call. Every method returns the rows that are ready to be kept."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._before: tuple[tuple[str, str], ...] = ()
        self.base = 0
        self.gate_open = False
        self.refused = False  # the caller wants nothing of this to be kept
        self._paused = False

    @property
    def keeps(self) -> bool:
        """Whether what is said now is kept."""
        return self.gate_open and not self.refused and not self._paused

    def open_gate(self) -> None:
        """The notice was heard: from now on lines are kept."""
        self.gate_open = True

    def quotes(self, item_id: str) -> bool:
        """Whether the words of an item may be kept."""
        line = self._lines.get(item_id)
        return line is not None and line.kept and self.gate_open and not self.refused

    def refuse(self) -> None:
        """No row goes out any more."""
        self.refused = True

    def pause(self) -> None:
        """What is said from now on is not kept, nor an utterance that has begun."""
        self._paused = True
        for line in self._lines.values():
            if line.speaker == "caller" and line.position is None:
                line.kept = False

    def go_on(self) -> None:
        """What begins from now on is kept again."""
        self._paused = False

    def resume(self, lines: tuple[tuple[str, str], ...]) -> None:
        """Go on behind what was said, and heard, in a stream before this one."""
        self._before = lines
        self.base = STRIDE * (1 + len(lines))
        self.gate_open = True

    def caller_spoke(self, item_id: str, at: float) -> None:
        """An utterance begins. Not kept if it came before the notice."""
        if item_id not in self._lines:
            self._lines[item_id] = _Line(item_id, "caller", None, at, kept=self.keeps)

    def renamed(self, before: str, item_id: str) -> None:
        """An utterance has another name."""
        line = self._lines.pop(before, None)
        if line is None:
            return
        place = self._lines.setdefault(item_id, line)
        place.item_id, place.speaker, place.at, place.kept = item_id, "caller", line.at, line.kept

    def caller_committed(self, item_id: str, previous: str | None) -> list[TranscriptLine]:
        """An utterance takes its place. Rows are those of lines that had to make room."""
        line = self._lines.get(item_id)
        if line is None or line.position is not None:
            return []
        before = self._lines.get(previous) if previous else None
        if before is None or before.position is None:
            if previous and before is None:  # it will be told of later, but stands before
                self._lines[previous] = _Line(previous, "", self._end(), line.at)
            line.position = self._end()
            return []
        behind = [each for each in self._placed() if _place(each) > before.position]
        if all(each.local for each in behind):
            line.position = self._end()
            return []
        for each in behind:
            each.position = _place(each) + 1
        line.position = before.position + 1
        return [row for each in behind if each.shown for row in self._rows(each)]

    def caller_words(self, item_id: str, text: str, at: float) -> list[TranscriptLine]:
        line = self._line(item_id, "caller", at)
        line.text = text
        return self._rows(line)

    def agent_spoke(self, item_id: str, at: float, text: str | None = None) -> None:
        """The first audio of an item; the text is known at once for a clip."""
        local = text is not None and item_id not in self._lines
        line = self._line(item_id, "agent", at)
        line.local = line.local or local
        line.text = text if line.text is None else line.text

    def agent_timed(self, item_id: str, words: Words) -> None:
        """An item's words have times, more and more of them."""
        self._lines[item_id].words = words

    def cut_short(self, item_id: str) -> None:
        """The sound of an item with times will not reach its text's end."""
        self._lines[item_id].short = True

    def missed(self, item_id: str, n_bytes: int) -> None:
        """More sound of an item came after its cut: its text will tell of that, too."""
        line = self._lines.get(item_id)
        if line is not None:
            line.missed_bytes += n_bytes

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
        for line in self._placed():
            if not line.text:
                continue
            if line.speaker == "caller":
                told.append(("user", line.text))
            elif text := line.heard_text():
                told.append(("assistant", text))
        return told

    def heard_text(self, item_id: str) -> str:
        """What the caller heard of an agent's item that is over."""
        line = self._lines.get(item_id)
        return "" if line is None else line.heard_text()

    def first_words(self) -> str:
        """What the caller said first, of what is kept."""
        said = [text for role, text in self._before if role == "user"]
        said += [x.text or "" for x in self._placed() if x.speaker == "caller" and x.shown]
        return next((text for text in said if text and text != INAUDIBLE), "")

    def _line(self, item_id: str, speaker: str, at: float) -> _Line:
        """The line of an item, at the end unless it has a place."""
        line = self._lines.get(item_id)
        if line is None:
            kept = not self._paused
            line = self._lines[item_id] = _Line(item_id, speaker, None, at, kept=kept)
        elif not line.speaker:
            line.speaker, line.at, line.kept = speaker, at, not self._paused
        if line.position is None:
            line.position = self._end()
        return line

    def _placed(self) -> list[_Line]:
        """All lines that have a place, in order."""
        return sorted((x for x in self._lines.values() if x.position is not None), key=_place)

    def _end(self) -> int:
        return 1 + max((_place(each) for each in self._placed()), default=self.base - 1)

    def _rows(self, line: _Line) -> list[TranscriptLine]:
        if (
            not (self.gate_open and line.kept)
            or self.refused
            or line.text is None
            or line.position is None
        ):
            return []
        if line.speaker == "caller":
            line.shown = True
            return [
                TranscriptLine(line.at, line.item_id, "caller", line.position, line.text, line.text)
            ]
        if line.heard is None:
            return []
        line.shown = True
        return [
            TranscriptLine(
                line.at,
                line.item_id,
                "agent",
                line.position,
                line.text,
                line.heard_text(),
                line.heard.heard_ms,
                line.heard.interrupted or line.short,
            )
        ]


def _place(line: _Line) -> int:
    return -1 if line.position is None else line.position


def said_by(words: Words, ms: int) -> int:
    """How many characters are said by a moment."""
    return max((chars for chars, end_ms in words if end_ms <= ms), default=0)


def heard_text(text: str, heard: Heard, missed_ms: int = 0) -> str:
    """The part of a generated text that was heard, in proportion, cut at a word.

    missed_ms: how much of its sound came only after the cut
    """
    if not heard.interrupted:
        return text
    made_ms = heard.received_ms + missed_ms
    if not made_ms:
        return ""
    end = len(text) * heard.heard_ms // made_ms
    if end >= len(text):
        return text
    return text[:end].rpartition(" ")[0]
