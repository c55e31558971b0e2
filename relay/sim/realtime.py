"""The Realtime API, simulated: one session over one socket.

    here, there = memory_pair()
    session = Session(Options(...))
    nursery.start_soon(partial(serve_session, there, Scripted(...), session=session))

    client's event ─▶ judge ─▶ config · input · items · response ─▶ queue ─▶ writer ─▶ socket

Client events are taken strictly one after the other, as the service does. Responses and
transcripts are tasks beside that. realtime_listen.py puts this behind a real port.
"""

from __future__ import annotations

import json
from functools import partial
from typing import NoReturn

import trio

from relay.errors import Misuse, SocketClosed
from relay.ports import Socket
from relay.sim import realtime_response as responses
from relay.sim.brains import Brain
from relay.sim.realtime_config import Fault, Json, fault_in, merged
from relay.sim.realtime_input import Input
from relay.sim.realtime_items import read, wire
from relay.sim.realtime_session import Closing, Droppable, Logged, Options, Response, Session

__all__ = ["Fault", "Logged", "Options", "Response", "Session", "serve_session"]

SEND_S = 30.0  # a client that reads nothing for so long is gone


async def serve_session(
    socket: Socket,
    brain: Brain,
    *,
    options: Options | None = None,
    session: Session | None = None,
) -> Session:
    """Serve one session until either end closes. Returns it; pass one in to watch it meanwhile.

    Raises nothing because of the client. What the brain raises comes through.
    """
    session = session or Session(options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_write, session, socket, nursery.cancel_scope)
        await _Server(session, brain, nursery).run(socket)
        nursery.cancel_scope.cancel()
    return session


async def _write(session: Session, socket: Socket, all_of_it: trio.CancelScope) -> None:
    """Empty the queue. Ends the session when it closes the socket or finds it gone."""
    async for entry in session.queue:
        if isinstance(entry, Closing):
            session.closed = session.closed or entry.code
            await _close(socket, entry)
            break
        if isinstance(entry, trio.Event):
            await entry.wait()
            continue
        try:
            with trio.fail_after(SEND_S):
                await socket.send(entry if isinstance(entry, str) else json.dumps(entry))
        except (SocketClosed, trio.TooSlowError):
            break
    all_of_it.cancel()


async def _close(socket: Socket, how: Closing) -> None:
    if how.code != 1006:
        await socket.aclose(how.code, how.reason)
    elif isinstance(socket, Droppable):
        socket.drop()
    else:
        raise Misuse("this socket cannot die without a goodbye: it has no drop()")


async def _ignore(socket: Socket) -> NoReturn:
    while True:
        await socket.receive()


class _Server:
    """The session's reader: judges the client's events and carries them out."""

    def __init__(self, session: Session, brain: Brain, nursery: trio.Nursery) -> None:
        self.session = session
        self.brain = brain
        self.nursery = nursery
        self.input = Input(
            session,
            brain,
            nursery,
            want_response=partial(self.respond, {}, None),
            interrupt=partial(self.cancel, reason="turn_detected"),
        )

    def respond(self, params: Json, event_id: str | None) -> None:
        responses.create(self.session, self.brain, self.nursery, params, event_id)

    def cancel(self, response: Response, *, reason: str) -> None:
        responses.cancel(self.session, self.nursery, response, reason)

    async def run(self, socket: Socket) -> None:
        session = self.session
        with trio.move_on_after(session.options.session_s) as life:
            try:
                if session.options.hang:
                    await _ignore(socket)
                await self._greet()
                while True:
                    message = await socket.receive()
                    if not session.thawed.is_set():
                        await session.thawed.wait()
                    await self._take(message)
            except SocketClosed as gone:
                session.closed = session.closed or gone.code
        if life.cancelled_caught:
            message = "Your session hit the maximum duration of 60 minutes."
            session.refuse(Fault("session_expired", message), None)
            session.close(1001, "session_expired")
            await trio.sleep_forever()  # the writer ends the session

    async def _greet(self) -> None:
        """Say `session.created`, before anything of the client's is looked at."""
        session = self.session
        await trio.sleep(session.options.created_s)
        session.config["expires_at"] = int(trio.current_time() + session.options.session_s)
        session.emit("session.created", session=session.config)
        if session.options.noisy:
            session.emit("session.mood.updated", mood="cheerful")

    # ---- the client's events ------------------------------------------------------------------

    async def _take(self, message: str | bytes) -> None:
        session = self.session
        try:
            event = json.loads(message) if isinstance(message, str) else None
        except ValueError:
            event = None
        if not isinstance(event, dict):
            session.violations.append("not a JSON object in a text message")
            session.refuse(Fault("invalid_event", "Expected a JSON object as text."), None)
            return
        kind, event_id = event.get("type"), event.get("event_id")
        if kind == "input_audio_buffer.append" and event.keys() <= {"type", "audio", "event_id"}:
            session.hear_of({**event, "audio": ""})
            fault = self.input.append(event.get("audio"))
        else:
            session.hear_of(event)
            if kind == "session.update":
                await trio.sleep(session.options.update_s)
            fault = self._judge(event) or self._obey(str(kind), event)
        if fault:
            session.refuse(fault, event_id if isinstance(event_id, str) else None)

    def _judge(self, event: Json) -> Fault | None:
        fault = fault_in(event)
        if fault:
            self.session.violations.append(f"{event.get('type')}: {fault.message}")
        return fault

    def _obey(self, kind: str, event: Json) -> Fault | None:
        match kind:
            case "session.update":
                return self._update(event["session"])
            case "input_audio_buffer.commit":
                return self.input.commit()
            case "input_audio_buffer.clear":
                self.input.clear()
            case "conversation.item.create":
                return self._create(event)
            case "conversation.item.retrieve":
                return self._retrieve(event["item_id"])
            case "conversation.item.truncate":
                return self._truncate(event["item_id"], event["audio_end_ms"])
            case "conversation.item.delete":
                return self._delete(event["item_id"])
            case "response.create":
                self.respond(event.get("response") or {}, event.get("event_id"))
            case "response.cancel":
                return self._cancel(event.get("response_id"))
            case _:
                return Fault("invalid_value", f"Nothing is done here on '{kind}'.", "type")
        return None

    def _update(self, update: Json) -> Fault | None:
        session = self.session
        if session.options.refuse_update:
            return session.options.refuse_update
        after = merged(session.config, update, spoke=session.spoke)
        if isinstance(after, Fault):
            return after
        if any(after[key] != session.config[key] for key in ("instructions", "tools")):
            session.cached = (0, 0)
        session.config = after
        self.input.reconfigure()
        session.emit("session.updated", session=after)
        return None

    def _cancel(self, response_id: str | None) -> Fault | None:
        running = [r for r in self.session.responses if r.id == response_id and not r.over]
        response = self.session.active if response_id is None else next(iter(running), None)
        if response is None:
            return Fault("response_cancel_not_active", "Cancellation failed: no active response.")
        self.cancel(response, reason="client_cancelled")
        return None

    # ---- items ------------------------------------------------------------------------------

    def _create(self, event: Json) -> Fault | None:
        session = self.session
        sent, after = event["item"], event.get("previous_item_id")
        item = read(sent.get("id") or session.new_id("item"), sent)
        if item.id in session.items:
            return Fault("invalid_value", f"Item '{item.id}' already exists.", "item.id")
        if any(part.get("type") == "output_audio" for part in sent.get("content") or []):
            return Fault("invalid_value", "Assistant audio cannot be created.", "item.content")
        if item.type == "function_call_output":
            calls = {each.call_id for each in session.items.values() if each.name}
            if item.call_id not in calls:
                message = f"Tool call ID '{item.call_id}' not found in conversation."
                return Fault("invalid_tool_call_id", message, "item.call_id")
            if item.call_id in session.outputs():
                session.violations.append(f"a second output for {item.call_id}")
        if after == "root":
            session.add_first(item)
        elif after is not None and after not in session.order:
            return self._no_item(after)
        else:
            session.add(item, after=after)
        session.announce(item, "added", "done")
        return None

    def _retrieve(self, item_id: str) -> Fault | None:
        if item_id not in self.session.order:
            fault = self._no_item(item_id)
            return Fault("item_retrieve_invalid_item_id", fault.message, "item_id")
        self.session.emit("conversation.item.retrieved", item=wire(self.session.items[item_id]))
        return None

    def _truncate(self, item_id: str, audio_end_ms: int) -> Fault | None:
        if item_id not in self.session.order:
            return self._no_item(item_id)
        item = self.session.items[item_id]
        if not (item.role == "assistant" and item.spoken and item.generated_ms):
            message = "Only model output audio messages can be truncated."
            return Fault("unsupported_content_type", message, "item_id")
        if not 0 <= audio_end_ms <= item.audio_ms:
            message = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
            self.session.violations.append(f"truncate: {message}")
            return Fault("invalid_value", message, "audio_end_ms")
        item.truncate(audio_end_ms)
        self.session.emit(
            "conversation.item.truncated",
            item_id=item_id,
            content_index=0,
            audio_end_ms=audio_end_ms,
        )
        return None

    def _delete(self, item_id: str) -> Fault | None:
        if item_id not in self.session.order:
            return self._no_item(item_id)
        self.session.order.remove(item_id)
        self.session.items[item_id].deleted = True
        self.session.emit("conversation.item.deleted", item_id=item_id)
        return None

    def _no_item(self, item_id: str) -> Fault:
        return Fault("invalid_value", f"Item with id '{item_id}' not found.", "item_id")
