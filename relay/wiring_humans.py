"""Settings to the humans who can be rung, and to Twilio's REST API that rings them."""

from __future__ import annotations

from typing import Final

from relay.about import About
from relay.adapters.store import SqlStore
from relay.adapters.twilio_rest import TwilioPhone
from relay.config import Settings
from relay.ports import PhoneControl
from relay.shell.humans import Humans
from relay.switchboard import Asker
from relay.trust import authorities

LOOK_S: Final = 0.25  # how late another process's news of a human may be


def make_humans(settings: Settings, store: SqlStore, control: PhoneControl, about: About) -> Humans:
    alone = settings.database_url.get_secret_value().startswith("sqlite")
    return Humans(
        control,
        store,
        numbers=settings.people,
        url=lambda path: f"{settings.public_url}/twilio/{path}",
        secret=settings.twilio_auth_token.get_secret_value(),
        ask=Asker(),
        there=lambda: settings.desk_hours == "always" or not about.closed(),
        look_s=None if alone else LOOK_S,
    )


def open_phone_control(settings: Settings) -> TwilioPhone:
    """Twilio's REST API, to be closed after use."""
    return TwilioPhone(
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value(),
        settings.twilio_phone_number,
        api_url=settings.twilio_api_url,
        tls=authorities(),
    )
