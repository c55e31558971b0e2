"""What the model remembers of what was said: what the caller heard, and no more.

    said ─┬─ heard to its end ─▶ remembered as it is
          ├─ cut ─▶ shortened to what was heard, or forgotten
          └─ its session is lost ─▶ the next one is told the story so far, and how much of this was
                                    heard as soon as that is known

A session knows the items that it has made itself, and can be made to forget of those alone.
"""

from __future__ import annotations

from relay.core.commands import AddText, Command, DeleteItem, TruncateItem
from relay.core.playout import Heard, Playout
from relay.core.tool_calls import ToolCalls
from relay.core.transcript import Transcript
from relay.core.voicing import Voicing


class Remembering:
    """One call's."""

    def __init__(
        self, playout: Playout, transcript: Transcript, voicing: Voicing, tools: ToolCalls
    ) -> None:
        self._playout = playout
        self._transcript = transcript
        self._voicing = voicing
        self._tools = tools
        self._items: dict[str, str] = {}  # item with audio of this session's -> its response
        self._untold: set[str] = set()  # what a lost session said, still on its way to the ear

    def speaks(self, item_id: str, response_id: str) -> bool:
        """Sound of an item has come. True: its first."""
        if item_id in self._items:
            return False
        self._items[item_id] = response_id
        return True

    def has(self, item_id: str) -> bool:
        """Whether an item is one with sound, or of text that a voice says."""
        return item_id in self._items or self._voicing.has(item_id)

    def said(self, item_id: str) -> bool:
        """Whether there is sound of an item that the model itself speaks."""
        return item_id in self._items

    def response_of(self, item_id: str) -> str:
        """Whose an item is that this session spoke or wrote; "" for any other."""
        return self._items.get(item_id) or self._voicing.response_of(item_id)

    def items_of(self, response_id: str | None) -> list[str]:
        """The items with sound of a response (None: of any)."""
        return [item for item, owner in self._items.items() if response_id in (None, owner)]

    def spoke_in(self, response_id: str) -> bool:
        """Whether a response had speech of its own."""
        return response_id in self._items.values() or self._voicing.wrote_in(response_id)

    def forget_unheard(self, item: Heard) -> list[Command]:
        """An item was cut: nobody heard the rest of it."""
        if item.local or not item.interrupted:
            return []
        if self._voicing.has(item.item_id):
            self._untold.discard(item.item_id)
            return self._voicing.cut(item)
        if item.item_id not in self._items:
            return []
        if item.heard_ms <= 0:
            return [DeleteItem(item.item_id)]
        return [TruncateItem(item.item_id, item.heard_ms)]

    def tell_heard(self, item: Heard) -> list[Command]:
        """Tell a session what was still being said when it took over, now that it is written down.

        That is: once the transcript knows how far the item was heard.
        """
        if item.item_id not in self._untold:
            return []
        self._untold.discard(item.item_id)
        text = self._transcript.heard_text(item.item_id)
        return [AddText("assistant", text)] if text else []

    # ---- a new session under the same conversation ------------------------------------------

    def lose(self) -> None:
        """The session is gone: what is still being said is nothing that the next one knows."""
        self._items.clear()
        self._voicing.forgotten()

    def retell(self) -> list[Command]:
        """What a new session must know: who said what, and what functions returned."""
        self._untold = self._playout.speech()
        told: list[Command] = [AddText(role, text) for role, text in self._transcript.retell()]
        return told + [AddText("system", text) for text in self._tools.retell()]
