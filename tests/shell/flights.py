"""Flight recordings in tests: in memory, without threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from relay.core import commands as do
from relay.core import events as on
from relay.core.call import Call
from relay.core.policy import CallPolicy, Clip
from relay.shell.kit import CallKit
from relay.shell.recorder import Flight, Recorder
from relay.shell.recording import Recording, parse
from tests.core.driver import EFFECTS, Driver, clips
from tests.shell.house import inline

SOME_TIME = datetime(2026, 11, 23, 15, tzinfo=UTC)


@dataclass
class Shelf:
    """Where a recorder puts its files: name and bytes, in the order of their calls' ends."""

    files: dict[str, bytes] = field(default_factory=dict)

    def recorder(self, max_bytes: int = 4_000_000, *, audio: bool = False) -> Recorder:
        return Recorder(self.files.__setitem__, max_bytes, audio, inline)

    def kit(self, kit: CallKit) -> CallKit:
        """The same kit, whose calls are recorded."""
        return replace(kit, recorder=self.recorder())

    def newest(self) -> Recording:
        """The recording of the call that ended last."""
        *_, data = self.files.values()
        return parse(data)


def recorded(
    call: Call,
    policy: CallPolicy,
    spoken: Mapping[str, Clip],
    *,
    max_bytes: int = 4_000_000,
    audio: bool = False,
) -> Flight:
    """A core before which a flight recorder stands, opened at 0."""
    recorder = Shelf().recorder(max_bytes, audio=audio)
    return recorder.begin(call, policy, spoken, call_sid="CA1", opened_at=0.0, started_at=SOME_TIME)


def landed(flight: Flight) -> Recording:
    """The end of a recording, read back."""
    return parse(flight.close())


class Recorded(Driver):
    """A driven call with a flight recorder before its core."""

    def __init__(self, *, echo: bool = True, audio: bool = False, **policy: object) -> None:
        super().__init__(echo=echo, **policy)
        values: dict[str, object] = {"effects": EFFECTS, **policy}
        self.flight = recorded(
            self.call,
            CallPolicy(**values),  # type: ignore[arg-type]
            clips(),
            audio=audio,
        )

    def feed(self, *events: on.Event) -> list[do.Command]:
        out: list[do.Command] = []
        for event in events:
            for command in self.flight.handle(event, self.now):
                self.log.append((self.now, command))
                out.append(command)
                self._play(command)
        return out
