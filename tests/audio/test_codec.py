"""Whole frames: each direction against its steps, in any pieces, with any nonsense in between."""

from __future__ import annotations

import base64
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio import (
    SILENCE_DB,
    ModelToPhone,
    PhoneToModel,
    codec,
    decode_ulaw,
    encode_ulaw,
    level_db,
    open_codec,
    payload,
    twin,
)
from relay.audio._native import ffi, lib
from relay.audio.frames import rises, silence
from relay.errors import AudioError, Misuse
from tests.audio.streams import Resampler, b64, cut, noise, samples, to_model, to_phone

SIZES = st.lists(st.integers(1, 4_000), min_size=1, max_size=8)
BAD_BASE64 = [
    "A",
    "AAA",
    "AA=A",
    "A*==",
    "AB==",
    "ÄÖÜß",
    "AAAA\n",
    "\ud800AAA",
    "AAAA" * 30 + "A===",
]


PEAKS = st.sampled_from([1, 12_000, 32_767])  # hardly a step, usual, and beyond what fits in


def mulaw_noise(n: int, seed: int = 1, peak: int = 12_000) -> bytes:
    return encode_ulaw(noise(n, seed, peak).tobytes())


def by_steps_up(mulaw: bytes) -> bytes:
    """Phone to model as the twin would have it: decode, resample in float, round. No flush."""
    wide = Resampler(up=True).process(samples(twin.decode_ulaw(mulaw)))
    return np.clip(np.rint(wide), -32768, 32767).astype("<i2").tobytes()


def by_steps_down(pcm: bytes) -> bytes:
    """Model to phone likewise: resample in float, round, encode; flushed."""
    narrow = Resampler(up=False).whole(samples(pcm))
    return twin.encode_ulaw(np.clip(np.rint(narrow), -32768, 32767).astype("<i2").tobytes())


# ---- phone to model -------------------------------------------------------------------------


class TestPhoneToModel:
    def test_frames_have_their_lengths_from_the_start(self) -> None:
        converter = PhoneToModel()
        frames = [converter.frame(payload(mulaw_noise(160, i))) for i in range(50)]
        lengths = [len(base64.b64decode(frame.audio)) // 2 for frame in frames]
        assert lengths == [360] + [480] * 49
        assert {frame.ms for frame in frames} == {20}

    @settings(deadline=None)
    @given(SIZES, PEAKS)
    def test_any_frames_equal_the_steps_one_by_one(self, sizes: list[int], peak: int) -> None:
        mulaw = mulaw_noise(5_000, peak=peak)
        assert to_model(mulaw, sizes) == by_steps_up(mulaw)

    def test_loudest_signal_clips_instead_of_wrapping(self) -> None:
        square = b"\x80" * 40 + b"\x00" * 40
        wide = samples(to_model(square * 50, [160])).astype(int)
        assert (wide.max(), wide.min()) == (32767, -32768)
        assert np.abs(np.diff(wide)).max() < 40_000  # a wrapped sample would jump by 65,535

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 50), max_size=60))
    def test_milliseconds_add_up_although_they_are_whole(self, sizes: list[int]) -> None:
        converter = PhoneToModel()
        frames = [converter.frame(payload(b"\xff" * size)) for size in sizes]
        assert sum(frame.ms for frame in frames) == sum(sizes) // 8

    def test_level_is_of_the_line(self) -> None:
        mulaw = mulaw_noise(160)
        frame = PhoneToModel().frame(payload(mulaw))
        assert frame.level_db == pytest.approx(level_db(mulaw), abs=1e-9)

    @pytest.mark.parametrize("audio_format", ["pcm", "pcmu"])
    @given(st.binary(max_size=400))
    def test_rises_are_counted_as_the_core_counts_them(
        self, audio_format: str, mulaw: bytes
    ) -> None:
        assert PhoneToModel(audio_format).frame(payload(mulaw)).rises == rises(mulaw)

    def test_silence_stays_silence(self) -> None:
        converter = PhoneToModel()
        for _ in range(5):
            frame = converter.frame(payload(silence(20)))
            assert frame.level_db == SILENCE_DB
            assert not any(base64.b64decode(frame.audio))

    def test_an_empty_payload_is_an_empty_frame(self) -> None:
        assert PhoneToModel().frame("") == ("", 0, SILENCE_DB, 0)

    @pytest.mark.parametrize("ms", [0, 1, 20, 155, 5_000])
    def test_a_gap_is_silence_through_the_same_stream(self, ms: int) -> None:
        before, after = mulaw_noise(800, 1), mulaw_noise(800, 2)
        converter = PhoneToModel()
        first = base64.b64decode(converter.frame(payload(before)).audio)
        gap = converter.gap(ms)
        last = base64.b64decode(converter.frame(payload(after)).audio)
        assert (gap.ms, gap.level_db) == (ms, SILENCE_DB)
        assert first + base64.b64decode(gap.audio) + last == by_steps_up(
            before + silence(ms) + after
        )


# ---- model to phone -------------------------------------------------------------------------


class TestModelToPhone:
    def test_deltas_have_their_lengths_from_the_start(self) -> None:
        converter = ModelToPhone()
        made = [len(converter.delta(b64(noise(480, i).tobytes()))[0]) for i in range(50)]
        assert made == [120] + [160] * 49
        assert len(converter.flush()) == 40

    @settings(deadline=None)
    @given(SIZES, PEAKS)
    def test_any_deltas_equal_the_steps_one_by_one(self, sizes: list[int], peak: int) -> None:
        """Odd sizes too: half a sample waits for the other half."""
        pcm = noise(8_000, peak=peak).tobytes()
        assert to_phone(pcm, sizes) == by_steps_down(pcm)

    def test_loudest_signal_clips_instead_of_wrapping(self) -> None:
        square = np.repeat(np.array([32767, -32768] * 100, "<i2"), 120)  # 100 Hz
        heard = samples(decode_ulaw(to_phone(square.tobytes(), [960])))
        assert (heard.max(), heard.min()) == (32124, -32124)  # G.711's largest
        settled = heard.reshape(-1, 40)[:, 10:30]
        assert (np.sign(settled) == np.array([[1], [-1]] * 100)).all()

    def test_one_byte_at_a_time(self) -> None:
        pcm = noise(900).tobytes()
        assert to_phone(pcm, [1]) == by_steps_down(pcm)

    def test_the_whole_item_at_once(self) -> None:
        pcm = noise(200_000).tobytes()
        assert to_phone(pcm, [len(pcm)]) == by_steps_down(pcm)

    @pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 479, 480, 481, 24_000, 24_001, 24_002])
    def test_an_item_is_a_third_as_long(self, n: int) -> None:
        assert len(to_phone(bytes(2 * n), [960])) == round(n / 3)

    def test_level_is_of_what_the_phone_will_hear(self) -> None:
        converter = ModelToPhone()
        for seed in range(3):
            mulaw, level = converter.delta(b64(noise(480, seed).tobytes()))
            assert level == pytest.approx(level_db(mulaw), abs=1e-9)

    def test_nothing_in_nothing_out(self) -> None:
        assert ModelToPhone().delta("") == (b"", SILENCE_DB)

    def test_half_a_sample_at_the_end_of_an_item_is_none(self) -> None:
        pcm = noise(960).tobytes()
        assert to_phone(pcm + b"\x7f", [333]) == to_phone(pcm, [333])

    @pytest.mark.parametrize("end", [ModelToPhone.flush, ModelToPhone.reset])
    @pytest.mark.parametrize("odd", [b"", b"\x7f"])
    def test_as_new_after(self, end: Callable[[ModelToPhone], object], odd: bytes) -> None:
        pcm = noise(2_000, 7).tobytes()
        converter = ModelToPhone()
        converter.delta(b64(noise(1_111, 8).tobytes() + odd))
        end(converter)
        assert to_phone(pcm, [960], converter) == to_phone(pcm, [960])


# ---- against others' arithmetic -------------------------------------------------------------


class TestAgainstNumpyAndSoxr:
    """The whole way, by G.711's own formula in floating point and libsoxr's best filter in double.

    Beyond 3.4 kHz the filters differ as they are meant to, so only what a telephone carries counts.
    """

    def expand(self, mulaw: bytes) -> np.ndarray:
        code = 255 - np.frombuffer(mulaw, np.uint8).astype(int)
        magnitude = (code % 16 * 2 + 33.0) * 2.0 ** (code // 16 % 8) - 33
        return np.where(code >= 128, -4, 4) * magnitude

    def voice(self, rate: int) -> np.ndarray:
        """Two seconds of tones up to 3.4 kHz that swell and fade."""
        at = np.arange(2 * rate) / rate
        phases = np.random.default_rng(11).uniform(0, 2 * np.pi, 60)
        tones = np.sin(2 * np.pi * np.linspace(110, 3_390, 60)[:, None] * at + phases[:, None])
        wave = tones.sum(axis=0) * np.hanning(len(at))
        return np.rint(wave / np.abs(wave).max() * 30_000)

    def error_db(self, ours: np.ndarray, theirs: np.ndarray, rate: int) -> float:
        """How far ours is from theirs up to 3.4 kHz."""
        window = np.hanning(len(ours))
        bins = np.fft.rfftfreq(len(ours), 1 / rate) <= 3_400
        error, signal = (np.fft.rfft(w * window)[bins] for w in (ours - theirs, theirs))
        return float(20 * np.log10(np.linalg.norm(error) / np.linalg.norm(signal)))

    @pytest.mark.parametrize("sizes", [[160], [7, 333, 1, 1_999]], ids=["20ms", "ragged"])
    def test_to_the_model(self, sizes: list[int]) -> None:
        mulaw = encode_ulaw(self.voice(8_000).astype("<i2").tobytes())
        theirs = soxr.resample(self.expand(mulaw), 8_000, 24_000, quality="VHQ")
        ours = samples(to_model(mulaw + silence(5), sizes))[: len(theirs)].astype(float)
        assert self.error_db(ours, theirs, 24_000) < -95  # 16 bits' own noise

    @pytest.mark.parametrize("sizes", [[960], [961, 1, 4_800, 37]], ids=["20ms", "ragged"])
    def test_to_the_phone(self, sizes: list[int]) -> None:
        wide = self.voice(24_000)
        theirs = soxr.resample(wide, 24_000, 8_000, quality="VHQ")
        ours = self.expand(to_phone(wide.astype("<i2").tobytes(), sizes))
        # Of mu-law; one that rounding to 16 bits takes over a border has the larger step.
        steps = 4.0 * 2.0 ** np.floor(np.log2(((np.abs(theirs) + 1) / 4 + 33) / 16))
        assert (np.abs(ours - theirs) <= steps / 2 + 1).all()


# ---- boundaries -----------------------------------------------------------------------------


class TestNoClick:
    """Nothing is heard where one item ends and the next begins, or where one was cut."""

    def hum(self, ms: int) -> bytes:
        """300 Hz at -9 dBFS, swelling and fading over 10 ms as speech does at the quickest."""
        n = 24 * ms
        fade = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / 240)
        wave = 16_000 * np.sin(2 * np.pi * 300 * np.arange(n) / 24_000) * fade
        return wave.astype("<i2").tobytes()

    def steepest(self, mulaw: bytes) -> int:
        """The largest step from sample to sample."""
        return int(np.abs(np.diff(samples(decode_ulaw(mulaw)).astype(int))).max())

    def test_between_items(self) -> None:
        converter = ModelToPhone()
        item = to_phone(self.hum(300), [960], converter)
        again = to_phone(self.hum(300), [4_801], converter)
        assert again == item
        assert self.steepest(item + again) == self.steepest(item)

    def test_after_a_cut(self) -> None:
        converter = ModelToPhone()
        for part in cut(self.hum(300)[: 24 * 2 * 150], [960]):
            converter.delta(b64(part))
        converter.reset()
        assert to_phone(self.hum(300), [960], converter) == to_phone(self.hum(300), [960])

    def test_inside_an_item_cut_into_deltas(self) -> None:
        """A steady tone in ragged deltas has no step that the tone itself has not."""
        wave = 16_000 * np.sin(2 * np.pi * 300 * np.arange(48_000) / 24_000)
        mulaw = to_phone(wave.astype("<i2").tobytes(), [961, 1, 4_800, 37])
        steepest = 16_000 * 2 * np.pi * 300 / 8_000
        half_a_step = 512  # of mu-law at this level
        assert self.steepest(mulaw[80:-80]) < steepest + 2 * half_a_step


# ---- nonsense -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", BAD_BASE64)
@pytest.mark.parametrize("audio_format", ["pcm", "pcmu"])
class TestBadBase64:
    def test_from_the_phone(self, audio_format: str, bad: str) -> None:
        mulaw = mulaw_noise(323)
        converter, undisturbed = PhoneToModel(audio_format), PhoneToModel(audio_format)
        for part in cut(mulaw, [161]):
            with pytest.raises(AudioError) as error:
                converter.frame(bad)
            assert error.value.kind == "bad_base64"
            assert converter.frame(payload(part)) == undisturbed.frame(payload(part))

    def test_from_the_model(self, audio_format: str, bad: str) -> None:
        converter, undisturbed = ModelToPhone(audio_format), ModelToPhone(audio_format)
        for part in cut(noise(1_500).tobytes(), [961]):
            with pytest.raises(AudioError) as error:
                converter.delta(bad)
            assert error.value.kind == "bad_base64"
            assert converter.delta(b64(part)) == undisturbed.delta(b64(part))


@pytest.mark.parametrize("audio_format", ["pcm", "pcmu"])
def test_a_message_beyond_reason_is_refused(audio_format: str) -> None:
    phone, model = open_codec(audio_format)
    for convert in (phone.frame, model.delta):
        with pytest.raises(AudioError, match="too_long"):
            convert("A" * (2**24 + 4))


def test_a_gap_beyond_reason_is_refused() -> None:
    with pytest.raises(AudioError, match="too_long"):
        PhoneToModel().gap(2**24)


@pytest.mark.parametrize("audio_format", ["pcm", "pcmu"])
def test_a_gap_of_less_than_nothing_is_our_bug(audio_format: str) -> None:
    with pytest.raises(Misuse):
        PhoneToModel(audio_format).gap(-1)


@pytest.mark.parametrize("audio_format", ["", "PCM", "pcma", "g711"])
def test_an_unknown_format_is_our_bug(audio_format: str) -> None:
    with pytest.raises(Misuse, match="audio format"):
        open_codec(audio_format)


def buffers() -> int:
    gc.collect()  # what earlier tests left
    return sum(type(each) is codec._Space for each in gc.get_objects())


def test_long_messages_do_not_stay_in_memory() -> None:
    phone, model = open_codec("pcm")
    before = buffers()
    phone.frame(payload(bytes(48_000)))
    model.delta(b64(bytes(480_000)))
    phone.gap(6_000)
    assert buffers() == before


def test_calls_of_one_thread_share_its_buffer() -> None:
    open_codec("pcm")[0].frame("")
    before = buffers()
    calls = [open_codec("pcm") for _ in range(20)]
    for phone, model in calls:
        phone.frame(payload(bytes(160)))
        model.delta(b64(bytes(9_600)))
        model.flush()
    assert buffers() == before


def test_what_others_have_converted_in_c_stays_until_it_is_read() -> None:
    first, second = open_codec("pcm")[0], open_codec("pcm")[0]
    sounds = [payload(mulaw_noise(160, seed)) for seed in (1, 2)]
    made = []
    for each, sound in zip((first, second), sounds, strict=True):
        stream, space = each.parts()
        assert each.parts()[1] == space
        made.append((space, lib.phone_frame(stream, sound.encode(), len(sound), space)))
    found = [ffi.buffer(space.buffer, n)[:].decode() for space, n in made]
    assert found == [open_codec("pcm")[0].frame(sound).audio for sound in sounds]


# ---- mu-law on both sides -------------------------------------------------------------------


class TestPassThrough:
    """REALTIME_AUDIO_FORMAT=pcmu: the same seams, and not a bit changed."""

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=10))
    def test_from_the_phone(self, parts: list[bytes]) -> None:
        converter, resampling = open_codec("pcmu")[0], open_codec("pcm")[0]
        for part in parts:
            frame, other = converter.frame(payload(part)), resampling.frame(payload(part))
            assert frame.audio == payload(part)
            assert (frame.ms, frame.level_db) == (other.ms, other.level_db)

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=300), max_size=10))
    def test_from_the_model(self, parts: list[bytes]) -> None:
        converter = open_codec("pcmu")[1]
        for part in parts:
            assert converter.delta(b64(part)) == (part, level_db(part))
        assert converter.flush() == b""
        converter.reset()

    @pytest.mark.parametrize("n", [2_000, 16_000, 70_000])
    def test_long_messages(self, n: int) -> None:
        phone, model = open_codec("pcmu")
        mulaw = mulaw_noise(n)
        assert phone.frame(payload(mulaw)).audio == payload(mulaw)
        assert model.delta(payload(mulaw))[0] == mulaw

    def test_a_gap(self) -> None:
        frame = PhoneToModel("pcmu").gap(60)
        assert frame == (payload(silence(60)), 60, SILENCE_DB, 0)


# ---- threads --------------------------------------------------------------------------------


def test_streams_of_different_calls_share_nothing() -> None:
    """Eight calls in eight threads, the GIL dropped at every frame, each gets its own audio."""

    def call(seed: int) -> tuple[bytes, bytes]:
        return (
            to_model(mulaw_noise(16_000, seed), [160]),
            to_phone(noise(48_000, seed).tobytes(), [960]),
        )

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [call(seed) for seed in range(8)]
