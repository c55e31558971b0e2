"""REST: finished recordings, text messages, the account's numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial

import trio

from relay.sim.twilio_account import Account
from relay.sim.twilio_call import Number
from relay.sim.twilio_conductor import post
from relay.sim.twilio_courier import Courier
from relay.sim.twilio_messages import Message, deliver
from relay.sim.twilio_recordings import Recording
from relay.sim.twilio_rest_calls import recording_json
from relay.sim.twilio_rest_form import Fields, Json, RestError

MAX_BODY = 1600


def fetch_recording(
    account: Account, _nursery: trio.Nursery, sids: list[str], _fields: Fields
) -> tuple[int, Json]:
    return 200, recording_json(_recording(account, sids[0]))


def delete_recording(
    account: Account, _nursery: trio.Nursery, sids: list[str], _fields: Fields
) -> tuple[int, Json]:
    """Forget a recording for good. One that still runs must be stopped first."""
    recording = _recording(account, sids[0])
    if recording.active:
        raise RestError(400, 20001, "an active recording cannot be deleted")
    del account.recordings[recording.sid]
    return 204, None


def _recording(account: Account, sid: str) -> Recording:
    recording = account.recordings.get(sid)
    if recording is None:
        raise RestError(404, 20404, f"The requested resource Recordings/{sid}.json was not found")
    return recording


# ---- messages -------------------------------------------------------------------------------


def create_message(
    account: Account, nursery: trio.Nursery, _sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """Take a text message, and send it by a task of its own."""
    body = fields.get("Body")
    if not body:
        raise RestError(400, 21602, "Message body is required.")
    if len(body) > MAX_BODY:
        raise RestError(400, 21617, f"The message body is longer than {MAX_BODY} characters")
    to, sender = fields.number("To", 21211), fields.number("From", 21212)
    if account.numbers and sender not in {number.number for number in account.numbers.values()}:
        raise RestError(400, 21606, f"{sender} is not one of the account's numbers")
    message = Message(
        account.account_sid,
        to,
        sender,
        body,
        fields.url("StatusCallback"),
    )
    account.messages.append(message)
    courier = Courier()

    def tell(form: dict[str, str]) -> None:
        if message.status_url:
            url = message.status_url
            job = partial(post, account, "POST", url, form)
            courier.send(job, account.deliveries(url, form), nursery)

    nursery.start_soon(deliver, message, account.text_fate(message.to), tell)
    return 201, _message_json(message)


def fetch_message(
    account: Account, _nursery: trio.Nursery, sids: list[str], _fields: Fields
) -> tuple[int, Json]:
    for message in account.messages:
        if message.sid == sids[0]:
            return 200, _message_json(message)
    raise RestError(404, 20404, f"The requested resource Messages/{sids[0]}.json was not found")


def _message_json(message: Message) -> dict[str, object]:
    taken, now = format_datetime(message.taken), format_datetime(datetime.now(UTC))
    return {
        "account_sid": message.account_sid,
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": taken,
        "date_sent": None if message.status == "queued" else now,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": message.error_code or None,
        "error_message": None,
        "from": message.sender,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": str(-(-len(message.body) // 160)),
        "price": None,
        "price_unit": "USD",
        "sid": message.sid,
        "status": message.status,
        "subresource_uris": {},
        "to": message.to,
        "uri": f"/2010-04-01/Accounts/{message.account_sid}/Messages/{message.sid}.json",
    }


# ---- numbers --------------------------------------------------------------------------------


def list_numbers(
    account: Account, _nursery: trio.Nursery, _sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """All numbers of the account, or those with some digits in them, on one page."""
    wanted = fields.get("PhoneNumber")
    path = f"/2010-04-01/Accounts/{account.account_sid}/IncomingPhoneNumbers.json"
    found = [
        _number_json(account, sid, number)
        for sid, number in account.numbers.items()
        if wanted in number.number
    ]
    return 200, {
        "end": max(0, len(found) - 1),
        "first_page_uri": f"{path}?Page=0&PageSize=50",
        "incoming_phone_numbers": found,
        "next_page_uri": None,
        "page": 0,
        "page_size": 50,
        "previous_page_uri": None,
        "start": 0,
        "uri": path,
    }


def fetch_number(
    account: Account, _nursery: trio.Nursery, sids: list[str], _fields: Fields
) -> tuple[int, Json]:
    return 200, _number_json(account, sids[0], _number(account, sids[0]))


def update_number(
    account: Account, _nursery: trio.Nursery, sids: list[str], fields: Fields
) -> tuple[int, Json]:
    """Change where a number's calls are told."""
    old = _number(account, sids[0])
    given = {name for name, _ in fields.form}
    new = replace(
        old,
        voice_url=fields.url("VoiceUrl") if "VoiceUrl" in given else old.voice_url,
        voice_method=fields.get("VoiceMethod", old.voice_method),
        fallback_url=(
            fields.url("VoiceFallbackUrl") if "VoiceFallbackUrl" in given else old.fallback_url
        ),
        status_url=fields.url("StatusCallback") if "StatusCallback" in given else old.status_url,
    )
    account.numbers[sids[0]] = new
    return 200, _number_json(account, sids[0], new)


def _number(account: Account, sid: str) -> Number:
    number = account.numbers.get(sid)
    if number is None:
        raise RestError(
            404, 20404, f"The requested resource IncomingPhoneNumbers/{sid}.json was not found"
        )
    return number


def _number_json(account: Account, sid: str, number: Number) -> dict[str, object]:
    now = format_datetime(datetime.now(UTC))
    return {
        "account_sid": account.account_sid,
        "api_version": "2010-04-01",
        "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
        "date_created": now,
        "date_updated": now,
        "friendly_name": number.number,
        "phone_number": number.number,
        "sid": sid,
        "status": "in-use",
        "status_callback": number.status_url,
        "status_callback_method": "POST",
        "uri": f"/2010-04-01/Accounts/{account.account_sid}/IncomingPhoneNumbers/{sid}.json",
        "voice_fallback_method": "POST",
        "voice_fallback_url": number.fallback_url,
        "voice_method": number.voice_method,
        "voice_url": number.voice_url,
    }
