"""The recordings' webhook, and where a caller's number is from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from relay.ports import RecordingNoted
from tests.web.conftest import Office

FORM = {
    "RecordingSid": "RE1",
    "RecordingStatus": "completed",
    "RecordingDuration": "12",
    "RecordingUrl": "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1",
    "RecordingStartTime": "Thu, 20 Nov 2026 15:00:00 +0000",
}
NOTED = RecordingNoted(
    "RE1", "completed", datetime(2026, 11, 20, 15, 0, tzinfo=UTC), 12, FORM["RecordingUrl"]
)


def noted(office: Office) -> list[RecordingNoted]:
    return [e.record for e in office.kept if isinstance(e.record, RecordingNoted)]


async def test_what_twilio_tells_of_a_recording_is_noted_each_time(office: Office) -> None:
    for _ in range(2):
        assert (await office.post("recording", **FORM)).status_code == 204
    assert noted(office) == [NOTED, NOTED]


@pytest.mark.parametrize(
    ("changed", "there"),
    [
        ({"RecordingStatus": "in-progress", "RecordingDuration": ""}, True),
        ({"RecordingStatus": "absent", "RecordingDuration": "0"}, True),
        ({"RecordingStartTime": "yesterday"}, True),
        ({"RecordingStartTime": ""}, True),
        ({"RecordingDuration": "²"}, True),
        ({"RecordingDuration": "9" * 40}, True),
        ({"RecordingStatus": "stolen"}, False),
        ({"RecordingSid": ""}, False),
        ({"RecordingSid": "R" * 65}, False),
    ],
)
async def test_odd_forms_end_well(office: Office, changed: dict[str, str], there: bool) -> None:
    assert (await office.post("recording", **{**FORM, **changed})).status_code == 204
    assert len(noted(office)) == there


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"FromCountry": "US", "FromState": "TX"}, {"country": "US", "state": "TX"}),
        ({"FromCountry": "US", "FromState": ""}, {"country": "US"}),
        ({"FromCountry": "GB", "FromState": "Greater London"}, {"country": "GB"}),
        ({"FromCountry": "us", "FromState": "T\nX"}, {}),
        ({"From": "anonymous", "FromCountry": "US", "FromState": "TX"}, {}),
        ({"From": "+266696687", "FromCountry": "US", "FromState": "TX"}, {}),
        ({}, {}),
    ],
)
async def test_the_stream_is_told_where_the_number_is_from(
    office: Office, form: dict[str, str], told: dict[str, str]
) -> None:
    stream = (await office.twiml("incoming", **form)).find("Connect/Stream")
    parameters = {each.get("name"): each.get("value") for each in stream.findall("Parameter")}
    assert {k: v for k, v in parameters.items() if k in ("country", "state")} == told
