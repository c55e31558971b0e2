"""The flight recorder: what a call's core was told and what it said, in one small file.

    Session.feed ─▶ Flight.handle ─▶ Call.handle          every step becomes a line
                        └─▶ Tape (memory, gzip, bounded) ─▶ a file, when the call is over

Nothing is written to a disk while the call lives: a step costs some microseconds, and a tape never
outgrows its bound; when that is reached the recording ends with a marker and the call goes on.

Words are personal. What was said before the caller had heard the notice is not written, here as in
the transcript: such words are veiled, letter by letter, wherever they come up again, so that a
replay still cuts them at the same place. Sound is left out unless it is asked for, and before the
notice in any case. A pause of the call's recording is treated alike. Of a call whose caller refused
to be recorded no file is made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from relay import __version__
from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call
from relay.core.policy import CallPolicy, Clip
from relay.core.records import OwnerNotice, ToolCalled, TranscriptLine
from relay.shell.recording import FORMAT, Head, clip_facts, pack, to_line, veil
from relay.shell.tape import Tape

log = structlog.get_logger("relay.recorder")

# A disk that takes longer loses the file: the call's place is needed.
WRITE_S: Final = 2.0
# Files at once, each in a thread: a disk that hangs takes no thread from the journal.
WRITERS: Final = 2

Handle = Callable[[on.Event, float], list[do.Command]]
Write = Callable[[str, bytes], None]
RunSync = Callable[[Callable[[], None]], Awaitable[None]]


def into_folder(folder: Path) -> Write:
    """Files in a folder that only their owner reads. Raises OSError when it cannot be written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"no files can be made in {folder}")

    def write(name: str, data: bytes) -> None:
        part = folder / f".{name}.part"  # a name appears only once its file is whole
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        part.replace(folder / name)

    return write


@dataclass(frozen=True, slots=True)
class Recorder:
    """How the calls of a process are recorded.

    write: puts a file away under a name; may block, may raise OSError
    max_bytes: the largest file; a call takes as much memory while it lives
    audio: keep the sound of the events, from the heard notice on
    run_sync: runs `write`; in a thread unless given
    """

    write: Write
    max_bytes: int
    audio: bool = False
    run_sync: RunSync | None = None
    _writers: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(WRITERS))

    def begin(
        self,
        call: Call,
        policy: CallPolicy,
        clips: Mapping[str, Clip],
        *,
        call_sid: str,
        opened_at: float,
        started_at: datetime,
    ) -> Flight:
        """Record a call that was opened at this moment, on the core's clock and in UTC."""
        facts = clip_facts(clips)
        head = Head(FORMAT, __version__, call_sid, started_at, opened_at, self.audio, policy, facts)
        return Flight(call, head, Tape(self.max_bytes))

    async def keep(self, flight: Flight) -> None:
        """Put a recording away. Never raises; takes WRITE_S at most, in a cancelled call too."""
        data = flight.close()
        if flight.refused:
            log.info("= no flight recording: the caller refused")
            return
        write = partial(self.write, flight.name, data)
        try:
            with trio.move_on_after(WRITE_S, shield=True) as scope:
                await (self.run_sync or self._in_thread)(write)
        except OSError as fault:
            log.warning("recording not written", error=str(fault))
            return
        if scope.cancelled_caught:
            log.warning("recording not written", error="the disk is too slow")

    async def _in_thread(self, write: Callable[[], None]) -> None:
        await trio.to_thread.run_sync(write, abandon_on_cancel=True, limiter=self._writers)


class Flight:
    """The recording of one living call: stands before its core and passes everything on."""

    def __init__(self, call: Call, head: Head, tape: Tape) -> None:
        self.name = f"{head.started_at:%Y%m%dT%H%M%S.%f}-{_harmless(head.call_sid)}.jsonl.gz"
        self._call = call
        self._audio = head.audio
        self._tape = tape
        self._over = ""
        self._deadline: float | None = None
        self._unheard: set[str] = (
            set()
        )  # items of the caller that began before the notice was heard
        self._veiled: set[str] = set()  # items whose words are veiled
        self._veils = False  # whether any ever were
        self._begun = ""  # an utterance that is not over yet
        self._hushed: set[str] = set()  # functions that were called in a pause
        self._write(head)

    def handle(self, event: on.Event, now: float) -> list[do.Command]:
        """Call.handle, recorded, even if it raises."""
        if self._over:
            return self._call.handle(event, now)
        packed = self._pack(event)
        commands: list[do.Command] | None = None
        try:
            commands = self._call.handle(event, now)
        finally:
            self._step(now, packed, commands)
        return commands

    @property
    def refused(self) -> bool:
        """Whether the caller wants nothing of the call to be kept."""
        return self._call.refused

    def close(self) -> bytes:
        """The whole file."""
        return self._tape.close(to_line(["over", self._over or "ended"]))

    def _step(self, now: float, event: object, commands: list[do.Command] | None) -> None:
        said = None if commands is None else [pack(self._veil(each)) for each in commands]
        deadline = self._call.deadline
        step = [now, event, said]
        if deadline != self._deadline:
            self._deadline = deadline
            step.append(deadline)
        self._write(step)

    def _write(self, value: object) -> None:
        try:
            line = to_line(value)
        except UnicodeEncodeError:
            self._over = "unwritable"
            return
        if not self._tape.write(line):
            self._over = "full"

    # ---- what must not be written -----------------------------------------------------------

    def _pack(self, event: on.Event) -> object:
        match event:
            case on.CallerAudio() | on.CallerPassed() | on.AgentAudio():
                if isinstance(event, on.AgentAudio) and not self._call.keeps_words:
                    self._unheard.add(event.item_id)
                return pack(event, audio=self._audio and self._call.keeps_words)
            case on.KeyPressed(digit) if self._call.paused and digit != "0":
                self._veils = (
                    True  # a lone 0 asks for a human; of the others only the number counts
                )
                return pack(on.KeyPressed("#"))
            case on.FunctionCalled(arguments=arguments) if self._call.paused:
                self._hushed.add(event.call_id)
                return pack(replace(event, arguments=veil(arguments)))
            case on.InputCommitted():
                self._begun = ""
            case on.PauseAsked() if self._begun:
                self._unheard.add(self._begun)
            case on.SpeechStarted(item_id):
                self._begun = item_id
                self._unheard.discard(item_id)
                if not self._call.keeps_words:
                    self._unheard.add(item_id)
            case on.AgentText(_, item_id):  # a text that began to be veiled is so to its end
                if item_id in self._veiled or not self._call.keeps_words:
                    self._veiled.add(item_id)
                    self._veils = True
                    return pack(replace(event, text=veil(event.text)))
            case (
                on.CallerTranscribed(item_id)
                | on.AgentTranscribed(_, item_id)
                | on.AgentWrote(item_id=item_id)
            ):
                hushed = item_id in self._veiled or not self._call.keeps_words
                written = isinstance(event, on.AgentWrote) and hushed
                self._veiled.discard(item_id)
                before = (
                    item_id in self._unheard or written or not self._call.statistics().notice_heard
                )
                if before and event.text.strip():
                    self._veiled.add(item_id)
                    self._veils = True
                    return pack(replace(event, text=veil(event.text)))
        return pack(event)

    def _veil(self, command: do.Command) -> do.Command:
        """The same words in what came of them: a row, or the story as a new session is told it."""
        match command:
            case do.AddText("user" | "assistant") if self._veils:
                return replace(command, text=veil(command.text))
            case do.SayText(item_id=item_id) if item_id in self._veiled:
                return replace(command, text=veil(command.text))
            case do.CreateResponse() if self._veils:  # "say exactly these words"
                return replace(command, instructions=veil(command.instructions))
            case do.AddText("system") if self._hushed:
                return replace(command, text=veil(command.text))
            case do.RunTool(call_id=call_id) if call_id in self._hushed:
                return replace(command, arguments=veil(command.arguments))
            case do.Keep(ToolCalled(call_id=call_id) as row) if call_id in self._hushed:
                return do.Keep(replace(row, arguments=veil(row.arguments)))
            case do.Keep(OwnerNotice(kind="flagged") as row) if self._veils:
                return do.Keep(replace(row, text=veil(row.text)))
            case do.BriefHuman() if self._veils:
                return replace(command, summary=veil(command.summary))
            case do.Keep(TranscriptLine(item_id=item_id) as row) if item_id in self._veiled:
                generated, heard = veil(row.generated_text), veil(row.heard_text)
                return do.Keep(replace(row, generated_text=generated, heard_text=heard))
        return command


def _harmless(name: str) -> str:
    """A peer's word as part of a file's name."""
    return re.sub(r"[^0-9A-Za-z]", "", name)[:64] or "call"
