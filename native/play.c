#include "play.h"

#include "base64.h"
#include "json.h"

/* A message in five parts, of which three are always the same. */
enum { PARTS = 5 };
#define SPELLED(text) {text, sizeof(text) - 1}

static int stands_for_itself(word name)
{
    return unescaped(name) && memchr(name.at, '"', name.n) == NULL;
}

static size_t length(const word *parts)
{
    size_t n = 0;
    for (int i = 0; i < PARTS; i++)
        n += parts[i].n;
    return n;
}

/* Frame them, n bytes in all. sound: the part that is written as base64, or NULL. Returns as link_put. */
static int put(link_end *phone, const word *parts, const word *sound, size_t n)
{
    uint8_t *payload;
    int done = link_open(phone, WS_TEXT, n, &payload);
    if (done != 0)
        return done;
    uint8_t *at = payload;
    for (const word *part = parts; part < parts + PARTS; part++) {
        if (part == sound) {
            at += base64_encode((const uint8_t *)part->at, part->n, (char *)at);
        } else {
            memcpy(at, part->at, part->n);
            at += part->n;
        }
    }
    link_seal(phone, payload, n);
    return 0;
}

int play_put(link_end *phone, const char *sid, size_t sid_n, const uint8_t *mulaw, size_t n,
             const char *mark, size_t mark_n)
{
    const word stream = {sid, sid_n}, name = {mark, mark_n}, sound = {(const char *)mulaw, n};
    const word media[PARTS] = {SPELLED("{\"event\":\"media\",\"streamSid\":\""), stream,
                               SPELLED("\",\"media\":{\"payload\":\""), sound, SPELLED("\"}}")};
    const word behind[PARTS] = {SPELLED("{\"event\":\"mark\",\"streamSid\":\""), stream,
                                SPELLED("\",\"mark\":{\"name\":\""), name, SPELLED("\"}}")};
    if (!stands_for_itself(stream) || !stands_for_itself(name))
        return PLAY_ESCAPES;
    size_t media_n = length(media) - n + base64_length(n), behind_n = length(behind);
    int done = link_room(phone, media_n + behind_n + 2 * WS_HEAD); /* for both, or for none */
    if (done == 0)
        done = put(phone, media, &media[3], media_n);
    if (done == 0)
        done = put(phone, behind, NULL, behind_n);
    return done;
}
