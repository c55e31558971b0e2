"""One call: a nursery around one core.

    phone.py  ┐                                  ┌ phone outbox ─▶ writer ─▶ Twilio
    model.py  ├─▶ feed(event) ─▶ Call ─▶ route ──┼ model outbox ─▶ writer ─▶ OpenAI
    alarm     │                                  ├ tools · journal · codec reset
    tools     ┘                                  └ end

`feed` is synchronous, and so is all of `route`: it sends without waiting and starts tasks. A step
is atomic, and no lock is needed. Nothing here decides anything; failures are events too.

`run_call` is one of the three places that catch broadly: a bug in one call ends that call alone,
loudly, and its caller goes to the fallback.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

import outcome
import structlog
import trio

from relay.audio import PhoneToModel
from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call, Statistics
from relay.core.moving import RESUME
from relay.errors import Misuse
from relay.ports import Socket
from relay.shell.alarm import Alarm
from relay.shell.bill import Bill
from relay.shell.humans import CallDesk
from relay.shell.kit import CallFacts, CallKit
from relay.shell.left_behind import Choose, LeftBehind
from relay.shell.model_side import ModelSide
from relay.shell.notes import Notes
from relay.shell.outbox import Outbox
from relay.shell.phone import Way, read_phone
from relay.shell.recorder import Flight
from relay.shell.recordings import CallRecording
from relay.shell.tool_runner import run_tool
from relay.shell.voice_side import VoiceSide
from relay.wire import twilio

log = structlog.get_logger("relay.call")

# Twilio takes 1.4 s of audio ahead, 24 messages; this is far more than ever waits for a live peer.
PHONE_OUTBOX = 256
# After the call's end, sockets say goodbye within this, or are dropped.
WIND_DOWN_S = 2.0
# What is kept of a call that moves has this long to reach the database: nothing is heard meanwhile.
HAND_ON_S = 1.0

# What these tell does not depend on what the caller's side has said in the last half second.
OF_OUR_SOUND = frozenset({on.AgentAudio, on.MarkEchoed})

BEGINS = on.CallResumed()  # the past of a call that has none


async def run_call(
    phone: Socket,
    *,
    call_sid: str,
    kit: CallKit,
    choose: Choose,
    past: on.CallResumed = BEGINS,
) -> None:
    """Run one call to its end. Never raises because of the call.

    phone: the stream's socket, not yet started
    call_sid: the call that the stream's ticket was for
    choose: told synchronously what `after-stream` shall do, before we close the stream
    past: what the call has come to in streams before this one
    """
    if past.recording:
        kit.recordings.adopt(call_sid, past.recording)
    if past.notices:
        kit.intents.owner_knows(call_sid, past.notices[-1])
    with structlog.contextvars.bound_contextvars(call_sid=call_sid):
        session = Session(phone, call_sid, kit, choose, past)
        try:
            await session.run()
        except Exception:
            log.exception("call failed")
            session.abandon()
            await phone.aclose(1011, "relay error")
        finally:
            session.let_go()
            await session.keep_recording()
        log.info("call over", **session.summary())
        kit.meter.over(session.statistics())


class Session:
    """The one mutable object of a call's shell."""

    def __init__(
        self, phone: Socket, call_sid: str, kit: CallKit, choose: Choose, past: on.CallResumed
    ) -> None:
        self._time = trio.lowlevel.current_clock().current_time
        now = self._time()
        self._phone = phone
        self._kit = kit
        self._left = LeftBehind(kit, call_sid, choose, past.returns)
        self._past = past
        self._call = Call(kit.policy, kit.clips, now=now)
        self._handle = self._call.handle
        self._flight: Flight | None = None
        self._alarm = Alarm()
        self._to_model = PhoneToModel(kit.audio_format)
        self._phone_out = Outbox(PHONE_OUTBOX)
        self._model = ModelSide(kit)
        self._way = Way()
        self._events: deque[on.Event] = deque()
        self._feeding = False
        self._notes = Notes(kit)
        self._over = False
        self._bill = Bill(kit.purse)
        self._voice = VoiceSide(kit.voice)
        self._staying = trio.CancelScope()
        self._facts = CallFacts(call_sid)
        self._stream_sid = ""
        self._nursery: trio.Nursery | None = None
        if kit.recorder is not None:
            self._flight = kit.recorder.begin(
                self._call,
                kit.policy,
                kit.clips,
                call_sid=call_sid,
                opened_at=now,
                started_at=kit.wall_clock(),
            )
            self._handle = self._flight.handle

    async def run(self) -> None:
        # The nursery's own scope is what ends a call whose sockets do not: see _end.
        try:
            with self._bill.open():
                await self._run_tasks()
        finally:
            self._over = True
            self._voice.let_go()

    async def _run_tasks(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._bill.watch, self.feed)
            self._nursery.start_soon(self._alarm.run, lambda: self.feed(on.DeadlinePassed()))
            self._nursery.start_soon(self._write_phone)
            if self._past != BEGINS:
                self.feed(self._past)
            self._nursery.start_soon(self._stay)
            self._alarm.set(self._call.deadline)
            await read_phone(self._phone, self._to_model, self._facts.call_sid, self, self._way)

    def statistics(self) -> Statistics:
        """What the core has seen so far."""
        return self._call.statistics()

    def summary(self) -> dict[str, object]:
        """For the one log line at a call's end."""
        seen = self._call.statistics()
        return {
            "seconds": round(self._left.lasted_s, 1),
            "answers": seen.answers,
            "barge_ins": seen.barge_ins,
            "phase": seen.phase,
            "notice_heard": seen.notice_heard,
            "dropped_audio_ms": seen.dropped_audio_ms,
        }

    def abandon(self) -> None:
        """The call broke: its caller goes to the fallback, and its rows say so."""
        self._left.abandon(self._call.statistics())

    def let_go(self) -> None:
        """The stream is over: no human rings for a caller who has left."""
        joining = self._left.disposition == "join"
        self._kit.humans.left(self._facts.call_sid, joining=joining)

    async def keep_recording(self) -> None:
        """Put the flight recording away, if one was made."""
        if self._kit.recorder is not None and self._flight is not None:
            await self._kit.recorder.keep(self._flight)

    # ---- the turning point ------------------------------------------------------------------

    def feed(self, event: on.Event) -> None:
        """Give the core one event and carry out what it says. Synchronous, so a step is atomic."""
        if self._feeding:
            self._events.append(event)  # route() met a full outbox: its event follows this step
            return
        if type(event) not in OF_OUR_SOUND:
            self.catch_up()
        if isinstance(event, on.PhoneStarted):
            self._introduce(event)
        self._carry_out(self._handle(event, self._time()))

    def hear(self, sound: on.CallerAudio | on.CallerPassed) -> None:
        """`feed`, for what comes all the time, and mostly leaves nothing to be done."""
        if self._feeding:
            self._events.append(sound)
            return
        if type(sound) is on.CallerAudio:
            self.catch_up()
        now = self._time()
        if commands := self._handle(sound, now):
            self._carry_out(commands)
        if self._call.expects_model(now):
            self._model.doubt(now)

    def speak(self, sound: on.AgentAudio) -> None:
        """`feed`, for the model's voice: mostly it waits for its time, and nothing is to be done.

        What begins in a silence is sent at once. So a step that says nothing changes no lane.
        """
        if self._feeding:
            self._events.append(sound)
        elif commands := self._handle(sound, self._time()):
            self._carry_out(commands)
        else:
            self._alarm.set(self._call.deadline)

    def tell(self, event: on.Event) -> None:
        """`feed`, for who is no task of this call, or would take what it raises for their own.

        Never raises: a bug ends this call, by its own task.
        """
        if self._over:
            return
        result = outcome.capture(self.feed, event)
        if isinstance(result, outcome.Error):
            self._start(self._fail, result)
        del result  # its traceback leads to this frame: a cycle, which all of the call hangs on

    async def _fail(self, result: outcome.Error) -> None:
        result.unwrap()

    def catch_up(self) -> None:
        """Hear what went on to the model already, before what the caller's side says later."""
        if (echoed := self._way.echoed()) is not None:
            self.feed(echoed)
        if (passed := self._way.passed()) is not None:
            self.hear(passed)

    def _carry_out(self, commands: list[do.Command]) -> None:
        """Carry out what a step says, and the steps that follow from that."""
        self._feeding = True
        try:
            self._route_all(commands)
            while self._events:
                self._route_all(self._handle(self._events.popleft(), self._time()))
        finally:
            self._feeding = False
        self._model.outbox.flush()
        self._phone_out.flush()
        call = self._call
        lane = self._model.outbox.lane if call.hears_at_once else None
        self._way.lead(lane, alert_db=call.alert_db, awaited=call.awaited)
        self._alarm.set(call.deadline)

    def _route_all(self, commands: list[do.Command]) -> None:
        for command in commands:
            if type(command) is do.SendAudio:
                if self._phone_out.play(self._stream_sid, command.mulaw, command.mark):
                    continue  # the agent's speech, framed in C
            elif type(command) is do.AppendAudio and self._model.outbox.append(command.audio):
                continue  # a caller's frame, as well
            self._route(command)
        spent = self._call.spent
        if spent != self._bill.paid and (day := self._bill.pay(spent)) is not None:
            self._events.append(day)

    async def _stay(self) -> None:
        """Tell the core when the process no longer has the time for this call."""
        with self._staying:
            await self._kit.moving.wait()
            self.feed(on.MoveAsked())

    def _introduce(self, event: on.PhoneStarted) -> None:
        """Learn who calls whom, before anything is done for them."""
        parameters = event.parameters
        self._stream_sid = event.stream_sid
        self._facts = CallFacts(
            self._facts.call_sid,
            parameters.get("caller", ""),
            parameters.get("called", ""),
            human="human" in parameters,
        )
        self._model.introduce(self._facts)
        log.info("call began", **{"pii.caller": self._facts.caller})

    def _route(self, command: do.Command) -> None:
        match command:
            case do.SendAudio() | do.ClearPhone():
                for text in twilio.render(command, self._stream_sid):
                    self._posted("phone", self._phone_out.post(text))
            case (
                do.AppendAudio()
                | do.ConfigureModel()
                | do.SetTurnSilence()
                | do.CommitAudio()
                | do.AddText()
                | do.CreateResponse()
                | do.CreateText()
                | do.AskPrivately()
                | do.CancelResponse()
                | do.TruncateItem()
                | do.DeleteItem()
                | do.PostToolOutput()
            ):
                self._posted("model", self._model.tell(command))
            case do.RetellAudio(mulaw):
                self._posted("model", self._model.retell(mulaw))
            case do.DialModel(hard):
                self._facts = replace(self._facts, hard=hard)
                self._model.dial(self._facts, self, self._running())
            case do.CloseModel():
                self._model.close()
            case do.OpenVoice():
                self._voice.open(self.feed, self._running())
            case do.CloseVoice():
                self._voice.close()
            case do.SayText():
                self._voice.say(command)
            case do.DropText(item_id):
                self._voice.drop(item_id)
            case do.ClosePhone(disposition, reason):
                self._left.choose(disposition)
                self._start(self._close_phone, disposition, reason)
            case do.BriefHuman(attempt, summary):
                self._kit.humans.brief(attempt, summary)
            case do.DropHuman(attempt):
                self._kit.humans.drop(attempt)
            case do.StartRecording():
                self._kit.recordings.start(self._facts.call_sid)
            case do.PauseRecording():
                self._kit.recordings.pause(self._facts.call_sid)
            case do.ResumeRecording():
                self._kit.recordings.resume(self._facts.call_sid)
            case do.DropRecording():
                self._kit.recordings.refuse(self._facts.call_sid)
            case do.ResetCodec():
                self._model.codec.reset()
            case do.RunTool():
                self._start(self._run_tool, command)
            case do.Keep(record):
                self._left.keep(record)
            case do.Note(kind, detail):
                self._notes.note(kind, detail)
            case do.EndCall():
                self._end()
            case _:
                assert_never(command)

    async def _close_phone(self, disposition: str, reason: str) -> None:
        """Close the stream. What was kept of a call that moves is there first, to be read."""
        if disposition == RESUME:
            with trio.move_on_after(HAND_ON_S):
                await self._kit.journal.drained()
        await self._phone.aclose(1000, reason)

    def _posted(self, side: str, there_was_room: bool) -> None:
        if not there_was_room:
            self._events.append(on.OutboxFull(side))

    def _start(self, task: Callable[..., object], *args: object) -> None:
        self._running().start_soon(task, *args)  # type: ignore[arg-type]

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise Misuse("the call does not run")
        return self._nursery

    async def _write_phone(self) -> None:
        if not await self._phone_out.run(self._phone):
            self.feed(on.OutboxFull("phone"))

    async def _run_tool(self, command: do.RunTool) -> None:
        kit, call_sid = self._kit, self._facts.call_sid
        await run_tool(
            kit.tools[command.name],
            command,
            business=kit.business,
            human=self._desk(),
            recording=CallRecording(kit.recordings, call_sid, self.tell, kit.journal.flushed),
            caller=self._facts.caller,
            call_sid=call_sid,
            intents=kit.intents,
            tell=self.feed,
        )

    def _desk(self) -> CallDesk:
        facts = self._facts
        return CallDesk(self._kit.humans, facts.call_sid, self.tell, facts.human)

    def _end(self) -> None:
        """Nothing more will come of this call: wind down, at most WIND_DOWN_S."""
        self._alarm.stop()
        self._bill.stop()
        self._staying.cancel()
        self._phone_out.close()
        self._model.close()
        self._voice.close()
        if self._nursery is not None:
            self._nursery.cancel_scope.deadline = trio.current_time() + WIND_DOWN_S
        self._start(self._phone.aclose)
