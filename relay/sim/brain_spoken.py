"""The brain that listens and speaks: the offline demo's model.

It hears each turn of the caller's with a recogniser whose grammar holds everything that its
dialogue could be told, thinks with brain_dialogue.py, and answers in a real voice. Both are
CPU-bound and run in threads, or inline under a jumping clock.
"""

from __future__ import annotations

from functools import cache, partial

from relay.sim.brain_dialogue import Dialogue, outputs, unanswered
from relay.sim.brains import Call, Reply, Request, Say, Turn
from relay.sim.grammars import Meaning, caller_grammar, caller_meant
from relay.sim.phrases import Book
from relay.sim.vad import VAD_HZ
from relay.sim.voice import MODEL_HZ, Recogniser, aside, speak_pcm


@cache
def callers_ear(book: Book) -> Recogniser:
    """The recogniser of callers: made once a book (0.2 s), shared by all its brains."""
    return Recogniser(caller_grammar(book))


class Spoken:
    """A receptionist who can be talked to. One serves one session."""

    def __init__(
        self, book: Book | None = None, *, voice: str = "en-US", inline: bool = False
    ) -> None:
        """inline: think on the spot, as a jumping clock needs it. Raises Misuse when the book
        uses words that the ear's dictionary lacks."""
        self.dialogue = Dialogue()
        self._ear = callers_ear(book or Book())
        self._voice = voice
        self._inline = inline
        self._heard: dict[str, list[str]] = {}
        self._known: set[str] = set()

    async def hear(self, turn: Turn) -> str | None:
        work = partial(self._ear.sentences, turn.pcm, VAD_HZ)
        sentences = await aside(work, inline=self._inline)
        self._heard[turn.item_id] = sentences
        return ". ".join(filter(None, sentences))

    async def reply(self, request: Request) -> Reply:
        if request.private:
            return Reply((await self._say([self.dialogue.summary()]),))
        fresh = unanswered(request.conversation, self._known)
        self._known |= {item.id for item in request.conversation}
        spoken = [item for item in fresh if item.id in self._heard]
        meanings: list[Meaning | None] = [
            caller_meant(sentence) for item in spoken for sentence in self._heard[item.id] or [""]
        ]
        news = [*outputs(request.conversation, fresh), *meanings]
        parts = self.dialogue.answer(news, request.tools)
        calls = tuple(part for part in parts if isinstance(part, Call))
        texts = [part for part in parts if isinstance(part, str)]
        return Reply((await self._say(texts), *calls) if texts else calls)

    async def _say(self, texts: list[str]) -> Say:
        text = " ".join(texts)
        work = partial(speak_pcm, text, self._voice, rate=MODEL_HZ)
        return Say(text, await aside(work, inline=self._inline))
