"""The bounded queue of messages for one peer."""

from __future__ import annotations

import pytest
import trio

from relay.errors import SocketClosed
from relay.shell.outbox import SEND_S, Outbox
from relay.sim.pair import memory_pair


async def received(socket):
    got = []
    try:
        while True:
            got.append(await socket.receive())
    except SocketClosed as gone:
        return got, gone.code


async def test_messages_go_out_in_order_and_then_the_socket_is_closed(autojump_clock):
    here, there = memory_pair()
    outbox = Outbox(10)
    assert all(outbox.post(f"{n}") for n in range(5))
    outbox.close()
    assert await outbox.run(here) is True
    assert await received(there) == (["0", "1", "2", "3", "4"], 1000)


async def test_a_full_queue_says_so_and_loses_only_the_newest(autojump_clock):
    here, there = memory_pair()
    outbox = Outbox(3)
    assert [outbox.post(f"{n}") for n in range(5)] == [True, True, True, False, False]
    outbox.close()
    await outbox.run(here)
    assert await received(there) == (["0", "1", "2"], 1000)


async def test_a_peer_that_does_not_read_is_stuck_after_its_deadline(autojump_clock):
    here, _there = memory_pair(capacity=2)
    outbox = Outbox(10)
    for n in range(4):
        outbox.post(f"{n}")
    began = trio.current_time()
    assert await outbox.run(here) is False
    assert trio.current_time() - began == pytest.approx(SEND_S)
    assert outbox.post("goes nowhere")


async def test_an_idle_queue_is_no_stuck_peer(autojump_clock):
    here, there = memory_pair()
    outbox = Outbox(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.run, here)
        await trio.sleep(10 * SEND_S)
        outbox.post("late")
        assert await there.receive() == "late"
        outbox.close()


async def test_a_peer_that_is_gone_ends_the_writer(autojump_clock):
    here, there = memory_pair()
    await there.aclose()
    outbox = Outbox(1)
    outbox.post("to nobody")
    assert await outbox.run(here) is True
    assert outbox.post("nor this"), "the reader reports the close"


async def test_nothing_is_queued_after_close(autojump_clock):
    here, there = memory_pair()
    outbox = Outbox(1)
    outbox.close()
    assert outbox.post("too late")
    await outbox.run(here)
    assert await received(there) == ([], 1000)
