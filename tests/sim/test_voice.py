"""The mouth and the ear, on telephone audio; and the packaged clips, heard by that ear."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import trio

from relay.audio.frames import mulaw_ms
from relay.errors import Misuse
from relay.sim import voice

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "relay" / "clips"
TEXTS: dict[str, str] = tomllib.loads((CLIPS / "clips.toml").read_text(encoding="utf-8"))
ENGLISH = {name: text for name, text in TEXTS.items() if not name.endswith("_es")}

ORDERS = """#JSGF V1.0;
grammar orders;
public <order> = ( bring | send ) me <number> <fruit> [ please ];
<number> = one | two | three | seven;
<fruit> = /2/ apples | /1/ lemons | /1/ ( red )+ cherries | /1/ pears | /0.5/ plums;
"""


def heard_level_db(mulaw: bytes) -> float:
    pcm = np.frombuffer(voice.from_mulaw(mulaw), "<i2").astype(float)
    spoken = pcm[800:-800]
    return float(10 * np.log10(np.mean(spoken**2)) - 20 * np.log10(32768))


# ---- mu-law ---------------------------------------------------------------------------------


def test_all_codes_survive_a_round_trip() -> None:
    codes = bytes(range(256))
    again = voice.to_mulaw(voice.from_mulaw(codes))
    # 0x7F is minus zero; as a sample it is zero, which is written 0xFF.
    assert again == codes.replace(b"\x7f", b"\xff")


@pytest.mark.parametrize(
    ("sample", "code"),
    [(0, 0xFF), (-1, 0x7F), (8, 0xFE), (132, 0xEF), (-132, 0x6F), (32767, 0x80), (-32768, 0x00)],
)
def test_samples_of_the_standard(sample: int, code: int) -> None:
    assert voice.to_mulaw(sample.to_bytes(2, "little", signed=True)) == bytes([code])


def test_no_sample_is_further_off_than_half_a_step() -> None:
    samples = np.arange(-32635, 32636)
    pcm = voice.from_mulaw(voice.to_mulaw(samples.astype("<i2").tobytes()))
    error = np.abs(np.frombuffer(pcm, "<i2").astype(int) - samples)
    assert (error <= (np.abs(samples) + 132) // 32 + 1).all()


# ---- mouth ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [0.8, 1.0, 1.2])
def test_speech_is_trimmed_and_levelled(pitch: float) -> None:
    speech = voice.speak("Please bring me seven apples.", pitch=pitch)
    pcm = np.abs(np.frombuffer(voice.from_mulaw(speech), "<i2").astype(int))
    first, last = np.flatnonzero(pcm > 300)[[0, -1]]
    assert 600 <= first <= 1800
    assert 600 <= len(pcm) - last <= 1800
    assert heard_level_db(speech) == pytest.approx(voice.LEVEL_DB, abs=2)
    assert pcm.max() < 32000


def test_rates_agree_on_the_length() -> None:
    at_24k = voice.speak_pcm("Hello.", rate=24_000)
    at_8k = voice.speak_pcm("Hello.", rate=8_000)
    assert len(at_24k) == pytest.approx(3 * len(at_8k), abs=6)


def test_saying_nothing_is_refused() -> None:
    with pytest.raises(Misuse, match="no speech"):
        voice.speak("")


# ---- ear ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "bring me two lemons",
        "send me three red cherries please",
        "bring me seven apples please",
        "send me one plums",
    ],
)
def test_hears_over_the_telephone_what_was_said(text: str) -> None:
    assert voice.Recogniser(ORDERS).recognise_mulaw(voice.speak(text)) == text


def test_a_sentence_cut_short_is_not_heard() -> None:
    ear = voice.Recogniser(ORDERS)
    whole = voice.speak("bring me two lemons")
    assert ear.recognise_mulaw(whole[: len(whole) * 2 // 5]) == ""


def test_one_phrase_does_not_colour_the_next() -> None:
    ear = voice.Recogniser(ORDERS)
    phrase = voice.speak("bring me two pears")
    ear.recognise_mulaw(voice.speak("send me seven apples please", pitch=1.4))
    ear.recognise_mulaw(b"\xff" * 8000)
    assert ear.recognise_mulaw(phrase) == "bring me two pears"
    nonsense = voice.speak("My dog has eaten my homework.", pitch=0.9)
    assert len({ear.recognise_mulaw(nonsense) for _ in range(3)}) == 1


def test_silence_and_nothing_are_not_heard() -> None:
    ear = voice.Recogniser(ORDERS)
    assert ear.recognise_mulaw(b"\xff" * 8000) == ""
    assert ear.recognise_mulaw(b"") == ""


def test_the_grammar_can_be_asked() -> None:
    ear = voice.Recogniser(ORDERS)
    assert ear.allows("send me two red red cherries please")
    assert not ear.allows("send me two cherries")
    assert not ear.allows("send me two")
    assert voice.words("#JSGF V1.0; grammar g; public <u> = a | [ b ] c;") == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("grammar", "complaint"),
    [
        ("#JSGF V1.0; grammar g; <u> = yes;", "public"),
        ("#JSGF V1.0; grammar g; public <u> = <v>;", "<v>"),
        ("#JSGF V1.0; grammar g; public <u> = yes | xyzzyx;", "xyzzyx"),
        ("#JSGF V1.0; grammar g; public <u> = / 2 / yes | / 1 / no;", "cannot read"),
        ("#JSGF V1.0; grammar g; public <u> = ( yes;", "brackets"),
    ],
)
def test_a_bad_grammar_is_refused(grammar: str, complaint: str) -> None:
    with pytest.raises(Misuse, match=complaint):
        voice.Recogniser(grammar)


async def test_threads_can_share_mouth_and_ear() -> None:
    ear = voice.Recogniser(ORDERS)
    heard: dict[str, str] = {}

    async def tell(text: str) -> None:
        phrase = await voice.aside(lambda: voice.speak(text))
        heard[text] = await voice.aside(lambda: ear.recognise_mulaw(phrase))

    async with trio.open_nursery() as nursery:
        for number in ("one", "two", "three", "seven"):
            nursery.start_soon(tell, f"bring me {number} pears")
    assert len(heard) == 4
    assert all(text == again for text, again in heard.items())


# ---- the packaged clips ---------------------------------------------------------------------


def plain(text: str) -> str:
    return " ".join(text.lower().replace(".", " ").replace(",", " ").replace("!", " ").split())


def clip_grammar() -> str:
    """Every clip's words, and near misses that a careless rendering could have said."""
    near = ["the call is over", "please hold the line for a person", "how can i help you today"]
    said = [plain(text.replace("?", " ").replace("AI", "a i")) for text in ENGLISH.values()]
    said += [text.replace("may be", "is").replace("recorded and ", "") for text in said]
    return f"#JSGF V1.0; grammar clips; public <clip> = {' | '.join({*said, *near})};"


def test_each_clip_says_its_text() -> None:
    """But the Spanish one: this ear knows English alone."""
    ear = voice.Recogniser(clip_grammar())
    heard = {name: ear.recognise_mulaw((CLIPS / f"{name}.ulaw").read_bytes()) for name in ENGLISH}
    assert heard == {
        name: plain(text.replace("?", " ").replace("AI", "a i")) for name, text in ENGLISH.items()
    }


def test_every_clip_has_a_text_and_a_usual_level() -> None:
    assert {path.stem for path in CLIPS.glob("*.ulaw")} == set(TEXTS)
    for name in TEXTS:
        audio = (CLIPS / f"{name}.ulaw").read_bytes()
        assert 500 < mulaw_ms(len(audio)) < 11_000, name
        assert heard_level_db(audio) == pytest.approx(voice.LEVEL_DB, abs=2), name


@pytest.mark.parametrize("name", ["greeting", "after_hours"])
def test_the_greetings_are_the_prompts_without_the_business_s_name(name: str) -> None:
    prompt = (ROOT / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()
    nameless = prompt.replace("Hello, this is {business_name}.", "Hello!")
    before, _, after = nameless.partition("{notice}")
    assert "{" not in before + after
    assert TEXTS[name].startswith(before)
    assert TEXTS[name].endswith(after)
    assert "AI assistant" in TEXTS[name].removeprefix(before).removesuffix(after)


def test_the_notice_takes_four_seconds_at_most() -> None:
    whole = len((CLIPS / "greeting.ulaw").read_bytes())
    before, _, rest = TEXTS["greeting"].partition("You are speaking")
    after = rest.partition(". ")[2]
    others = sum(len(voice.speak(part, speed=1.3)) for part in (before, after))
    silence = 2 * voice.EDGE_MS + 2 * voice.GAP_MS
    assert 3000 < mulaw_ms(whole - others) - silence <= 4000
