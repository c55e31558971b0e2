#include "media.h"

#include <string.h>

#include "clock.h"
#include "json.h"

/* A count as Twilio spells it: digits in a string, no zero in front. */
static int count(word it, uint64_t *out)
{
    if (it.n == 0 || it.n > 15 || (it.n > 1 && it.at[0] == '0'))
        return 0;
    *out = 0;
    for (size_t i = 0; i < it.n; i++) {
        if (it.at[i] < '0' || it.at[i] > '9')
            return 0;
        *out = *out * 10 + (uint64_t)(it.at[i] - '0');
    }
    return 1;
}

typedef struct {
    word payload;
    uint64_t chunk;
    int seen; /* bits of the names below */
} found;

enum { BYTES_PER_MS = 8 };

enum { EVENT = 1, SID = 2, MEDIA = 4, TRACK = 8, CHUNK = 16, TIMESTAMP = 32, PAYLOAD = 64,
       SEQUENCE = 128, ALL = 255, MARK = 256 };

static int once(found *media, int name)
{
    int first = !(media->seen & name);
    media->seen |= name;
    return first;
}

static int in_media(found *media, word key, word value)
{
    uint64_t number;
    if (is(key, "payload")) { /* base64 is checked by who decodes it */
        media->payload = value;
        return once(media, PAYLOAD);
    }
    if (is(key, "chunk"))
        return count(value, &media->chunk) && once(media, CHUNK);
    if (is(key, "timestamp"))
        return count(value, &number) && once(media, TIMESTAMP);
    return is(key, "track") && is(value, "inbound") && once(media, TRACK);
}

static int in_message(const media_ear *ear, found *media, word key, word value)
{
    if (is(key, "event"))
        return is(value, "media") && once(media, EVENT);
    if (is(key, "streamSid"))
        return value.n == ear->stream_sid_n && memcmp(value.at, ear->stream_sid, value.n) == 0 &&
               once(media, SID);
    return is(key, "sequenceNumber") && unescaped(value) && once(media, SEQUENCE);
}

/* An object of strings, and one level down the media's own. */
static int object(const media_ear *ear, text *in, found *media, int inner)
{
    word key, value;
    if (!skip(in, '{'))
        return 0;
    do {
        if (!string(in, &key) || !skip(in, ':'))
            return 0;
        if (!inner && is(key, "media")) {
            if (!once(media, MEDIA) || !object(ear, in, media, 1))
                return 0;
        } else if (!string(in, &value) ||
                   !(inner ? in_media(media, key, value) : in_message(ear, media, key, value))) {
            return 0;
        }
    } while (skip(in, ','));
    return skip(in, '}');
}

/* ---- one frame ------------------------------------------------------------------------------- */

/* Convert what the phone said. Returns whether it could be. */
static int hear(media_ear *ear, word payload)
{
    frame_space *space = ear->space;
    if (ear->stream == NULL) {
        if (pass_frame(payload.at, payload.n, space) < 0)
            return 0;
        ear->audio = payload.at;
        ear->audio_n = payload.n;
    } else {
        ptrdiff_t made = phone_frame(ear->stream, payload.at, payload.n, space);
        if (made < 0)
            return 0;
        ear->audio = space->buffer;
        ear->audio_n = (size_t)made;
    }
    ear->rises = space->level_db > MEDIA_AUDIBLE_DB ? space->rises : 0;
    return 1;
}

static int usual(media_ear *ear, const ws_frame *frame)
{
    const char *at = (const char *)ear->phone->got + frame->payload;
    text in = {at, at + frame->payload_n};
    found media = {{NULL, 0}, 0, 0};
    if (frame->opcode != WS_TEXT || !frame->final || ear->stream_sid_n == 0)
        return 0;
    if (!object(ear, &in, &media, 0) || in.at != in.end || (media.seen | SEQUENCE) != ALL)
        return 0;
    if (media.chunk == 0 || (ear->chunk != 0 && media.chunk != ear->chunk + 1))
        return 0;
    if (!hear(ear, media.payload))
        return 0;
    ear->chunk = media.chunk;
    return 1;
}

/* ---- one mark -------------------------------------------------------------------------------- */

/* A mark of this stream, and nothing beside it: its name. */
static int mark(const media_ear *ear, text *in, word *name)
{
    word key, value;
    found seen = {{NULL, 0}, 0, 0};
    if (!skip(in, '{'))
        return 0;
    do {
        if (!string(in, &key) || !skip(in, ':'))
            return 0;
        if (is(key, "mark")) {
            if (!once(&seen, MARK) || !skip(in, '{') || !string(in, &value) || !is(value, "name") ||
                !skip(in, ':') || !string(in, name) || !skip(in, '}'))
                return 0;
        } else if (!string(in, &value)) {
            return 0;
        } else if (is(key, "event")) {
            if (!is(value, "mark") || !once(&seen, EVENT))
                return 0;
        } else if (!in_message(ear, &seen, key, value)) {
            return 0;
        }
    } while (skip(in, ','));
    return skip(in, '}') && in->at == in->end && (seen.seen | SEQUENCE) == (MARK | EVENT | SID | SEQUENCE);
}

static int echoed(media_ear *ear, const ws_frame *frame)
{
    const char *at = (const char *)ear->phone->got + frame->payload;
    text in = {at, at + frame->payload_n};
    word name;
    if (frame->opcode != WS_TEXT || !frame->final || ear->stream_sid_n == 0)
        return 0;
    if (!mark(ear, &in, &name) || name.n == 0 || name.n > EAR_NAME || !unescaped(name))
        return 0;
    memcpy(ear->echo, name.at, name.n);
    ear->echo_n = (int32_t)name.n;
    ear->echo_ns = clock_ns();
    return 1;
}

int media_awaits(const media_ear *ear)
{
    return ear->awaited_n < 0 || (ear->awaited_n > 0 && ear->awaited_n == ear->echo_n &&
                                  memcmp(ear->awaited, ear->echo, (size_t)ear->echo_n) == 0);
}

double media_echo_age(const media_ear *ear)
{
    return (double)(clock_ns() - ear->echo_ns) / SECOND;
}

/* ---- what comes ------------------------------------------------------------------------------ */

int media_next(media_ear *ear)
{
    int fragments = ear->phone->reader.message;
    int kind = link_next(ear->phone);
    if (kind != WS_TEXT || fragments != 0)
        return kind;
    if (usual(ear, &ear->phone->frame))
        return MEDIA_TAKEN;
    return echoed(ear, &ear->phone->frame) ? MEDIA_ECHOED : kind;
}

int media_receive(media_ear *ear)
{
    ptrdiff_t came = link_receive(ear->phone);
    return came < 0 ? (int)came : media_next(ear);
}

int media_pass(media_ear *ear)
{
    const frame_space *frame = ear->space;
    if (ear->model == NULL || !ear->model->takes || ear->passed_n == EAR_FRAMES ||
        frame->mulaw_bytes > EAR_BYTES - ear->mulaw_n || frame->mulaw_bytes % BYTES_PER_MS != 0)
        return 0;
    if (append_put(ear->model, ear->audio, ear->audio_n) != 0)
        return 0;
    ear->passed[ear->passed_n++] = (ear_frame){.ms = (int32_t)(frame->mulaw_bytes / BYTES_PER_MS),
                                               .level_db = frame->level_db,
                                               .rises = ear->rises};
    memcpy(ear->mulaw + ear->mulaw_n, frame->mulaw, frame->mulaw_bytes);
    ear->mulaw_n += (uint32_t)frame->mulaw_bytes;
    return 1;
}

int append_put(link_end *model, const char *audio, size_t n)
{
    static const char before[] = "{\"type\":\"input_audio_buffer.append\",\"audio\":\"";
    static const char after[] = "\"}";
    return link_put3(model, WS_TEXT, before, sizeof before - 1, audio, n, after, sizeof after - 1);
}
