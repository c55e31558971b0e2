"""How deep the suite looks. `make fuzz` sets FUZZ_TIMES, and looks as many times as deep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

TIMES: Final = int(os.environ.get("FUZZ_TIMES", "1"))


def some(cases: Sequence[T], *, one_in: int, first: int = 0) -> Sequence[T]:
    """Every so many-th of cases that are moments or places of one law; FUZZ_TIMES: all of them.

    first: the first to be taken, so that laws of the same places look at different ones
    """
    return cases if TIMES > 1 else cases[first::one_in]
