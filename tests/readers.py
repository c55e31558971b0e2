"""A simulated model that reads out what it is told to: for clips and for greetings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from relay.errors import DialError
from relay.ports import Socket
from relay.sim.brains import Brain, Reply, Request, Scripted, reply, say
from relay.sim.pair import memory_pair
from relay.sim.realtime import Options, Session, serve_session


def words_in(request: Request) -> str:
    """What a request's instructions want said: all behind the first empty line."""
    return request.instructions.partition("\n\n")[2]


def read_out(request: Request) -> Reply:
    """Say it, word for word, as a tone of the text's length."""
    return reply(say(words_in(request)))


def paraphrase(request: Request) -> Reply:
    """Say something of the kind."""
    return reply(say(f"Sure! {words_in(request)}"))


def reader() -> Scripted:
    return Scripted(otherwise=read_out)


class Models:
    """Sessions that can be dialled. away: why not. Each dial gets a brain of its own."""

    def __init__(self, brain: Callable[[], Brain] = reader, options: Options | None = None) -> None:
        self.brain = brain
        self.options = options or Options()
        self.away = ""
        self.sessions: list[Session] = []

    @asynccontextmanager
    async def dial(self, _call: object = None) -> AsyncIterator[Socket]:
        """A model on the other side of a memory pair."""
        await trio.lowlevel.checkpoint()
        if self.away:
            raise DialError(self.away)
        ours, theirs = memory_pair()
        session = Session(self.options)
        self.sessions.append(session)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_session, theirs, self.brain(), session=session))
            yield ours
            nursery.cancel_scope.cancel()
