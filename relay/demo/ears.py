"""What was really heard on a line, by a process of its own that knows nothing but a grammar.

PocketSphinx holds the GIL for as long as it listens, which is about as long as was spoken: inside
the relay's process it would stall every call. `python -m relay.demo.ears` therefore reads sounds on
stdin and writes sentences on stdout, and stands back while there are calls.

    {"lines": [{"grammar": "#JSGF …", "sounds": ["<base64>", …]}, …], "nice": 10}
    ->  [["this tuesday we are …", …], …]
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence

import trio

from relay.sim import voice

LISTEN_S = 240.0  # on a machine with much else to do


async def listen(*lines: tuple[Sequence[bytes], str], nice: int = 0) -> list[list[str]]:
    """The sentences on each line, as its grammar allows them; "" for each sound that is none.

    lines: stretches of mu-law audio, and a grammar; no sentence reaches from one stretch into the
    next.
    nice: how much to stand back from other processes.
    Raises trio.TooSlowError, or subprocess.CalledProcessError when the ear breaks.
    """
    orders = [
        {"grammar": grammar, "sounds": [base64.b64encode(sound).decode() for sound in sounds]}
        for sounds, grammar in lines
    ]
    order = {"lines": orders, "nice": nice}
    with trio.fail_after(LISTEN_S):
        done = await trio.run_process(
            [sys.executable, "-m", "relay.demo.ears"],
            stdin=json.dumps(order).encode(),
            capture_stdout=True,
        )
    heard: list[list[str]] = json.loads(done.stdout)
    return heard


def main() -> None:
    """The process: one order in, one answer out."""
    order = json.load(sys.stdin)
    os.nice(order["nice"])
    json.dump([heard(line["grammar"], line["sounds"]) for line in order["lines"]], sys.stdout)


def heard(grammar: str, sounds: Sequence[str]) -> list[str]:
    ear = voice.Recogniser(grammar)
    sentences = (ear.sentences(voice.from_mulaw(base64.b64decode(sound))) for sound in sounds)
    return [sentence for some in sentences for sentence in some]


if __name__ == "__main__":
    main()
