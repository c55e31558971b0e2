/* The agent's voice, from the model's link to mu-law in one call: media.h's counterpart.
 *
 *      {"type":"response.output_audio.delta","event_id":"…","response_id":"…","item_id":"…",
 *       "output_index":0,"content_index":0,"delta":"…"}              keys in any order
 *
 * Only what is entirely usual is taken: one more delta of the item that was followed last, strings
 * without escapes, good base64. All else is left as it is, for the reader in Python, which is the
 * specification: what is taken here means the same there.
 */
#ifndef RELAY_SPEECH_H
#define RELAY_SPEECH_H

#include "frame.h"
#include "link.h"

/* Beside the frame kinds of ws.h and link.h: the frame was such a delta. */
enum { SPEECH_TAKEN = 101 };

/* The agent's audio on its way to the phone. */
typedef struct {
    link_end *model;
    frame_stream *stream; /* NULL: the model speaks mu-law */
    frame_space *space;   /* as for model_delta; without a stream, room for pass_frame */
    char response_id[64], item_id[64];
    size_t response_id_n, item_id_n; /* of what is followed; 0: nothing is */
    size_t mulaw_n;                  /* SPEECH_TAKEN: bytes at space->buffer, until that is used again */
    double loudest_db;               /* of its loudest 60 ms */
} speech_mouth;

/* Take the next frame. Returns SPEECH_TAKEN, or what link_next does of a frame that is left to
 * somebody else. */
int speech_next(speech_mouth *mouth);

#endif
