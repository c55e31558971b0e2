#include "speech.h"

#include <string.h>

#include "json.h"

enum { SYLLABLE = 60 * 8 }; /* mu-law bytes: a syllable's heart */

typedef struct {
    word delta;
    int seen; /* bits of the names below */
} spoken;

enum { TYPE = 1, RESPONSE_ID = 2, ITEM_ID = 4, DELTA = 8, EVERY = 15 };

static int first(spoken *found, int name)
{
    int is_first = !(found->seen & name);
    found->seen |= name;
    return is_first;
}

static int same(word it, const char *id, size_t n)
{
    return n > 0 && it.n == n && memcmp(it.at, id, n) == 0 && unescaped(it);
}

static int in_delta(const speech_mouth *mouth, spoken *found, word key, word value)
{
    if (is(key, "delta")) { /* base64 is checked by who decodes it */
        found->delta = value;
        return first(found, DELTA);
    }
    if (is(key, "type"))
        return is(value, "response.output_audio.delta") && first(found, TYPE);
    if (is(key, "response_id"))
        return same(value, mouth->response_id, mouth->response_id_n) && first(found, RESPONSE_ID);
    if (is(key, "item_id"))
        return same(value, mouth->item_id, mouth->item_id_n) && first(found, ITEM_ID);
    return unescaped(key) && unescaped(value); /* means nothing to us */
}

/* A small count, which means nothing to us either. */
static int index_of(text *in)
{
    const char *from = in->at;
    while (in->at < in->end && *in->at >= '0' && *in->at <= '9')
        in->at++;
    size_t n = (size_t)(in->at - from);
    return n > 0 && n < 16 && (n == 1 || *from != '0');
}

/* An object of strings and small counts. */
static int delta_object(const speech_mouth *mouth, text *in, spoken *found)
{
    word key, value;
    if (!skip(in, '{'))
        return 0;
    do {
        if (!string(in, &key) || !skip(in, ':'))
            return 0;
        if (in->at < in->end && *in->at == '"') {
            if (!string(in, &value) || !in_delta(mouth, found, key, value))
                return 0;
        } else if (!(is(key, "output_index") || is(key, "content_index")) || !index_of(in)) {
            return 0;
        }
    } while (skip(in, ','));
    return skip(in, '}') && in->at == in->end && found->seen == EVERY;
}

static double loudest(const uint8_t *mulaw, size_t n)
{
    double most = LEVEL_OF_SILENCE;
    for (size_t at = 0; at < n; at += SYLLABLE) {
        double level = ulaw_level_db(mulaw + at, n - at < SYLLABLE ? n - at : SYLLABLE);
        most = level > most ? level : most;
    }
    return most;
}

static int speak(speech_mouth *mouth, const ws_frame *frame)
{
    const char *at = (const char *)mouth->model->got + frame->payload;
    text in = {at, at + frame->payload_n};
    spoken found = {{NULL, 0}, 0};
    if (!frame->final || mouth->item_id_n == 0 || !delta_object(mouth, &in, &found))
        return 0;
    frame_space *space = mouth->space;
    word delta = found.delta;
    ptrdiff_t made = mouth->stream == NULL ? pass_frame(delta.at, delta.n, space)
                                           : model_delta(mouth->stream, delta.at, delta.n, space);
    if (made < 0)
        return 0;
    mouth->mulaw_n = (size_t)made;
    mouth->loudest_db = loudest((const uint8_t *)space->buffer, (size_t)made);
    return 1;
}

int speech_next(speech_mouth *mouth)
{
    int fragments = mouth->model->reader.message;
    int kind = link_next(mouth->model);
    if (kind == WS_TEXT && fragments == 0 && speak(mouth, &mouth->model->frame))
        return SPEECH_TAKEN;
    return kind;
}
