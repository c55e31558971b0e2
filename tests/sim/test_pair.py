"""The memory pair: order, delay, back-pressure and every way to end."""

import pytest
import trio
import trio.testing

from relay.errors import SocketClosed
from relay.ports import Socket
from relay.sim.pair import memory_pair


async def check_closed(socket: Socket, code: int, reason: str = "") -> None:
    with pytest.raises(SocketClosed) as caught:
        await socket.receive()
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_messages_arrive_in_order_both_ways(autojump_clock):
    left, right = memory_pair()
    for text in ("a", "b"):
        await left.send(text)
    await right.send("c")
    assert [await right.receive(), await right.receive()] == ["a", "b"]
    assert await left.receive() == "c"


async def test_a_reader_waits_for_the_message(autojump_clock):
    left, right = memory_pair()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def later():
            await trio.sleep(3)
            await left.send("x")

        assert await right.receive() == "x"
    assert trio.current_time() == pytest.approx(3)


async def test_what_fits_is_sent_without_a_turn_for_others(autojump_clock):
    left, right = memory_pair()
    turns = []

    async def another():
        turns.append(right)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        for _ in range(10):
            await left.send("x")
        assert turns == []


async def test_who_sends_to_nobody_lets_others_have_their_turn(autojump_clock):
    left, right = memory_pair(delay=lambda: 1.0)
    await right.aclose()
    turn = trio.Event()

    async def another():
        turn.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        while not turn.is_set():
            await left.send("x")


async def test_a_sender_can_be_cancelled(autojump_clock):
    left, _ = memory_pair()
    with trio.CancelScope() as scope:
        scope.cancel()
        await left.send("x")
    assert scope.cancelled_caught


async def test_delay_keeps_the_order(autojump_clock):
    delays = iter([0.5, 0.1, 0.9])
    left, right = memory_pair(delay=lambda: next(delays))
    start = trio.current_time()
    for text in "abc":
        await left.send(text)
    got = [(await right.receive(), round(trio.current_time() - start, 6)) for _ in range(3)]
    assert got == [("a", 0.5), ("b", 0.5), ("c", 0.9)]


async def test_a_close_is_seen_behind_the_messages(autojump_clock):
    left, right = memory_pair()
    await left.send("last words")
    await left.aclose(1001, "going")
    assert await right.receive() == "last words"
    await check_closed(right, 1001, "going")
    await check_closed(right, 1001, "going")


async def test_after_its_own_close_a_socket_reads_and_sends_nothing(autojump_clock):
    left, right = memory_pair()
    await right.send("unread")
    await left.aclose(1000, "done")
    await left.aclose(4000, "twice")
    await check_closed(left, 1000, "done")
    with pytest.raises(SocketClosed):
        await left.send("x")
    with pytest.raises(SocketClosed):
        await right.send("x")


async def test_a_close_wakes_the_closers_own_reader(autojump_clock):
    left, _right = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(check_closed, left, 1000)
        await trio.testing.wait_all_tasks_blocked()
        await left.aclose()


async def test_a_delayed_close_lets_the_peer_talk_into_the_void_until_it_arrives(autojump_clock):
    left, right = memory_pair(capacity=2, delay=lambda: 1.0)
    await left.aclose(1000)
    for _ in range(5):
        await right.send("into the void")
    start = trio.current_time()
    await check_closed(right, 1000)
    assert trio.current_time() - start == pytest.approx(1.0)
    with pytest.raises(SocketClosed):
        await right.send("x")


async def test_a_full_queue_makes_the_sender_wait(autojump_clock):
    left, right = memory_pair(capacity=2)
    await left.send("1")
    await left.send("2")
    with trio.move_on_after(10) as scope:
        await left.send("3")
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send, "3")
        await trio.testing.wait_all_tasks_blocked()
        got = [await right.receive() for _ in range(3)]
    assert got == ["1", "2", "3"]


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_a_waiting_sender_hears_of_the_end(autojump_clock, how):
    left, right = memory_pair(capacity=1)
    await left.send("1")
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def blocked():
            with pytest.raises(SocketClosed):
                await left.send("2")

        await trio.testing.wait_all_tasks_blocked()
        if how == "close":
            await right.aclose()
        else:
            right.drop()


async def test_drop_is_1006_on_both_sides_and_loses_what_is_on_its_way(autojump_clock):
    left, right = memory_pair(delay=lambda: 1.0)
    await left.send("arrived")
    await trio.sleep(1.5)
    await left.send("under way")
    left.drop()
    assert await right.receive() == "arrived"
    await check_closed(right, 1006)
    await check_closed(left, 1006)
    for side in (left, right):
        with pytest.raises(SocketClosed):
            await side.send("x")


async def test_binary_messages_pass_as_bytes(autojump_clock):
    left, right = memory_pair()
    await left.send(b"\x00\xff")
    assert await right.receive() == b"\x00\xff"


async def test_two_runs_give_the_same_order(autojump_clock):
    async def run() -> list[object]:
        delays = iter([0.03, 0.0, 0.01] * 20)
        left, right = memory_pair(delay=lambda: next(delays))
        seen: list[object] = []
        start = trio.current_time()

        async def talk(socket, names):
            for name in names:
                await trio.sleep(0.02)
                await socket.send(name)
            await socket.aclose()

        async def hear(socket):
            try:
                while True:
                    seen.append((await socket.receive(), round(trio.current_time() - start, 6)))
            except SocketClosed:
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, left, [f"l{n}" for n in range(20)])
            nursery.start_soon(hear, right)
        return seen

    first = await run()
    assert len(first) == 20
    assert await run() == first
