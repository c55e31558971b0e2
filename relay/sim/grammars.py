"""How the offline demo's phrases are heard, and what they mean.

Three ears, three grammars: the spoken brain's, which hears callers; a caller's, which hears the
agent; and that of a human who is rung. Each holds every day, time, service and outcome, whether or
not it is the true one: hearing the right one is then worth something. `caller_meant`, `hours_said`
and the others read the recognised words again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from relay.sim.phrases import (
    AGAIN,
    ALL_RIGHT,
    ANOTHER,
    BROKEN,
    DIGITS,
    ELSE,
    GOODBYE,
    HELP,
    HUMAN,
    HUMAN_HAS_IT,
    LIKE,
    LOST,
    MESSAGE,
    MOMENT,
    NOBODY,
    NOT_DONE,
    NOT_REACHED,
    ODD,
    REFUSED,
    RELATIVE,
    RIGHT,
    RINGING,
    TRYING,
    WAITING,
    WANTS_PERSON,
    WHOSE,
    WHOSE_MESSAGE,
    Book,
    Span,
    in_sentences,
    one_of,
    plain,
    time_read,
    time_words,
)


def caller_grammar(book: Book) -> str:
    """One sentence of a caller's: what the agent knows, and odd things that mean nothing to it."""
    return _grammar(book, _CALLERS, **_callers_rules())


def desk_grammar(book: Book, *more: str) -> str:
    """One sentence at the ear of a human who is rung: what they are told of a caller, and then what
    the caller says. more: what the telephone network says."""
    return _grammar(
        book,
        f"<fixed> | <about> | <asked> | <slot> | {_CALLERS}",
        fixed=_fixed([WANTS_PERSON, *more]),
        about=f"{plain(WANTS_PERSON)} about <a_topic>",
        asked="the caller has asked about the hours <when>",
        slot="the caller ( has booked | wants to book ) <service> <when> at <time>",
        **_callers_rules(),
    )


_CALLERS = (
    "hello | <who> | <affirm> | <deny> | <hours> | <booking> | <human> | <back> | <bye> | <odd>"
)


def _callers_rules() -> dict[str, str]:
    return {
        "who": "my name is <name>",
        "affirm": "yes [ please ] | yes that is right | that is right",
        "deny": "no [ thank you ] | no that is wrong",
        "hours": "( what are your hours | when are you open ) ( this <day> | <relative> )",
        "booking": "[ <who> and ] i would like to book <service> <when> at <time>",
        "human": "( can i | i would like to | i want to ) speak to a ( human | person )"
        " [ about my <topic> ] [ please ]",
        "back": "[ <who> and ] i would like to be called back about my <topic>",
        "bye": "[ that is all ] thank you [ goodbye ] | goodbye",
        "odd": _either(map(plain, ODD)),
    }


def agent_grammar(book: Book, *more: str) -> str:
    """One sentence of the agent's. more: further texts that may be heard (clips, people)."""
    fixed = [HELP, ELSE, RIGHT, WHOSE, MOMENT, AGAIN, LOST, BROKEN, TRYING, RINGING, NOBODY]
    fixed += [NOT_REACHED, MESSAGE, WHOSE_MESSAGE, GOODBYE, WAITING, NOT_DONE, ALL_RIGHT, ANOTHER]
    fixed += [LIKE, HUMAN, HUMAN_HAS_IT, *REFUSED.values(), *more]
    return _grammar(
        book,
        "<fixed> | <hours> | <back> | <booked> | <number> | <offer> | <noted>",
        fixed=_fixed(fixed),
        hours="this <day> we are ( closed all day | open <span> [ and <span> ] )",
        span="from <time> to <time>",
        back="<service> <when> at <time> in the name of <name>",
        booked="your <own> is booked for <day> at <time>",
        number=f"your number is {' <digit>' * book.digits}",
        offer="i can offer <day> at <time>",
        noted="i have noted that <name> wants to be called back about <a_topic>",
        digit=_either(DIGITS),
    )


def _grammar(book: Book, top: str, **rules: str) -> str:
    rules |= {
        "service": _either(map(one_of, book.services)),
        "own": _either(book.services),
        "day": _either(book.days),
        "relative": _either(RELATIVE),
        "when": "for <day> | <relative>",
        "time": _either(_clocks(book.times)),
        "name": _either(book.names),
        "topic": _either(book.topics),
        "a_topic": _either(map(one_of, book.topics)),
    }
    lines = "\n".join(f"<{name}> = {body};" for name, body in rules.items())
    return f"#JSGF V1.0;\ngrammar phrases;\npublic <utterance> = {top};\n{lines}\n"


def _clocks(times: Iterable[str]) -> Iterator[str]:
    """The times of each part of the day, with what they share said once."""
    spoken = sorted(map(time_words, times), key=lambda words: words.partition(" in the ")[2])
    for part, same in itertools.groupby(spoken, key=lambda words: words.partition(" in the ")[2]):
        clocks = _either(dict.fromkeys(words.partition(" in the ")[0] for words in same))
        yield f"( {clocks} ) in the {part}"


def _fixed(texts: Iterable[str]) -> str:
    return _either(sorted({sentence for text in texts for sentence in in_sentences(text)}))


def _either(choices: Iterable[str]) -> str:
    return " | ".join(choices)


# ---- meanings ---------------------------------------------------------------------------------

Wish = Literal["hello", "hours", "booking", "human", "back", "yes", "no", "bye", "name", "odd"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a caller wants. Fields are empty where they have nothing to say."""

    wish: Wish
    service: str = ""
    day: str = ""
    time: str = ""
    name: str = ""
    topic: str = ""


_TIME = r"((?:[\w']+ ){2,3}in the (?:morning|afternoon|evening))"
_WISHES: tuple[tuple[Wish, str], ...] = (
    ("booking", rf"to book an? (?P<service>.+?) (?:for )?(?P<day>\w+) at (?P<time>{_TIME})$"),
    ("hours", r"(?:hours|open) (?:this |for )?(?P<day>\w+)$"),
    ("human", r"speak to a (?:human|person)(?: about my (?P<topic>\w+))?"),
    ("back", r"called back about my (?P<topic>\w+)$"),
    ("bye", r"goodbye$|thank you$"),
    ("yes", r"^yes|^that is right$"),
    ("name", r"^my name is \w+$"),
    ("hello", r"^hello$"),
)


def caller_meant(sentence: str) -> Meaning | None:
    """What a recognised sentence of a caller means; None: nothing was understood."""
    if not sentence:
        return None
    named = re.search(r"\bmy name is (\w+)", sentence)
    if re.match(r"no\b", sentence):
        return Meaning("no")
    for wish, pattern in _WISHES:
        found = re.search(pattern, sentence)
        if found:
            parts = found.groupdict("")
            if "time" in parts:
                parts["time"] = time_read(parts["time"])
            return Meaning(wish, name=named[1] if named else "", **parts)
    return Meaning("odd")


def hours_said(sentence: str) -> tuple[str, tuple[Span, ...]] | None:
    """The day and the spans in a recognised sentence of the agent's; None: it tells no hours."""
    found = re.fullmatch(r"this (\w+) we are (?:closed all day|open (.+))", sentence)
    if not found:
        return None
    spans = re.findall(rf"from {_TIME} to {_TIME}", found[2] or "")
    return found[1], tuple((time_read(start), time_read(end)) for start, end in spans)


def booking_said(sentence: str) -> tuple[str, str, str] | None:
    """(service, day, time) that a recognised sentence of the agent's confirms; else None."""
    found = re.fullmatch(rf"your (.+?) is booked for (\w+) at {_TIME}", sentence)
    return (found[1], found[2], time_read(found[3])) if found else None


def noted_said(sentence: str) -> tuple[str, str] | None:
    """(name, topic) of the message that a recognised sentence of the agent's reads back."""
    found = re.fullmatch(
        r"i have noted that (\w+) wants to be called back about an? (\w+)", sentence
    )
    return (found[1], found[2]) if found else None


def about_told(sentence: str) -> str | None:
    """What it is about, as a human was told in a recognised sentence; "" for nothing special."""
    found = re.fullmatch(rf"{plain(WANTS_PERSON)}(?: about an? (\w+))?", sentence)
    return (found[1] or "") if found else None
