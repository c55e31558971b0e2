"""Settings to whoever answers for the business."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from relay.adapters.business_file import load_business
from relay.adapters.business_http import HttpBusiness
from relay.adapters.business_local import LocalBusiness
from relay.adapters.store import SqlStore
from relay.config import Settings
from relay.ports import BusinessApi
from relay.trust import authorities


def ways_away(business: BusinessApi) -> int:
    """How many kinds of requests a system of its own leaves unanswered; the embedded one none."""
    return business.away if isinstance(business, HttpBusiness) else 0


@asynccontextmanager
async def open_business(settings: Settings, store: SqlStore) -> AsyncIterator[BusinessApi]:
    if settings.business_api_base is None:
        yield LocalBusiness(load_business(settings.business_file), store)
    else:
        token = settings.business_api_token
        http = HttpBusiness(
            settings.business_api_base,
            token=token.get_secret_value() if token else "",
            tls=authorities(),
        )
        async with aclosing(http) as business:
            yield business
