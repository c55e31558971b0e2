"""Everything that caller, agent and human say in the offline demo, as texts.

A `Book` holds what there is to talk about. grammars.py has what the texts are heard by, and what
they mean. Wording is chosen by ear: see tests/sim/test_grammars.py, which measures how many
sentences survive a telephone line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
RELATIVE = ("today", "tomorrow")
NAMES = ("anna", "peter", "maria", "john", "david", "linda")

_HOURS = (
    *("twelve", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven"),
)
_MINUTES = {0: "o'clock", 15: "fifteen", 30: "thirty", 45: "forty five"}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Span = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Book:
    """What there is to talk about. Words in lower case, all of them in the CMU dictionary.

    topics: what callers want to speak to a person about
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
    topics: tuple[str, ...] = ("bill", "appointment", "order", "delivery", "contract")
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


def one_of(thing: str) -> str:
    """A cleaning, an inspection."""
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def when(day: str) -> str:
    """Not "on Tuesday": between "on" and a Wednesday this ear hears a Monday."""
    return day if day in RELATIVE else f"for {day.capitalize()}"


def digits(text: str) -> str:
    """ "407" as "four zero seven"; letters are spelled."""
    spelled = (DIGITS[int(c)] if c.isdecimal() else c.lower() for c in text if c.isalnum())
    return " ".join(spelled)


# ---- what a caller says -----------------------------------------------------------------------

HUMAN_PLEASE = "Can I speak to a human please?"
UMBRELLA = "I have lost my umbrella."
YES = "Yes please."
NO = "No thank you."
BYE = "Thank you goodbye."
ODD = (
    "Do you sell bicycles?",
    "What is the weather like?",
    UMBRELLA,
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
    return f"{who}I would like to book {one_of(service)} {when(day)} at {time_words(time)}."


def tell_name(name: str) -> str:
    """My name is Anna."""
    return f"My name is {name.capitalize()}."


def ask_human(topic: str) -> str:
    """Can I speak to a human about my bill please?"""
    return f"Can I speak to a human about my {topic} please?"


def ask_call_back(name: str, topic: str) -> str:
    """My name is Anna and I would like to be called back about my bill."""
    return f"{tell_name(name)[:-1]} and I would like to be called back about my {topic}."


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
TRYING = "I will try to reach somebody for you."
RINGING = "It is ringing. Please stay on the line."
NOT_REACHED = "Nobody could be reached."
MESSAGE = "Would you like to leave a message?"
WHOSE_MESSAGE = "What is your name and what is it about?"
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
HUMAN_HAS_IT = "Your umbrella is here. You can have it back."


def say_hours(day: str, spans: Iterable[Span]) -> str:
    """This Tuesday we are open from nine o'clock in the morning to … Spans are pairs of HH:MM."""
    opened = [f"from {time_words(start)} to {time_words(end)}" for start, end in spans]
    what = f"open {' and '.join(opened)}" if opened else "closed all day"
    return f"This {day.capitalize()} we are {what}."


def read_back(service: str, day: str, time: str, name: str) -> str:
    """A cleaning for Tuesday at three thirty in the afternoon in the name of Anna. Is …"""
    who = name.capitalize()
    what = f"{one_of(service).capitalize()} {when(day)} at {time_words(time)}"
    return f"{what} in the name of {who}. {RIGHT}"


def say_booked(service: str, day: str, time: str, reference: str = "") -> str:
    """Your cleaning is booked for Tuesday at three thirty in the afternoon. Your number is …"""
    number = f" Your number is {digits(reference)}." if reference else ""
    return f"Your {service} is booked for {day.capitalize()} at {time_words(time)}.{number}"


def say_offer(reason: str, day: str, time: str) -> str:
    """I am sorry. That time is taken. I can offer Tuesday at … Would you like that?"""
    why = REFUSED.get(reason, REFUSED["taken"])
    return f"{SORRY} {why} I can offer {day.capitalize()} at {time_words(time)}. {LIKE}"


def say_noted(name: str, topic: str) -> str:
    """I have noted that Anna wants to be called back about a bill."""
    return f"I have noted that {name.capitalize()} wants to be called back about {one_of(topic)}."


# ---- what the agent writes, and a human is told -------------------------------------------------

WANTS_PERSON = "The caller wants to speak to a person."


def tell_about(topic: str) -> str:
    """The caller wants to speak to a person about a bill."""
    return f"{WANTS_PERSON[:-1]} about {one_of(topic)}." if topic else WANTS_PERSON


def tell_hours(day: str) -> str:
    """The caller has asked about the hours for Tuesday."""
    return f"The caller has asked about the hours {when(day)}."


def tell_booking(service: str, day: str, time: str, *, booked: bool) -> str:
    """The caller has booked a cleaning for Tuesday at three thirty in the afternoon."""
    done = "has booked" if booked else "wants to book"
    return f"The caller {done} {one_of(service)} {when(day)} at {time_words(time)}."


# ---- as it is heard ---------------------------------------------------------------------------


def plain(text: str) -> str:
    """A text as the words that a recogniser hears: lower case, without punctuation."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower()).split())


def in_sentences(text: str) -> list[str]:
    """A text's sentences, each as `plain` words."""
    return [plain(sentence) for sentence in re.split(r"(?<=[.!?])\s", text)]
