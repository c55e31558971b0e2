"""Responses: their order, pace, cancellation, failures, usage."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio

from relay.sim.brains import Reply, Scripted, call, failed, rate_limited, reply, say
from relay.sim.realtime import Options
from relay.sim.voice import MODEL_HZ, PHONE_HZ, resample, to_mulaw, tone
from tests.sim.realtime_client import Client, connected

HELLO = reply(say("Hello, how can I help you?", ms=2000))

SPOKEN = [
    "response.created",
    "rate_limits.updated",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


async def started(client: Client, **session: object) -> None:
    await client.wait("session.created")
    await client.configure(**session)


def course(client: Client) -> list[str]:
    """The kinds of events since the configuration, deltas between each other counted once."""
    kinds = client.kinds[client.kinds.index("session.updated") + 1 :]
    seen = [kind for kind, _ in itertools.groupby(kinds)]
    return list(dict.fromkeys(seen))


async def test_a_spoken_response_runs_in_the_true_order(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO)) as client:
        await started(client)
        done = await client.ask(metadata={"purpose": "greeting"})
        assert course(client) == SPOKEN
        created = client.of("response.created")[0]["response"]
        assert (created["status"], done["status"]) == ("in_progress", "completed")
        assert created["metadata"] == done["metadata"] == {"purpose": "greeting"}
        words = client.of("response.output_audio_transcript.delta")
        assert "".join(word["delta"] for word in words) == "Hello, how can I help you?"
        assert client.audio(done["output"][0]["id"]) == tone(2000)


async def test_nobody_promises_an_order_that_the_service_does_not(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(swapped=True)) as client:
        await started(client)
        await client.ask()
        swapped = list(SPOKEN)
        swapped[2:4] = reversed(swapped[2:4])
        swapped[10:12] = reversed(swapped[10:12])
        assert course(client) == swapped


async def test_audio_comes_faster_than_it_is_spoken(autojump_clock: object) -> None:
    brain = Scripted(Reply(HELLO.output, think_s=0.4))
    async with connected(brain, Options(pace=4, delta_ms=(100, 60))) as client:
        await started(client)
        await client.ask()
        when = [at for at, e in client.got if e["type"] == "response.output_audio.delta"]
        created = next(at for at, e in client.got if e["type"] == "response.created")
        sizes = [len(e["delta"]) * 3 // 4 // 48 for e in client.of("response.output_audio.delta")]
        assert when[0] - created == pytest.approx(0.4)
        assert when[-1] - when[0] == pytest.approx((2000 - sizes[-1]) / 4000)
        assert sizes[:4] == [100, 60, 100, 60]
        assert sum(sizes) == 2000


async def test_the_transcript_runs_ahead_of_the_audio(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(delta_ms=(20,))) as client:
        await started(client)
        await client.ask()
        word, audio = "response.output_audio_transcript.delta", "response.output_audio.delta"
        last_word = len(client.kinds) - client.kinds[::-1].index(word) - 1
        assert client.kinds.index(word) < client.kinds.index(audio)
        assert 0 < client.kinds[:last_word].count(audio) < 70 < client.kinds.count(audio)


async def test_mu_law_is_spoken_when_asked_for(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO)) as client:
        await started(client, audio={"output": {"format": {"type": "audio/pcmu"}}})
        done = await client.ask()
        audio = client.audio(done["output"][0]["id"])
        assert audio == to_mulaw(resample(tone(2000), MODEL_HZ, PHONE_HZ))
        assert client.session.items[done["output"][0]["id"]].audio_ms == 2000


async def test_text_is_written_when_asked_for(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO)) as client:
        await started(client)
        done = await client.ask(output_modalities=["text"])
        assert done["output"][0]["content"] == [
            {"type": "output_text", "text": "Hello, how can I help you?"}
        ]
        assert client.of("response.output_text.done")
        assert not client.of("response.output_audio.delta")


# ---- one at a time --------------------------------------------------------------------------


async def test_a_second_response_is_refused_until_the_first_is_done(
    autojump_clock: object,
) -> None:
    async with connected(Scripted(HELLO, HELLO)) as client:
        await started(client)
        await client.send("response.create")
        await client.send("response.create", event_id="second")
        error = (await client.wait("error"))["error"]
        assert error["code"] == "conversation_already_has_active_response"
        assert error["event_id"] == "second"
        assert client.of("response.created")[0]["response"]["id"] in error["message"]
        await client.wait("response.done")
        await client.ask()
        assert len(client.of("response.created")) == 2


async def test_a_private_response_runs_beside_and_leaves_no_trace(autojump_clock: object) -> None:
    brain = Scripted(HELLO, privately=[reply(say("The caller wants a haircut."))])
    async with connected(brain) as client:
        await started(client)
        await client.send("response.create")
        await client.send(
            "response.create",
            response={"conversation": "none", "output_modalities": ["text"], "tools": []},
        )
        await client.wait("response.done", 2)
        assert client.of("error") == []
        private, spoken = (event["response"] for event in client.of("response.done"))
        assert private["conversation_id"] is None
        assert spoken["conversation_id"]
        assert [item.said for item in client.session.conversation] == ["Hello, how can I help you?"]
        assert [request.private for request in brain.requests] == [False, True]


# ---- cancelling ------------------------------------------------------------------------------


async def test_a_cancelled_response_ends_with_what_it_had(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(cancel_s=0.12, pace=1, delta_ms=(50,))) as client:
        await started(client)
        await client.send("response.create")
        await client.wait("response.output_audio.delta", 4)
        await client.send("response.cancel")
        done = (await client.wait("response.done"))["response"]
        assert done["status"] == "cancelled"
        assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert done["output"][0]["status"] == "incomplete"
        assert course(client) == SPOKEN
        # Two more deltas left while the cancellation was under way.
        assert len(client.of("response.output_audio.delta")) == 6
        assert done["usage"]["output_token_details"]["audio_tokens"] == 300 // 50
        await client.ask()


async def test_an_end_before_the_cancellation_is_an_end(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(cancel_s=9)) as client:
        await started(client)
        await client.send("response.create")
        await client.wait("response.output_audio.delta")
        await client.send("response.cancel")
        assert (await client.wait("response.done"))["response"]["status"] == "completed"
        await trio.sleep(20)
        assert len(client.of("response.done")) == 1


async def test_cancelling_nothing_is_a_harmless_error(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO)) as client:
        await started(client)
        await client.send("response.cancel", event_id="c")
        error = (await client.wait("error"))["error"]
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "c")
        done = await client.ask()
        await client.send("response.cancel", response_id=done["id"])
        await client.wait("error", 2)
        assert client.session.violations == []


async def test_a_stuck_response_ends_only_when_cancelled(autojump_clock: object) -> None:
    async with connected(Scripted(Reply(HELLO.output, stuck=True))) as client:
        await started(client)
        await client.send("response.create")
        await trio.sleep(60)
        assert client.of("response.output_item.done")
        assert not client.of("response.done")
        await client.send("response.cancel", response_id=client.session.responses[0].id)
        done = (await client.wait("response.done"))["response"]
        assert (done["status"], done["output"][0]["status"]) == ("cancelled", "completed")


async def test_a_cancelled_call_is_incomplete(autojump_clock: object) -> None:
    brain = Scripted(reply(call("book_appointment", service="haircut", day="tuesday")))
    async with connected(brain, Options(pace=0.01, cancel_s=0)) as client:
        await started(client)
        await client.send("response.create")
        await client.wait("response.function_call_arguments.delta", 2)
        await client.send("response.cancel")
        item = (await client.wait("response.done"))["response"]["output"][0]
        assert item["status"] == "incomplete"
        assert (
            client.of("response.function_call_arguments.done")[0]["arguments"]
            == (item["arguments"])
        )


# ---- other ends -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (failed(), {"type": "server_error", "code": "server_error"}),
        (rate_limited(6.232), {"type": "tokens", "code": "rate_limit_exceeded"}),
    ],
)
async def test_a_failed_response_makes_no_error_event(
    line: Reply, error: dict[str, Any], autojump_clock: object
) -> None:
    async with connected(Scripted(line)) as client:
        await started(client)
        done = await client.ask()
        assert (done["status"], done["usage"], done["output"]) == ("failed", None, [])
        assert done["status_details"]["error"].items() >= error.items()
        assert client.of("error") == []
        if error["type"] == "tokens":
            assert "Please try again in 6.232s." in done["status_details"]["error"]["message"]


async def test_a_response_can_fail_in_mid_sentence(autojump_clock: object) -> None:
    broken = Reply(HELLO.output, status="failed")
    async with connected(Scripted(broken)) as client:
        await started(client)
        done = await client.ask()
        assert done["status"] == "failed"
        assert done["usage"]["output_token_details"]["audio_tokens"] == 40


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
async def test_an_incomplete_response_says_why(reason: str, autojump_clock: object) -> None:
    cut = Reply(HELLO.output, status="incomplete", reason=reason)
    async with connected(Scripted(cut)) as client:
        await started(client)
        done = await client.ask()
        assert done["status_details"] == {"type": "incomplete", "reason": reason}


async def test_the_token_limit_cuts_the_audio(autojump_clock: object) -> None:
    async with connected(Scripted(HELLO), Options(delta_ms=(50,))) as client:
        await started(client)
        done = await client.ask(max_output_tokens=20)
        assert done["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert len(client.audio(done["output"][0]["id"])) == 48 * 1000


# ---- what the brain is told -------------------------------------------------------------------


async def test_the_brain_knows_the_tools_of_this_response(autojump_clock: object) -> None:
    brain = Scripted()
    tool = {"type": "function", "name": "lookup_hours", "parameters": {"type": "object"}}
    async with connected(brain) as client:
        await started(client, tools=[tool], instructions="Be brief.")
        await client.ask()
        await client.ask(tool_choice="none", instructions="Say goodbye.")
        await client.ask(tools=[])
        assert [request.tools for request in brain.requests] == [{"lookup_hours"}, set(), set()]
        assert [request.instructions for request in brain.requests] == [
            "Be brief.",
            "Say goodbye.",
            "Be brief.",
        ]


# ---- usage --------------------------------------------------------------------------------------


async def test_usage_counts_audio_by_its_length_and_caches_what_was_seen(
    autojump_clock: object,
) -> None:
    async with connected(Scripted(HELLO, HELLO)) as client:
        await started(client)
        await client.say(1000, quiet_ms=600)
        await client.wait("response.done")
        first = client.of("response.done")[0]["response"]["usage"]
        heard = client.session.conversation[0].audio_ms
        assert first["input_token_details"]["audio_tokens"] == -(-heard // 100)
        assert first["input_token_details"]["cached_tokens"] == 0
        assert first["output_token_details"]["audio_tokens"] == 2000 // 50
        assert first["total_tokens"] == first["input_tokens"] + first["output_tokens"]
        item_id = client.of("response.done")[0]["response"]["output"][0]["id"]
        where = {"item_id": item_id, "content_index": 0}
        await client.send("conversation.item.truncate", **where, audio_end_ms=500)
        second = (await client.ask())["usage"]["input_token_details"]
        assert second["audio_tokens"] == -(-heard // 100) + 500 // 50
        cached = second["cached_tokens_details"]
        assert cached["audio_tokens"] == -(-heard // 100)
        assert second["cached_tokens"] == cached["audio_tokens"] + cached["text_tokens"]


async def test_a_response_that_failed_cannot_be_cancelled(autojump_clock: object) -> None:
    async with connected(Scripted(failed())) as client:
        await started(client)
        done = await client.ask()
        await client.send("response.cancel", response_id=done["id"])
        assert (await client.wait("error"))["error"]["code"] == "response_cancel_not_active"
