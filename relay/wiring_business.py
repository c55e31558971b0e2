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


@asynccontextmanager
async def open_business(settings: Settings, store: SqlStore) -> AsyncIterator[BusinessApi]:
    if settings.business_api_base is None:
        yield LocalBusiness(load_business(settings.business_file), store)
    else:
        token = settings.business_api_token
        http = HttpBusiness(
            settings.business_api_base, token=token.get_secret_value() if token else ""
        )
        async with aclosing(http) as business:
            yield business
