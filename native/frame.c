#include "frame.h"

#include <math.h>
#include <stdlib.h>

#include "base64.h"
#include "g711.h"
#include "resample.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "PCM16 on the wire is little endian, and so must this machine be"
#endif

struct frame_stream {
    resampler *resampler;
    int has_odd_byte;           /* model to phone: the first half of a sample has come */
    uint8_t odd_byte;
};

frame_stream *frame_open(int up)
{
    frame_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->resampler = resample_open(up, SAMPLE_INT16);
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

int frame_clear(frame_stream *stream)
{
    stream->has_odd_byte = 0;
    return resample_clear(stream->resampler) == 0 ? 0 : FRAME_FAILED;
}

static ptrdiff_t failed(frame_stream *stream)
{
    frame_clear(stream);
    return FRAME_FAILED;
}

/* ---- level ------------------------------------------------------------------------------------ */

/* At most 2^30 a sample: 2^33 samples fit. */
static int64_t energy(const int16_t *pcm, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (int32_t)pcm[i] * pcm[i];
    return sum;
}

static double decibels(int64_t sum, size_t n)
{
    if (sum == 0)
        return LEVEL_OF_SILENCE;
    double level = 10.0 * log10((double)sum / (double)n / (32768.0 * 32768.0));
    return level > LEVEL_OF_SILENCE ? level : LEVEL_OF_SILENCE;
}

static double level_of(const int16_t *pcm, size_t n) { return decibels(energy(pcm, n), n); }

/* ---- the caller's buffer ---------------------------------------------------------------------- */

enum { ALIGNMENT = 16 };

/* Characters or bytes a call may bring: 5 minutes of PCM16, and far from overflowing any size below. */
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

/* ---- phone to model --------------------------------------------------------------------------- */

typedef struct {
    char *result;
    size_t samples24;           /* room, in samples */
    int16_t *pcm24, *pcm8;
    uint8_t *mulaw;
} up_parts;

static size_t up_room(size_t mulaw_n)
{
    size_t samples24 = resample_bound(mulaw_n, 1);
    return base64_length(2 * samples24) + ALIGNMENT + part(2 * samples24) + part(2 * mulaw_n) + part(mulaw_n);
}

static up_parts up_carve(char *buffer, size_t mulaw_n)
{
    up_parts parts = {.result = buffer, .samples24 = resample_bound(mulaw_n, 1)};
    char *at = aligned(buffer + base64_length(2 * parts.samples24));
    parts.pcm24 = take(&at, 2 * parts.samples24);
    parts.pcm8 = take(&at, 2 * mulaw_n);
    parts.mulaw = take(&at, mulaw_n);
    return parts;
}

size_t phone_room(size_t n) { return n > LARGEST ? SIZE_MAX : up_room(base64_bound(n)); }

/* n samples, already at parts.pcm8, to base64 of 24 kHz. */
static ptrdiff_t upsample(frame_stream *stream, up_parts parts, size_t n)
{
    ptrdiff_t made = resample_process(stream->resampler, parts.pcm8, n, parts.pcm24, parts.samples24);
    if (made < 0)
        return failed(stream);
    return (ptrdiff_t)base64_encode((const uint8_t *)parts.pcm24, 2 * (size_t)made, parts.result);
}

ptrdiff_t phone_frame(frame_stream *stream, const char *payload, size_t n, char *buffer, size_t size,
                      frame_info *info)
{
    if (size < phone_room(n))
        return FRAME_NO_ROOM;
    up_parts parts = up_carve(buffer, base64_bound(n));
    ptrdiff_t mulaw_n = base64_decode(payload, n, parts.mulaw);
    if (mulaw_n < 0)
        return FRAME_BAD_BASE64;
    ulaw_decode(parts.mulaw, (size_t)mulaw_n, parts.pcm8);
    info->mulaw_bytes = (size_t)mulaw_n;
    info->level_db = level_of(parts.pcm8, (size_t)mulaw_n);
    return upsample(stream, parts, (size_t)mulaw_n);
}

ptrdiff_t phone_gap(frame_stream *stream, size_t n, char *buffer, size_t size, frame_info *info)
{
    if (n > LARGEST || size < up_room(n))
        return FRAME_NO_ROOM;
    up_parts parts = up_carve(buffer, n);
    for (size_t i = 0; i < n; i++)
        parts.pcm8[i] = 0;
    info->mulaw_bytes = n;
    info->level_db = LEVEL_OF_SILENCE;
    return upsample(stream, parts, n);
}

/* ---- model to phone --------------------------------------------------------------------------- */

typedef struct {
    uint8_t *result;
    size_t samples8;            /* room, in samples */
    int16_t *pcm8, *pcm24;
} down_parts;

static size_t down_room(size_t pcm_bytes)
{
    size_t samples8 = resample_bound(pcm_bytes / 2, 0);
    return samples8 + ALIGNMENT + part(2 * samples8) + part(pcm_bytes);
}

static down_parts down_carve(char *buffer, size_t pcm_bytes)
{
    down_parts parts = {.result = (uint8_t *)buffer, .samples8 = resample_bound(pcm_bytes / 2, 0)};
    char *at = aligned(buffer + parts.samples8);
    parts.pcm8 = take(&at, 2 * parts.samples8);
    parts.pcm24 = take(&at, pcm_bytes);
    return parts;
}

size_t model_room(size_t n) { return n > LARGEST ? SIZE_MAX : down_room(base64_bound(n) + 1); }

ptrdiff_t model_delta(frame_stream *stream, const char *delta, size_t n, char *buffer, size_t size,
                      frame_info *info)
{
    if (size < model_room(n))
        return FRAME_NO_ROOM;
    down_parts parts = down_carve(buffer, base64_bound(n) + 1);
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

    ptrdiff_t made = resample_process(stream->resampler, parts.pcm24, bytes_n / 2, parts.pcm8, parts.samples8);
    if (made < 0)
        return failed(stream);
    ulaw_encode(parts.pcm8, (size_t)made, parts.result);
    ulaw_decode(parts.result, (size_t)made, parts.pcm8); /* the level is of what the phone will hear */
    info->mulaw_bytes = (size_t)made;
    info->level_db = level_of(parts.pcm8, (size_t)made);
    return made;
}

ptrdiff_t model_flush(frame_stream *stream, char *buffer, size_t size)
{
    if (size < model_room(0))
        return FRAME_NO_ROOM;
    down_parts parts = down_carve(buffer, 0);
    stream->has_odd_byte = 0; /* half a sample is none */
    ptrdiff_t made = resample_flush(stream->resampler, parts.pcm8, parts.samples8);
    if (made < 0)
        return failed(stream);
    ulaw_encode(parts.pcm8, (size_t)made, parts.result);
    return made;
}

/* ---- mu-law on both sides --------------------------------------------------------------------- */

double ulaw_level_db(const uint8_t *mulaw, size_t n)
{
    int16_t block[256];
    int64_t sum = 0;
    for (size_t done = 0; done < n; done += 256) {
        size_t here = n - done < 256 ? n - done : 256;
        ulaw_decode(mulaw + done, here, block);
        sum += energy(block, here);
    }
    return decibels(sum, n);
}

size_t pass_room(size_t n) { return n > LARGEST ? SIZE_MAX : base64_bound(n); }

ptrdiff_t pass_frame(const char *payload, size_t n, char *buffer, size_t size, frame_info *info)
{
    if (size < pass_room(n))
        return FRAME_NO_ROOM;
    ptrdiff_t made = base64_decode(payload, n, (uint8_t *)buffer);
    if (made < 0)
        return FRAME_BAD_BASE64;
    info->mulaw_bytes = (size_t)made;
    info->level_db = ulaw_level_db((const uint8_t *)buffer, (size_t)made);
    return made;
}
