"""A receptionist's half of a conversation, as a small machine: meanings in, words and calls out.

    hours?   ─▶ lookup_hours ─▶ tells them
    booking  ─▶ (name?) ─▶ reads back ─▶ yes ─▶ book_appointment ─▶ confirms, or offers another time
    person?  ─▶ says so, transfer_to_human ─▶ it rings: keeps the caller company
                                           └▶ nobody comes: (message?) ─▶ yes ─▶ asks for it
    message  ─▶ take_message ─▶ reads it back
    goodbye  ─▶ says goodbye, end_call
    nothing  ─▶ asks again; the second time in a row: would you like a person?

It calls only functions that it was offered, and takes every function's output, an error among
them, for what the function says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from relay.sim import phrases as say
from relay.sim.brains import Call, call
from relay.sim.grammars import Meaning
from relay.sim.realtime_items import Item

Asked = Literal["", "name", "confirm", "person", "message", "else"]
Part: TypeAlias = str | Call


@dataclass(frozen=True, slots=True)
class Wanted:
    """A booking under way. day: as the function wants it; spoken_day: as people say it."""

    service: str
    day: str
    spoken_day: str
    time: str
    name: str = ""


@dataclass(slots=True)
class Dialogue:
    """Where the conversation stands.

    asked: the question that a yes or no would answer
    left: the message that is being taken; about: what a person who takes over should know
    """

    asked: Asked = ""
    wanted: Wanted | None = None
    name: str = ""
    misses: int = 0
    left: Meaning | None = None
    about: dict[str, str] = field(default_factory=dict)

    def answer(
        self, news: Iterable[Meaning | tuple[str, Any] | None], tools: frozenset[str]
    ) -> list[Part]:
        """What to say and call after news: meanings of the caller's, or (function, output)."""
        parts: list[Part] = []
        meanings = []
        for each in news:
            if isinstance(each, tuple):
                parts += self._told(*each)
            else:
                meanings.append(each)
        if meanings:
            understood = [m for m in meanings if m and m.wish != "odd"]
            parts += self._asked_for(understood[-1]) if understood else self._missed()
        return self._offered(parts or [say.HELP], tools)

    def summary(self) -> str:
        """What a person who takes over should know: two sentences at the most, the last ones."""
        return " ".join(list(self.about.values())[-2:]) or say.WANTS_PERSON

    def _learn(self, what: str, fact: str) -> None:
        self.about.pop(what, None)
        self.about[what] = fact

    # ---- the caller -----------------------------------------------------------------------------

    def _missed(self) -> list[Part]:
        self.misses += 1
        if self.misses < 2:
            return [say.AGAIN]
        self.asked = "person"
        return [say.LOST]

    def _asked_for(self, meaning: Meaning) -> list[Part]:
        asked, self.asked, self.misses = self.asked, "", 0
        self.name = meaning.name or self.name
        match meaning.wish:
            case "hours":
                self._learn("hours", say.tell_hours(meaning.day))
                return [call("lookup_hours", day=meaning.day)]
            case "booking":
                day, time = meaning.day, meaning.time
                self.wanted = Wanted(meaning.service, day, day, time, self.name)
                return self._read_back()
            case "name" if self.wanted:
                self.wanted = replace(self.wanted, name=self.name)
                return self._read_back()
            case "human":
                self._learn("person", say.tell_about(meaning.topic))
                return _transfer("the caller asked for a person")
            case "yes" if asked == "person":
                self._learn("person", say.WANTS_PERSON)
                return _transfer("the agent could not help")
            case "back":
                return self._leave(meaning)
            case "yes" if asked == "message":
                return [say.WHOSE_MESSAGE]
            case "yes" if asked == "confirm" and self.wanted:
                return self._book(self.wanted)
            case "no" if asked == "else":
                return _goodbye("the caller wants nothing more")
            case "bye":
                return _goodbye("the caller said goodbye")
            case "no":
                return self._then_else([say.ALL_RIGHT])
        return [say.HELP]

    def _read_back(self) -> list[Part]:
        wanted = self.wanted
        if wanted is None:
            return [say.HELP]
        if not wanted.name:
            self.asked = "name"
            return [say.WHOSE]
        self.asked = "confirm"
        self._learn("slot", _slot(wanted, booked=False))
        return [say.read_back(wanted.service, wanted.spoken_day, wanted.time, wanted.name)]

    def _book(self, wanted: Wanted) -> list[Part]:
        fields = {"service": wanted.service, "day": wanted.day, "time": wanted.time}
        name = wanted.name.capitalize()
        return [say.MOMENT, call("book_appointment", **fields, name=name)]

    def _leave(self, meaning: Meaning) -> list[Part]:
        if not self.name:
            return [say.WHOSE_MESSAGE]
        self.left = replace(meaning, name=self.name)
        message = f"Please call me back about my {meaning.topic}."
        return [say.MOMENT, call("take_message", name=self.name.capitalize(), message=message)]

    def _then_else(self, parts: list[Part]) -> list[Part]:
        self.asked = "else"
        return parts

    # ---- functions --------------------------------------------------------------------------

    def _told(self, name: str, output: Any) -> list[Part]:
        match output:
            case {"status": "ringing"}:
                return [say.RINGING]
            case {"status": "not_ringing" | "not_reached"}:
                self.asked = "message"
                return [say.SORRY, say.NOT_REACHED, say.MESSAGE]
            case {"taken": True} if self.left:
                return self._then_else([say.say_noted(self.left.name, self.left.topic), say.ELSE])
            case {"status": "pending"}:
                return [say.WAITING]
            case {"error": "interrupted"} if name == "book_appointment":
                self.asked = "confirm"
                return [say.NOT_DONE]
            case {"open": list(spans), "day": str(day)}:
                return self._then_else([say.say_hours(day, spans), say.ELSE])
            case {"booked": True, "service": service, "day": day, "time": time}:
                if self.wanted:
                    self._learn("slot", _slot(self.wanted, booked=True))
                self.wanted = None
                reference = str(output.get("reference", ""))
                return self._then_else([say.say_booked(service, day, time, reference), say.ELSE])
            case {"booked": False}:
                return self._refused(output)
        self.asked = "person"
        return [say.BROKEN]

    def _refused(self, output: Mapping[str, Any]) -> list[Part]:
        reason = str(output.get("reason", ""))
        for alternative in output.get("alternatives", []):
            at = datetime.fromisoformat(f"{alternative['date']}T{alternative['time']}")
            if self.wanted and at.minute % 15 == 0:
                day, time = f"{at:%Y-%m-%d}", f"{at:%H:%M}"
                spoken = alternative["day"]
                self.wanted = replace(self.wanted, day=day, spoken_day=spoken, time=time)
                self.asked = "confirm"
                return [say.say_offer(reason, spoken, time)]
        self.wanted = None
        return [say.SORRY, say.REFUSED.get(reason, say.REFUSED["taken"]), say.ANOTHER]

    def _offered(self, parts: list[Part], tools: frozenset[str]) -> list[Part]:
        """Without the calls of functions that nobody offered, and with words in their stead."""
        missing = [p.name for p in parts if isinstance(p, Call) and p.name not in tools]
        if not missing or missing == ["end_call"]:
            return [p for p in parts if isinstance(p, str) or p.name in tools]
        return [say.NOBODY if "transfer_to_human" in missing else say.BROKEN]


def _transfer(reason: str) -> list[Part]:
    return [say.TRYING, call("transfer_to_human", reason=reason)]


def _goodbye(reason: str) -> list[Part]:
    return [say.GOODBYE, call("end_call", reason=reason)]


def _slot(wanted: Wanted, *, booked: bool) -> str:
    return say.tell_booking(wanted.service, wanted.spoken_day, wanted.time, booked=booked)


# ---- what is new in a conversation --------------------------------------------------------------

_NOT_REACHED = re.compile(r"person was not reached|has hung up at once")


def unanswered(conversation: Iterable[Item], known: Set[str] = frozenset()) -> list[Item]:
    """What came since the agent spoke or called a function last; and what the system told before
    that, while the agent was about to speak. known: ids of what it took notice of already."""
    fresh: list[Item] = []
    for item in conversation:
        if item.role == "assistant" or item.type == "function_call":
            fresh = [old for old in fresh if old.role == "system" and old.id not in known]
        else:
            fresh.append(item)
    return fresh


def outputs(conversation: tuple[Item, ...], fresh: Iterable[Item]) -> list[tuple[str, Any]]:
    """(function, output) of each function's output among fresh items, in order.

    A result that came late is told as system text with its JSON in it; that a person did not come,
    in words.
    """
    names = {item.call_id: item.name for item in conversation if item.type == "function_call"}
    found: list[tuple[str, Any]] = []
    for item in fresh:
        if item.type == "function_call_output":
            found.append((names.get(item.call_id, ""), _json(item.output)))
        elif item.role == "system" and _NOT_REACHED.search(item.text):
            found.append(("transfer_to_human", {"status": "not_reached"}))
        elif item.role == "system" and "{" in item.text:
            found.append(("", _json(item.text[item.text.index("{") :])))
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
