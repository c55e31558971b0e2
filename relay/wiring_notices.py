"""Settings to whoever is told of notices: wiring's part for the owner's side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

from relay.about import About
from relay.adapters.webhook import HttpWebhook
from relay.config import Settings
from relay.ports import NoticeStore, PhoneControl, Webhook
from relay.shell import notices
from relay.shell.notifier import Notifier
from relay.trust import authorities


def channels(settings: Settings) -> Callable[[str], tuple[str, ...]]:
    """Who is told of a kind of notice."""
    return partial(
        notices.channels,
        webhook=settings.notify_url is not None,
        sms_owner=settings.notify_sms_to is not None,
        sms_caller=settings.confirm_by_sms,
    )


@asynccontextmanager
async def open_webhook(settings: Settings) -> AsyncIterator[Webhook | None]:
    """The owner's webhook for the length of a block, if there is one. Raises ConfigError."""
    if settings.notify_url is None:
        yield None
    else:
        async with aclosing(HttpWebhook(settings.notify_url, tls=authorities())) as webhook:
            yield webhook


def make_notifier(
    settings: Settings,
    store: NoticeStore,
    webhook: Webhook | None,
    phone_control: PhoneControl,
    about: About,
) -> Notifier:
    """The process's deliveries, still to be run."""
    return Notifier(
        store,
        webhook=webhook,
        secret=settings.notify_secret.get_secret_value() if settings.notify_secret else "",
        phone_control=phone_control,
        sms_to=settings.notify_sms_to,
        confirm=settings.confirm_by_sms,
        business=lambda: about.profile.name,
    )
