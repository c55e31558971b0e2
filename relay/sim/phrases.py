"""Everything that caller and agent say in the offline demo, as texts, grammars and meanings.

A `Book` holds what there is to talk about. From it come the caller's phrases with the grammar
that the spoken brain hears them by, and the agent's phrases with the grammar that a check hears
them by at the caller's ear. Both grammars hold every day, time, service and outcome, whether or
not it is the true one: hearing the right one is then worth something. `caller_meant`,
`hours_said` and `booking_said` read the recognised words again.

Wording is chosen by ear: see tests/sim/test_phrases.py, which measures how many sentences survive
a telephone line.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
RELATIVE = ("today", "tomorrow")
NAMES = ("anna", "peter", "maria", "john", "david", "linda")

_HOURS = (
    *("twelve", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven"),
)
_MINUTES = {0: "o'clock", 15: "fifteen", 30: "thirty", 45: "forty five"}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Span = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Book:
    """What there is to talk about. Words in lower case, all of them in the CMU dictionary.

    times: HH:MM, in 15-minute steps at the finest
    days: weekdays; today and tomorrow are always known
    digits: how many a booking's reference has
    """

    services: tuple[str, ...] = ("cleaning", "checkup", "filling")
    days: tuple[str, ...] = WEEKDAYS
    times: tuple[str, ...] = tuple(
        f"{hour:02}:{minute:02}" for hour in range(8, 19) for minute in (0, 30)
    )
    names: tuple[str, ...] = NAMES
    digits: int = 6


# ---- numbers as words -------------------------------------------------------------------------


def time_words(time: str) -> str:
    """15:30 as "three thirty in the afternoon". Raises ValueError for what is no quarter hour.

    Not "p m": over a telephone "six thirty p m" is "two thirty p m" to this ear, and without the
    "o'clock", one is four on Tuesdays.
    """
    hour, minute = map(int, time.split(":"))
    if minute not in _MINUTES or not 0 <= hour < 24:
        raise ValueError(f"no words for the time {time!r}")
    return f"{_HOURS[hour % 12]} {_MINUTES[minute]} in the {_part(hour)}"


def time_read(words: str) -> str:
    """The time of day that words mean: HH:MM. Raises ValueError for what is no such time."""
    clock, _, part = words.partition(" in the ")
    hour, _, minutes = clock.partition(" ")
    for minute, spoken in _MINUTES.items():
        for at in range(_HOURS.index(hour), 24, 12):
            if minutes == spoken and part == _part(at):
                return f"{at:02}:{minute:02}"
    raise ValueError(f"no time {words!r}")


def _part(hour: int) -> str:
    return "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"


def _one(service: str) -> str:
    return f"{'an' if service[0] in 'aeiou' else 'a'} {service}"


def _when(day: str) -> str:
    """Not "on Tuesday": between "on" and a Wednesday this ear hears a Monday."""
    return day if day in RELATIVE else f"for {day.capitalize()}"


def digits(text: str) -> str:
    """ "407" as "four zero seven"; letters are spelled."""
    spelled = (_DIGITS[int(c)] if c.isdecimal() else c.lower() for c in text if c.isalnum())
    return " ".join(spelled)


# ---- what a caller says -----------------------------------------------------------------------

HUMAN_PLEASE = "Can I speak to a human please?"
YES = "Yes please."
NO = "No thank you."
BYE = "Thank you goodbye."
ODD = (
    "Do you sell bicycles?",
    "What is the weather like?",
    "I have lost my umbrella.",
    "How much does it cost?",
    "Where are you?",
)


def ask_hours(day: str) -> str:
    """What are your hours this Tuesday?"""
    when = day if day in RELATIVE else f"this {day.capitalize()}"
    return f"What are your hours {when}?"


def ask_booking(service: str, day: str, time: str, name: str = "") -> str:
    """My name is Anna and I would like to book a cleaning for Tuesday at three in the …"""
    who = f"My name is {name.capitalize()} and " if name else ""
    return f"{who}I would like to book {_one(service)} {_when(day)} at {time_words(time)}."


def tell_name(name: str) -> str:
    """My name is Anna."""
    return f"My name is {name.capitalize()}."


# ---- what the agent says ----------------------------------------------------------------------

HELP = "How can I help you?"
ELSE = "What else can I do for you?"
RIGHT = "Is that right?"
WHOSE = "What is your name please?"
MOMENT = "One moment please."
SORRY = "I am sorry."
PERSON = "Would you like to speak to a person?"
AGAIN = f"{SORRY} I did not understand you. Could you say that again?"
LOST = f"I still do not understand you. {PERSON}"
BROKEN = f"{SORRY} That did not work. {PERSON}"
CONNECTING = "I am connecting you now. Please hold."
NOBODY = f"{SORRY} There is nobody who can take your call."
GOODBYE = "Thank you for calling. Goodbye."
WAITING = "It takes a little longer. I am still looking."
NOT_DONE = "I have not done that yet. Shall I do it now?"
ALL_RIGHT = f"All right. {ELSE}"
ANOTHER = "Would you like another day or another time?"
LIKE = "Would you like that?"
REFUSED = {
    "taken": "That time is taken.",
    "closed": "We are closed at that time.",
    "past": "That time has passed.",
    "unknown_service": "We do not offer that.",
}
HUMAN = "This is the front desk. What can I do for you today?"


def say_hours(day: str, spans: Iterable[Span]) -> str:
    """This Tuesday we are open from nine o'clock in the morning to … Spans are pairs of HH:MM."""
    opened = [f"from {time_words(start)} to {time_words(end)}" for start, end in spans]
    what = f"open {' and '.join(opened)}" if opened else "closed all day"
    return f"This {day.capitalize()} we are {what}."


def read_back(service: str, day: str, time: str, name: str) -> str:
    """A cleaning for Tuesday at three thirty in the afternoon in the name of Anna. Is …"""
    who = name.capitalize()
    what = f"{_one(service).capitalize()} {_when(day)} at {time_words(time)}"
    return f"{what} in the name of {who}. {RIGHT}"


def say_booked(service: str, day: str, time: str, reference: str = "") -> str:
    """Your cleaning is booked for Tuesday at three thirty in the afternoon. Your number is …"""
    number = f" Your number is {digits(reference)}." if reference else ""
    return f"Your {service} is booked for {day.capitalize()} at {time_words(time)}.{number}"


def say_offer(reason: str, day: str, time: str) -> str:
    """I am sorry. That time is taken. I can offer Tuesday at … Would you like that?"""
    why = REFUSED.get(reason, REFUSED["taken"])
    return f"{SORRY} {why} I can offer {day.capitalize()} at {time_words(time)}. {LIKE}"


# ---- grammars ---------------------------------------------------------------------------------


def plain(text: str) -> str:
    """A text as the words that a recogniser hears: lower case, without punctuation."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def in_sentences(text: str) -> list[str]:
    """A text's sentences, each as `plain` words."""
    return [plain(sentence) for sentence in re.split(r"(?<=[.!?])\s", text)]


def caller_grammar(book: Book) -> str:
    """One sentence of a caller's: what the agent knows, and odd things that mean nothing to it."""
    return _grammar(
        book,
        "hello | <who> | <affirm> | <deny> | <hours> | <booking> | <human> | <bye> | <odd>",
        who="my name is <name>",
        affirm="yes [ please ] | yes that is right | that is right",
        deny="no [ thank you ] | no that is wrong",
        hours="( what are your hours | when are you open ) ( this <day> | <relative> )",
        booking="[ <who> and ] i would like to book <service> <when> at <time>",
        human="( can i | i would like to | i want to ) speak to a ( human | person ) [ please ]",
        bye="[ that is all ] thank you [ goodbye ] | goodbye",
        odd=_either(map(plain, ODD)),
    )


def agent_grammar(book: Book, *more: str) -> str:
    """One sentence of the agent's. more: further texts that may be heard (clips, people)."""
    fixed = [HELP, ELSE, RIGHT, WHOSE, MOMENT, AGAIN, LOST, BROKEN, CONNECTING, NOBODY, GOODBYE]
    fixed += [WAITING, NOT_DONE, ALL_RIGHT, ANOTHER, LIKE, HUMAN, *REFUSED.values(), *more]
    return _grammar(
        book,
        "<fixed> | <hours> | <back> | <booked> | <number> | <offer>",
        fixed=_either(sorted({sentence for text in fixed for sentence in in_sentences(text)})),
        hours="this <day> we are ( closed all day | open <span> [ and <span> ] )",
        span="from <time> to <time>",
        back="<service> <when> at <time> in the name of <name>",
        booked="your <own> is booked for <day> at <time>",
        number=f"your number is {' <digit>' * book.digits}",
        offer="i can offer <day> at <time>",
        digit=_either(_DIGITS),
    )


def _grammar(book: Book, top: str, **rules: str) -> str:
    rules |= {
        "service": _either(map(_one, book.services)),
        "own": _either(book.services),
        "day": _either(book.days),
        "relative": _either(RELATIVE),
        "when": "for <day> | <relative>",
        "time": _either(_clocks(book.times)),
        "name": _either(book.names),
    }
    lines = "\n".join(f"<{name}> = {body};" for name, body in rules.items())
    return f"#JSGF V1.0;\ngrammar phrases;\npublic <utterance> = {top};\n{lines}\n"


def _clocks(times: Iterable[str]) -> Iterator[str]:
    """The times of each part of the day, with what they share said once."""
    spoken = sorted(map(time_words, times), key=lambda words: words.partition(" in the ")[2])
    for part, same in itertools.groupby(spoken, key=lambda words: words.partition(" in the ")[2]):
        clocks = _either(dict.fromkeys(words.partition(" in the ")[0] for words in same))
        yield f"( {clocks} ) in the {part}"


def _either(choices: Iterable[str]) -> str:
    return " | ".join(choices)


# ---- meanings ---------------------------------------------------------------------------------

Wish = Literal["hello", "hours", "booking", "human", "yes", "no", "bye", "name", "odd"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a caller wants. Fields are empty where they have nothing to say."""

    wish: Wish
    service: str = ""
    day: str = ""
    time: str = ""
    name: str = ""


_TIME = r"((?:[\w']+ ){2,3}in the (?:morning|afternoon|evening))"
_WISHES: tuple[tuple[Wish, str], ...] = (
    ("booking", rf"to book an? (?P<service>.+?) (?:for )?(?P<day>\w+) at (?P<time>{_TIME})$"),
    ("hours", r"(?:hours|open) (?:this |for )?(?P<day>\w+)$"),
    ("human", r"speak to a (?:human|person)"),
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
            parts = found.groupdict()
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
