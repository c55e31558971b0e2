/* Whole frames: one call from what one wire carries to what the other wants.
 *
 *      phone to model    base64 mu-law 8 kHz -> mu-law -> PCM16 8 kHz -> PCM16 24 kHz -> base64
 *      model to phone    base64 PCM16 24 kHz -> PCM16 24 kHz -> PCM16 8 kHz -> mu-law 8 kHz
 *
 * The caller owns one buffer for each direction. A call carves it: the result stands at its start,
 * the steps in between behind it, and nothing is allocated (but by a stream that begins: resample.h):
 *
 *      +--------+------------+-----------+----------+
 *      | result | PCM 24 kHz | PCM 8 kHz | mu-law   |       *_room() says how much that takes
 *      +--------+------------+-----------+----------+
 *
 * The payload is decoded whole before the stream sees any of it, so a refused one leaves the stream
 * as it was. A stream and a space are used by one thread at a time; different ones are independent.
 */
#ifndef RELAY_FRAME_H
#define RELAY_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Lengths are returned; these are not lengths. */
enum {
    FRAME_BAD_BASE64 = -1,
    FRAME_NO_ROOM = -2, /* the buffer is smaller than *_room() asked for */
    FRAME_FAILED = -3,  /* libsoxr ran out of memory; the stream was cleared */
};

#define LEVEL_OF_SILENCE (-100.0)

/* The caller's buffer, and what a call says of its frame beside the result's length. */
typedef struct {
    char *buffer;
    size_t size;
    size_t mulaw_bytes; /* on the phone's side of this frame, 8 bytes a ms */
    const uint8_t *mulaw; /* from the phone: those bytes, until the buffer is used again */
    double level_db;    /* RMS of those bytes in dB below a full-scale square wave */
    int rises;          /* phone to model: how often they cross zero upwards */
} frame_space;

/* State of one direction of one call. */
typedef struct frame_stream frame_stream;

/* up != 0: phone to model, else model to phone. NULL if memory ran out. */
frame_stream *frame_open(int up);
void frame_close(frame_stream *stream);

/* As new: nothing held back, no odd byte. */
void frame_clear(frame_stream *stream);

/* Bytes of buffer for a payload of n characters; grows with n. SIZE_MAX: n is beyond reason. */
size_t phone_room(size_t n);
size_t model_room(size_t n);
size_t pass_room(size_t n);

/* Twilio's payload becomes the `audio` of input_audio_buffer.append. Returns its characters. */
ptrdiff_t phone_frame(frame_stream *stream, const char *payload, size_t n, frame_space *space);

/* The same for n mu-law bytes of silence that the phone did not send: as long as the payload that
 * would have carried them, so it needs phone_room((n + 2) / 3 * 4). */
ptrdiff_t phone_gap(frame_stream *stream, size_t n, frame_space *space);

/* A model's delta, of any length, becomes mu-law. A byte that is half a sample waits for the next
 * delta. Returns bytes. */
ptrdiff_t model_delta(frame_stream *stream, const char *delta, size_t n, frame_space *space);

/* What is held back, as mu-law; as new afterwards. Needs model_room(0). Returns bytes. */
ptrdiff_t model_flush(frame_stream *stream, frame_space *space);

/* The payload is mu-law on both sides: only checked, decoded and measured. Returns its bytes. */
ptrdiff_t pass_frame(const char *payload, size_t n, frame_space *space);

/* RMS of n mu-law bytes in dBFS, 0.0 … LEVEL_OF_SILENCE. */
double ulaw_level_db(const uint8_t *mulaw, size_t n);

#endif
