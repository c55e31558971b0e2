"""What both ends of a call saw, put together into delays. Pure.

Everything is paired by counting, since neither end can write on the frames:

    inbound   the caller's frame n is 20 ms of line, so it is at the model with the first append
              that brings what was appended to 20 (n + 1) ms, less the filter's tail. Frames that
              were held back because the session was not ready yet don't count.
              Each time the caller begins to speak, the sound itself must stand where the count
              says: how far it is off is the figure `probe`, without which nothing here is proven
    outbound  the k-th delta of an answer is at the phone with the first media that takes the
              bytes of this answer beyond what the deltas before it made. Only those within the
              lead are forwarded as they come; later ones wait on purpose
    answer    from the caller's last voiced frame to the answer's first media; `answer, ours` is
              without what the model took: to prove the silence, and to think
    tool      from a function call to the `response.create` behind its answer; `tool turn` is from
              the caller's last voiced frame to the first media of what is then said
    barge-in  from the caller's first voiced frame over an answer to `clear`; `barge-in, ours`
              counts from the frame that made the proof complete; `silence` is when the last of the
              answer was heard, which is later if anything of it is sent behind `clear`
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final, TypeAlias

FRAME_MS: Final = 20
MODEL_BYTES_PER_MS: Final = 48
PHONE_BYTES_PER_MS: Final = 8
FILTER_MS: Final = 5  # what the resampler holds back, in both directions
# Deltas that end this early are forwarded at once: the lead is 1300 ms, a chunk 100 ms.
AT_ONCE_MS: Final = 1000
UNDER_WAY: Final = 50  # frames that a caller who hangs up may leave on their way
SHORT_MS: Final = 20  # that the last answer, which is heard out, may be shorter than it was told

Report: TypeAlias = Mapping[str, Any]


@dataclass(slots=True)
class Delays:
    """Milliseconds, many of each. missing: what should have happened and was not seen."""

    of: dict[str, list[float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def add(self, name: str, *values: float) -> None:
        self.of.setdefault(name, []).extend(values)


def join(
    phones: Sequence[Report],
    models: Sequence[Report],
    *,
    proof_frames: int,
    names: Mapping[str, str],
) -> Delays:
    """Pair all calls of a stage.

    proof_frames: voiced frames in a row that prove a barge-in
    names: what the model knows each caller as
    """
    delays = Delays()
    sessions = {session["caller"]: session for session in models}
    for phone in phones:
        delays.missing += phone["missing"]
        if not phone["media"]:
            continue
        delays.add("greeting", 1000 * (phone["media"][0][0] - phone["started"]))
        delays.add("webhook", 1000 * phone["webhook"])
        if not phone["knocks"]:
            delays.add("gap", *(phone["gaps"] or [0.0]))
            session = sessions.get(names[phone["caller"]])
            if session is None or not session["appends"]:
                delays.missing.append("a call that never got to the model")
            else:
                _conversation(delays, phone, session, proof_frames)
    return delays


def _conversation(delays: Delays, phone: Report, model: Report, proof_frames: int) -> None:
    arrivals = arrivals_of(phone["frames"], model["appends"])
    delays.add("inbound", *_inbound(phone["frames"], arrivals, model["appends"][0][0]))
    if sum(came is None for came in arrivals) > UNDER_WAY:
        delays.missing.append("a second of a caller's sound at the model")
    runs = voiced_runs(phone["voiced"])
    for run, onset in zip(runs, model["onsets"], strict=False):
        delays.add("probe", abs(onset / MODEL_BYTES_PER_MS - run[0] * FRAME_MS))
    if len(runs) != len(model["onsets"]):
        delays.missing.append("an utterance at the model")
    answers = _answers(model)
    delays.add("tool", *(1000 * answer.tool_s for answer in answers if answer.tool_s is not None))
    for number, run in enumerate(runs):
        answer = next((a for a in answers if a.stopped > phone["frames"][run[1]]), None)
        if answer is None or arrivals[run[1]] is None:
            delays.missing.append("an answer")
        else:
            _answered(delays, phone, run, arrivals[run[1]] or 0.0, answer)
            if run is runs[-1] and _short_ms(phone, answer) > SHORT_MS:
                delays.missing.append("the end of an answer")
        if number:
            _interrupted(delays, phone, run, proof_frames, answers)


def voiced_runs(voiced: Sequence[int]) -> list[tuple[int, int]]:
    """First and last frame of each stretch of consecutive frames."""
    runs: list[tuple[int, int]] = []
    for frame in voiced:
        if runs and frame == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs


# ---- the caller's frames --------------------------------------------------------------------


def arrivals_of(
    frames: Sequence[float], appends: Sequence[tuple[float, int]]
) -> list[float | None]:
    """When each frame of a caller was at the model; None: not before the end."""
    reached = list(accumulate(size for _, size in appends))
    wanted = [((n + 1) * FRAME_MS - FILTER_MS) * MODEL_BYTES_PER_MS for n in range(len(frames))]
    return [
        appends[at][0] if (at := bisect_left(reached, size)) < len(reached) else None
        for size in wanted
    ]


def _inbound(
    frames: Sequence[float], arrivals: Sequence[float | None], ready: float
) -> Iterator[float]:
    for sent, came in zip(frames, arrivals, strict=True):
        if came is not None and sent > ready:
            yield 1000 * (came - sent)


# ---- the model's answers --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """One turn at the model: silence proven, response wanted, and its deltas (when, bytes).

    tool_s: how long the relay took for the function that the model called first; None: it did not
    """

    stopped: float
    created: float
    deltas: list[tuple[float, int]]
    tool_s: float | None = None


def _answers(model: Report) -> list[_Answer]:
    answers = []
    created = model["created"]
    for stopped in model["stopped"]:
        number, tool_s = bisect_right(created, stopped), None
        for called in model["called"]:
            if number + 1 < len(created) and created[number] < called < created[number + 1]:
                number, tool_s = number + 1, created[number + 1] - called
                break
        deltas = [(at, size) for at, response, size in model["deltas"] if response == number + 1]
        if number < len(created) and deltas:
            answers.append(_Answer(stopped, created[number], deltas, tool_s))
    return answers


def _answered(
    delays: Delays, phone: Report, run: tuple[int, int], heard_by_model: float, answer: _Answer
) -> None:
    said, first_delta = phone["frames"][run[1]], answer.deltas[0][0]
    media = phone["media"][bisect_left(phone["media"], first_delta, key=itemgetter(0)) :]
    if not media:
        delays.missing.append("the media of an answer")
        return
    total = media[0][0] - said
    delays.add("outbound", *_outbound(answer.deltas, media))
    if answer.tool_s is not None:
        delays.add("tool turn", 1000 * total)
        return
    models = (answer.stopped - heard_by_model) + (first_delta - answer.created)
    delays.add("answer", 1000 * total)
    delays.add("answer, ours", 1000 * (total - models))
    delays.add("turn", 1000 * (answer.created - answer.stopped))


def _short_ms(phone: Report, answer: _Answer) -> float:
    """How much of a call's last answer was never sent to the caller."""
    told = sum(size for _, size in answer.deltas) / MODEL_BYTES_PER_MS
    heard = sum(size for at, size in phone["media"] if at >= answer.deltas[0][0])
    return float(told - heard / PHONE_BYTES_PER_MS)


def _outbound(
    deltas: Sequence[tuple[float, int]], media: Sequence[Sequence[float]]
) -> Iterator[float]:
    """media: from the answer's first on."""
    reached = list(accumulate(int(size) for _, size in media))
    before_ms = 0.0
    for number, (sent, size) in enumerate(deltas):
        ends_ms = before_ms + size / MODEL_BYTES_PER_MS
        if ends_ms > AT_ONCE_MS:
            return
        made = max(0.0, before_ms - (FILTER_MS if number else 0)) * PHONE_BYTES_PER_MS
        at = bisect_right(reached, made)
        if at < len(media):
            yield 1000 * (media[at][0] - sent)
        before_ms = ends_ms


def _interrupted(
    delays: Delays,
    phone: Report,
    run: tuple[int, int],
    proof_frames: int,
    answers: Sequence[_Answer],
) -> None:
    first, last = phone["frames"][run[0]], phone["frames"][run[1]]
    clear = next((at for at in phone["clears"] if first < at < last + 1.0), None)
    if clear is None:
        delays.missing.append("clear for an interruption")
        return
    proven = phone["frames"][run[0] + proof_frames - 1]
    delays.add("barge-in", 1000 * (clear - first))
    delays.add("barge-in, ours", 1000 * (clear - proven))
    next_at = min((a.deltas[0][0] for a in answers if a.deltas[0][0] > clear), default=clear)
    ends = clear
    for at, size in phone["media"]:
        if clear < at < next_at:
            ends = max(ends, at) + size / (1000 * PHONE_BYTES_PER_MS)
    delays.add("silence", 1000 * (ends - first))
