"""A second voice says what the model writes: as soon, as exactly, and no call hangs on it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import trio

from relay.core.budget import Prices, Tariff
from relay.core.policy import LIVE_GREETING, Clip
from relay.core.records import SpendAdded
from relay.sim.brains import Scripted, call, reply, say
from relay.sim.elevenlabs import BAD_KEY, MS_PER_LETTER, QUOTA, Options, Provider
from tests.shell.house import PLAIN, Placed, open_house, packaged_clips
from tests.shell.test_barge_in import LONG, interrupt

HOURS = "Sure. We are open from nine to five. Can I do anything else for you?"


def provider(**options: object) -> Provider:
    return Provider(Options(**options))  # type: ignore[arg-type]


def talker(text: str = HOURS, **more: object) -> Scripted:
    """A model that writes, and says in its own voice what it is asked to say again."""
    heard = ["When are you open?", "Stop."]
    return Scripted(reply(say(text)), reply(say("I see.")), heard=heard, **more)  # type: ignore[arg-type]


async def answered(placed: Placed, theirs: Provider, answers: int = 1) -> None:
    """Wait until so many responses are made, and spoken, and heard."""
    over = placed.session.responses
    await placed.until(
        lambda: sum(each.usage is not None for each in over) >= answers and not theirs.open, 60
    )
    await placed.quiet()


async def ask_once(placed: Placed, theirs: Provider, answers: int = 1) -> None:
    await placed.greeted()
    await placed.say()
    await answered(placed, theirs, answers)
    placed.hang_up()


def believed(placed: Placed) -> list[str]:
    """What the model believes it said behind the greeting, written or spoken."""
    items = [i for i in placed.session.conversation if i.role == "assistant"][1:]
    return [item.said for item in items]


def asked(placed: Placed) -> list[tuple[str, str]]:
    """Each response that was asked for: in which form, and why."""
    responses = [event["response"] for event in placed.told("response.create")]
    return [
        (*each.get("output_modalities", ["audio"]), each["metadata"]["purpose"])
        for each in responses
    ]


def whole_words(text: str, ms: int) -> str:
    """What of a text the simulated voice has said by a moment: it gives each letter as long."""
    letters = ms // MS_PER_LETTER
    if letters >= len(text):
        return text
    return text[: letters + 1].rpartition(" ")[0]


# ---- what is said ---------------------------------------------------------------------------


async def test_what_the_model_writes_is_said_sentence_by_sentence(autojump_clock):
    theirs = provider()
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker())
        await ask_once(placed, theirs)
    (item,) = {name for name, _, _ in theirs.texts}
    assert [text for _, text, _ in theirs.texts] == [
        "Sure. ",
        "We are open from nine to five. ",
        "Can I do anything else for you? ",
    ]
    assert theirs.connections == 1
    assert theirs.closed == [item]
    assert asked(placed) == [("text", "turn")]
    assert b"".join(theirs.options.speak(text) for _, text, _ in theirs.texts) in placed.heard()
    assert placed.said()[-1] == ("agent", HOURS)
    assert believed(placed) == [HOURS]
    assert placed.told("conversation.item.delete") == []
    assert placed.outcome().outcome == "resolved"


async def test_the_first_sentence_is_spoken_before_the_last_is_written(autojump_clock):
    theirs = provider()
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker(f"{HOURS} {LONG}"))
        await ask_once(placed, theirs)
    (written,) = [
        x.at for x in placed.session.log if x.event["type"] == "response.output_text.done"
    ]
    assert theirs.texts[0][2] < written - 0.1


@pytest.mark.parametrize("first_s", [0.075, 0.2, 0.6])
async def test_a_caller_waits_for_the_provider_and_hardly_for_us(autojump_clock, first_s):
    """From a whole sentence of the model's to the first chunk at the phone: at most 10 ms more."""
    theirs = provider(first_s=first_s)
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker())
        await ask_once(placed, theirs)
    said = ""
    for logged in placed.session.log:  # whole is what the beginning of the next one follows
        if logged.event["type"] == "response.output_text.delta":
            said += logged.event["delta"]
            if len(said) > len("Sure. "):
                break
    whole_at = logged.at
    item = theirs.texts[0][0]
    first = next(m for m in placed.leg.playout.marks if m.name.split(":")[1] == item)
    assert placed.line.time(first.arrived) - whole_at <= first_s + 0.01


async def test_a_function_and_its_words_go_together(autojump_clock):
    """A write waits for the words before it, though the model has long written them."""
    arguments = {"service": "cleaning", "start": "2026-11-24T09:00", "name": "Ann"}
    brain = Scripted(
        reply(say("I will book that for you now."), call("book_appointment", **arguments)),
        reply(say("That is done.")),
        heard=["Book it."],
    )
    theirs = provider(first_s=0.5)
    async with open_house(provider=theirs) as house:
        placed = house.ring(brain)
        await ask_once(placed, theirs, 2)
    assert [name for name, _ in placed.tools()] == ["book_appointment"]
    (posted,) = [
        x.at
        for x in placed.session.log
        if x.by == "client" and x.event.get("item", {}).get("type") == "function_call_output"
    ]
    first = theirs.texts[0]
    heard_s = 0.5 + len(first[1]) * MS_PER_LETTER / 1000
    assert posted - first[2] >= heard_s - 1e-6
    assert placed.said()[-1] == ("agent", "That is done.")


async def test_the_goodbye_is_heard_before_the_call_ends(autojump_clock):
    brain = Scripted(reply(say("Goodbye, then."), call("end_call")), heard=["Bye."])
    async with open_house(provider=provider(first_s=0.8)) as house:
        placed = house.ring(brain)
        await placed.greeted()
        await placed.say()
        await placed.ended()
    assert placed.said()[-1] == ("agent", "Goodbye, then.")
    assert placed.disposition() == "hang_up"


async def test_what_is_spoken_is_paid_for_by_the_character(autojump_clock):
    theirs = provider()
    prices = Prices(voice=Tariff("eleven_flash_v2_5", characters=50_000))
    async with open_house(provider=theirs, prices=prices) as house:
        placed = house.ring(talker())
        await ask_once(placed, theirs)
    rows = [row for row in placed.rows(SpendAdded) if row.kind == "voice"]
    assert {row.model for row in rows} == {"eleven_flash_v2_5"}
    assert sum(row.input_text for row in rows) == len(HOURS)
    assert sum(row.micro_usd for row in rows) == len(HOURS) * 50
    assert len({row.ref for row in rows}) == 3


async def test_a_card_number_reaches_neither_the_provider_nor_a_record(autojump_clock):
    theirs = provider()
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker("Your card is 4111 1111 1111 1111. Is that right?"))
        await ask_once(placed, theirs)
    assert theirs.texts[0][1] == "Your card is #### #### #### ####. "
    assert placed.said()[-1] == ("agent", "Your card is #### #### #### ####. Is that right?")


# ---- who talks over it ----------------------------------------------------------------------


async def test_the_cut_is_as_quick_as_in_the_models_own_voice_and_exact_to_the_word(autojump_clock):
    """The same figures as test_barge_in.py has; what was heard is known, not reckoned."""
    figures = []
    for theirs in (None, provider(first_s=0.0)):
        async with open_house(provider=theirs) as house:
            brain = (
                talker(LONG)
                if theirs
                else Scripted(
                    reply(say(LONG, ms=6000)), reply(say("I see.")), heard=["When?", "Stop."]
                )
            )
            placed = house.ring(brain)
            talked_at, silent_at = await interrupt(placed, 2.5)
        line = next(each for each in placed.lines() if each.generated_text == LONG)
        played = placed.played_ms(line.item_id)
        figures.append((round(1000 * (silent_at - talked_at)), 0 <= played - line.heard_ms <= 20))
        assert placed.outcome().barge_ins == 1
        assert line.interrupted
    (models_ms, exact), (ms, as_exact) = figures
    assert exact
    assert as_exact
    assert abs(models_ms - ms) <= 20  # a frame of the caller's
    assert max(models_ms, ms) < 300
    assert line.heard_text == whole_words(LONG, line.heard_ms)
    assert believed(placed) == [line.heard_text, "I see."]
    (deleted,) = placed.told("conversation.item.delete")
    assert deleted["item_id"] == line.item_id
    assert placed.told("conversation.item.truncate") == []
    assert line.item_id in theirs.closed


async def test_however_the_network_shakes_no_more_is_believed_than_was_heard(autojump_clock):
    dice = random.Random(9)
    async with open_house(provider=provider()) as house:
        calls = []
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                placed = house.ring(talker(LONG), delay=lambda: dice.uniform(0, 0.08))
                calls.append(placed)
                nursery.start_soon(interrupt, placed, dice.uniform(0.3, 4.0))
    for placed in calls:
        line = next(each for each in placed.lines() if each.generated_text.startswith("We are"))
        played = placed.played_ms(line.item_id)
        assert played - 260 <= line.heard_ms <= played
        assert line.heard_text == whole_words(LONG, line.heard_ms)
        kept = [text for text in believed(placed) if text != "I see."]
        assert kept == ([line.heard_text] if line.heard_text else [])


async def test_a_cut_while_the_model_still_writes(autojump_clock):
    slow = f"Sure. {LONG} {LONG} {LONG} {LONG} {LONG}"
    theirs = provider()
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker(slow), options=replace(PLAIN, cancel_s=0.1))
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: theirs.texts)
        await placed.say()
        await answered(placed, theirs, 2)
        placed.hang_up()
    heard = [line.heard_text for line in placed.lines() if line.speaker == "agent"][1:]
    assert believed(placed) == [text for text in heard if text]
    assert placed.session.violations == []


async def test_what_was_never_heard_is_forgotten(autojump_clock):
    theirs = provider(first_s=0.9)
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker())
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: theirs.texts)
        await placed.say()  # before a sound of it has come
        await answered(placed, theirs, 2)
        placed.hang_up()
    assert believed(placed) == ["I see."]
    assert HOURS not in [text for _, text in placed.said()]


# ---- the greeting ---------------------------------------------------------------------------


def live_clips() -> dict[str, Clip]:
    greeting = packaged_clips()["greeting"].text
    return {**packaged_clips(), LIVE_GREETING: Clip(LIVE_GREETING, greeting, b"")}


async def test_the_second_voice_greets_if_the_model_is_to(autojump_clock):
    words = packaged_clips()["greeting"].text
    brain = Scripted(reply(say(words)), reply(say("Nine to five.")), heard=["When?"])
    theirs = provider()
    async with open_house(provider=theirs, clips=live_clips()) as house:
        placed = house.ring(brain)
        await ask_once(placed, theirs, 2)
    assert asked(placed) == [("text", "greeting"), ("text", "turn")]
    assert [text for _, text in placed.said()] == [words, "When?", "Nine to five."]
    assert placed.outcome().notice_heard
    assert 150 <= placed.outcome().greeting_ms < 500


async def test_a_greeting_that_breaks_off_is_said_again_whole(autojump_clock):
    words = packaged_clips()["greeting"].text
    brain = Scripted(reply(say(words)), reply(say("Nine to five.")), heard=["When?"])
    theirs = provider(drop_after_ms=900)
    async with open_house(provider=theirs, clips=live_clips()) as house:
        placed = house.ring(brain)
        await ask_once(placed, theirs, 2)
    assert packaged_clips()["greeting"].mulaw in placed.heard()
    assert placed.outcome().notice_heard
    assert asked(placed)[1:] == [("audio", "turn")]


# ---- the provider fails ---------------------------------------------------------------------

FAULTS = {
    "refuses": (Provider(refuse=503), "unreachable"),
    "wrong key": (Provider(Options(error=BAD_KEY)), "key"),
    "wrong voice": (provider(voices=frozenset({"adam"})), "voice"),
    "no quota": (provider(error=QUOTA), "quota"),
    "no quota later": (provider(error=QUOTA, after=1), "quota"),
    "hangs": (provider(hang=True), "slow"),
    "slow": (provider(first_s=1.6), "slow"),
    "drops at once": (provider(drop_after_ms=0), "closed"),
    "drops mid-sentence": (provider(drop_after_ms=1500), "closed"),
    "falls silent": (provider(mute_after_ms=1500), "slow"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_call_goes_on_in_the_models_own_voice(autojump_clock, fault):
    """Nothing is lost, nothing said twice, and no silence is longer than a breath."""
    given, why = FAULTS[fault]
    theirs = replace_provider(given)
    brain = SaysTheRest(HOURS)
    async with open_house(provider=theirs) as house:
        placed = house.ring(brain)
        await placed.greeted()
        asked_at = await placed.say()
        await placed.answered(1 if fault == "refuses" else 2)
        begins = placed.line.time(await placed.person.hear_voice(placed.line.sample(asked_at)))
        await placed.say()
        await placed.answered(2 if fault == "refuses" else 3)
        placed.hang_up()
    agent = " ".join(line.heard_text for line in placed.lines()[1:] if line.speaker == "agent")
    assert agent == f"{HOURS} And again."
    assert " ".join(believed(placed)) == agent
    assert asked(placed)[-1] == ("audio", "turn")
    assert begins - asked_at < 0.5 + 1.0 + 1.0
    (warned,) = house.logged("second voice lost")
    assert warned["why"] == why
    assert placed.outcome().outcome == "resolved"


def replace_provider(given: Provider) -> Provider:
    """A fresh one with the same faults."""
    return Provider(given.options, given.key, given.refuse)


class SaysTheRest(Scripted):
    """A model that says exactly what it is told to say, and else what it has in mind."""

    def __init__(self, text: str) -> None:
        super().__init__(heard=["When are you open?", "And?"])
        self.texts = [text, "And again."]

    async def reply(self, request):
        said = request.instructions.partition("nothing else:\n\n")[2]
        return reply(say(said or self.texts.pop(0)))


async def test_a_connection_that_ends_in_a_silence_is_called_back(autojump_clock):
    theirs = provider(idle_s=15.0)
    async with open_house(provider=theirs, idle_prompt_s=60.0, idle_goodbye_s=90.0) as house:
        placed = house.ring(talker())
        await placed.greeted()
        await placed.say()
        await answered(placed, theirs)
        await trio.sleep(35)
        placed.hang_up()
    assert theirs.connections == 3
    assert house.logged("second voice lost") == []


async def test_one_that_does_not_last_is_not_called_back_for_ever(autojump_clock):
    theirs = provider(idle_s=5.0)
    async with open_house(provider=theirs, clips=packaged_clips()) as house:
        placed = house.ring(talker())
        await placed.greeted()
        await placed.say()
        await placed.answered()
        placed.hang_up()
    assert theirs.connections == 1
    assert asked(placed) == [("audio", "turn")]
    (warned,) = house.logged("second voice lost")
    assert warned["why"] == "closed"


async def test_a_model_that_is_lost_leaves_the_voice_to_finish(autojump_clock):
    """What was written is said to its end; the successor writes for the same connection."""
    theirs = provider()
    async with open_house(provider=theirs) as house:
        placed = house.ring(talker())
        await placed.greeted()
        await placed.say()
        await placed.until(lambda: theirs.first_at and len(placed.said()) == 2)
        placed.session.close(1006)
        await placed.until(lambda: len(placed.sessions) == 2)
        await placed.until(lambda: not theirs.open)
        await placed.quiet()
        placed.hang_up()
    assert placed.said()[2] == ("agent", HOURS)
    assert theirs.connections == 1


# ---- many at once ---------------------------------------------------------------------------


async def test_more_items_than_the_provider_takes_are_said_one_after_the_other(autojump_clock):
    parts = [f"This is part {n}." for n in range(8)]
    brain = Scripted(reply(*(say(part) for part in parts)), heard=["Tell me all."])
    theirs = provider()
    async with open_house(provider=theirs) as house:
        placed = house.ring(brain)
        await ask_once(placed, theirs)
    assert [text for _, text in placed.said()[2:]] == parts
