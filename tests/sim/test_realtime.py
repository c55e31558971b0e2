"""One session of the simulated Realtime API: start, conversation, faults, endings."""

from __future__ import annotations

import json
from functools import partial

import pytest
import trio

from relay.sim.brains import Reply, Scripted, call, reply, say
from relay.sim.pair import memory_pair
from relay.sim.realtime import Fault, Options, Session, serve_session
from tests.sim.realtime_client import Client, connected

HELLO = reply(say("Hello, how can I help you?", ms=2000))


async def started(client: Client, **session: object) -> None:
    await client.wait("session.created")
    await client.configure(**session)


# ---- start ----------------------------------------------------------------------------------


async def test_the_first_event_is_session_created(autojump_clock: object) -> None:
    begin = trio.current_time()
    async with connected(options=Options(created_s=0.4)) as client:
        created = await client.wait("session.created")
        assert client.got[0][0] == pytest.approx(begin + 0.4)
        assert created["session"]["audio"]["output"]["voice"] == "alloy"
        updated = await client.configure(instructions="Be brief.", tool_choice="none")
        assert updated["session"]["instructions"] == "Be brief."
        assert client.session.config["tool_choice"] == "none"


async def test_nothing_comes_before_session_created(autojump_clock: object) -> None:
    async with connected(options=Options(created_s=0.4)) as client:
        await client.configure(instructions="Be brief.")
        assert client.kinds == ["session.created", "session.updated"]


async def test_a_hanging_session_says_nothing(autojump_clock: object) -> None:
    async with connected(options=Options(hang=True)) as client:
        await client.send("session.update", session={"type": "realtime"})
        await trio.sleep(60)
        assert client.got == []
        await client.socket.aclose()
        await trio.sleep(1)
        assert client.session.closed == 1000


async def test_a_bad_field_refuses_the_whole_update(autojump_clock: object) -> None:
    async with connected() as client:
        await client.wait("session.created")
        bad = {"type": "realtime", "instructions": "new", "temperature": 0.5}
        await client.send("session.update", event_id="cfg-1", session=bad)
        error = (await client.wait("error"))["error"]
        assert error["code"] == "unknown_parameter"
        assert error["param"] == "session.temperature"
        assert error["event_id"] == "cfg-1"
        assert client.session.config["instructions"] != "new"
        assert client.session.violations


async def test_an_update_can_be_refused_on_demand(autojump_clock: object) -> None:
    fault = Fault("insufficient_quota", "You exceeded your current quota.")
    async with connected(options=Options(refuse_update=fault, update_s=0.2)) as client:
        await client.wait("session.created")
        await client.send("session.update", event_id="cfg", session={"type": "realtime"})
        assert (await client.wait("error"))["error"]["code"] == "insufficient_quota"
        assert client.session.violations == []


@pytest.mark.parametrize("message", ["{", "[]", '"text"', "\xff", '{"type": 5}', "{}"])
async def test_nonsense_is_answered_and_survived(message: str, autojump_clock: object) -> None:
    async with connected() as client:
        await client.wait("session.created")
        await client.socket.send(message)
        assert (await client.wait("error"))["error"]["type"] == "invalid_request_error"
        await client.socket.send(message.encode())
        await client.wait("error", 2)
        assert len(client.session.violations) == 2
        await client.configure()


# ---- conversation -----------------------------------------------------------------------------


async def test_items_are_created_in_their_place(autojump_clock: object) -> None:
    async with connected() as client:
        await started(client)

        async def create(item_id: str, role: str, **fields: object) -> None:
            kind = "output_text" if role == "assistant" else "input_text"
            part = {"type": kind, "text": f"text of {item_id}"}
            item = {"type": "message", "id": item_id, "role": role, "content": [part]}
            await client.send("conversation.item.create", item=item, **fields)

        await create("b", "user")
        await create("d", "assistant")
        await create("c", "system", previous_item_id="b")
        await create("a", "user", previous_item_id="root")
        await client.wait("conversation.item.done", 4)
        assert [item.id for item in client.session.conversation] == ["a", "b", "c", "d"]
        added = {
            e["item"]["id"]: e["previous_item_id"] for e in client.of("conversation.item.added")
        }
        assert added == {"a": None, "b": None, "c": "b", "d": "b"}
        await create("e", "user", previous_item_id="nowhere")
        await client.wait("error")
        await create("a", "user")
        assert (await client.wait("error", 2))["error"]["param"] == "item.id"
        assert "e" not in client.session.items


async def test_items_are_retrieved_and_deleted(autojump_clock: object) -> None:
    async with connected() as client:
        await started(client)
        message = {"type": "message", "id": "m", "role": "system", "content": []}
        await client.send("conversation.item.create", item=message)
        await client.send("conversation.item.retrieve", item_id="m")
        assert (await client.wait("conversation.item.retrieved"))["item"]["id"] == "m"
        await client.send("conversation.item.delete", item_id="m")
        assert (await client.wait("conversation.item.deleted"))["item_id"] == "m"
        await client.send("conversation.item.delete", item_id="m", event_id="again")
        assert (await client.wait("error"))["error"]["event_id"] == "again"
        await client.send("conversation.item.retrieve", item_id="m")
        assert (await client.wait("error", 2))["error"]["code"] == "item_retrieve_invalid_item_id"
        assert client.session.items["m"].deleted
        assert client.session.conversation == ()


async def test_assistant_audio_cannot_be_created(autojump_clock: object) -> None:
    async with connected() as client:
        await started(client)
        part = {"type": "output_audio", "transcript": "I said so."}
        item = {"type": "message", "role": "assistant", "content": [part]}
        await client.send("conversation.item.create", item=item)
        assert (await client.wait("error"))["error"]["param"] == "item.content"


# ---- function calls -----------------------------------------------------------------------------


async def test_a_function_is_called_and_its_output_comes_back(autojump_clock: object) -> None:
    brain = Scripted(
        reply(say("One moment.", ms=800), call("lookup_hours", day="tuesday")),
        lambda request: reply(say(f"I was told {request.conversation[-1].output}.", ms=900)),
    )
    async with connected(brain) as client:
        await started(client)
        done = await client.ask()
        assert [item["type"] for item in done["output"]] == ["message", "function_call"]
        called = done["output"][1]
        assert json.loads(called["arguments"]) == {"day": "tuesday"}
        pieces = client.of("response.function_call_arguments.delta")
        assert "".join(piece["delta"] for piece in pieces) == called["arguments"]
        assert {piece["output_index"] for piece in pieces} == {1}
        (whole,) = client.of("response.function_call_arguments.done")
        assert (whole["name"], whole["call_id"]) == ("lookup_hours", called["call_id"])
        output = {"type": "function_call_output", "call_id": called["call_id"], "output": "[9,5]"}
        await client.send("conversation.item.create", item=output)
        assert (await client.ask())["output"][0]["content"][0]["transcript"] == "I was told [9,5]."
        assert client.session.outputs() == {called["call_id"]: "[9,5]"}


async def test_an_output_needs_its_call_and_comes_once(autojump_clock: object) -> None:
    async with connected(Scripted(reply(call("end_call")))) as client:
        await started(client)
        stray = {"type": "function_call_output", "call_id": "call_x", "output": ""}
        await client.send("conversation.item.create", item=stray)
        assert (await client.wait("error"))["error"]["code"] == "invalid_tool_call_id"
        done = await client.ask()
        output = stray | {"call_id": done["output"][0]["call_id"]}
        await client.send("conversation.item.create", item=output)
        await client.send("conversation.item.create", item=output)
        await client.wait("conversation.item.done", 3)
        assert client.session.violations == [f"a second output for {output['call_id']}"]


# ---- truncation ---------------------------------------------------------------------------------


async def test_truncation_forgets_audio_and_transcript(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO)) as client:
        await started(client)
        item_id = (await client.ask())["output"][0]["id"]
        where = {"item_id": item_id, "content_index": 0}
        await client.send("conversation.item.truncate", **where, audio_end_ms=1200)
        assert (await client.wait("conversation.item.truncated"))["audio_end_ms"] == 1200
        item = client.session.items[item_id]
        assert (item.audio_ms, item.generated_ms, item.truncated_ms) == (1200, 2000, 1200)
        assert (item.text, item.said) == ("", "Hello, how can I help you?")
        assert client.session.violations == []
        await client.send("conversation.item.truncate", **where, audio_end_ms=1201)
        error = (await client.wait("error"))["error"]
        assert error["code"] == "invalid_value"
        assert error["message"] == "Audio content of 1200ms is already shorter than 1201ms"
        assert len(client.session.violations) == 1


async def test_only_audio_that_is_there_can_be_truncated(autojump_clock: object) -> None:
    async with connected(Scripted(reply(say("Wait.", ms=0)))) as client:
        await started(client)
        await client.send(
            "conversation.item.truncate", item_id="x", content_index=0, audio_end_ms=0
        )
        assert "not found" in (await client.wait("error"))["error"]["message"]
        item_id = (await client.ask())["output"][0]["id"]
        where = {"item_id": item_id, "content_index": 0}
        await client.send("conversation.item.truncate", **where, audio_end_ms=0)
        assert (await client.wait("error", 2))["error"]["code"] == "unsupported_content_type"


async def test_audio_behind_a_truncation_is_not_remembered(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(pace=1)) as client:
        await started(client)
        await client.send("response.create")
        first = await client.wait("response.output_audio.delta")
        where = {"item_id": first["item_id"], "content_index": 0}
        await client.send("conversation.item.truncate", **where, audio_end_ms=100)
        await client.wait("response.done")
        item = client.session.items[first["item_id"]]
        assert (item.audio_ms, item.generated_ms) == (100, 2000)
        assert item.text == ""


# ---- endings ------------------------------------------------------------------------------------


async def test_after_its_time_a_session_expires(autojump_clock: object) -> None:
    async with connected() as client:
        await started(client)
        assert await client.wait_closed() == 1001
        assert client.got[-1][1]["error"]["code"] == "session_expired"
        assert trio.current_time() == pytest.approx(3600, abs=1)
        assert client.session.closed == 1001


@pytest.mark.parametrize("code", [1000, 1006, 1011, 3000])
async def test_a_session_can_be_closed_at_any_moment(code: int, autojump_clock: object) -> None:
    async with connected(Scripted(HELLO)) as client:
        await started(client)
        await client.send("response.create")
        await client.wait("response.output_audio.delta", 2)
        client.session.close(code)
        assert await client.wait_closed() == code
        assert client.of("response.done") == []


async def test_a_session_can_close_behind_an_event_of_its_own(autojump_clock: object) -> None:
    def behind_created(event: dict[str, object]) -> int | None:
        return 1011 if event["type"] == "response.created" else None

    async with connected(Scripted(HELLO), Options(close_on=behind_created)) as client:
        await started(client)
        await client.send("response.create")
        assert await client.wait_closed() == 1011
        assert client.kinds[-1] == "response.created"


async def test_a_frozen_session_neither_reads_nor_speaks_until_it_thaws(
    autojump_clock: object,
) -> None:
    def freeze(session: Session, event: dict[str, object]) -> None:
        if event["type"] == "response.created":
            session.freeze()

    async with connected(Scripted(HELLO), Options(behind=freeze)) as client:
        await started(client)
        await client.send("response.create")
        await client.send("input_audio_buffer.clear")
        await trio.sleep(60)
        assert client.kinds[-1] == "response.created"
        assert client.closed is None
        client.session.thaw()
        await client.wait("response.done")
        await client.wait("input_audio_buffer.cleared")


async def test_a_session_can_babble(autojump_clock: object) -> None:
    ours, theirs = memory_pair()
    session = Session()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_session, theirs, Scripted(), session=session))
        assert "session.created" in await ours.receive()
        session.babble('{"type":')
        assert await ours.receive() == '{"type":'
        nursery.cancel_scope.cancel()


async def test_a_service_may_forget_its_bills(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(bills=False), strict=False) as client:
        await started(client, audio={"input": {"transcription": {"model": "gpt-transcribe"}}})
        await client.say()
        await client.wait("response.done")
        heard = await client.wait("conversation.item.input_audio_transcription.completed")
        assert "usage" not in heard
        assert client.of("response.done")[0]["response"]["usage"] is None


async def test_serving_ends_when_the_client_goes(autojump_clock: object) -> None:
    ours, theirs = memory_pair()
    done: list[Session] = []

    async def serve() -> None:
        done.append(await serve_session(theirs, Scripted(HELLO)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await ours.receive()
        await ours.send('{"type":"response.create"}')
        await trio.sleep(0.05)
        await ours.aclose(1000)
    assert done[0].closed == 1000
    assert trio.current_time() < 1


async def test_a_noisy_service_says_things_nobody_has_heard_of(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(noisy=True), strict=False) as client:
        await started(client)
        client.session.inject({"type": "response.thought.delta", "delta": "hm"})
        item_id = (await client.ask())["output"][0]["id"]
        assert client.of("session.mood.updated")
        assert all("something_new" in event for _, event in client.got)
        assert client.of("response.thought.delta")[0]["event_id"]
        assert len(client.audio(item_id)) == 2 * 24 * 2000


async def test_many_sessions_do_not_mix(autojump_clock: object) -> None:
    async def one(number: int, results: dict[int, bytes]) -> None:
        line = say(f"I am number {number}.", ms=500 + number)
        async with connected(Scripted(Reply((line,)))) as client:
            await started(client)
            item_id = (await client.ask())["output"][0]["id"]
            results[number] = client.audio(item_id)

    results: dict[int, bytes] = {}
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number, results)
    assert {number: len(audio) // 48 for number, audio in results.items()} == {
        number: 500 + number for number in range(20)
    }


async def test_ten_minutes_pass_in_seconds(autojump_clock: object) -> None:
    brain = Scripted(otherwise=HELLO)
    async with connected(brain, Options(judge="level"), strict=False) as client:
        await started(client)
        turns = 0
        while trio.current_time() < 600:
            await client.say(1500, quiet_ms=8500, frame=4800)
            turns += 1
        assert len(brain.turns) == turns
        await client.wait("response.done", turns)
        assert client.session.appended_ms == turns * 10_000
