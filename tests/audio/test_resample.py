"""The resampler by itself, in float: what it keeps, what it refuses, and how long it waits.

The numbers that matter, in both directions: flat to 3.4 kHz, nothing mirrored beyond 4.6 kHz, 5 ms
of delay for whole frames, and the same samples however they were cut.
"""

from __future__ import annotations

import ctypes
from typing import ClassVar

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio._native import ffi, lib
from tests.audio.streams import Floats, Resampler, noise

UP, DOWN = True, False
BOTH = pytest.mark.parametrize("up", [UP, DOWN], ids=["up", "down"])
LEVEL = 0.9


def rates(up: bool) -> tuple[int, int]:
    return (8_000, 24_000) if up else (24_000, 8_000)


def tone(hz: float, rate: int, seconds: float = 0.5) -> Floats:
    at = np.arange(int(rate * seconds)) / rate
    return (LEVEL * np.sin(2 * np.pi * hz * at)).astype(np.float32)


def spectrum_db(signal: Floats, rate: int) -> tuple[Floats, Floats]:
    """Frequencies, and dB relative to the tone that went in. The ends, where it began, are cut."""
    settled = signal[len(signal) // 6 : -len(signal) // 6].astype(np.float64)
    window = np.kaiser(len(settled), 24)  # side lobes below -180 dB
    level = np.abs(np.fft.rfft(settled * window)) / window.sum() * 2 / LEVEL
    return np.fft.rfftfreq(len(settled), 1 / rate), 20 * np.log10(level + 1e-12)


# ---- counts and delay -----------------------------------------------------------------------


@BOTH
def test_samples_balance_once_flushed(up: bool) -> None:
    stream = Resampler(up)
    for n in [*range(400), 1_000, 1_001, 1_002, 47_999, 48_000]:
        expected = 3 * n if up else round(n / 3)
        assert len(stream.whole(np.zeros(n))) == expected


@BOTH
@pytest.mark.parametrize("frame_ms", [5, 10, 20, 40, 60, 100])
def test_whole_frames_come_after_a_constant_5_ms(up: bool, frame_ms: int) -> None:
    rate_in, rate_out = rates(up)
    stream = Resampler(up)
    n, due = rate_in * frame_ms // 1000, rate_out * frame_ms // 1000
    made = [len(stream.process(np.zeros(n))) for _ in range(200)]
    assert made == [due - rate_out // 200] + [due] * 199


@BOTH
def test_odd_frames_never_wait_8_ms(up: bool) -> None:
    rate_in, rate_out = rates(up)
    stream = Resampler(up)
    taken = made = 0
    for n in np.random.default_rng(5).integers(1, rate_in // 30, 500):
        made += len(stream.process(np.zeros(n)))
        taken += int(n)
        assert taken / rate_in - made / rate_out < 0.008


@BOTH
def test_an_impulse_comes_out_where_it_went_in_and_symmetrical(up: bool) -> None:
    impulse = np.zeros(2_400)
    impulse[1_200] = 1.0
    out = Resampler(up).whole(impulse)
    peak = int(np.argmax(out))
    assert peak == (3_600 if up else 400)
    np.testing.assert_allclose(out[peak - 60 : peak], out[peak + 60 : peak : -1], atol=2e-7)


# ---- cutting --------------------------------------------------------------------------------


@BOTH
@settings(deadline=None)
@given(data=st.data())
def test_any_chunking_gives_the_same_bits(up: bool, data: st.DataObject) -> None:
    seconds_2 = 2 * rates(up)[0]
    pieces = data.draw(st.lists(st.integers(1, 40) | st.integers(1, seconds_2), max_size=12))
    signal = noise(sum(pieces), seed=len(pieces))
    stream = Resampler(up)
    parts = [stream.process(part) for part in np.split(signal, np.cumsum(pieces)[:-1])]
    parts.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(parts), Resampler(up).whole(signal))


@BOTH
def test_one_sample_at_a_time_gives_the_same_bits(up: bool) -> None:
    signal = noise(3_000)
    stream = Resampler(up)
    parts = [stream.process(signal[i : i + 1]) for i in range(len(signal))]
    np.testing.assert_array_equal(
        np.concatenate([*parts, stream.flush()]), Resampler(up).whole(signal)
    )


def allocated_bytes() -> int:
    """What malloc has given out."""
    fields = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"

    class Info(ctypes.Structure):
        _fields_: ClassVar = [(name, ctypes.c_size_t) for name in fields.split()]

    told = ctypes.CDLL(None).mallinfo2
    told.restype = Info
    info = told()
    return int(info.uordblks + info.hblkhd)


@BOTH
def test_flushed_and_cleared_streams_are_as_new(up: bool) -> None:
    signal = noise(5_003)
    new = Resampler(up).whole(signal)
    stream = Resampler(up)
    stream.whole(noise(777, seed=2))
    np.testing.assert_array_equal(stream.whole(signal), new)
    stream.process(noise(778, seed=3))
    stream.clear()
    np.testing.assert_array_equal(stream.whole(signal), new)


def test_too_little_room_is_refused_and_the_stream_recovers() -> None:
    stream = lib.resample_open(1)
    zeros = ffi.from_buffer("float[]", bytearray(4 * 1_600))
    out = ffi.from_buffer("float[]", bytearray(4 * 4_800))
    assert lib.resample_process(stream, zeros, 1_600, out, 100) == -1
    lib.resample_clear(stream)
    assert lib.resample_process(stream, zeros, 160, out, 4_800) == 360
    assert lib.resample_flush(stream, out, 120) == -1  # full: there might be more
    lib.resample_close(stream)


# ---- what passes and what does not ----------------------------------------------------------


def gain_db(signal: Floats, hz: float, rate: int) -> float:
    """The level of one tone in a signal, fitted to its settled part."""
    skip = len(signal) // 6
    at = 2 * np.pi * hz * np.arange(skip, len(signal) - skip) / rate
    parts = np.stack([np.sin(at), np.cos(at)], axis=1)
    fit, *_ = np.linalg.lstsq(parts, signal[skip:-skip].astype(np.float64), rcond=None)
    return float(20 * np.log10(np.hypot(*fit) / LEVEL))


@BOTH
def test_flat_to_3400_hz(up: bool) -> None:
    rate_in, rate_out = rates(up)
    stream = Resampler(up)
    gains = [gain_db(stream.whole(tone(hz, rate_in)), hz, rate_out) for hz in range(50, 3_401, 50)]
    assert max(map(abs, gains)) < 0.001  # 0.05 is what was asked for


def test_no_image_from_4600_hz() -> None:
    """Upwards, a tone at f leaves images at 8 kHz - f and beyond."""
    stream = Resampler(UP)
    for hz in range(50, 3_401, 50):
        frequency, level = spectrum_db(stream.whole(tone(hz, 8_000)), 24_000)
        assert level[frequency >= 4_590].max() < -104, hz


def test_no_alias_from_4600_hz() -> None:
    """Downwards, a tone at f folds to 8 kHz - f and the like: nothing may be left anywhere."""
    stream = Resampler(DOWN)
    for hz in range(4_600, 11_951, 50):
        _, level = spectrum_db(stream.whole(tone(hz, 24_000)), 8_000)
        assert level.max() < -104, hz  # -100 is what was asked for


@BOTH
def test_equals_soxr_vhq_to_90_db(up: bool) -> None:
    rate_in, rate_out = rates(up)
    at = np.arange(3 * rate_in) / rate_in
    phases = np.random.default_rng(3).uniform(0, 2 * np.pi, 89)
    signal = sum(
        np.sin(2 * np.pi * hz * at + phase)
        for hz, phase in zip(np.linspace(100, 3_400, 89), phases, strict=True)
    )
    signal = (signal / np.abs(signal).max() * np.hanning(len(at))).astype(np.float32)
    oracle = soxr.resample(signal, rate_in, rate_out, quality="VHQ").astype(np.float64)
    error = Resampler(up).whole(signal) - oracle
    assert 10 * np.log10(np.sum(oracle**2) / np.sum(error**2)) > 110  # 90 is what was asked for


# ---- 16 bits --------------------------------------------------------------------------------


def test_rounding_to_16_bits_is_to_even_and_clips() -> None:
    values = [0.5, 1.5, -0.5, -1.5, 2.4999, 32766.5, 32767.4, 32768.0, 4e4, -32768.5, -4e4, 1e6]
    expected = [0, 2, 0, -2, 2, 32766, 32767, 32767, 32767, -32768, -32768, 32767]
    for lead in range(9):  # every place in a group of eight, and behind it
        samples = np.array([0.0] * lead + values, np.float32)
        out = bytearray(2 * len(samples))
        lib.pcm_from_float(
            ffi.from_buffer("float[]", samples), len(samples), ffi.from_buffer("int16_t[]", out)
        )
        assert np.frombuffer(out, "<i2").tolist() == [0] * lead + expected


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc tells")
@BOTH
def test_a_stream_that_holds_nothing_back_takes_next_to_no_memory(up: bool) -> None:
    before = allocated_bytes()
    if not before:
        pytest.skip("a sanitizer's malloc keeps no accounts")
    streams = [Resampler(up) for _ in range(20)]
    for number, stream in enumerate(streams):
        stream.process(noise(1_000))
        stream.clear() if number % 2 else stream.flush()
    assert allocated_bytes() - before < 20 * 4_096
    for stream in streams:
        stream.process(noise(1_000))
    assert allocated_bytes() - before > 20 * 16_384  # so it would have been seen
