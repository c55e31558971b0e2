"""The Realtime API (GA names), both ways: one JSON object a text frame.

reading.py   the server's frames -> events
writing.py   commands -> our frames; what a session is configured with
"""

from relay.wire.realtime.reading import AudioDelta, AudioDone, TextDelta, parse
from relay.wire.realtime.writing import ModelMessage, SessionSettings, reasons, render

__all__ = [
    "AudioDelta",
    "AudioDone",
    "ModelMessage",
    "SessionSettings",
    "TextDelta",
    "parse",
    "reasons",
    "render",
]
