"""A relay on Pipecat: its FastAPI transport, Twilio serializer and OpenAI Realtime service.

The pipeline of its telephone examples: 8 kHz on the line, the model's own turn detection, context
aggregators on both sides, a greeting by the model. Pipecat itself clears, truncates and paces.
"""

from __future__ import annotations

import json
import os
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.frames.frames import LLMRunFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    SessionProperties,
    TurnDetection,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

app = FastAPI()
LINE_HZ = 8000


@app.get("/readyz")
async def readyz() -> dict[str, str]:
    return {"status": "ready"}


@app.websocket("/media-stream")
async def media_stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()  # connected
    start = json.loads(await socket.receive_text())["start"]
    serializer = TwilioFrameSerializer(
        stream_sid=start["streamSid"],
        call_sid=start["callSid"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=socket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
        ),
    )
    session = SessionProperties(
        audio=AudioConfiguration(input=AudioInput(turn_detection=TurnDetection())),
    )
    model = OpenAIRealtimeLLMService(
        api_key=os.environ["OPENAI_API_KEY"],
        base_url=os.environ["OPENAI_REALTIME_URL"],
        settings=OpenAIRealtimeLLMService.Settings(
            system_instruction="You answer the telephone.", session_properties=session
        ),
    )
    pair = LLMContextAggregatorPair(LLMContext())
    worker = PipelineWorker(
        Pipeline([transport.input(), pair.user(), model, transport.output(), pair.assistant()]),
        params=PipelineParams(audio_in_sample_rate=LINE_HZ, audio_out_sample_rate=LINE_HZ),
    )

    @transport.event_handler("on_client_connected")
    async def picked_up(_transport: FastAPIWebsocketTransport, _client: WebSocket) -> None:
        await worker.queue_frames([LLMRunFrame()])

    @transport.event_handler("on_client_disconnected")
    async def hung_up(_transport: FastAPIWebsocketTransport, _client: WebSocket) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
