"""What can be booked, as the model is told it."""

from __future__ import annotations

from typing import Any

import pytest

from relay.ports import BusinessProfile, NotBooked, Service
from relay.tools import BadArguments

LONG = "Comprehensive dental examination with X-rays"
WISH = {"day": "tuesday", "time": "10:30", "name": "Ann Lee"}


@pytest.fixture
def many(business: Any) -> list[str]:
    """A business with more services than a hand has fingers, one with a long name."""
    names = [f"service {number}" for number in range(11)] + [LONG]

    async def profile() -> BusinessProfile:
        services = tuple(Service(name, 30) for name in names)
        return BusinessProfile("Shop", "Europe/Berlin", services)

    business.profile = profile
    return names


async def test_who_books_what_is_not_offered_is_told_whole_names(
    use: Any, business: Any, many: list[str]
) -> None:
    business.answer = NotBooked("unknown_service")
    result = await use("book_appointment", service="surgery", **WISH)
    assert result.output["services"] == many


async def test_who_looks_for_what_is_not_offered_is_told_whole_names(
    use: Any, many: list[str]
) -> None:
    with pytest.raises(BadArguments, match=", ".join(many)):
        await use("list_slots", service="surgery", day="tuesday")
