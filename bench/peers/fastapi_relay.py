"""A relay as the Python samples have it: FastAPI on uvicorn, `websockets`, mu-law through.

The minimum that a caller needs: audio both ways, a mark behind every delta, and at the model's
`speech_started` a `clear` and a truncate at what the echoed marks and the line's time prove.
It greets nobody, transcodes nothing, checks no signature and writes nothing down.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

app = FastAPI()
MODEL = os.environ["OPENAI_REALTIME_URL"]
HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
SESSION = {
    "type": "realtime",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "You answer the telephone.",
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad"}},
        "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy"},
    },
}


@dataclass
class Call:
    """What has to be known for a truncate. Times are Twilio's media timestamps, in ms."""

    stream_sid: str = ""
    line_ms: int = 0
    item_id: str = ""
    item_began_ms: int | None = None
    marks: list[str] = field(default_factory=list)


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.websocket("/media-stream")
async def media_stream(phone: WebSocket) -> None:
    await phone.accept()
    async with connect(f"{MODEL}?model=gpt-realtime", additional_headers=HEADERS) as model:
        await model.send(json.dumps({"type": "session.update", "session": SESSION}))
        call = Call()
        ways = [
            asyncio.create_task(from_phone(phone, model, call)),
            asyncio.create_task(from_model(phone, model, call)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def from_phone(phone: WebSocket, model: ClientConnection, call: Call) -> None:
    try:
        async for text in phone.iter_text():
            event = json.loads(text)
            match event["event"]:
                case "media":
                    call.line_ms = int(event["media"]["timestamp"])
                    audio = event["media"]["payload"]
                    await model.send(
                        json.dumps({"type": "input_audio_buffer.append", "audio": audio})
                    )
                case "start":
                    call.stream_sid = event["start"]["streamSid"]
                case "mark":
                    if call.marks:
                        call.marks.pop(0)
                case "stop":
                    return
    except (WebSocketDisconnect, ConnectionClosed):
        return


async def from_model(phone: WebSocket, model: ClientConnection, call: Call) -> None:
    try:
        async for text in model:
            event = json.loads(text)
            match event["type"]:
                case "response.output_audio.delta":
                    await speak(phone, call, event)
                case "input_audio_buffer.speech_started":
                    await interrupt(phone, model, call)
    except (WebSocketDisconnect, ConnectionClosed, RuntimeError):
        return  # Starlette says that a phone is gone with a RuntimeError


async def speak(phone: WebSocket, call: Call, event: dict[str, Any]) -> None:
    if event["item_id"] != call.item_id:
        call.item_id, call.item_began_ms = event["item_id"], call.line_ms
    sid = call.stream_sid
    media = {"event": "media", "streamSid": sid, "media": {"payload": event["delta"]}}
    await phone.send_text(json.dumps(media))
    mark = {"event": "mark", "streamSid": sid, "mark": {"name": "delta"}}
    await phone.send_text(json.dumps(mark))
    call.marks.append("delta")


async def interrupt(phone: WebSocket, model: ClientConnection, call: Call) -> None:
    if not call.marks or call.item_began_ms is None:
        return
    truncate = {
        "type": "conversation.item.truncate",
        "item_id": call.item_id,
        "content_index": 0,
        "audio_end_ms": call.line_ms - call.item_began_ms,
    }
    await model.send(json.dumps(truncate))
    await phone.send_text(json.dumps({"event": "clear", "streamSid": call.stream_sid}))
    call.marks.clear()
    call.item_began_ms = None


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
