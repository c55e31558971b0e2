"""Appointments in a database: what is booked, moved, cancelled; and many who want the same."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from relay.adapters.store import SqlStore
from relay.ports import Appointment, Booked, BookingRequest, ChangeRequest, Message
from tests.core.driver import TIMES
from tests.databases import rows

START = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)

TEN = datetime(2026, 11, 24, 10, 0)  # noqa: DTZ001 - the business's wall clock
HALF = timedelta(minutes=30)
REQUEST = BookingRequest("cleaning", TEN, "Ann Lee", "+15550100")


def test_a_booking_and_its_reference(store: SqlStore, database_url: str) -> None:
    booked = store.book(REQUEST, "k1", START)
    assert booked is not None
    assert (booked.service, booked.starts_at) == ("cleaning", TEN)
    assert booked.reference.isdecimal()
    assert len(booked.reference) == 6
    assert rows(database_url, "bookings") == [
        {
            "key": "k1",
            "reference": booked.reference,
            "service": "cleaning",
            "starts_at": TEN,
            "name": "Ann Lee",
            "phone": "+15550100",
            "booked_at": START,
            "state": "booked",
        }
    ]


def test_a_key_books_once_and_keeps_its_answer(store: SqlStore, database_url: str) -> None:
    first = store.book(REQUEST, "k1", START)
    assert store.book(REQUEST, "k1", START) == first
    assert store.book(replace(REQUEST, starts_at=TEN + HALF), "k1", START) == first
    assert first is not None
    assert store.find("k1") == Appointment(first.reference, "cleaning", TEN, "Ann Lee")
    assert store.find("k2") is None
    assert len(rows(database_url, "booking_slots")) == 1


def test_a_slot_is_booked_once(store: SqlStore, database_url: str) -> None:
    store.book(REQUEST, "k1", START)
    assert store.book(replace(REQUEST, name="Bob", phone="+15550101"), "k2", START) is None
    assert store.find("k2") is None
    assert len(rows(database_url, "bookings")) == 1


@pytest.mark.parametrize(
    ("start", "count", "free"),
    [(0, 1, False), (1, 1, False), (2, 1, True), (-1, 1, True), (-1, 2, False), (1, 2, False)],
)
def test_every_slot_of_a_long_appointment_is_filled(
    store: SqlStore, start: int, count: int, free: bool
) -> None:
    store.book(REQUEST, "k1", START, [TEN, TEN + HALF])
    other = BookingRequest("filling", TEN + start * HALF, "Bob", "+15550101")
    slots = [other.starts_at + n * HALF for n in range(count)]
    assert (store.book(other, "k2", START, slots) is not None) == free


def test_a_caller_s_own_appointment_is_not_somebody_else_s(store: SqlStore) -> None:
    first = store.book(REQUEST, "k1", START)
    assert store.book(replace(REQUEST, name="ann lee"), "k2", START) == first
    assert store.book(replace(REQUEST, name="Bob"), "k3", START) is None
    assert store.book(replace(REQUEST, service="filling"), "k4", START) is None
    assert store.book(replace(REQUEST, phone=""), "k5", START) is None


def test_two_withheld_numbers_are_not_one_caller(store: SqlStore) -> None:
    nobody = replace(REQUEST, phone="")
    assert store.book(nobody, "k1", START) is not None
    assert store.book(nobody, "k2", START) is None


def test_what_is_taken_on_a_day(store: SqlStore) -> None:
    late = datetime(2026, 11, 24, 23, 30)  # noqa: DTZ001 - the business's wall clock
    assert list(store.taken(TEN.date())) == []
    store.book(replace(REQUEST, starts_at=late), "k2", START)
    store.book(REQUEST, "k1", START, [TEN, TEN + HALF])
    store.book(replace(REQUEST, starts_at=late + HALF), "k3", START)
    assert list(store.taken(TEN.date())) == [TEN, TEN + HALF, late]
    assert list(store.taken(date(2026, 11, 25))) == [late + HALF]


def test_references_that_clash_are_drawn_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relay.adapters import store_bookings

    draws = itertools.chain(["111111", "111111", "111111", "222222"])
    monkeypatch.setattr(store_bookings, "_reference", lambda key, attempt: next(draws))
    first = store.book(REQUEST, "k1", START)
    second = store.book(replace(REQUEST, starts_at=TEN + HALF), "k2", START)
    assert (first and first.reference, second and second.reference) == ("111111", "222222")


@pytest.mark.parametrize("round_number", range(3))
def test_many_callers_and_few_slots(store: SqlStore, database_url: str, round_number: int) -> None:
    """Overlapping appointments, keys that repeat, all at once: no slot twice, no key twice."""
    dice = random.Random(round_number)
    wishes = []
    for number in range(40):
        start = TEN + HALF * dice.randrange(6)
        slots = [start + HALF * n for n in range(dice.randint(1, 3))]
        wish = BookingRequest("cleaning", start, f"N{number}", f"+1555{number}")
        wishes += [(wish, f"k{number}", START, slots)] * 2
    dice.shuffle(wishes)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda wish: store.book(*wish), wishes))
    by_key: dict[str, set[Booked]] = {}
    for (_, key, _, _), answer in zip(wishes, answers, strict=True):
        if answer is not None:
            by_key.setdefault(key, set()).add(answer)
    kept = rows(database_url, "bookings")
    assert {row["key"] for row in kept} == set(by_key)
    assert all(len(answered) == 1 for answered in by_key.values())
    assert len({row["reference"] for row in kept}) == len(kept)
    wanted = {key: slots for _, key, _, slots in wishes}
    filled = rows(database_url, "booking_slots")
    assert sorted(at for key in by_key for at in wanted[key]) == [r["starts_at"] for r in filled]


# ---- moving and cancelling ------------------------------------------------------------------


def test_who_did_what_is_written_down(store: SqlStore, database_url: str) -> None:
    booked = store.book(REQUEST, "k1", START)
    assert booked is not None
    store.change(
        ChangeRequest(booked.reference, REQUEST.phone, TEN + HALF), "k2", START, [TEN + HALF]
    )
    store.cancel(booked.reference, REQUEST.phone, "k3", START)
    told = [
        (row["key"], row["reference"], row["kind"], row["starts_at"], row["phone"], row["at"])
        for row in rows(database_url, "booking_writes")
    ]
    assert told == [
        ("k1", booked.reference, "booked", TEN, "+15550100", START),
        ("k2", booked.reference, "changed", TEN + HALF, "+15550100", START),
        ("k3", booked.reference, "cancelled", TEN + HALF, "+15550100", START),
    ]
    [row] = rows(database_url, "bookings")
    assert (row["state"], row["starts_at"]) == ("cancelled", TEN + HALF)
    assert rows(database_url, "booking_slots") == []


def test_a_change_that_fails_keeps_every_slot(store: SqlStore, database_url: str) -> None:
    long = store.book(REQUEST, "k1", START, [TEN, TEN + HALF])
    assert long is not None
    store.book(replace(REQUEST, starts_at=TEN + 3 * HALF, phone="+15550101"), "k2", START)
    before = rows(database_url, "booking_slots")
    wish = ChangeRequest(long.reference, REQUEST.phone, TEN + 2 * HALF)
    assert store.change(wish, "k3", START, [TEN + 2 * HALF, TEN + 3 * HALF]) is None
    assert rows(database_url, "booking_slots") == before
    assert store.find("k3") is None


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    """What each answers when all begin together, each in a thread of its own."""
    meet = threading.Barrier(len(actions))

    def act(action: Callable[[], Any]) -> Any:
        meet.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def test_those_who_change_places_wait_and_do_not_lock_up(
    store: SqlStore, database_url: str
) -> None:
    """Each wants the time that the next one has: whoever gets it or not, nobody loses their own."""
    for turn in range(15):
        phones = [f"+1555{turn:02}{number}00" for number in range(3)]
        day = TEN + timedelta(days=turn)
        times = [day, day + HALF, day + 2 * HALF]
        moves = []
        for number, phone in enumerate(phones):
            wish = BookingRequest("cleaning", times[number], "N", phone)
            booked = store.book(wish, f"b{turn}-{number}", START)
            assert booked is not None
            to = times[(number + 1) % 3]
            move = ChangeRequest(booked.reference, phone, to)
            moves.append(partial(store.change, move, f"c{turn}-{number}", START, [to]))
        at_once(*moves)
        standing = [store.of_phone(phone, day - HALF)[0].starts_at for phone in phones]
        filled = [row["starts_at"] for row in rows(database_url, "booking_slots")]
        assert sorted(standing) == [at for at in filled if at.date() == day.date()]


def test_an_appointment_is_cancelled_once_and_moves_no_more(
    store: SqlStore, database_url: str
) -> None:
    for turn in range(15):
        start = TEN + timedelta(days=turn)
        booked = store.book(replace(REQUEST, starts_at=start), f"b{turn}", START)
        assert booked is not None
        actions: list[Callable[[], Any]] = [
            partial(store.cancel, booked.reference, REQUEST.phone, f"x{turn}-{number}", START)
            for number in range(2)
        ]
        for number in range(1, 3):
            to = start + number * HALF
            move = ChangeRequest(booked.reference, REQUEST.phone, to)
            actions.append(partial(store.change, move, f"c{turn}-{number}", START, [to]))
        answers = at_once(*actions)
        assert sum(answer is not None for answer in answers[:2]) == 1
        assert store.of_phone(REQUEST.phone, TEN - HALF) == []
        assert rows(database_url, "booking_slots") == []


def test_messages_are_kept_once(store: SqlStore, database_url: str) -> None:
    left = Message("quote", "Ann Lee", "+15550100", "two of them", "a crown", "+15550177")
    store.leave(left, "k1", START)
    store.leave(replace(left, text="three of them"), "k1", START + HALF)
    assert rows(database_url, "messages") == [
        {
            "key": "k1",
            "kind": "quote",
            "name": "Ann Lee",
            "phone": "+15550100",
            "call_back": "+15550177",
            "about": "a crown",
            "text": "two of them",
            "at": START,
        }
    ]


# ---- races ----------------------------------------------------------------------------------

RACE = Path(__file__).with_name("race.py")


@pytest.mark.parametrize("seed", range(1, 1 + TIMES))  # `make bookings` takes twenty
def test_processes_that_book_change_and_cancel_at_random(
    database_url: str, business_path: Path, seed: int
) -> None:
    """Three processes, six threads, few slots, keys that repeat: the book stays in order."""
    seeds = [str(seed * 100 + number) for number in range(3)]
    done = subprocess.run(
        [sys.executable, str(RACE), database_url, str(business_path), *seeds],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    in_order(database_url, answers)
    kinds = Counter(key.partition("-")[0] for key, answer in answers if answer)
    refused = Counter(key.partition("-")[0] for key, answer in answers if not answer)
    assert min(kinds["book"], kinds["change"], kinds["cancel"]) > 3, kinds
    assert min(refused["book"], refused["change"]) > 3, refused


def in_order(url: str, answers: list[tuple[str, Any]]) -> None:
    """Every promise of the book, held against what was answered and what is kept."""
    first: dict[str, set[tuple[str, str]]] = {}
    for key, answer in answers:
        if answer:
            first.setdefault(key, set()).add((answer["reference"], answer["starts_at"]))
    assert all(len(told) == 1 for told in first.values()), "a key has two answers"

    written = {
        row["key"]: {(row["reference"], row["starts_at"].isoformat())}
        for row in rows(url, "booking_writes")
    }
    assert written == first, "what was answered and what was written differ"

    kept = {row["key"]: row for row in rows(url, "bookings")}
    assert set(kept) == {key for key in first if key.startswith("book")}, "a booking is lost"
    slots: dict[str, list[datetime]] = {key: [] for key in kept}
    for row in rows(url, "booking_slots"):
        slots[row["key"]].append(row["starts_at"])
    kinds: dict[str, list[str]] = {}
    for row in rows(url, "booking_writes"):
        kinds.setdefault(row["reference"], []).append(row["kind"])
    for key, row in kept.items():
        length = 2 if row["service"] == "filling" else 1
        needed = [row["starts_at"] + HALF * n for n in range(length)]
        stands = row["state"] == "booked"
        assert slots[key] == (needed if stands else []), "an appointment without its slots"
        assert kinds[row["reference"]].count("cancelled") == (0 if stands else 1)
