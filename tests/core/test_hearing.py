"""The ear alone: frames in, proof out. Laws by property, habits by example."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.hearing import (
    ECHO_MARGIN_DB,
    ECHO_MAX_DB,
    ECHO_MIN_DB,
    FLOOR_MAX_DB,
    FLOOR_MIN_DB,
    VOICE_MAX_DB,
    VOICE_MIN_DB,
    Ear,
)
from relay.core.policy import CallPolicy

POLICY = CallPolicy()
NOBODY = -100.0  # our own level while we are silent
VOWEL, HISS = 8, 30  # rises in 20 ms
LEVELS = st.floats(-100.0, 0.0)
FRAMES = st.lists(st.tuples(LEVELS, LEVELS, st.integers(0, 80)), max_size=120)


class Line:
    """An ear and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ear = Ear(
            margin_db=POLICY.voice_margin_db,
            echo_gain_db=POLICY.echo_gain_db,
            voice_range_db=POLICY.voice_range_db,
            window_ms=POLICY.confirm_window_ms,
            voiced_ms=POLICY.confirm_voiced_ms,
            vowel_ms=POLICY.confirm_vowel_ms,
        )

    def frame(self, level: float, own: float = NOBODY, rises: int = VOWEL, ms: int = 20) -> bool:
        self.now += ms / 1000
        return self.ear.frame(self.now, ms, level, own, rises)

    def hear(
        self,
        ms: int,
        level: float,
        own: float = NOBODY,
        rises: int = VOWEL,
        to: float | None = None,
    ) -> bool:
        """A sound of a length, gliding to another level if one is given. True: a proof came."""
        proof = False
        for n in range(ms // 20):
            at = level if to is None else level + (to - level) * n / (ms // 20)
            self.frame(at, own, rises)
            proof = proof or self.ear.proof(self.now)
        return proof

    def history(self, frames: Iterable[tuple[float, float, int]]) -> None:
        for level, own, rises in frames:
            self.frame(level, own, rises)


def quiet_line() -> Line:
    line = Line()
    line.hear(1000, -62)
    return line


# ---- laws -----------------------------------------------------------------------------------


@given(FRAMES, LEVELS, st.integers(0, 80))
def test_silence_is_never_voiced(history, own, rises):
    line = Line()
    line.history(history)
    assert not line.frame(-100.0, own, rises)


@given(FRAMES, LEVELS, LEVELS, LEVELS, st.integers(0, 80))
def test_what_is_louder_is_no_less_voiced(history, one, other, own, rises):
    quiet, loud = sorted((one, other))
    first, second = Line(), Line()
    first.history(history)
    second.history(history)
    assert first.frame(quiet, own, rises) <= second.frame(loud, own, rises)


@given(FRAMES, LEVELS, LEVELS, st.integers(0, 80), st.integers(0, 80))
def test_what_is_purer_is_no_less_voiced(history, level, own, one, other):
    pure, noisy = sorted((one, other))
    first, second = Line(), Line()
    first.history(history)
    second.history(history)
    assert first.frame(level, own, noisy) <= second.frame(level, own, pure)


@given(FRAMES, FRAMES)
def test_the_floor_rises_no_faster_than_a_db_a_second(history, sentence):
    line = Line()
    line.history(history)
    before = line.ear.floor_db
    line.history(sentence)
    assert line.ear.floor_db <= before + 0.02 * len(sentence) + 1e-9


@given(FRAMES)
def test_what_is_learnt_stays_within_its_bounds(history):
    line = Line()
    line.history(history)
    assert FLOOR_MIN_DB <= line.ear.floor_db <= FLOOR_MAX_DB
    assert ECHO_MIN_DB - 1 <= line.ear.echo_db <= ECHO_MAX_DB
    line.ear.learn(line.ear.loudest_db, sure=True)
    assert VOICE_MIN_DB <= line.ear.voice_db <= VOICE_MAX_DB


@given(FRAMES)
def test_nothing_is_kept_for_longer_than_the_window(history):
    line = Line()
    line.history(history)
    line.now += 0.001 + POLICY.confirm_window_ms / 1000
    assert line.ear.voiced_ms(line.now) == 0
    assert not line.ear.proof(line.now)


@given(FRAMES)
def test_voiced_milliseconds_are_those_of_the_window(history):
    line = Line()
    voiced = [(line.now, line.frame(*frame)) for frame in history]
    inside = [was for began, was in voiced if began + 0.02 >= line.now - 0.5 - 1e-9]
    assert abs(line.ear.voiced_ms(line.now) - 20 * sum(inside)) <= 20


# ---- the floor ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-28.0, -22.0, -16.0])
def test_a_long_sentence_does_not_become_noise(level):
    line = quiet_line()
    for _ in range(20):  # 10 s without a real pause
        line.hear(380, level)
        line.hear(120, level - 25, rises=HISS)
    assert line.ear.floor_db < level - 20
    assert line.hear(140, level)


def test_the_floor_falls_within_half_a_second():
    line = Line()
    line.hear(30_000, -35)
    assert line.ear.floor_db > -36
    line.hear(500, -60)
    assert line.ear.floor_db < -58


def test_a_lost_frame_does_not_deafen_or_startle():
    line = Line()
    line.hear(30_000, -40)
    line.frame(-100.0)
    assert line.ear.floor_db > -42
    assert not line.frame(-40.0)


def test_noise_that_stays_is_the_floor_after_a_while():
    line = quiet_line()
    line.hear(40_000, -35)
    assert not line.frame(-34.0)
    assert line.frame(-20.0)


# ---- vowels, breath, bursts -----------------------------------------------------------------


@pytest.mark.parametrize(("ms", "proof"), [(120, False), (140, True)])
def test_one_vowel_is_a_proof_from_140_ms_on(ms, proof):
    assert quiet_line().hear(ms, -20) is proof


def test_pieces_of_voice_are_a_proof_from_200_ms_on():
    line = quiet_line()
    for proof in (False, True):
        assert line.hear(100, -20) is proof
        line.hear(100, -60)


def test_pieces_too_far_apart_are_none():
    line = quiet_line()
    for _ in range(6):
        assert not line.hear(80, -20)
        line.hear(220, -60)


def test_breath_is_no_voice_however_loud_and_long():
    assert not quiet_line().hear(2000, -12, rises=HISS)


def cough(line: Line, db: float) -> bool:
    """A burst, a stream of air, and a voiced end that is 8 dB weaker."""
    proof = line.hear(60, db, rises=HISS)
    proof |= line.hear(160, db - 8, to=db - 20, rises=HISS)
    return line.hear(100, db - 8, to=db - 14) or proof


@pytest.mark.parametrize("level", [-24.0, -16.0, -10.0])
def test_a_bout_of_coughs_is_no_proof(level):
    line = quiet_line()
    for _ in range(3):
        assert not cough(line, level)
        line.hear(80, -60)


def test_a_bang_that_dies_away_is_no_vowel_though_it_is_pure():
    """20 dB in 160 ms, as a door does on a telephone."""
    line = quiet_line()
    assert not line.hear(160, -14, to=-34)


def test_somebody_who_coughs_and_then_speaks_is_heard():
    line = quiet_line()
    cough(line, -8)
    line.hear(300, -60)
    assert line.hear(140, -20)


def test_an_utterance_that_begins_softly_is_heard_as_it_grows():
    assert quiet_line().hear(300, -34, to=-20)


# ---- our echo -------------------------------------------------------------------------------


def talk(line: Line, seconds: float, gain_db: float | None) -> bool:
    """We speak in syllables, and the line gives it back 300 ms late. True: that was a proof."""
    proof = False
    frames = round(seconds * 50)
    ours = [-16.0 if n % 20 < 14 else -45.0 for n in range(frames)]
    for n in range(frames):
        loudest = max(ours[max(0, n - 25) : n + 1])  # what the ledger tells: the last half second
        back = -62.0 if gain_db is None or n < 15 else max(-62.0, ours[n - 15] + gain_db)
        line.frame(back, loudest)
        proof = proof or line.ear.proof(line.now)
    return proof


@pytest.mark.parametrize("gain_db", [-40.0, -20.0, -15.0, -13.0])
def test_an_echo_is_no_caller(gain_db):
    assert not talk(quiet_line(), 60, gain_db)


def test_an_echo_that_is_stronger_than_expected_is_learnt_in_a_greeting():
    line = quiet_line()
    talk(line, 6, -10.5)
    line.hear(1000, -62)
    assert not talk(line, 60, -10.5)


def test_without_an_echo_a_quiet_caller_is_soon_heard_over_us():
    """At first 12 dB under our own level counts as an echo; six seconds later it does not."""
    line = quiet_line()
    line.ear.learn(-28, sure=True)
    assert not line.hear(300, -30, own=-16)
    line.hear(1000, -62)
    talk(line, 6, None)
    assert line.hear(140, -30, own=-16)


def test_callers_who_interrupt_are_not_taken_for_an_echo():
    """A tenth of the time that we speak, somebody speaks louder."""
    line = quiet_line()
    talk(line, 6, -20)
    for _ in range(30):
        talk(line, 3, -20)
        assert line.hear(300, -20, own=-16)
    assert line.ear.echo_db + ECHO_MARGIN_DB < -12


def test_who_speaks_while_we_are_silent_teaches_no_echo():
    line = quiet_line()
    before = line.ear.echo_db
    line.hear(5000, -14)
    assert line.ear.echo_db == before


# ---- how loud the caller is -----------------------------------------------------------------


@pytest.mark.parametrize("level", [-24.0, -18.0, -12.0])
def test_a_television_is_no_caller_once_the_caller_was_heard(level):
    line = quiet_line()
    line.ear.listen()
    line.hear(600, level)
    line.ear.learn(line.ear.loudest_db, sure=True)
    line.hear(1000, -62)
    assert not line.hear(5000, level - 16)
    assert line.hear(140, level - 6)


def test_the_loudest_moment_is_that_of_the_utterance_and_no_click():
    line = quiet_line()
    line.hear(200, -12)
    line.frame(-60.0)
    line.ear.listen()
    line.frame(-10.0)
    line.hear(400, -24, to=-34)
    line.frame(-8.0)
    line.frame(-50.0)
    assert line.ear.loudest_db == pytest.approx(-24, abs=1)


def test_the_first_words_count_in_full_and_later_ones_in_part():
    ear = Line().ear
    ear.learn(-30, sure=True)
    assert ear.voice_db == -30
    ear.learn(-20, sure=True)
    assert ear.voice_db == pytest.approx(-26)


def test_who_may_be_further_away_counts_less():
    ear = Line().ear
    ear.learn(-16, sure=True)
    ear.learn(-34, sure=False)
    assert ear.voice_db == pytest.approx(-19.6)


def test_a_quieter_person_takes_the_telephone():
    """Not heard at first; but the words come, and after a few of them the voice is known."""
    line = quiet_line()
    line.ear.learn(-12, sure=True)
    heard = []
    for _ in range(6):
        line.hear(1000, -62)
        line.ear.listen()
        heard.append(line.hear(600, -29))
        line.ear.learn(line.ear.loudest_db, sure=heard[-1])
    assert heard[0] is False
    assert heard[-1] is True
