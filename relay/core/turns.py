"""Whose turn it is: one owner of every response, and the caller's utterances.

The server neither answers nor stops by itself (`create_response`, `interrupt_response` off), so
`response.create` has one owner: here. Two facts rule it:

active  the response that the server is working on, from `response.created` to `response.done`
wanted  why the next one is wished for, kept until it can be asked

`asked` bridges the round trip between the two. A wish is never lost: when the server refuses
because another response is active, it is asked again after that one's `response.done`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: An utterance is committed in the moment in which its end is told; so long that is believed.
COMMIT_S = 1.0
#: How often a server is asked again that is at work on a response of which we know nothing.
ASK_AGAIN_S = 0.5


@dataclass(slots=True)
class Responses:
    """Who owns `response.create`. purpose: what the active one was asked for; "" if it was not."""

    active: str | None = None
    purpose: str = ""
    asked: str | None = None
    wanted: str | None = None
    last_sign_at: float = 0.0  # when it was asked for, or last gave a sign of life
    heard_until: float = 0.0  # what was committed before this has been heard by an answer
    not_before: float = 0.0
    failures: int = 0
    dead: set[str] = field(default_factory=set)  # cut: whatever still comes of these is dropped
    _unspoken: dict[str, str] = field(default_factory=dict)  # item begun after the cut: of which
    _cancel_when_started: bool = False
    _first: bool = False  # what is asked for went before the wish
    _unknown: bool = False  # the server is at work on a response of which we know nothing

    @property
    def busy(self) -> bool:
        return self.active is not None or self.asked is not None

    def want(self, purpose: str, *, not_before: float = 0.0) -> None:
        self.wanted = self.wanted or purpose
        self.not_before = max(self.not_before, not_before)

    def ask(self, now: float, *, first: str = "") -> str | None:
        """The purpose to create a response for now, if one is wished for and may be asked.

        first: what goes before any wish, and is asked for again by whoever names it
        """
        if not (first or self.wanted) or self.busy or now < self.not_before:
            return None
        if first:
            self.asked, self._first = first, True
        else:
            self.asked, self.wanted, self.heard_until = self.wanted, None, now
        if not self._unknown:
            self.last_sign_at = now
        self.not_before = 0.0
        return self.asked

    def progress(self, now: float) -> None:
        """The response under way gave a sign of life."""
        self.last_sign_at = now

    def started(self, response_id: str, now: float) -> bool:
        """False: it was cut before it began, and must be cancelled."""
        self.purpose = self.asked or ""
        self.active, self.asked, self._first = response_id, None, False
        self.last_sign_at, self._unknown = now, False
        if self._cancel_when_started:
            self._cancel_when_started = False
            self.dead.add(response_id)
            return False
        return True

    def ended(self, response_id: str) -> bool:
        """True if it was the active one."""
        if response_id != self.active:
            return False
        self.active = None
        return True

    def refused(self, now: float) -> None:
        """The server has another response active: keep the wish for later.

        Of one that we know, the end is told. While it is some other, we ask again now and then, for
        as long as we would wait for an answer.
        """
        if self.asked is None:
            return  # it was not this that was refused
        self.wanted = self.wanted or (None if self._first else self.asked)
        self.asked, self._first = None, False
        if self.active is None:
            again_at = now + ASK_AGAIN_S if self._unknown else now
            self._unknown, self.not_before = True, max(self.not_before, again_at)
        self._cancel_when_started = False

    def abandon(self) -> None:
        """There is no model any more: nothing is under way, and nothing can be wished for."""
        if self.active is not None:
            self.dead.add(self.active)
        self.active = self.asked = self.wanted = None
        self._cancel_when_started = self._unknown = False

    def cut(self) -> str | None:
        """Drop the response under way. Returns the id to cancel, if it has one yet."""
        self.wanted, self._unknown = None, False
        if self.active is not None:
            if self.active in self.dead:
                return None
            self.dead.add(self.active)
            return self.active
        if self.asked is not None:
            self._cancel_when_started = True
        return None

    def begins_late(self, item_id: str, response_id: str) -> None:
        """An item begins, and its response was cut before."""
        self._unspoken.setdefault(item_id, response_id)

    def unspoken(self, response_id: str) -> list[str]:
        """The items that began after their response was cut, once."""
        items = [item for item, owner in self._unspoken.items() if owner == response_id]
        self._unspoken |= dict.fromkeys(items, "")
        return items


@dataclass(slots=True)
class Utterance:
    """One stretch of the caller's speech, as the server's VAD cut it out.

    over_agent: it began while we were speaking, or about to
    confirmed: our own meter agrees that somebody speaks
    """

    item_id: str
    began_at: float
    start_ms: int
    over_agent: bool
    over_greeting: bool
    confirmed: bool = False
    stop_ms: int | None = None
    ended_at: float | None = None
    committed_at: float | None = None
    rest: bool = False  # of one that we have cut in on: nobody's turn, for all we hear
    answered: bool = False  # an answer is wished for, or none is to be given

    def speech_ms(self, prefix_ms: int, silence_ms: int) -> int:
        """Its length without the VAD's padding before and hold behind; 0 while it goes on."""
        if self.stop_ms is None:
            return 0
        return max(0, self.stop_ms - self.start_ms - prefix_ms - silence_ms)


class Utterances:
    """The caller's utterances by item. At most one is open; few are unsettled.

    One that the server does not end may be *cut off*: what there is of it is committed, and its
    rest goes on as another. What the server calls the two is its own affair: the first item that
    it makes then is the one that was asked for, and the next thing that nobody knows is the rest.
    """

    def __init__(self) -> None:
        self._by_item: dict[str, Utterance] = {}
        self._cut_off: Utterance | None = None  # until it is an item
        self._rest: Utterance | None = None  # until the server has named it
        self._rests = 0
        self.open: Utterance | None = None
        self.commit_by: float | None = (
            None  # somebody has finished, and their item is about to come
        )

    def started(self, utterance: Utterance) -> None:
        if self._rest is not None:
            self._by_item.pop(self._rest.item_id, None)
            self._rest = None
        self._by_item[utterance.item_id] = utterance
        self.open, self.commit_by = utterance, None

    def stopped(self, item_id: str, buffer_ms: int, now: float) -> Utterance | None:
        """An utterance ends. Its speaker keeps the floor until it is committed: what was asked for
        before would be an answer to it, too, and then it would be answered once more."""
        utterance = self._by_item.get(item_id)
        if self._rest is not None and self._rest is self.open:
            utterance = self._rest
        if utterance is None:
            return None
        utterance.stop_ms, utterance.ended_at = buffer_ms, now
        if self.open is utterance:
            self.open = None
            self.commit_by = now + COMMIT_S if utterance.confirmed else None
        return utterance

    def committed(self, item_id: str, now: float) -> Utterance | None:
        """An utterance is an item of the conversation."""
        utterance = self._by_item.get(item_id)
        if utterance is not None:
            utterance.committed_at, self.commit_by = now, None
        if utterance is self._cut_off:
            self._cut_off = None
        return utterance

    # ---- what the server does not end --------------------------------------------------------

    def speaks(self) -> bool:
        """Whether an utterance goes on that is not merely the rest of one."""
        return self.open is not None and not self.open.rest

    @property
    def open_id(self) -> str:
        return "" if self.open is None else self.open.item_id

    def cut_off(self, now: float) -> Utterance | None:
        """What there is of the open utterance is to be committed. Returns that; its rest goes on.
        None: there is none."""
        cut = self.open
        if cut is None:
            return None
        cut.stop_ms = cut.start_ms + round((now - cut.began_at) * 1000)
        cut.ended_at, cut.answered = now, cut.confirmed
        self._cut_off, self.commit_by = cut, now + COMMIT_S
        self._rests += 1
        name = f"rest_{self._rests}"
        rest = Utterance(name, now, cut.stop_ms, over_agent=False, over_greeting=False, rest=True)
        self._by_item[name] = self.open = self._rest = rest
        return cut

    def not_committed(self) -> None:
        """No item came of it in time."""
        self.commit_by = None
        cut, rest = self._cut_off, self._rest
        self._cut_off = None
        if cut is None or rest is None or self.open is not rest:
            return
        del self._by_item[rest.item_id]
        self._rest, self.open = None, cut
        cut.began_at, cut.stop_ms, cut.ended_at = rest.began_at, None, None
        cut.rest, cut.confirmed, cut.answered = not rest.confirmed, rest.confirmed, False

    def named(self, item_id: str, *, starts: bool) -> str | None:
        """The server tells of something by a name that may be new. Returns what it was called here
        until now, if it was anything.

        starts: it begins; else it is an item
        """
        if item_id in self._by_item:
            return None
        utterance = self._rest if starts else self._cut_off or self._rest
        if utterance is None or (starts and utterance is not self.open):
            return None
        if utterance is self._rest:
            self._rest = None
        before = utterance.item_id
        self._by_item[item_id] = self._by_item.pop(before, utterance)
        utterance.item_id = item_id
        return before

    def get(self, item_id: str) -> Utterance | None:
        return self._by_item.get(item_id)

    def settle(self, item_id: str) -> Utterance | None:
        """Its words are known: nothing more is to come of it."""
        return self._by_item.pop(item_id, None)

    def forget(self) -> None:
        """The session that heard them is gone; its successor cuts speech out anew."""
        self._by_item.clear()
        self.open = self._cut_off = self._rest = self.commit_by = None

    def unsettled(self, since: float) -> bool:
        """Speech is going on, or words of speech that was over since then are to come."""
        if self.open is not None:
            return True
        return bool(self._by_item) and any(
            (at := u.committed_at or u.ended_at) is not None and at >= since
            for u in self._by_item.values()
        )

    def unanswered(self, since: float) -> bool:
        """Somebody has finished since then, and no answer is wished for yet."""
        return any(
            u.ended_at is not None
            and u.ended_at >= since
            and not u.answered
            and (u.confirmed or not (u.over_agent or u.rest))
            for u in self._by_item.values()
        )

    def wait_for_words(self) -> bool:
        """Words of something that was heard are still to come, be it committed or about to be."""
        return bool(self._by_item)

    def doubtful(self, since: float) -> list[Utterance]:
        """What is no proven voice and may be words: it goes on, or has ended since, without any."""
        return [
            u
            for u in self._by_item.values()
            if not (u.confirmed or u.rest)
            and (u is self.open or (u.ended_at is not None and u.ended_at >= since))
        ]

    def wordless(self) -> list[Utterance]:
        """Committed speech whose answer waits for its words, the oldest first."""
        waiting = (u for u in self._by_item.values() if u.committed_at is not None)
        return [u for u in waiting if not (u.answered or u.over_agent)]
