"""What 20 ms of a call cost, ours against what others do: `python bench/codec.py`.

    a  audioop        u-law tables in C, ratecv (linear interpolation, no filter)
    b  numpy + VHQ    u-law tables in numpy, a python-soxr VHQ stream: a popular framework's default
    c  numpy + vr     the same with python-soxr's variable-rate stream, which does not lump

Each takes what one wire carries and gives what the other wants, base64 on both ends: phone to model
is mu-law 8 kHz to PCM16 24 kHz, model to phone the reverse. All take turns on the same frames in
the same run, so that a busy machine hurts all of them; read the ratios, not the microseconds.

    cost      µs a 20 ms frame: median, mean and p99 over the frames of 20 s of speech. They are
              converted several times by new streams, and a frame's cost is the median of those: so
              a lump in a stream counts, and what else the machine did at that moment does not;
              what the clock itself takes is taken off
    delay     the most audio that is held back while frames of 20 ms come in
    gap       the longest wait from one output to the next (20 ms: something comes every frame)
    image     what is left of a 3,400 Hz tone's mirror image at 4,600 Hz, or of its alias, in dB

Writes bench/results/codec.json and codec.svg; with --check, exits 1 unless the goals are met.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from relay.audio import ModelToPhone, PhoneToModel, decode_ulaw, encode_ulaw, payload
from relay.sim.voice import speak, speak_pcm

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop  # 3.13: the package audioop-lts

Convert = Callable[[str], str]
HERE = Path(__file__).resolve().parent
FRAME_MS = 20
SECONDS = 20
TURN = 50  # frames
COLD = 3


# ---- the four -------------------------------------------------------------------------------


def ours() -> tuple[Convert, Convert]:
    phone, model = PhoneToModel(), ModelToPhone()
    return (
        lambda text: phone.frame(text).audio,
        lambda text: payload(model.delta(text)[0]),
    )


def with_audioop() -> tuple[Convert, Convert]:
    up_state = down_state = None

    def up(text: str) -> str:
        nonlocal up_state
        pcm = audioop.ulaw2lin(base64.b64decode(text), 2)
        pcm, up_state = audioop.ratecv(pcm, 2, 1, 8_000, 24_000, up_state)
        return base64.b64encode(pcm).decode()

    def down(text: str) -> str:
        nonlocal down_state
        pcm, down_state = audioop.ratecv(base64.b64decode(text), 2, 1, 24_000, 8_000, down_state)
        return base64.b64encode(audioop.lin2ulaw(pcm, 2)).decode()

    return up, down


DECODED = np.frombuffer(decode_ulaw(bytes(range(256))), "<i2")
ENCODED = np.frombuffer(encode_ulaw(np.arange(65_536, dtype="<u2").tobytes()), np.uint8)


def with_soxr(quality: str, *, vr: bool = False) -> tuple[Convert, Convert]:
    wide = soxr.ResampleStream(8_000, 24_000, 1, dtype="int16", quality=quality, vr=vr)
    narrow = soxr.ResampleStream(24_000, 8_000, 1, dtype="int16", quality=quality, vr=vr)

    def up(text: str) -> str:
        pcm = DECODED[np.frombuffer(base64.b64decode(text), np.uint8)]
        return base64.b64encode(wide.resample_chunk(pcm).tobytes()).decode()

    def down(text: str) -> str:
        pcm = narrow.resample_chunk(np.frombuffer(base64.b64decode(text), "<i2"))
        return base64.b64encode(ENCODED[pcm.view(np.uint16)].tobytes()).decode()

    return up, down


CONTENDERS: dict[str, Callable[[], tuple[Convert, Convert]]] = {
    "ours": ours,
    "a  audioop": with_audioop,
    "b  numpy + VHQ": lambda: with_soxr("VHQ"),
    "c  numpy + vr": lambda: with_soxr("HQ", vr=True),
}


# ---- what goes in ---------------------------------------------------------------------------


def texts(data: bytes, size: int) -> list[str]:
    """data in whole frames of size bytes, each as base64."""
    whole = len(data) // size * size
    return [base64.b64encode(data[at : at + size]).decode() for at in range(0, whole, size)]


def recording() -> tuple[list[str], list[str]]:
    """Twenty seconds of the demo's voice as the phone and as the model would send them."""
    sentences = (
        "what are your hours on tuesday",
        "please book a haircut on friday at three",
        "we are open from nine to five on thursday",
        "no thank you that is all goodbye",
    )
    mulaw = b"".join(speak(sentence) for sentence in sentences)
    pcm = b"".join(speak_pcm(sentence) for sentence in sentences)
    return texts((mulaw * 4)[: SECONDS * 8_000], 160), texts((pcm * 4)[: SECONDS * 48_000], 960)


# ---- what each holds back -------------------------------------------------------------------


@dataclass(frozen=True)
class Wait:
    """Of a stream that is fed 20 ms at a time, in ms."""

    delay_ms: float
    gap_ms: int


def wait(convert: Convert, frames: list[str], bytes_per_ms: int) -> Wait:
    """Feed frames and keep account of what has come out. bytes_per_ms is the output's."""
    out_ms = delay_ms = 0.0
    last_ms = gap_ms = now_ms = 0
    for frame in frames:
        now_ms += FRAME_MS
        made = len(base64.b64decode(convert(frame))) / bytes_per_ms
        out_ms += made
        delay_ms = max(delay_ms, now_ms - out_ms)
        if made:
            gap_ms, last_ms = max(gap_ms, now_ms - last_ms), now_ms
    return Wait(round(delay_ms, 2), gap_ms)


def waits(name: str, phone: list[str], model: list[str]) -> tuple[Wait, Wait]:
    up, down = CONTENDERS[name]()
    return wait(up, phone, 48), wait(down, model, 8)


# ---- what each lets through -----------------------------------------------------------------

LINE_HZ = 3_391.0  # a tone that the line carries; its image and its alias's source is 4,609 Hz
FLOOR_DB = -90.0  # below this mu-law's own noise rules


def tone(hz: float, rate: int) -> bytes:
    wave = 16_000 * np.sin(2 * np.pi * hz * np.arange(4 * rate) / rate)
    return wave.astype("<i2").tobytes()


def level_at(pcm: bytes, hz: float, rate: int) -> float:
    """dB of one tone in a signal, relative to the tones above; its first second is skipped."""
    signal = np.frombuffer(pcm, "<i2")[rate:].astype(np.float64)
    window = np.kaiser(len(signal), 16)
    probe = np.exp(-2j * np.pi * hz * np.arange(len(signal)) / rate)
    level = 2 * abs(np.dot(signal * window, probe)) / window.sum() / 16_000
    return max(FLOOR_DB, float(20 * np.log10(level + 1e-9)))


def ghosts(name: str) -> tuple[float, float]:
    """The image of LINE_HZ going up and its alias coming down, in dB."""
    up, down = CONTENDERS[name]()
    line = encode_ulaw(tone(LINE_HZ, 8_000))
    wide = b"".join(base64.b64decode(up(text)) for text in texts(line, 160))
    high = tone(8_000 - LINE_HZ, 24_000)
    narrow = b"".join(base64.b64decode(down(text)) for text in texts(high, 960))
    return (
        level_at(wide, 8_000 - LINE_HZ, 24_000),
        level_at(decode_ulaw(narrow), LINE_HZ, 8_000),
    )


# ---- what each costs ------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """µs a frame of 20 ms."""

    median: float
    mean: float
    p99: float


Nanoseconds = npt.NDArray[np.int64]


def spend(convert: Convert, frames: list[str], into: Nanoseconds) -> None:
    clock = time.perf_counter_ns
    for index, frame in enumerate(frames):
        before = clock()
        convert(frame)
        into[index] = clock() - before


def cost(spent: Nanoseconds) -> Cost:
    """spent is rounds x frames; the first frames of each turn find the caches cold and stay out."""
    each = np.median(spent, axis=0).reshape(-1, TURN)[:, COLD:].ravel() / 1_000
    return Cost(*(round(float(us), 3) for us in (np.median(each), each.mean(), p99(each))))


def p99(values: npt.NDArray[Any]) -> float:
    return float(np.quantile(values, 0.99))


def of_the_clock(frames: list[str]) -> int:
    """ns that spend() finds in a function that does nothing."""
    spent = np.zeros(len(frames), np.int64)
    spend(lambda text: text, frames, spent)
    return int(np.median(spent))


def costs(phone: list[str], model: list[str], rounds: int) -> dict[str, tuple[Cost, Cost]]:
    """All contenders in turns of a second, `rounds` times over the whole recording."""
    spent = {name: np.zeros((2, rounds, len(phone)), np.int64) for name in CONTENDERS}
    gc.disable()
    for turn in range(rounds):
        converters = {name: make() for name, make in CONTENDERS.items()}
        for at in range(0, len(phone), TURN):
            now = slice(at, at + TURN)
            for name, (up, down) in converters.items():
                spend(up, phone[now], spent[name][0, turn, now])
                spend(down, model[now], spent[name][1, turn, now])
    clock = of_the_clock(phone)
    gc.enable()
    return {name: (cost(both[0] - clock), cost(both[1] - clock)) for name, both in spent.items()}


# ---- the report -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    name: str
    up: Cost
    down: Cost
    up_wait: Wait
    down_wait: Wait
    image_db: float
    alias_db: float

    @property
    def mean(self) -> float:
        return self.up.mean + self.down.mean

    @property
    def delay_ms(self) -> float:
        return max(self.up_wait.delay_ms, self.down_wait.delay_ms)


def measure(rounds: int) -> list[Row]:
    phone, model = recording()
    spent = costs(phone, model, rounds)
    return [
        Row(name, *spent[name], *waits(name, phone, model), *ghosts(name)) for name in CONTENDERS
    ]


def table(rows: list[Row]) -> str:
    head = (
        f"{'':16}{'phone to model, µs':>24}{'model to phone, µs':>24}{'both':>8}"
        f"{'delay':>8}{'gap':>6}{'image':>7}{'alias':>7}\n"
        f"{'':16}" + f"{'median':>8}{'mean':>8}{'p99':>8}" * 2 + f"{'mean':>8}"
        f"{'ms':>8}{'ms':>6}{'dB':>7}{'dB':>7}"
    )
    lines = [
        f"{row.name:16}"
        + "".join(
            f"{cost.median:8.2f}{cost.mean:8.2f}{cost.p99:8.2f}" for cost in (row.up, row.down)
        )
        + f"{row.mean:8.2f}{row.delay_ms:8.1f}"
        + f"{max(row.up_wait.gap_ms, row.down_wait.gap_ms):6}"
        + f"{row.image_db:7.0f}{row.alias_db:7.0f}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def goals(rows: list[Row]) -> list[tuple[str, float, str, float, bool]]:
    """What, measured, comparison, wanted, reached."""
    our, a, b, _ = rows
    wanted = [
        ("mean cost of a / ours", a.mean / our.mean, ">=", 2.0),
        ("mean cost of b / ours", b.mean / our.mean, ">=", 2.5),
        ("p99 of b / ours, phone to model", b.up.p99 / our.up.p99, ">=", 4.0),
        ("p99 of b / ours, model to phone", b.down.p99 / our.down.p99, ">=", 4.0),
        ("our delay, ms", our.delay_ms, "<=", 5.0),
    ]
    return [
        (what, round(got, 2), sign, want, got >= want if sign == ">=" else got <= want)
        for what, got, sign, want in wanted
    ]


def picture(rows: list[Row]) -> str:
    """Delay against cost: down and to the left is better."""
    width, height, left, bottom = 640, 380, 70, 330
    most_us = max(row.mean for row in rows) * 1.2
    most_ms = max(row.delay_ms for row in rows) * 1.15

    def x(us: float) -> float:
        return left + us / most_us * (width - left - 30)

    def y(ms: float) -> float:
        return bottom - ms / most_ms * (bottom - 40)

    def text(at_x: float, at_y: float, anchor: str, words: object, colour: str = "#444") -> str:
        return (
            f'<text x="{at_x:.0f}" y="{at_y:.0f}" text-anchor="{anchor}" fill="{colour}">'
            f"{words}</text>"
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" ',
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{left} 30V{bottom}H{width - 20}" fill="none" stroke="#444"/>',
        text(width / 2, height - 12, "middle", "cost of 20 ms, both directions, mean µs"),
        text(left - 8, 22, "start", "delay, ms"),
        *(text(x(us), bottom + 18, "middle", us) for us in range(0, int(most_us) + 1, 10)),
        *(text(left - 8, y(ms) + 4, "end", ms) for ms in range(0, int(most_ms) + 1, 25)),
    ]
    for row in rows:
        colour = "#0a7d4b" if row.name == "ours" else "#666"
        no_filter = ", no filter" if row.image_db > -40 else ""
        label = f"{row.name}: {row.mean:.1f} µs, {row.delay_ms:.1f} ms{no_filter}"
        at_x, at_y = x(row.mean), y(row.delay_ms)
        anchor, shift = ("end", -12) if at_x > width / 2 else ("start", 12)
        parts.append(f'<circle cx="{at_x:.0f}" cy="{at_y:.0f}" r="6" fill="{colour}"/>')
        parts.append(
            text(at_x + shift, at_y - (18 if row.name == "ours" else 9), anchor, label, colour)
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Benchmark the codec against three others.")
    parser.add_argument("--rounds", type=int, default=15, help="times 20 s of speech (15)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where files go")
    parser.add_argument("--check", action="store_true", help="fail unless the goals are met")
    arguments = parser.parse_args()

    rows = measure(arguments.rounds)
    results = goals(rows)
    print(table(rows), end="\n\n")
    for what, got, sign, want, reached in results:
        print(f"{'reached' if reached else 'MISSED':8} {what}: {got} ({sign} {want})")

    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "frames": arguments.rounds * SECONDS * 1_000 // FRAME_MS,
        "rows": [asdict(row) for row in rows],
        "goals": [
            dict(zip(("what", "measured", "sign", "wanted", "reached"), result, strict=True))
            for result in results
        ],
    }
    (arguments.out / "codec.json").write_text(json.dumps(report, indent=2) + "\n")
    (arguments.out / "codec.svg").write_text(picture(rows))
    print(f"\nwritten: {arguments.out / 'codec.json'}, {arguments.out / 'codec.svg'}")
    return 1 if arguments.check and not all(result[-1] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
