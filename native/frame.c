#include "frame.h"

#include <math.h>
#include <stdlib.h>

#include "base64.h"
#include "g711.h"
#include "pcm.h"
#include "resample.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "PCM16 on the wire is little endian, and so must this machine be"
#endif

struct frame_stream {
    resampler *resampler;
    int has_odd_byte; /* model to phone: the first half of a sample has come */
    uint8_t odd_byte;
};

frame_stream *frame_open(int up)
{
    frame_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->resampler = resample_open(up);
    if (stream->resampler == NULL) {
        free(stream);
        return NULL;
    }
    return stream;
}

void frame_close(frame_stream *stream)
{
    if (stream == NULL)
        return;
    resample_close(stream->resampler);
    free(stream);
}

void frame_clear(frame_stream *stream)
{
    stream->has_odd_byte = 0;
    resample_clear(stream->resampler);
}

static ptrdiff_t failed(frame_stream *stream)
{
    frame_clear(stream);
    return FRAME_FAILED;
}

/* ---- level ------------------------------------------------------------------------------- */

static double decibels(int64_t sum, size_t n)
{
    if (sum == 0)
        return LEVEL_OF_SILENCE;
    double level = 10.0 * log10((double)sum / (double)n / (32768.0 * 32768.0));
    return level > LEVEL_OF_SILENCE ? level : LEVEL_OF_SILENCE;
}

static double level_of(const int16_t *pcm, size_t n) { return decibels(pcm_energy(pcm, n), n); }

/* A mu-law byte's highest bit is set for what is positive. */
static int rises_of(const uint8_t *mulaw, size_t n)
{
    int rises = 0;
    for (size_t i = 1; i < n; i++)
        rises += (~mulaw[i - 1] & mulaw[i]) >> 7 & 1;
    return rises;
}

/* ---- the caller's buffer ----------------------------------------------------------------- */

enum { ALIGNMENT = 16 };

/* Characters or bytes that one call may bring: 4 minutes of PCM16; no size below can overflow. */
static const size_t LARGEST = (size_t)1 << 24;

/* Bytes that `take` uses up for a part. */
static size_t part(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* The first aligned place at or after `at`. */
static char *aligned(char *at) { return at + (ALIGNMENT - (uintptr_t)at % ALIGNMENT) % ALIGNMENT; }

static void *take(char **at, size_t bytes)
{
    void *here = *at;
    *at += part(bytes);
    return here;
}

/* ---- phone to model ---------------------------------------------------------------------- */

typedef struct {
    char *result;
    size_t wide_n; /* room, in samples */
    float *wide, *narrow;
    int16_t *pcm24, *pcm8;
    uint8_t *mulaw;
} up_parts;

static size_t up_room(size_t mulaw_n)
{
    size_t wide_n = resample_bound(mulaw_n, 1);
    return base64_length(2 * wide_n) + ALIGNMENT + part(4 * wide_n) + part(4 * mulaw_n) +
           part(2 * wide_n) + part(2 * mulaw_n) + part(mulaw_n);
}

static up_parts up_carve(char *buffer, size_t mulaw_n)
{
    up_parts parts = {.result = buffer, .wide_n = resample_bound(mulaw_n, 1)};
    char *at = aligned(buffer + base64_length(2 * parts.wide_n));
    parts.wide = take(&at, 4 * parts.wide_n);
    parts.narrow = take(&at, 4 * mulaw_n);
    parts.pcm24 = take(&at, 2 * parts.wide_n);
    parts.pcm8 = take(&at, 2 * mulaw_n);
    parts.mulaw = take(&at, mulaw_n);
    return parts;
}

size_t phone_room(size_t n) { return n > LARGEST ? SIZE_MAX : up_room(base64_bound(n)); }

/* n samples, already at parts.narrow, to base64 of 24 kHz. */
static ptrdiff_t upsample(frame_stream *stream, up_parts parts, size_t n)
{
    ptrdiff_t made = resample_process(stream->resampler, parts.narrow, n, parts.wide, parts.wide_n);
    if (made < 0)
        return failed(stream);
    pcm_from_float(parts.wide, (size_t)made, parts.pcm24);
    return (ptrdiff_t)base64_encode((const uint8_t *)parts.pcm24, 2 * (size_t)made, parts.result);
}

ptrdiff_t phone_frame(frame_stream *stream, const char *payload, size_t n, frame_space *space)
{
    if (space->size < phone_room(n))
        return FRAME_NO_ROOM;
    up_parts parts = up_carve(space->buffer, base64_bound(n));
    ptrdiff_t mulaw_n = base64_decode(payload, n, parts.mulaw);
    if (mulaw_n < 0)
        return FRAME_BAD_BASE64;
    ulaw_decode(parts.mulaw, (size_t)mulaw_n, parts.pcm8);
    space->mulaw_bytes = (size_t)mulaw_n;
    space->mulaw = parts.mulaw;
    space->level_db = level_of(parts.pcm8, (size_t)mulaw_n);
    space->rises = rises_of(parts.mulaw, (size_t)mulaw_n);
    pcm_to_float(parts.pcm8, (size_t)mulaw_n, parts.narrow);
    return upsample(stream, parts, (size_t)mulaw_n);
}

ptrdiff_t phone_gap(frame_stream *stream, size_t n, frame_space *space)
{
    if (n > LARGEST || space->size < up_room(n))
        return FRAME_NO_ROOM;
    up_parts parts = up_carve(space->buffer, n);
    for (size_t i = 0; i < n; i++)
        parts.narrow[i] = 0.0f;
    space->mulaw_bytes = n;
    space->level_db = LEVEL_OF_SILENCE;
    space->rises = 0;
    return upsample(stream, parts, n);
}

/* ---- model to phone ---------------------------------------------------------------------- */

typedef struct {
    uint8_t *result;
    size_t narrow_n; /* room, in samples */
    float *narrow, *wide;
    int16_t *pcm8, *pcm24;
} down_parts;

static size_t down_room(size_t pcm_bytes)
{
    size_t narrow_n = resample_bound(pcm_bytes / 2, 0);
    return narrow_n + ALIGNMENT + part(4 * narrow_n) + part(2 * pcm_bytes) + part(2 * narrow_n) +
           part(pcm_bytes);
}

static down_parts down_carve(char *buffer, size_t pcm_bytes)
{
    down_parts parts = {.narrow_n = resample_bound(pcm_bytes / 2, 0)};
    char *at = aligned(buffer + parts.narrow_n);
    parts.result = (uint8_t *)buffer;
    parts.narrow = take(&at, 4 * parts.narrow_n);
    parts.wide = take(&at, 2 * pcm_bytes);
    parts.pcm8 = take(&at, 2 * parts.narrow_n);
    parts.pcm24 = take(&at, pcm_bytes);
    return parts;
}

/* n samples at 8 kHz, already at parts.narrow, to mu-law. */
static void to_mulaw(down_parts parts, size_t n)
{
    pcm_from_float(parts.narrow, n, parts.pcm8);
    ulaw_encode(parts.pcm8, n, parts.result);
}

size_t model_room(size_t n) { return n > LARGEST ? SIZE_MAX : down_room(base64_bound(n) + 1); }

ptrdiff_t model_delta(frame_stream *stream, const char *delta, size_t n, frame_space *space)
{
    if (space->size < model_room(n))
        return FRAME_NO_ROOM;
    down_parts parts = down_carve(space->buffer, base64_bound(n) + 1);
    uint8_t *bytes = (uint8_t *)parts.pcm24;
    size_t carried = (size_t)stream->has_odd_byte;
    bytes[0] = stream->odd_byte; /* overwritten when there is none */
    ptrdiff_t decoded = base64_decode(delta, n, bytes + carried);
    if (decoded < 0)
        return FRAME_BAD_BASE64;
    size_t bytes_n = carried + (size_t)decoded;
    stream->has_odd_byte = (int)(bytes_n % 2);
    if (stream->has_odd_byte)
        stream->odd_byte = bytes[bytes_n - 1];

    pcm_to_float(parts.pcm24, bytes_n / 2, parts.wide);
    ptrdiff_t made =
        resample_process(stream->resampler, parts.wide, bytes_n / 2, parts.narrow, parts.narrow_n);
    if (made < 0)
        return failed(stream);
    to_mulaw(parts, (size_t)made);
    ulaw_decode(parts.result, (size_t)made, parts.pcm8); /* what the phone will hear, to measure */
    space->mulaw_bytes = (size_t)made;
    space->level_db = level_of(parts.pcm8, (size_t)made);
    return made;
}

ptrdiff_t model_flush(frame_stream *stream, frame_space *space)
{
    if (space->size < model_room(0))
        return FRAME_NO_ROOM;
    down_parts parts = down_carve(space->buffer, 0);
    stream->has_odd_byte = 0; /* half a sample is none */
    ptrdiff_t made = resample_flush(stream->resampler, parts.narrow, parts.narrow_n);
    if (made < 0)
        return failed(stream);
    to_mulaw(parts, (size_t)made);
    return made;
}

/* ---- mu-law on both sides ---------------------------------------------------------------- */

double ulaw_level_db(const uint8_t *mulaw, size_t n)
{
    int16_t block[256];
    int64_t sum = 0;
    for (size_t done = 0; done < n; done += 256) {
        size_t here = n - done < 256 ? n - done : 256;
        ulaw_decode(mulaw + done, here, block);
        sum += pcm_energy(block, here);
    }
    return decibels(sum, n);
}

size_t pass_room(size_t n) { return n > LARGEST ? SIZE_MAX : base64_bound(n); }

ptrdiff_t pass_frame(const char *payload, size_t n, frame_space *space)
{
    if (space->size < pass_room(n))
        return FRAME_NO_ROOM;
    ptrdiff_t made = base64_decode(payload, n, (uint8_t *)space->buffer);
    if (made < 0)
        return FRAME_BAD_BASE64;
    space->mulaw_bytes = (size_t)made;
    space->mulaw = (const uint8_t *)space->buffer;
    space->level_db = ulaw_level_db((const uint8_t *)space->buffer, (size_t)made);
    space->rises = rises_of((const uint8_t *)space->buffer, (size_t)made);
    return made;
}
