"""<Record>: a voicemail. A beep, then what is said until a hang-up, a key, silence or the limit.

Where nothing was said there is no recording, and the next verb follows. Otherwise `action` is
asked, even when the caller hung up: then `Digits` says "hangup" and its answer is not performed.
"""

from __future__ import annotations

from functools import partial

import trio

from relay.sim.line import FRAME, RATE
from relay.sim.person import AUDIBLE_DB
from relay.sim.twilio_call import Ask
from relay.sim.twilio_conductor import Conductor, told_at
from relay.sim.twilio_recordings import Recording, follow
from relay.sim.twilio_verbs import Record
from relay.sim.ulaw import loudness_db, tone

BEEP = tone(1400, 500)


async def record(conductor: Conductor, verb: Record, url: str) -> Ask | None:
    """Record what the caller says. Returns where that is told; None falls through."""
    call = conductor.call
    status = told_at(url, verb.status)
    action = conductor.action(verb.action or url, verb.method, url)
    call.line.pressed.clear()
    if verb.beep:
        await conductor.while_up(conductor.sound, BEEP, "beep")
    recording = Recording(call, "RecordVerb", status=status)
    conductor.account.recordings[recording.sid] = recording
    conductor.posts.start_soon(follow, recording, partial(conductor.tell, call.courier, status))
    call.log.add("recording", recording.sid)
    ear = _Ear(conductor, verb)
    key = await conductor.while_up(ear.listen)
    recording.stop(ear.voice_until if verb.trim or ear.silent else None)
    call.log.add("recorded", f"{recording.duration_s} s")
    if ear.silent:
        return None
    form = {
        "Digits": key if key is not None else "hangup",
        "RecordingDuration": str(recording.duration_s),
        "RecordingSid": recording.sid,
        "RecordingUrl": recording.url,
    }
    return await conductor.follow(action, form)


class _Ear:
    """Listens for a voice and for keys. voice_until: the sample behind the last voice."""

    def __init__(self, conductor: Conductor, verb: Record) -> None:
        self.line, self.verb = conductor.call.line, verb
        self.began = self.voice_until = self.line.sample()

    @property
    def silent(self) -> bool:
        return self.voice_until == self.began

    async def listen(self) -> str:
        """Returns the key that ended it, "" if silence or the limit did."""
        at = self.began
        while at - self.began < self.verb.max_length_s * RATE:
            await trio.sleep_until(self.line.time(at + FRAME))
            if loudness_db(self.line.spoken(at, at + FRAME)) > AUDIBLE_DB:
                self.voice_until = at + FRAME
            at += FRAME
            while self.line.pressed:
                key = self.line.pressed.popleft()
                if key in self.verb.finish_on_key:
                    return key
            if at - self.voice_until >= self.verb.timeout_s * RATE:
                break
        return ""
