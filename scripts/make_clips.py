"""Render the packaged clips: what a caller hears when no clip in the agent's own voice is at hand.

    python scripts/make_clips.py [folder]

Writes relay/clips/<name>.ulaw (raw mu-law, 8 kHz) and clips.toml (name -> text). The two
greetings are prompts/greeting.md and after_hours.md without the business's name, which nobody knows
here, each with the notice, with that of calls that are recorded, and without; the other texts stand
below. Needs the `demo` extra; run it after changing a text and commit what it wrote.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from relay.audio.frames import mulaw_ms
from relay.prompts import PLAIN, RECORDED, TRANSCRIBED
from relay.sim.voice import speak

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "relay" / "clips"

NOTICES = {"": TRANSCRIBED, "_recorded": RECORDED, "_plain": PLAIN}
NAMED, NAMELESS = "Hello, this is {business_name}.", "Hello!"


def greeting(name: str, notice: str) -> str:
    """A greeting of the prompts, as it is said for a business without a name."""
    text = (ROOT / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()
    return text.replace(NAMED, NAMELESS).replace("{notice}", notice)


TEXTS = {
    **{
        name + kind: greeting(name, notice)
        for name in ("greeting", "after_hours")
        for kind, notice in NOTICES.items()
    },
    "one_moment": "One moment, please.",
    "apology": "I am sorry, I am having trouble on my side. Let me connect you with a person.",
    "connecting": "I am connecting you now.",
    "still_there": "Are you still there?",
    "goodbye": "Thank you for calling. Goodbye.",
    "wrap_up": (
        "I am sorry, we have reached the end of the time for this call."
        " Thank you for calling. Goodbye."
    ),
    "hold": "I am trying to reach someone for you. Please stay on the line.",
    "nobody": "I am sorry, I could not reach anyone.",
    "back": "I am back with you.",
    "emergency": "If this is an emergency, please hang up now, and dial nine one one.",
    "emergency_es": "Si es una emergencia, cuelgue ahora, y marque el nueve, uno, uno.",
}

#: Who speaks what is not English.
VOICES = {"emergency_es": "es-ES"}

# Pico takes 4.9 s over the greeting's notice. It should take 4 s at most: at this pace it does, and
# is understood as well.
SPEED = 1.3

HEAD = "# What each packaged clip says. Written by scripts/make_clips.py.\n\n"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in TEXTS.items():
        audio = speak(text, VOICES.get(name, "en-US"), speed=SPEED)
        (folder / f"{name}.ulaw").write_bytes(audio)
        sys.stdout.write(f"{name:20} {mulaw_ms(len(audio)) / 1000:5.1f} s  {text}\n")
    table = "".join(f"{name} = {json.dumps(text)}\n" for name, text in TEXTS.items())
    (folder / "clips.toml").write_text(HEAD + table, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CLIPS)
