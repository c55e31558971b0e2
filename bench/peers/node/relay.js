// A relay as the Node samples have it: Fastify with @fastify/websocket, `ws` to the model, mu-law
// through. It does what fastapi_relay.py does, event by event, and no more.

import Fastify from "fastify";
import fastifyWebsocket from "@fastify/websocket";
import WebSocket from "ws";

const { PORT, OPENAI_REALTIME_URL, OPENAI_API_KEY } = process.env;

const session = {
  type: "realtime",
  model: "gpt-realtime",
  output_modalities: ["audio"],
  instructions: "You answer the telephone.",
  audio: {
    input: { format: { type: "audio/pcmu" }, turn_detection: { type: "server_vad" } },
    output: { format: { type: "audio/pcmu" }, voice: "alloy" },
  },
};

const app = Fastify();
await app.register(fastifyWebsocket);

app.get("/readyz", async () => ({ status: "ready" }));

app.register(async (scope) => {
  scope.get("/media-stream", { websocket: true }, (phone) => {
    const call = { streamSid: "", lineMs: 0, itemId: "", itemBeganMs: null, marks: [] };
    const model = new WebSocket(`${OPENAI_REALTIME_URL}?model=gpt-realtime`, {
      headers: { Authorization: `Bearer ${OPENAI_API_KEY}` },
    });

    const speak = (event) => {
      if (event.item_id !== call.itemId) {
        call.itemId = event.item_id;
        call.itemBeganMs = call.lineMs;
      }
      const { streamSid } = call;
      phone.send(JSON.stringify({ event: "media", streamSid, media: { payload: event.delta } }));
      phone.send(JSON.stringify({ event: "mark", streamSid, mark: { name: "delta" } }));
      call.marks.push("delta");
    };

    const interrupt = () => {
      if (call.marks.length === 0 || call.itemBeganMs === null) return;
      model.send(
        JSON.stringify({
          type: "conversation.item.truncate",
          item_id: call.itemId,
          content_index: 0,
          audio_end_ms: call.lineMs - call.itemBeganMs,
        }),
      );
      phone.send(JSON.stringify({ event: "clear", streamSid: call.streamSid }));
      call.marks = [];
      call.itemBeganMs = null;
    };

    model.on("open", () => model.send(JSON.stringify({ type: "session.update", session })));
    model.on("message", (data) => {
      const event = JSON.parse(data);
      if (event.type === "response.output_audio.delta") speak(event);
      else if (event.type === "input_audio_buffer.speech_started") interrupt();
    });
    model.on("error", (fault) => console.error(`model: ${fault.message}`));
    model.on("close", () => phone.close());

    phone.on("message", (text) => {
      const event = JSON.parse(text);
      switch (event.event) {
        case "media":
          call.lineMs = Number(event.media.timestamp);
          if (model.readyState === WebSocket.OPEN) {
            model.send(
              JSON.stringify({ type: "input_audio_buffer.append", audio: event.media.payload }),
            );
          }
          break;
        case "start":
          call.streamSid = event.start.streamSid;
          break;
        case "mark":
          call.marks.shift();
          break;
        case "stop":
          phone.close();
          break;
      }
    });
    phone.on("error", (fault) => console.error(`phone: ${fault.message}`));
    phone.on("close", () => model.close());
  });
});

await app.listen({ host: "127.0.0.1", port: Number(PORT) });
