"""Cuts text that comes in pieces into sentences, as soon as each is whole.

A voice speaks a sentence better than a word, and a caller would rather hear the first sentence
now than all of them later. So a sentence goes as soon as it is known to be over: a mark that ends
it, a blank, and the beginning of what follows. A wrong guess costs some melody, nothing else.
"""

from __future__ import annotations

import re
from typing import Final

#: A sentence without an end is cut at a blank behind so many characters.
LONGEST: Final = 240
#: An end, with what closes around it, and the blanks behind; "Dr." and "p.m." end nothing.
_END: Final = re.compile(r"(?<!\b[A-Z][a-z])(?<![\s.][A-Za-z])[.!?…][\"'”)\]]*\s+(?=\S)|\n+(?=\S)")


class Sentences:
    """One text that is growing."""

    def __init__(self) -> None:
        self._rest = ""

    def add(self, piece: str) -> str:
        """Take a piece. Returns the whole sentences that have come of it, "" for none yet."""
        self._rest += piece
        ends = [found.end() for found in _END.finditer(self._rest)]
        if not ends and len(self._rest) > LONGEST:
            ends = [self._rest.rfind(" ") + 1]
        at = ends[-1] if ends else 0
        whole, self._rest = self._rest[:at], self._rest[at:]
        return whole

    def end(self) -> str:
        """No more comes: what is left, be it a sentence or not."""
        rest, self._rest = self._rest, ""
        return rest
