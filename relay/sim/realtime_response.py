"""The agent's side of a session: responses from `response.created` to `response.done`.

A response is a task of its own. Whatever becomes of it, its open item is closed and exactly one
`response.done` leaves, with the usage of what was generated. Cancelling takes `cancel_s`, in which
deltas still leave, as they do from the real service; a response that ends by itself meanwhile
has completed.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections import deque
from collections.abc import Iterator

import trio

from relay.sim.brains import MS_PER_CHARACTER, Brain, Call, Reply, Request, Say
from relay.sim.realtime_config import BYTES_PER_MS, Fault, Json, text_tokens
from relay.sim.realtime_items import Item, Status, tokens, wire
from relay.sim.realtime_session import Options, Response, Session
from relay.sim.voice import MODEL_HZ, PHONE_HZ, resample, to_mulaw, tone

REPLY_S = 30.0  # a brain that thinks longer has failed
_AUDIO_TOKEN_MS = 50
_TOKEN_CHARS, _TOKEN_S = 5, 0.008

_SLOW = Reply(
    status="failed", fault=Fault("server_error", "It took too long.", type="server_error")
)


def create(
    session: Session, brain: Brain, nursery: trio.Nursery, params: Json, event_id: str | None
) -> None:
    """Answer a `response.create`, the client's or (event_id None) the server's own."""
    private = params.get("conversation") == "none"
    if session.active and not private:
        message = (
            "Conversation already has an active response in progress:"
            f" {session.active.id}. Wait until the response is finished before creating a new one."
        )
        fault = Fault("conversation_already_has_active_response", message)
        session.refuse(fault, event_id)
        return
    response = Response(
        id=session.new_id("resp"), settings=_settings(session, params), private=private
    )
    session.responses.append(response)
    if not private:
        session.active = response
    session.emit("response.created", response=_told(session, response, "in_progress"))
    nursery.start_soon(_run, session, brain, response, params)


def cancel(session: Session, nursery: trio.Nursery, response: Response, reason: str) -> None:
    """End a response early, in a little while."""

    async def end() -> None:
        await trio.sleep(session.options.cancel_s)
        response.cancel_reason = reason
        response.scope.cancel()

    nursery.start_soon(end)


def _settings(session: Session, params: Json) -> Json:
    """What holds for this response: the session's configuration, under the request's own."""
    config = session.config
    output = {key: config["audio"]["output"][key] for key in ("format", "voice")}
    output |= (params.get("audio") or {}).get("output") or {}
    return {
        "output_modalities": params.get("output_modalities") or config["output_modalities"],
        "max_output_tokens": params.get("max_output_tokens") or config["max_output_tokens"],
        "metadata": params.get("metadata"),
        "audio": {"output": output},
    }


def _told(session: Session, response: Response, status: str, details: Json | None = None) -> Json:
    """The response as `response.created` and `response.done` carry it."""
    return {
        "object": "realtime.response",
        "id": response.id,
        "status": status,
        "status_details": details,
        "output": [wire(item) for item in response.output],
        "conversation_id": None if response.private else f"conv_{session.number:06d}",
        "usage": response.usage,
        **response.settings,
    }


# ---- the course of one ----------------------------------------------------------------------


async def _run(session: Session, brain: Brain, response: Response, params: Json) -> None:
    reply = Reply()
    cut = False
    with response.scope:
        reply = await _think(session, brain, response, params)
        _rate_limits(session)
        for part in reply.output:
            match part:
                case Say():
                    cut = await _say(session, response, part)
                case Call():
                    await _call(session, response, part)
            if cut:
                break
        if reply.stuck:
            await trio.sleep_forever()
    if response.scope.cancelled_caught:
        _finish(session, response, "cancelled", {"reason": response.cancel_reason})
    elif cut:
        _finish(session, response, "incomplete", {"reason": "max_output_tokens"})
    elif reply.status == "failed":
        fault = reply.fault or Fault("server_error", "It failed.", type="server_error")
        error = {"type": fault.type, "code": fault.code, "message": fault.message}
        _finish(session, response, "failed", {"error": error})
    elif reply.status == "incomplete":
        _finish(session, response, "incomplete", {"reason": reply.reason})
    else:
        _finish(session, response, "completed", None)


async def _think(session: Session, brain: Brain, response: Response, params: Json) -> Reply:
    tools: list[Json] = session.config["tools"] if params.get("tools") is None else params["tools"]
    allowed = (params.get("tool_choice") or session.config["tool_choice"]) != "none"
    reply = _SLOW
    with trio.move_on_after(REPLY_S):
        for item in session.conversation:
            if item.role == "user" and item.spoken:
                await item.heard.wait()
        reply = await brain.reply(
            Request(
                response_id=response.id,
                conversation=session.conversation,
                instructions=params.get("instructions") or session.config["instructions"],
                tools=frozenset(tool["name"] for tool in tools) if allowed else frozenset(),
                metadata=response.settings["metadata"] or {},
                private=response.private,
            )
        )
    await trio.sleep(reply.think_s)
    return reply


def _finish(session: Session, response: Response, status: str, details: Json | None) -> None:
    if response.open_item:
        _close(session, response, "incomplete")
    if session.options.bills and (status != "failed" or response.output):
        response.usage = _usage(session, response)
    response.over = True
    if session.active is response:
        session.active = None
    told = details if details is None else {"type": status, **details}
    session.emit("response.done", response=_told(session, response, status, told))


def _rate_limits(session: Session) -> None:
    limits = [("requests", 1000, 999, 60.0), ("tokens", 50_000, 49_950, 0.06)]
    names = ("name", "limit", "remaining", "reset_seconds")
    told = [dict(zip(names, limit, strict=True)) for limit in limits]
    session.emit("rate_limits.updated", rate_limits=told)


# ---- items ----------------------------------------------------------------------------------


def _open(session: Session, response: Response, item: Item) -> None:
    response.open_item = item
    response.output.append(item)
    if not response.private:
        session.add(item)
    index = len(response.output) - 1

    def output() -> None:
        session.emit(
            "response.output_item.added",
            response_id=response.id,
            output_index=index,
            item=wire(item),
        )

    def conversation() -> None:
        if not response.private:
            session.announce(item, "added")

    session.in_pairs(output, conversation)


def _close(session: Session, response: Response, status: Status) -> None:
    """Send everything that ends the open item, cut short or not."""
    item = response.open_item
    if item is None:
        return
    response.open_item = None
    item.status = status
    here = _place(response, item)
    if item.type == "function_call":
        done = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        session.emit(
            "response.function_call_arguments.done", **_place(response, item, None), **done
        )
    elif item.spoken:
        session.emit("response.output_audio.done", **here)
        session.emit("response.output_audio_transcript.done", **here, transcript=item.said)
        part = {"type": "audio", "transcript": item.said}
        session.emit("response.content_part.done", **here, part=part)
    else:
        session.emit("response.output_text.done", **here, text=item.said)
        part = {"type": "text", "text": item.said}
        session.emit("response.content_part.done", **here, part=part)

    def conversation() -> None:
        if not response.private and not item.deleted:
            session.announce(item, "done")

    def output() -> None:
        index = here["output_index"]
        session.emit(
            "response.output_item.done",
            response_id=response.id,
            output_index=index,
            item=wire(item),
        )

    session.in_pairs(conversation, output)


def _place(response: Response, item: Item, content_index: int | None = 0) -> Json:
    """The fields that say where in a response something belongs."""
    place: Json = {"response_id": response.id, "item_id": item.id}
    place["output_index"] = response.output.index(item)
    return place if content_index is None else place | {"content_index": content_index}


async def _call(session: Session, response: Response, call: Call) -> None:
    item = Item(
        id=session.new_id("item"),
        type="function_call",
        status="in_progress",
        call_id=call.call_id or session.new_id("call"),
        name=call.name,
    )
    _open(session, response, item)
    for at in range(0, len(call.arguments), 12):
        piece = call.arguments[at : at + 12]
        item.arguments += piece
        session.emit(
            "response.function_call_arguments.delta",
            **_place(response, item, None),
            call_id=item.call_id,
            delta=piece,
        )
        await trio.sleep(0.01 / session.options.pace)
    _close(session, response, "completed")


async def _say(session: Session, response: Response, say: Say) -> bool:
    """Speak, or write. True when the token limit cut it short."""
    item = Item(
        id=session.new_id("item"), role="assistant", status="in_progress", spoken=response.spoken
    )
    item.phase = "final_answer" if session.options.decorated else None
    _open(session, response, item)
    here = _place(response, item)
    kind = "audio" if item.spoken else "text"
    part = {"type": "audio", "transcript": ""} if item.spoken else {"type": "text", "text": ""}
    session.emit("response.content_part.added", **here, part=part)
    if kind == "text":
        await _write(session, item, here, say.text)
        _close(session, response, "completed")
        return False
    cut = await _sound(session, response, item, say)
    _close(session, response, "incomplete" if cut else "completed")
    return cut


async def _write(session: Session, item: Item, here: Json, text: str) -> None:
    """Text comes in tokens: here some letters each, in no relation to words."""
    for at in range(0, len(text), _TOKEN_CHARS):
        piece = text[at : at + _TOKEN_CHARS]
        item.said += piece
        item.text = item.said
        session.emit("response.output_text.delta", **here, delta=piece)
        await trio.sleep(_TOKEN_S)


async def _sound(session: Session, response: Response, item: Item, say: Say) -> bool:
    here = _place(response, item)
    form: str = response.settings["audio"]["output"]["format"]["type"]
    audio = _audio(say, form)
    words = _words(say.text, len(audio))
    limit = response.settings["max_output_tokens"]
    sent = 0
    for delta in _deltas(audio, BYTES_PER_MS[form], session.options):
        # The transcript runs ahead of the audio that says it.
        while words and words[0][0] <= sent:
            _word(session, item, here, words.popleft()[1])
        fields: Json = {"delta": base64.b64encode(delta).decode()}
        if session.options.decorated:
            fields["obfuscation"] = "aZ3k"
        session.emit("response.output_audio.delta", **here, **fields)
        session.spoke = True
        ms = (sent + len(delta)) // BYTES_PER_MS[form] - sent // BYTES_PER_MS[form]
        sent += len(delta)
        item.grow(ms)
        response.audio_ms += ms
        if limit != "inf" and response.audio_ms >= limit * _AUDIO_TOKEN_MS:
            return True
        await trio.sleep(ms / 1000 / session.options.pace)
    for _, word in words:  # speech that is shorter than its words' places
        _word(session, item, here, word)
    return False


def _word(session: Session, item: Item, here: Json, word: str) -> None:
    item.said += word
    item.text = item.said if item.truncated_ms is None else ""
    session.emit("response.output_audio_transcript.delta", **here, delta=word)


def _audio(say: Say, form: str) -> bytes:
    """The speech in the session's output format."""
    ms = MS_PER_CHARACTER * len(say.text) if say.ms is None else say.ms
    pcm = tone(ms, say.hz) if say.pcm is None else say.pcm
    return to_mulaw(resample(pcm, MODEL_HZ, PHONE_HZ)) if form == "audio/pcmu" else pcm


def _words(text: str, size: int) -> deque[tuple[int, str]]:
    """Words with the byte of the audio at which each is due, evenly spread over two thirds."""
    words = re.findall(r"\S+\s*", text)
    return deque((size * 2 // 3 * n // len(words), word) for n, word in enumerate(words))


def _deltas(audio: bytes, bytes_per_ms: int, options: Options) -> Iterator[bytes]:
    lengths = itertools.cycle(options.delta_ms)
    at = 0
    while at < len(audio):
        # A noisy service splits samples in two.
        size = next(lengths) * bytes_per_ms + (1 if options.noisy else 0)
        yield audio[at : at + size]
        at += size


# ---- what it cost ---------------------------------------------------------------------------


def _usage(session: Session, response: Response) -> Json:
    """Token counts: the whole conversation in, with what the last response saw as cached."""
    config = session.config
    text, audio = text_tokens(config["instructions"]) + text_tokens(config["tools"]), 0
    for item in session.conversation:
        if item not in response.output:
            item_text, item_audio = tokens(item)
            text, audio = text + item_text, audio + item_audio
    cached_text, cached_audio = min(session.cached[0], text), min(session.cached[1], audio)
    session.cached = (text, audio)
    words = sum(text_tokens(item.said + item.arguments) for item in response.output)
    sound = -(-response.audio_ms // _AUDIO_TOKEN_MS)
    return {
        "total_tokens": text + audio + words + sound,
        "input_tokens": text + audio,
        "output_tokens": words + sound,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": cached_text + cached_audio,
            "cached_tokens_details": {
                "text_tokens": cached_text,
                "audio_tokens": cached_audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": words, "audio_tokens": sound},
    }
