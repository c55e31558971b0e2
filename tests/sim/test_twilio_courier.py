"""Callbacks keep their order, unless a test wants them lost, doubled or late."""

from functools import partial

import trio

from relay.sim.twilio_courier import Courier


async def carried(*orders):
    """Send numbered callbacks that take a tenth of a second each. Returns what arrived, when."""
    start, arrived = trio.current_time(), []

    async def deliver(number):
        await trio.sleep(0.1)
        arrived.append((number, round(trio.current_time() - start, 3)))

    courier = Courier()
    async with trio.open_nursery() as nursery:
        for number, delays in enumerate(orders):
            courier.send(partial(deliver, number), delays, nursery)
    return arrived


async def test_one_after_another(autojump_clock):
    assert await carried((0.0,), (0.0,), (0.0,)) == [(0, 0.1), (1, 0.2), (2, 0.3)]


async def test_lost_doubled_and_late(autojump_clock):
    assert await carried((1.0,), (), (0.0, 0.0), (0.0, 2.0)) == [
        (2, 0.1),
        (2, 0.2),
        (3, 0.3),
        (0, 1.1),
        (3, 2.1),
    ]


async def test_a_courier_that_has_rested_goes_again(autojump_clock):
    courier, arrived = Courier(), []

    async def deliver(number):
        arrived.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            courier.send(partial(deliver, number), (0.0,), nursery)
            await trio.sleep(1)
    assert arrived == [0, 1, 2]
