"""REST: calls and their recordings. Each function carries out one kind of request at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import trio

from relay.sim.twilio_account import Account
from relay.sim.twilio_call import Ask, Number, PhoneCall
from relay.sim.twilio_conductor import Conductor
from relay.sim.twilio_courier import Courier
from relay.sim.twilio_legs import Order, run_leg
from relay.sim.twilio_recordings import Recording, follow
from relay.sim.twilio_rest_form import Fields, Json, RestError

MAX_TWIML = 4000
CURRENT = "Twilio.CURRENT"


def create_call(
    account: Account, nursery: trio.Nursery, _sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """Place a call; it is rung by a task of its own, behind those that were placed before it."""
    to, caller = fields.number("To", 21211), fields.number("From", 21212)
    if account.numbers and caller not in {number.number for number in account.numbers.values()}:
        raise RestError(400, 21210, f"{caller} is not one of the account's numbers")
    ask = _instructions(fields)
    if ask is None:
        raise RestError(400, 21205, "Url or Twiml is wanted")
    number = Number(to, ask.url, fields.url("FallbackUrl"))
    order = Order(
        ask,
        fields.callback("StatusCallback"),
        min(600, fields.seconds("Timeout", 60)),
        fields.seconds("TimeLimit", 14_400),
        account.queue.wait(),
    )
    call = PhoneCall(number, caller, account.account_sid, direction="outbound-api", status="queued")
    account.calls[call.sid] = call
    nursery.start_soon(run_leg, account, call, order)
    return 201, call_json(call)


def _instructions(fields: Fields) -> Ask | None:
    """What a call is to do; the URL wins. Raises RestError (21205, 20001)."""
    url, twiml = fields.url("Url"), fields.get("Twiml")
    if url:
        return Ask(url, fields.get("Method", "POST"))
    if len(twiml) > MAX_TWIML:
        raise RestError(400, 20001, f"Twiml has more than {MAX_TWIML} characters")
    return Ask("", twiml=twiml) if twiml else None


def fetch_call(
    account: Account, _nursery: trio.Nursery, sids: list[str], _fields: Fields
) -> tuple[int, Json]:
    return 200, call_json(_call(account, sids[0]))


def update_call(
    account: Account, _nursery: trio.Nursery, sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """End a call, or give it other instructions. Canceling leaves an answered call alone."""
    call = _call(account, sids[0])
    status, ask = fields.get("Status"), _instructions(fields)
    if call.ended_at is not None or call.leaving:
        raise RestError(400, 21220, "Call is not in-progress. Cannot redirect.")
    if fields.get("Url") and fields.get("Twiml"):
        raise RestError(400, 20001, "Url and Twiml exclude each other")
    if status:
        fields.word("Status", status, ("completed", "canceled"))
        if status == "completed" or call.answered_at is None:
            call.instruct(None)
    elif ask is not None:
        if call.answered_at is None:
            raise RestError(400, 21220, "Call is not in-progress. Cannot redirect.")
        call.instruct(ask)
    return 200, call_json(call)


def create_recording(
    account: Account, nursery: trio.Nursery, sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """Record a call from now on."""
    call = _call(account, sids[0])
    if call.answered_at is None or call.ended_at is not None or call.leaving:
        raise RestError(400, 21220, "Requested resource is not eligible for recording")
    track = fields.word("RecordingTrack", "both", ("both", "inbound", "outbound"))
    layout = fields.word("RecordingChannels", "mono", ("mono", "dual"))
    recording = Recording(
        call,
        "StartCallRecordingAPI",
        2 if layout == "dual" and track == "both" else 1,
        track,
        fields.callback("RecordingStatusCallback"),
    )
    account.recordings[recording.sid] = recording
    conductor = Conductor(account, call, nursery)
    nursery.start_soon(follow, recording, partial(conductor.tell, Courier(), recording.status))
    return 201, recording_json(recording)


def update_recording(
    account: Account, _nursery: trio.Nursery, sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """Pause, resume or stop a recording that runs."""
    call_sid, sid = sids
    running = [
        each
        for each in account.recordings.values()
        if each.call.sid == call_sid and each.active and sid in (each.sid, CURRENT)
    ]
    if not running:
        raise RestError(404, 20404, f"The requested resource {sid} was not found")
    recording = running[-1]
    match fields.word("Status", "", ("paused", "in-progress", "stopped")):
        case "paused":
            recording.pause(fields.word("PauseBehavior", "silence", ("skip", "silence")))
        case "in-progress":
            recording.resume()
        case _:
            recording.stop()
    return 200, recording_json(recording)


def _call(account: Account, sid: str) -> PhoneCall:
    call = account.calls.get(sid)
    if call is None:
        raise RestError(404, 20404, f"The requested resource Calls/{sid}.json was not found")
    return call


# ---- shapes ---------------------------------------------------------------------------------


def call_json(call: PhoneCall) -> dict[str, object]:
    path = f"/2010-04-01/Accounts/{call.account_sid}/Calls/{call.sid}"
    ended = call.ended_at is not None
    latest = call.ended_at or call.answered_at or call.placed_at
    return {
        "account_sid": call.account_sid,
        "annotation": None,
        "answered_by": None,
        "api_version": "2010-04-01",
        "caller_name": None,
        "date_created": _date(call.placed_at),
        "date_updated": _date(latest),
        "direction": call.direction,
        "duration": str(call.duration_s) if ended else None,
        "end_time": _date(call.ended_at),
        "forwarded_from": call.extra.get("ForwardedFrom"),
        "from": call.caller,
        "from_formatted": call.caller,
        "group_sid": None,
        "parent_call_sid": call.parent_sid or None,
        "phone_number_sid": None,
        "price": None,
        "price_unit": "USD",
        "queue_time": "0",
        "sid": call.sid,
        "start_time": _date(call.answered_at),
        "status": call.status,
        "subresource_uris": {"recordings": f"{path}/Recordings.json"},
        "to": call.number.number,
        "to_formatted": call.number.number,
        "trunk_sid": None,
        "uri": f"{path}.json",
    }


def recording_json(recording: Recording) -> dict[str, object]:
    call = recording.call
    path = f"/2010-04-01/Accounts/{call.account_sid}/Recordings/{recording.sid}"
    began = format_datetime(recording.began)
    ready = recording.state in ("completed", "absent")
    return {
        "account_sid": call.account_sid,
        "api_version": "2010-04-01",
        "call_sid": call.sid,
        "channels": recording.channels,
        "conference_sid": None,
        "date_created": began,
        "date_updated": format_datetime(datetime.now(UTC)),
        "duration": str(recording.duration_s) if ready else None,
        "encryption_details": None,
        "error_code": None,
        "media_url": recording.url,
        "price": None,
        "price_unit": "USD",
        "sid": recording.sid,
        "source": recording.source,
        "start_time": began,
        "status": "processing" if recording.state == "stopped" else recording.state,
        "subresource_uris": {},
        "track": recording.track,
        "uri": f"{path}.json",
    }


def _date(at: float | None) -> str | None:
    """A time of trio's clock, as a date."""
    if at is None:
        return None
    return format_datetime(datetime.now(UTC) - timedelta(seconds=trio.current_time() - at))
