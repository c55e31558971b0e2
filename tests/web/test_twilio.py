"""Which TwiML a call gets next."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from relay.core.records import CallOpened, DispositionChosen
from relay.limits import NumberRules
from relay.ports import Entry
from tests.web.conftest import AUTH, BILLING, CALLER, HUMAN, OURS, PUBLIC, Office, make_office

VOICEMAIL = ["Say", "Record", "Say", "Hangup"]
# Ways to write HUMAN.
WRITTEN = [
    "14155550199",
    "4155550199",
    "+1 415-555-0199",
    " 14155550199",  # a + that nobody has escaped
    "(415) 555-0199",
    "01114155550199",
    "0014155550199",
    "sip:+14155550199@pbx.example.com",
    "sip:4155550199;npdi=yes@10.0.0.1;user=phone",
    "SIPS:%2B14155550199@pbx.example.com",
    "tel:+1-415-555-0199;phone-context=example.com",
]
NOT_OURS = ["anonymous", "", "+", "sip:ann@example.com", "client:ann", "55550199", "+4155550199"]


def verbs(document) -> list[str]:
    return [verb.tag for verb in document]


def dials_human(document, say: bool = True) -> bool:
    dial = document.find("Dial")
    return (
        dial is not None
        and dial.findtext("Number") == HUMAN
        and dial.get("action") == f"{PUBLIC}/twilio/after-dial"
        and dial.find("Number").get("url") == f"{PUBLIC}/twilio/whisper"
        and (document.find("Say") is not None) == say
    )


async def carry(office: Office, disposition: str | None, call_sid: str = "CA1") -> None:
    """Let a stream of this call come and go, up to its disposition."""
    await take(office, await office.twiml("incoming", CallSid=call_sid), disposition, call_sid)


def asked(document: Any, tag: str = "Connect") -> str:
    """The page, as Office posts it, that is asked when the stream of a document is over."""
    found = document.find(tag)
    url = str(found.get("action") or found.text)
    return url.removeprefix(f"{PUBLIC}/twilio/")


async def take(
    office: Office, document: Any, disposition: str | None = None, call_sid: str = "CA1"
) -> None:
    """Let the stream that a document names come and go."""
    async with live(office, document, call_sid) as choose:
        if disposition:
            choose(disposition)


@asynccontextmanager
async def live(
    office: Office, document: Any, call_sid: str = "CA1"
) -> AsyncIterator[Callable[[str], None]]:
    """The length of the stream that a document names."""
    url = document.find("Connect/Stream").get("url")
    path = url.removeprefix("wss://relay.example.com")
    signed = RequestValidator(AUTH).compute_signature(url, {})
    assert await office.board.admit(path, path.rpartition("/")[2], signed) == call_sid
    with office.board.on_line(call_sid) as choose:
        yield choose


# ---- incoming -------------------------------------------------------------------------------


async def test_a_call_is_connected_to_a_stream_with_a_way_out_behind_it(office: Office) -> None:
    document = await office.twiml("incoming")
    assert verbs(document) == ["Connect", "Redirect"]
    connect = document.find("Connect")
    stream = connect.find("Stream")
    name = office.board.line("CA1").stream
    assert connect.get("action") == f"{PUBLIC}/twilio/after-stream?after={name}"
    assert stream.get("url").startswith("wss://relay.example.com/twilio/stream/")
    assert stream.get("statusCallback") == f"{PUBLIC}/twilio/stream-status"
    assert {p.get("name"): p.get("value") for p in stream} == {"caller": CALLER, "called": OURS}
    assert document.findtext("Redirect") == f"{PUBLIC}/twilio/fallback?after={name}"


async def test_a_repeated_webhook_gets_the_same_answer(office: Office) -> None:
    answers = [await (await office.post("incoming")).get_data() for _ in range(3)]
    assert len(set(answers)) == 1
    assert office.board.busy() == 1


async def test_a_withheld_number_is_no_caller(office: Office) -> None:
    stream = (await office.twiml("incoming", From="anonymous")).find("Connect/Stream")
    assert stream.find("Parameter[@name='caller']").get("value") == ""


async def test_the_answer_needs_no_database(office: Office) -> None:
    office.store.hung = True
    assert verbs(await office.twiml("incoming")) == ["Connect", "Redirect"]
    assert verbs(await office.twiml("fallback")) == ["Say", "Dial"]


async def test_beyond_max_calls_and_while_draining_the_human_is_dialled() -> None:
    office = make_office(max_calls=1)
    await office.twiml("incoming")
    assert dials_human(await office.twiml("incoming", CallSid="CA2"))
    other = make_office()
    other.board.drain()
    assert dials_human(await other.twiml("incoming"))
    (entry,) = [e for e in office.kept if e.call_sid == "CA2"]
    assert isinstance(entry.record, CallOpened)
    assert (entry.record.caller, entry.record.called) == (CALLER, OURS)


async def test_a_blocked_number_is_rejected_before_it_is_answered() -> None:
    office = make_office(rules=NumberRules(3, 10, block=(CALLER,)))
    document = await office.twiml("incoming")
    assert verbs(document) == ["Reject"]  # the first verb: only then is nothing charged
    assert (office.board.busy(), office.kept) == (0, [])
    assert office.board.counts["turned_away:blocked"] == 1
    assert verbs(await office.twiml("incoming", From="anonymous")) == ["Connect", "Redirect"]


async def test_a_flood_of_one_number_goes_to_the_human_and_keeps_nobody_else_out() -> None:
    office = make_office(rules=NumberRules(3, 10))
    answers = [await office.twiml("incoming", CallSid=f"CA{number}") for number in range(500)]
    assert [verbs(each)[0] for each in answers] == ["Connect"] * 3 + ["Say"] * 497
    assert all(dials_human(each) for each in answers[3:])
    other = await office.twiml("incoming", CallSid="CAother", From="+14155550124")
    assert verbs(other) == ["Connect", "Redirect"]
    assert office.board.counts["turned_away:number_at_once"] == 497


@pytest.mark.parametrize(
    "loop", [{"From": OURS}, {"ForwardedFrom": HUMAN}, {"ForwardedFrom": BILLING}]
)
async def test_a_transfer_that_comes_back_gets_the_voicemail(office: Office, loop) -> None:
    assert verbs(await office.twiml("incoming", **loop)) == VOICEMAIL
    assert office.board.busy() == 0


@pytest.mark.parametrize("name", ["From", "ForwardedFrom"])
async def test_a_transfer_comes_back_however_its_number_is_written(
    office: Office, name: str
) -> None:
    number = OURS if name == "From" else HUMAN
    written = WRITTEN if number == HUMAN else [each.replace("0199", "0100") for each in WRITTEN]
    for each in written:
        assert verbs(await office.twiml("incoming", **{name: each})) == VOICEMAIL, each
        assert verbs(await office.twiml("fallback", **{name: each})) == VOICEMAIL, each
    for each in (*NOT_OURS, CALLER):
        assert verbs(await office.twiml("incoming", **{name: each})) == ["Connect", "Redirect"]


async def test_the_agent_rings_no_human_who_calls_however_their_number_is_written(
    office: Office,
) -> None:
    def parameters(document: Any) -> dict[str, str]:
        return {each.get("name"): each.get("value") for each in document.find("Connect/Stream")}

    for each in (HUMAN, BILLING, *WRITTEN):
        assert parameters(await office.twiml("incoming", From=each))["human"] == "yes", each
    for each in (CALLER, *NOT_OURS):
        assert "human" not in parameters(await office.twiml("incoming", From=each)), each
    await carry(office, None)
    again = await office.twiml("after-stream", From=f"sip:{HUMAN}@pbx.example.com")
    assert parameters(again)["human"] == "yes"


# ---- after the stream -----------------------------------------------------------------------


async def test_after_the_stream_the_call_does_what_it_chose(office: Office) -> None:
    await carry(office, "hang_up")
    assert verbs(await office.twiml("after-stream")) == ["Hangup"]
    await carry(office, "voicemail", "CA2")
    assert verbs(await office.twiml("after-stream", CallSid="CA2")) == VOICEMAIL
    await carry(office, "fallback", "CA3")
    assert dials_human(await office.twiml("after-stream", CallSid="CA3"))


@pytest.mark.parametrize("number", ["anonymous", "sip:ann@example.com", "+266696687"])
async def test_who_has_no_number_is_put_through_under_ours(office: Office, number: str) -> None:
    await carry(office, "fallback")
    document = await office.twiml("after-stream", From=number)
    assert document.find("Dial").get("callerId") == OURS
    assert "callerId" not in (await office.twiml("after-stream")).find("Dial").attrib


async def test_out_of_hours_nobody_is_rung() -> None:
    office = make_office(there=lambda: False)
    await carry(office, "fallback")
    document = await office.twiml("after-stream")
    assert verbs(document) == VOICEMAIL
    record = document.find("Record")
    assert record.get("action") == f"{PUBLIC}/twilio/voicemail"
    assert record.get("recordingStatusCallback") == f"{PUBLIC}/twilio/voicemail-recording"
    assert "will be recorded" in document.findtext("Say")


@pytest.mark.parametrize("page", ["after-stream", "fallback"])
async def test_a_stream_that_died_without_a_word_is_followed_by_one_more(
    office: Office, page: str
) -> None:
    await carry(office, None)
    document = await office.twiml(page, CallStatus="in-progress")
    assert verbs(document) == ["Connect", "Redirect"]
    assert document.find("Connect/Stream/Parameter[@name='why']").get("value") == "broke"
    again = await office.twiml(page)
    assert again.find("Connect/Stream").get("url") == document.find("Connect/Stream").get("url")
    await take(office, again)
    assert dials_human(await office.twiml(page)), "it breaks too often"
    assert dials_human(await office.twiml(page, CallSid="CAnever"))


@pytest.mark.parametrize("tag", ["Connect", "Redirect"], ids=["after-stream", "fallback"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_stream_s_end_that_is_told_again_takes_nothing_from_the_next(
    office: Office, tag: str, elsewhere: bool
) -> None:
    """A request that was held up, or that somebody has replayed, while the call is live again."""
    store, other = office.store, make_office(store=office.store) if elsewhere else office
    first = await office.twiml("incoming")
    store.write([Entry("CA1", datetime.now(UTC), CallOpened(0.0, "MZ1", CALLER))])
    await take(office, first)
    second = await office.twiml(asked(first, tag))
    assert verbs(second) == ["Connect", "Redirect"]
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    store.nonces = dict.fromkeys(store.nonces, long_ago)
    async with live(office, second) as choose:
        assert dials_human(await other.twiml(asked(first, tag)))
        assert office.board.carries("CA1")
        assert store.came_back("CA1") == 1
        choose("hang_up")
        store.write([Entry("CA1", datetime.now(UTC), DispositionChosen(0.0, "hang_up", "", 1))])
    assert verbs(await office.twiml(asked(second, tag))) == ["Hangup"]
    assert verbs(await other.twiml(asked(second, tag))) == ["Hangup"]


async def test_before_the_next_stream_is_there_the_same_page_gets_the_same_answer(
    office: Office,
) -> None:
    first = await office.twiml("incoming")
    await take(office, first)
    second, *again = [await office.twiml(asked(first)) for _ in range(4)]
    url = second.find("Connect/Stream").get("url")
    assert [each.find("Connect/Stream").get("url") for each in again] == [url] * 3
    await take(office, second)
    assert dials_human(await office.twiml(asked(second))), "it breaks too often"


async def test_nobody_is_brought_back_who_has_hung_up(office: Office) -> None:
    await carry(office, None)
    assert verbs(await office.twiml("after-stream", CallStatus="completed")) == ["Hangup"]


async def test_what_was_chosen_is_done_by_the_fallback_as_well(office: Office) -> None:
    """Twilio passes over `action` when a stream did not close as it should have."""
    await carry(office, "hang_up")
    assert verbs(await office.twiml("fallback")) == ["Hangup"]
    await carry(office, "voicemail", "CA2")
    assert verbs(await office.twiml("fallback", CallSid="CA2")) == VOICEMAIL
    await carry(office, "fallback", "CA3")
    assert dials_human(await office.twiml("fallback", CallSid="CA3"))


async def test_whose_room_a_page_has_failed_about_is_not_sent_into_it_again(
    office: Office,
) -> None:
    await carry(office, "join")
    failed = {"ErrorUrl": f"{PUBLIC}/twilio/after-talk", "ErrorCode": "11200"}
    assert dials_human(await office.twiml("fallback", **failed))


async def test_a_process_about_to_end_brings_nobody_back(office: Office) -> None:
    await carry(office, "resume")
    office.board.move()
    assert dials_human(await office.twiml("after-stream"))
    assert not any(" " in nonce for nonce in office.store.nonces), "and takes it from nobody"


async def test_another_process_s_decision_is_read_from_the_store(office: Office) -> None:
    office.store.change("CA1", disposition="hang_up")
    assert verbs(await office.twiml("after-stream")) == ["Hangup"]
    office.store.away = True
    assert dials_human(await office.twiml("after-stream"))


@pytest.mark.parametrize("name", ["From", "ForwardedFrom"])
@pytest.mark.parametrize("number", [HUMAN, OURS, BILLING])
async def test_a_call_from_the_human_or_from_us_is_never_bridged_back(
    office: Office, name: str, number: str
) -> None:
    loop = {name: number}
    assert verbs(await office.twiml("fallback", **loop)) == VOICEMAIL
    await carry(office, "fallback")
    assert verbs(await office.twiml("after-stream", **loop)) == VOICEMAIL
    office.board.drain()
    assert verbs(await office.twiml("incoming", CallSid="CA9", **loop)) == VOICEMAIL


def written(office: Office) -> None:
    """Put what was kept into the store, as the journal does."""
    office.store.write(office.kept)
    office.kept.clear()


# ---- status ---------------------------------------------------------------------------------


async def test_a_call_that_hung_up_before_its_stream_was_abandoned(office: Office) -> None:
    await office.twiml("incoming")
    assert (await office.post("status", CallStatus="in-progress")).status_code == 204
    assert office.board.busy() == 1
    assert (await office.post("status", CallStatus="completed")).status_code == 204
    assert office.board.busy() == 0
    written(office)
    assert office.store.rows["CA1"].outcome == "abandoned"


async def test_a_known_outcome_is_not_replaced(office: Office) -> None:
    office.store.change("CA1", outcome="booked")
    await office.post("status", CallStatus="completed")
    await office.post("status", CallStatus="completed", CallSid="CAunknown")
    written(office)
    assert office.store.rows["CA1"].outcome == "booked"
    assert office.store.rows["CAunknown"].outcome == "abandoned"


async def test_a_call_whose_stream_left_no_outcome_has_failed(office: Office) -> None:
    for call_sid, known in (("CA1", "resolved"), ("CA2", None)):
        await carry(office, "hang_up", call_sid)
        written(office)
        if known:
            office.store.change(call_sid, outcome=known)
        await office.post("status", CallStatus="completed", CallSid=call_sid)
    written(office)
    assert {sid: row.outcome for sid, row in office.store.rows.items()} == {
        "CA1": "resolved",
        "CA2": "failed",
    }


async def test_the_outcome_of_a_live_call_is_left_to_its_stream(office: Office) -> None:
    document = await office.twiml("incoming")
    url = document.find("Connect/Stream").get("url")
    path = url.removeprefix("wss://relay.example.com")
    signed = RequestValidator(AUTH).compute_signature(url, {})
    assert await office.board.admit(path, path.rpartition("/")[2], signed)
    office.kept.clear()
    with office.board.on_line("CA1"):
        await office.post("status", CallStatus="completed")
    assert office.kept == []


async def test_stream_events_are_taken_note_of(office: Office) -> None:
    for params in ({"StreamEvent": "stream-started"}, {"StreamError": "31902"}):
        assert (await office.post("stream-status", **params)).status_code == 204
