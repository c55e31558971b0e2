"""What a human hears and does, and where the caller goes by it: TwiML, and rows."""

from __future__ import annotations

import pytest
import trio

from relay.core import events as on
from relay.core.records import OwnerNotice
from relay.errors import PhoneControlError
from tests.fakes import FakeStore, ask_inline
from tests.web.conftest import CALLER, HUMAN, PUBLIC, Office, make_office
from tests.web.test_twilio import VOICEMAIL, asked, carry, dials_human, live, take, verbs, written


async def ring(office: Office, nursery, call_sid: str = "CA1") -> tuple[str, list]:
    """Ring the human for a call. Returns the attempt, and where its events will be."""
    heard: list = []
    nursery.start_soon(office.humans.run)
    await trio.testing.wait_all_tasks_blocked()
    assert await office.humans.ring(call_sid, "", "a bill", heard.append) == ""
    await trio.testing.wait_all_tasks_blocked()
    return office.phone.attempt, heard


async def press(office: Office, attempt: str, digits: str):
    return await office.twiml(f"screen-key/{attempt}", CallSid="CAleg1", Digits=digits)


# ---- warm -----------------------------------------------------------------------------------


async def test_the_leg_asks_us_what_to_say_and_tells_us_how_it_goes(office, nursery) -> None:
    attempt, heard = await ring(office, nursery)
    (leg,) = office.phone.legs
    assert leg.to == HUMAN
    assert leg.screen_url.endswith(f"/twilio/screen/{attempt}")
    assert leg.status_url.endswith(f"/twilio/leg-status/{attempt}")
    assert heard == [on.HumanRinging(attempt)]


async def test_the_human_hears_what_it_is_about_twice_and_is_asked_for_a_key(
    autojump_clock, office, nursery
) -> None:
    attempt, _ = await ring(office, nursery)
    office.humans.brief(attempt, "Ann & Bob <ask> about a bill.")
    document = await office.twiml(f"screen/{attempt}", CallSid="CAleg1")
    assert verbs(document) == ["Gather", "Gather", "Hangup"], "who says nothing is hung up on"
    for gather in document.findall("Gather"):
        assert gather.get("action") == f"{PUBLIC}/twilio/screen-key/{attempt}"
        assert gather.get("numDigits") == "1"
        assert "Ann & Bob <ask> about a bill." in gather.findtext("Say")


async def test_where_calls_are_recorded_the_human_is_told_before_the_key(
    autojump_clock, nursery
) -> None:
    """They are a party to the recording themselves, and it goes on with them on it."""
    for recorded in (False, True):
        office = make_office(recorded=recorded)
        attempt, _ = await ring(office, nursery)
        pages = [f"screen/{attempt}", "whisper"]
        told = [(await office.twiml(p, CallSid="CAleg1")).findtext("Gather/Say") for p in pages]
        assert all(text.endswith("To take the call, press 1.") for text in told)
        assert [" This call may be recorded. " in text for text in told] == [recorded] * 2


async def test_without_a_summary_the_reason_will_do(autojump_clock, office, nursery) -> None:
    attempt, _ = await ring(office, nursery)
    document = await office.twiml(f"screen/{attempt}", CallSid="CAleg1")
    assert "a bill" in document.findtext("Gather/Say")


async def test_the_key_leads_into_the_room_and_so_does_the_caller(
    autojump_clock, office, nursery
) -> None:
    await carry(office, "join")
    attempt, heard = await ring(office, nursery)
    await office.twiml(f"screen/{attempt}", CallSid="CAleg1")
    document = await press(office, attempt, "1")
    assert verbs(document) == ["Say", "Dial"]
    human = document.find("Dial/Conference")
    assert heard[-1] == on.HumanAccepted(attempt)
    caller = (await office.twiml("after-stream")).find("Dial")
    assert caller.get("action") == f"{PUBLIC}/twilio/after-talk"
    conference = caller.find("Conference")
    assert conference.text == human.text
    assert "CA1" not in human.text
    skipped = (await office.twiml("fallback")).find("Dial/Conference")
    assert skipped.text == human.text, "a Twilio that passes over `action` brings them there, too"
    assert {n: conference.get(n) for n in ("beep", "waitUrl", "jitterBufferSize")} == {
        "beep": "false",
        "waitUrl": "",
        "jitterBufferSize": "small",
    }


@pytest.mark.parametrize("digits", ["2", "", "#", "11"])
async def test_another_key_is_a_no(autojump_clock, office, nursery, digits: str) -> None:
    attempt, heard = await ring(office, nursery)
    await office.twiml(f"screen/{attempt}", CallSid="CAleg1")
    assert verbs(await press(office, attempt, digits)) == ["Say", "Hangup"]
    assert heard[-1] == on.HumanLost(attempt, "declined")
    assert verbs(await press(office, attempt, "1")) == ["Say", "Hangup"], "too late"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("busy", "busy"),
        ("no-answer", "no_answer"),
        ("failed", "failed"),
        ("canceled", "failed"),
        ("completed", "declined"),
    ],
)
async def test_a_leg_that_ends_before_the_key_is_no_success(
    office, nursery, status: str, reason: str
) -> None:
    attempt, heard = await ring(office, nursery)
    for going in ("initiated", "ringing", "answered"):
        await office.post(f"leg-status/{attempt}", CallSid="CAleg1", CallStatus=going)
    for _ in range(2):  # callbacks may come twice
        await office.post(f"leg-status/{attempt}", CallSid="CAleg1", CallStatus=status)
    assert heard[1:] == [on.HumanLost(attempt, reason)]


async def test_a_human_who_left_before_the_caller_came_sends_them_back(
    autojump_clock, office, nursery
) -> None:
    await carry(office, "join")
    attempt, heard = await ring(office, nursery)
    await press(office, attempt, "1")
    await office.post(f"leg-status/{attempt}", CallSid="CAleg1", CallStatus="completed")
    assert heard[-1] == on.HumanLost(attempt, "hung_up")
    document = await office.twiml("after-stream")
    assert verbs(document) == ["Connect", "Redirect"]
    assert document.find("Connect/Stream/Parameter[@name='why']").get("value") == "human_dropped"


@pytest.mark.parametrize(("talked_s", "back"), [(9.0, True), (11.0, False)])
async def test_who_leaves_the_room_at_once_sends_the_caller_back_to_the_agent(
    autojump_clock, office, nursery, talked_s: float, back: bool
) -> None:
    await carry(office, "join")
    attempt, _ = await ring(office, nursery)
    await press(office, attempt, "1")
    await office.twiml("after-stream")
    await trio.sleep(talked_s)
    await office.post(f"leg-status/{attempt}", CallSid="CAleg1", CallStatus="completed")
    document = await office.twiml("after-talk", DialCallStatus="answered")
    assert verbs(document) == (["Connect", "Redirect"] if back else ["Hangup"])


async def test_a_talk_s_end_that_is_told_again_takes_nothing_from_the_stream_behind_it(
    autojump_clock, office, nursery
) -> None:
    first = await office.twiml("incoming")
    await take(office, first, "join")
    attempt, _ = await ring(office, nursery)
    await press(office, attempt, "1")
    after_talk = asked(await office.twiml(asked(first)), "Dial")
    assert after_talk.startswith("after-talk?after=")
    back = await office.twiml(after_talk)
    async with live(office, back) as choose:
        assert dials_human(await office.twiml(after_talk))
        assert office.board.carries("CA1")
        choose("hang_up")
    assert verbs(await office.twiml(asked(back))) == ["Hangup"]


async def test_a_caller_who_is_sent_to_the_room_twice_is_sent_to_the_same(
    autojump_clock, office, nursery
) -> None:
    await carry(office, "join")
    attempt, _ = await ring(office, nursery)
    room = (await press(office, attempt, "1")).findtext("Dial/Conference")
    rooms = [(await office.twiml("after-stream")).findtext("Dial/Conference") for _ in range(2)]
    assert rooms == [room, room]


async def test_a_key_that_is_pressed_before_twilio_has_answered_us_counts(
    autojump_clock, office, nursery
) -> None:
    heard: list = []
    office.phone.place_s = 2.0
    nursery.start_soon(office.humans.run)
    nursery.start_soon(office.humans.ring, "CA1", "", "a bill", heard.append)
    await trio.sleep(1)
    attempt = office.phone.attempt
    await press(office, attempt, "1")
    await trio.sleep(2)
    assert heard[-2:] == [on.HumanRinging(attempt), on.HumanAccepted(attempt)]


async def test_a_caller_who_comes_back_is_let_in_again(autojump_clock, office, nursery) -> None:
    await carry(office, "join")
    attempt, _ = await ring(office, nursery)
    await press(office, attempt, "1")
    await office.twiml("after-stream")
    document = await office.twiml("after-talk")
    url = document.find("Connect/Stream").get("url")
    path = url.removeprefix("wss://relay.example.com")
    signed = office.sign_url(url)
    assert await office.board.admit(path, path.rpartition("/")[2], signed) == "CA1"
    line = office.board.line("CA1")
    assert line is not None
    assert line.again


async def test_a_caller_who_hangs_up_on_the_way_to_the_room_leaves_nobody_in_it(
    autojump_clock, office, nursery
) -> None:
    await carry(office, "join")
    attempt, _ = await ring(office, nursery)
    await press(office, attempt, "1")
    await office.post("status", CallStatus="completed")
    await trio.testing.wait_all_tasks_blocked()
    assert "no longer on the line" in office.phone.redirected["CAleg1"]


async def test_a_caller_who_never_arrives_is_not_waited_for_long(
    autojump_clock, office, nursery
) -> None:
    attempt, _ = await ring(office, nursery)
    await press(office, attempt, "1")
    office.humans.left("CA1", joining=True)
    await trio.sleep(9)
    assert not office.phone.redirected
    await trio.sleep(2)
    assert "no longer on the line" in office.phone.redirected["CAleg1"]


async def test_a_leg_that_nobody_ends_ends_by_itself(autojump_clock, office, nursery) -> None:
    attempt, heard = await ring(office, nursery)
    await trio.sleep(120)
    assert heard[1:] == [on.HumanLost(attempt, "no_answer")]
    assert office.phone.ended == ["CAleg1"]


@pytest.mark.parametrize("told_here", [True, False])
@pytest.mark.parametrize("dropped_first", [True, False])
async def test_who_rings_though_the_answer_got_lost_is_let_go_with_the_others(
    autojump_clock, nursery, *, told_here: bool, dropped_first: bool
) -> None:
    """Twilio's callbacks alone say which leg it is, here or to another process."""
    store = FakeStore()
    ours, theirs = (make_office(store=store, look_s=0.25) for _ in range(2))
    nursery.start_soon(theirs.humans.run)
    ours.phone.refuse = PhoneControlError("timed out", doubtful=True)
    attempt, _ = await ring(ours, nursery)
    at = ours if told_here else theirs

    async def tell() -> None:
        await at.post(f"leg-status/{attempt}", CallSid="CAafterall", CallStatus="ringing")
        await trio.sleep(0.5)

    if not dropped_first:
        await tell()
    ours.humans.drop(attempt)
    await trio.sleep(0.5)
    if dropped_first:
        await tell()
    assert (at if dropped_first else ours).phone.ended == ["CAafterall"]


async def test_one_at_a_time_and_three_a_call(autojump_clock, office, nursery) -> None:
    for _ in range(3):
        attempt, heard = await ring(office, nursery)
        assert await office.humans.ring("CA1", "", "again", heard.append) == "ringing"
        await press(office, attempt, "2")
    assert await office.humans.ring("CA1", "", "again", heard.append) == "too_often"
    assert await office.humans.ring("CA2", "nobody", "x", heard.append) == "unknown"


# ---- several processes ----------------------------------------------------------------------


async def test_a_key_that_reaches_another_process_brings_caller_and_human_together(
    autojump_clock, nursery
) -> None:
    store = FakeStore()
    ours = make_office(store=store, look_s=0.25)
    theirs = make_office(store=store, look_s=0.25)
    theirs.board._ask = ask_inline  # a jumping clock does not wait for threads
    nursery.start_soon(theirs.humans.run)
    await carry(ours, "join")
    store.change("CA1", disposition="join")
    attempt, heard = await ring(ours, nursery)
    ours.humans.brief(attempt, "Ann has a question.")
    document = await theirs.twiml(f"screen/{attempt}", CallSid="CAleg1")
    assert "Ann has a question." in document.findtext("Gather/Say")
    room = (await press(theirs, attempt, "1")).findtext("Dial/Conference")
    await trio.sleep(0.6)
    assert heard[-1] == on.HumanAccepted(attempt)
    ours.humans.left("CA1", joining=True)
    assert (await theirs.twiml("after-stream")).findtext("Dial/Conference") == room
    await trio.sleep(15)
    assert not ours.phone.redirected, "it is known here, too, that the caller has arrived"


async def test_a_human_whose_hanging_up_was_told_elsewhere_is_not_joined(
    autojump_clock, nursery
) -> None:
    store = FakeStore()
    ours, theirs = (make_office(store=store, look_s=0.25) for _ in range(2))
    await carry(ours, "join")
    attempt, _ = await ring(ours, nursery)
    await press(ours, attempt, "1")
    await trio.testing.wait_all_tasks_blocked()
    await theirs.post(f"leg-status/{attempt}", CallSid="CAleg1", CallStatus="completed")
    document = await ours.twiml("after-stream")
    assert verbs(document) == ["Connect", "Redirect"], "back to the agent"


async def test_the_same_key_is_taken_by_one_process_only(autojump_clock, nursery) -> None:
    store = FakeStore()
    ours, one, two = (make_office(store=store, look_s=0.25) for _ in range(3))
    attempt, _ = await ring(ours, nursery)
    answers = [verbs(await press(each, attempt, "1")) for each in (one, two)]
    assert answers == [["Say", "Dial"], ["Say", "Hangup"]]


async def test_with_the_database_away_a_foreign_attempt_is_refused_politely(nursery) -> None:
    office = make_office(look_s=0.25)
    office.store.away = True
    assert verbs(await office.twiml("screen/unknown", CallSid="CAleg1")) == ["Say", "Hangup"]
    assert verbs(await press(office, "unknown", "1")) == ["Say", "Hangup"]


# ---- cold -----------------------------------------------------------------------------------


async def test_without_an_agent_the_human_is_asked_for_a_key_as_well(office) -> None:
    document = await office.twiml("whisper", CallSid="CAleg1")
    assert verbs(document) == ["Gather", "Gather", "Hangup"]
    assert document.find("Gather").get("action") == f"{PUBLIC}/twilio/whisper-key"
    assert verbs(await office.twiml("whisper-key", Digits="1")) == []
    assert verbs(await office.twiml("whisper-key", Digits="2")) == ["Hangup"]


@pytest.mark.parametrize(
    ("params", "outcome", "reason"),
    [
        ({"DialCallStatus": "completed", "DialBridged": "true"}, "transferred", ""),
        ({"DialCallStatus": "completed"}, "failed", "human_completed"),
        ({"DialCallStatus": "completed", "DialBridged": "false"}, "failed", "human_completed"),
        ({"DialCallStatus": "busy", "DialBridged": "false"}, "failed", "human_busy"),
        ({"DialCallStatus": "no-answer"}, "failed", "human_no-answer"),
        ({}, "failed", "human_unknown"),
    ],
)
async def test_a_transfer_s_outcome_is_whether_they_talked(
    office: Office, params: dict[str, str], outcome: str, reason: str
) -> None:
    document = await office.twiml("after-dial", **params)
    assert verbs(document) == (["Hangup"] if outcome == "transferred" else VOICEMAIL)
    written(office)
    row = office.store.rows["CA1"]
    assert (row.outcome, row.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("params", "outcome", "reason"),
    [
        ({"DialCallStatus": "canceled", "DialBridged": "false"}, "abandoned", "human_canceled"),
        ({"DialCallStatus": "no-answer"}, "abandoned", "human_no-answer"),
        ({"DialCallStatus": "completed"}, "abandoned", "human_completed"),
        ({"DialCallStatus": "completed", "DialBridged": "true"}, "transferred", ""),
    ],
)
async def test_who_hangs_up_before_the_human_came_has_left_by_themselves(
    office: Office, params: dict[str, str], outcome: str, reason: str
) -> None:
    document = await office.twiml("after-dial", CallStatus="completed", **params)
    assert verbs(document) == ["Hangup"]
    written(office)
    row = office.store.rows["CA1"]
    assert (row.outcome, row.reason) == (outcome, reason)


# ---- voicemail ------------------------------------------------------------------------------

MESSAGE = {
    "RecordingSid": "RE1",
    "RecordingUrl": "https://api.twilio.com/RE1",
    "RecordingDuration": "12",
}


async def test_a_message_reaches_the_owner_once(office: Office) -> None:
    await office.twiml("voicemail", **MESSAGE)
    assert (await office.post("voicemail-recording", **MESSAGE)).status_code == 204
    notices = [e.record for e in office.kept if isinstance(e.record, OwnerNotice)]
    assert {(n.ref, n.kind) for n in notices} == {("RE1", "voicemail")}
    assert notices[0].text == f"{CALLER} left a voicemail of 12 s: {MESSAGE['RecordingUrl']}"
    written(office)
    assert office.store.rows["CA1"].outcome == "message"


@pytest.mark.parametrize("missing", [{}, {"RecordingSid": "RE1", "RecordingDuration": "0"}])
async def test_silence_is_no_message(office: Office, missing: dict[str, str]) -> None:
    await office.twiml("voicemail", **missing)
    assert office.kept == []
