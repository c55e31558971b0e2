"""What the model writes and a second voice says: how far each item has come on its way to the ear.

    sentence ─▶ SayText ─▶ the provider ─▶ WordsTimed, AgentAudio ─▶ the ledger, as all speech
                                └─ lost, refuses, slow ──▶ what it has not said, the model says

For every written item:  text ≥ said (there is sound of it) ≥ heard (by the ledger and the timing)

An item holds its place on the ledger from its first sentence on, though sound comes only later:
what is silent for a moment must not pass for said. It is over when the provider says that its
sound is whole, not when its response is done, which is long before.

A written item cannot be truncated. After a cut it is deleted, and written again as it was heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.core.commands import AddText, Command, CreateResponse, DeleteItem, DropText, SayText
from relay.core.events import AgentText, WordsTimed
from relay.core.playout import Heard, Playout
from relay.core.transcript import Transcript, Words, said_by


@dataclass(slots=True)
class Written:
    """One item of text.

    said: how many characters of the text there is sound of
    words: pairs of characters and the ms of the item by which they are said
    whole: no more text will come; over: no more sound will come
    memory: the item that the model remembers it by; "" when it does not
    """

    response_id: str
    item_id: str
    text: str = ""
    said: int = 0
    words: Words = field(default_factory=list)
    whole: bool = False
    over: bool = False
    told: str | None = None  # the whole text, for the transcript
    audible: bool = False
    memory: str = ""

    @property
    def unsaid(self) -> str:
        return self.text[self.said :].strip()

    @property
    def awaited(self) -> bool:
        """Sound of it is to come, whoever else is slow."""
        return not self.over and (self.whole or bool(self.unsaid))


#: The purpose of a response that says what a second voice has left unsaid, and its instructions.
REST = "rest"
_SAY_REST = "Go on speaking. Say exactly these words, once, and nothing else:\n\n{text}"


@dataclass(slots=True)
class Rest:
    """What a voice has left unsaid, until the model says it.

    text: what is owed; response_id: of who is to say it, "" while that has no name, None: nobody
    """

    text: str = ""
    response_id: str | None = None

    @property
    def owed(self) -> bool:
        return bool(self.text) or self.response_id is not None

    def owe(self, text: str) -> None:
        self.text = f"{self.text} {text}".strip()

    def ask(self) -> CreateResponse:
        """Have it said. It is owed until that begins, since a server may refuse."""
        self.response_id = ""
        return CreateResponse(REST, _SAY_REST.format(text=self.text))

    def started(self, response_id: str, purpose: str) -> None:
        if self.response_id == "" and purpose == REST:
            self.text, self.response_id = "", response_id

    def over(self, response_id: str) -> None:
        """A response can be heard by now, or never will be."""
        if response_id == self.response_id:
            self.response_id = None

    def drop(self) -> None:
        self.text, self.response_id = "", None


class Voicing:
    """One call's second voice. on: it speaks; False: there is none, or none any more."""

    def __init__(
        self, playout: Playout, transcript: Transcript, *, on: bool, patience_s: float
    ) -> None:
        self.on = on
        self._playout = playout
        self._transcript = transcript
        self._patience_s = patience_s
        self._items: dict[str, Written] = {}
        self._sign_at = 0.0  # when it was last heard of, or first asked for what is awaited
        self._rewritten = 0

    def has(self, item_id: str) -> bool:
        """Whether an item is one of text."""
        return item_id in self._items

    def response_of(self, item_id: str) -> str:
        """Whose an item of text is; "" for none that is."""
        written = self._items.get(item_id)
        return "" if written is None else written.response_id

    def length(self, item_id: str) -> int:
        """How long an item's text is by now."""
        return len(self._items[item_id].text)

    def wrote_in(self, response_id: str) -> bool:
        """Whether a response has text that is said, or will be."""
        return any(each.response_id == response_id for each in self._items.values())

    @property
    def open(self) -> list[Written]:
        """Items whose sound is not whole, in order."""
        return [each for each in self._items.values() if not each.over]

    # ---- text in ----------------------------------------------------------------------------

    def write(self, event: AgentText, now: float) -> list[Command]:
        """The next sentences of an item."""
        written = self._items.get(event.item_id)
        if written is None:
            written = Written(event.response_id, event.item_id, memory=event.item_id)
            self._items[event.item_id] = written
            self._playout.reserve(event.item_id)
        if written.over or written.whole:
            return []  # cut
        self._expect(now)
        written.text += event.text
        return [SayText(event.response_id, event.item_id, event.text)] if self.on else []

    def end_text(self, written: Written, now: float) -> list[Command]:
        """No more text of an item will come."""
        if written.over or written.whole:
            return []
        self._expect(now)
        written.whole = True
        last = SayText(written.response_id, written.item_id, "", last=True)
        return [last] if self.on else []

    def of(self, response_id: str) -> list[Written]:
        """The items of a response whose text may still grow."""
        return [w for w in self.open if w.response_id == response_id and not w.whole]

    def told(self, item_id: str, text: str) -> Written | None:
        """The whole text of an item, as it is written down."""
        written = self._items.get(item_id)
        if written is not None:
            written.told = text
        return written

    def _expect(self, now: float) -> None:
        if not any(each.awaited for each in self.open):
            self._sign_at = now

    # ---- sound in ---------------------------------------------------------------------------

    def timed(self, event: WordsTimed) -> None:
        """When words of an item are said."""
        written = self._items.get(event.item_id)
        if written is None or written.over:
            return
        for chars, ms in event.words:
            written.said = max(written.said, min(chars, len(written.text)))
            written.words.append((written.said, ms))

    def sounds(self, item_id: str, now: float) -> bool:
        """Sound of an item has come. True: its first."""
        written = self._items[item_id]
        self._sign_at = now
        first, written.audible = not written.audible, True
        if first:
            self._transcript.agent_spoke(item_id, now)
            self._transcript.agent_timed(item_id, written.words)
            if written.told is not None:
                self._transcript.agent_words(item_id, written.told)
        return first

    def finish(self, item_id: str, now: float) -> None:
        """No more sound of an item will come."""
        written = self._items.get(item_id)
        if written is not None:
            written.over, self._sign_at = True, now

    @property
    def due(self) -> float | None:
        """When the voice has kept the caller waiting for too long."""
        if not self.on:
            return None
        dry_at = self._playout.dry_at
        if dry_at is None or not any(each.awaited for each in self.open):
            return None
        return max(self._sign_at + self._patience_s, dry_at)

    # ---- the cut ----------------------------------------------------------------------------

    def drop(self, item_id: str) -> list[Command]:
        """Nobody listens to an item any more."""
        written = self._items.get(item_id)
        if written is None or written.over:
            return []
        written.over = True
        return [DropText(item_id)] if self.on else []

    def cut(self, item: Heard) -> list[Command]:
        """Make the model remember what was heard of an item, and no more."""
        written = self._items[item.item_id]
        if written.told is None and written.audible:
            written.told = written.text
            self._transcript.agent_words(item.item_id, written.text)
        return self._rewrite(written, said_by(written.words, item.heard_ms))

    def _rewrite(self, written: Written, chars: int) -> list[Command]:
        out: list[Command] = [DeleteItem(written.memory)] if written.memory else []
        text, written.memory = written.text[:chars].strip(), ""
        if text:
            self._rewritten += 1
            written.memory = f"heard_{self._rewritten}"
            out.append(AddText("assistant", text, written.memory))
        return out

    def forgotten(self) -> None:
        """The session that remembers what is written is gone."""
        for written in self._items.values():
            written.memory = ""

    # ---- the voice is gone ------------------------------------------------------------------

    def shorten(self, written: Written, now: float) -> tuple[list[Command], list[Heard]]:
        """End an item where its sound ends. Commands, and what is heard to its end by that."""
        written.over = written.whole = True
        if not self._playout.received_ms(written.item_id):
            self._playout.give_up(written.item_id)
            return self._rewrite(written, 0), []
        self._transcript.cut_short(written.item_id)
        return self._rewrite(written, written.said), self._playout.end(written.item_id, now)

    def leave(self, now: float) -> tuple[list[Command], list[Heard]]:
        """The model's session is gone: what is written is said to its end, by who can."""
        out: list[Command] = []
        heard: list[Heard] = []
        for written in self.open:
            if self.on:
                out += self.end_text(written, now)
            else:
                heard += self.shorten(written, now)[1]
        return out, heard
