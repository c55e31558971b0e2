"""The receptionist, without a voice."""

from __future__ import annotations

from typing import Any

import pytest

from relay.sim import phrases as say
from relay.sim.brain_dialogue import Dialogue, Part, outputs, unanswered
from relay.sim.brains import Call, call
from relay.sim.grammars import Meaning
from relay.sim.realtime_items import Item

TOOLS = frozenset(
    {"lookup_hours", "book_appointment", "transfer_to_human", "take_message", "end_call"}
)
BOOKING = Meaning("booking", "filling", "friday", "15:30", "anna")
BOOK_IT = call("book_appointment", service="filling", day="friday", time="15:30", name="Anna")
BOOKED = {
    "booked": True,
    "reference": "407123",
    "service": "filling",
    "day": "Friday",
    "date": "2026-11-27",
    "time": "15:30",
}
NOT_THEN = {"booked": False, "reason": "closed"}
DONE = [say.say_booked("filling", "Friday", "15:30", "407123"), say.ELSE]
ENOUGH = [say.GOODBYE, call("end_call", reason="the caller wants nothing more")]
LEAVING = [say.GOODBYE, call("end_call", reason="the caller said goodbye")]
WANTED = [say.TRYING, call("transfer_to_human", reason="the caller asked for a person")]
HELPLESS = [say.TRYING, call("transfer_to_human", reason="the agent could not help")]
CALL_BACK = Meaning("back", name="anna", topic="bill")
TAKE_IT = call("take_message", name="Anna", message="Please call me back about my bill.")
NOBODY_CAME = [say.SORRY, say.NOT_REACHED, say.MESSAGE]
TAKEN = {
    "booked": False,
    "reason": "taken",
    "alternatives": [
        {"day": "Saturday", "date": "2026-11-28", "time": "09:10"},
        {"day": "Monday", "date": "2026-11-30", "time": "16:00"},
    ],
}


def talk(*turns: Any, tools: frozenset[str] = TOOLS) -> list[Part]:
    """Take turns; the answer to the last. A dict is book_appointment's output, None no sense."""
    dialogue = Dialogue()
    answer: list[Part] = []
    for turn in turns:
        news = ("book_appointment", turn) if isinstance(turn, dict) else turn
        news = Meaning(turn) if isinstance(turn, str) else news
        answer = dialogue.answer([news], tools)
    return answer


def test_hours_are_looked_up_and_told() -> None:
    dialogue = Dialogue()
    asked = dialogue.answer([Meaning("hours", day="tuesday")], TOOLS)
    assert asked == [call("lookup_hours", day="tuesday")]
    output = {"day": "Tuesday", "date": "2026-11-24", "open": [["09:00", "17:00"]], "note": ""}
    assert dialogue.answer([("lookup_hours", output)], TOOLS) == [
        say.say_hours("tuesday", [("09:00", "17:00")]),
        say.ELSE,
    ]
    closed = dialogue.answer([("lookup_hours", output | {"open": []})], TOOLS)
    assert closed[0] == "This Tuesday we are closed all day."


@pytest.mark.parametrize(
    ("turns", "answer"),
    [
        ([BOOKING], [say.read_back("filling", "friday", "15:30", "anna")]),
        ([BOOKING, "yes"], [say.MOMENT, BOOK_IT]),
        ([BOOKING, "yes", BOOKED], DONE),
        ([BOOKING, "no"], [say.ALL_RIGHT]),
        ([BOOKING, "no", "no"], ENOUGH),
        ([BOOKING, "yes", {"error": "interrupted"}], [say.NOT_DONE]),
        ([BOOKING, "yes", {"error": "interrupted"}, "yes"], [say.MOMENT, BOOK_IT]),
        ([BOOKING, "yes", {"status": "pending"}], [say.WAITING]),
        ([BOOKING, "yes", {"error": "unavailable"}], [say.BROKEN]),
        ([BOOKING, "yes", TAKEN], [say.say_offer("taken", "monday", "16:00")]),
        (
            [BOOKING, "yes", NOT_THEN],
            [say.SORRY, say.REFUSED["closed"], say.ANOTHER],
        ),
        (["human"], WANTED),
        (["bye"], LEAVING),
        (["hello"], [say.HELP]),
        (["yes"], [say.HELP]),
        (["odd"], [say.AGAIN]),
        ([None], [say.AGAIN]),
        ([None, "odd"], [say.LOST]),
        ([None, "hello", None], [say.AGAIN]),
        ([None, None, "yes"], HELPLESS),
        ([None, None, "no"], [say.ALL_RIGHT]),
        (["human", {"status": "ringing"}], [say.RINGING]),
        (["human", {"status": "not_ringing", "reason": "closed"}], NOBODY_CAME),
        (["human", {"status": "ringing"}, {"status": "not_reached"}], NOBODY_CAME),
        ([{"status": "not_reached"}, "yes"], [say.WHOSE_MESSAGE]),
        ([{"status": "not_reached"}, "no"], [say.ALL_RIGHT]),
        ([CALL_BACK], [say.MOMENT, TAKE_IT]),
        ([CALL_BACK, {"taken": True}], [say.say_noted("anna", "bill"), say.ELSE]),
        ([{"taken": True}], [say.BROKEN]),
        ([Meaning("back", topic="bill")], [say.WHOSE_MESSAGE]),
        ([Meaning("name", name="anna"), Meaning("back", topic="bill")], [say.MOMENT, TAKE_IT]),
    ],
)
def test_the_dialogue(turns: list[Any], answer: list[Part]) -> None:
    assert talk(*turns) == answer


def test_an_alternative_is_booked_by_its_date() -> None:
    assert talk(BOOKING, "yes", TAKEN, "yes")[-1] == call(
        "book_appointment", service="filling", day="2026-11-30", time="16:00", name="Anna"
    )


def test_a_name_is_asked_for_once() -> None:
    dialogue = Dialogue()
    nameless = Meaning("booking", "filling", "friday", "15:30")
    assert dialogue.answer([nameless], TOOLS) == [say.WHOSE]
    named = dialogue.answer([Meaning("name", name="peter")], TOOLS)
    assert named == [say.read_back("filling", "friday", "15:30", "peter")]
    dialogue.answer([Meaning("no")], TOOLS)
    assert dialogue.answer([nameless], TOOLS) == named


def test_of_several_turns_the_last_understood_counts() -> None:
    news = [Meaning("hours", day="monday"), Meaning("hours", day="friday"), None]
    assert Dialogue().answer(news, TOOLS) == [call("lookup_hours", day="friday")]


def test_only_offered_functions_are_called() -> None:
    assert talk("human", tools=frozenset()) == [say.NOBODY]
    assert talk(BOOKING, "yes", tools=frozenset({"end_call"})) == [say.BROKEN]
    assert talk("bye", tools=frozenset()) == [say.GOODBYE]


@pytest.mark.parametrize("output", [None, [], {}, {"open": "always"}, {"booked": True}, "ok"])
def test_an_output_that_says_nothing_is_an_apology(output: Any) -> None:
    assert Dialogue().answer([("lookup_hours", output)], TOOLS) == [say.BROKEN]


def about(*turns: Any) -> str:
    """What a person is told after these turns."""
    dialogue = Dialogue()
    for turn in turns:
        news = ("book_appointment", turn) if isinstance(turn, dict) else turn
        dialogue.answer([news], TOOLS)
    return dialogue.summary()


def test_a_person_is_told_what_it_was_about() -> None:
    hours, human = Meaning("hours", day="monday"), Meaning("human", topic="bill")
    wish = say.tell_booking("filling", "friday", "15:30", booked=False)
    assert about() == say.WANTS_PERSON
    assert about(Meaning("human")) == say.WANTS_PERSON
    assert about(human) == "The caller wants to speak to a person about a bill."
    assert about(None, None, Meaning("yes")) == say.WANTS_PERSON
    assert about(hours, human) == f"{say.tell_hours('monday')} {say.tell_about('bill')}"
    assert about(hours, hours, BOOKING) == f"{say.tell_hours('monday')} {wish}"
    booked = say.tell_booking("filling", "friday", "15:30", booked=True)
    assert about(hours, human, BOOKING, Meaning("yes"), BOOKED) == (
        f"{say.tell_about('bill')} {booked}"
    ), "two sentences, the last ones, and of a booking only what became of it"


# ---- news in a conversation -------------------------------------------------------------------


def test_news_is_what_came_since_the_agent_spoke() -> None:
    called = Item(id="b", type="function_call", call_id="c1", name="lookup_hours")
    output = Item(id="d", type="function_call_output", call_id="c1", output='{"open": []}')
    late = Item(id="e", role="system", text='The result has come: {"booked": true}')
    plain = Item(id="f", role="system", text="The caller went on speaking.")
    broken = Item(id="g", type="function_call_output", call_id="c9", output="nonsense")
    said = [Item(id="a", role="assistant"), called, Item(id="c", role="user"), output]
    conversation = (*said, late, plain, broken)
    fresh = unanswered(conversation)
    assert [item.id for item in fresh] == ["c", "d", "e", "f", "g"]
    assert outputs(conversation, fresh) == [
        ("lookup_hours", {"open": []}),
        ("", {"booked": True}),
        ("", None),
    ]
    known = {item.id for item in conversation}
    assert unanswered([*conversation, Item(id="h", role="assistant")], known) == []


@pytest.mark.parametrize(
    "text",
    [
        "The person was not reached: nobody answered. Tell the caller.",
        "The person that the caller was connected to has hung up at once.",
    ],
)
def test_that_nobody_came_is_told_in_words(text: str) -> None:
    told = Item(id="a", role="system", text=text)
    assert outputs((told,), [told]) == [("transfer_to_human", {"status": "not_reached"})]


def test_what_was_told_while_the_agent_was_about_to_speak_is_still_news() -> None:
    wish = Item(id="a", role="user")
    told = Item(id="b", role="system", text="The person was not reached: they hung up.")
    answer = Item(id="c", role="assistant")
    conversation = (wish, told, answer)
    assert unanswered(conversation, known={"a"}) == [told]
    assert unanswered(conversation, known={"a", "b"}) == []
    assert unanswered(conversation[:2], known={"a", "b"}) == [wish, told], "it was cut off before"


def test_a_call_knows_its_name() -> None:
    assert isinstance(BOOK_IT, Call)
    assert BOOK_IT.name == "book_appointment"
