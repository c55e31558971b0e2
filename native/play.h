/* What goes out to the phone all the time, in one call: a chunk of our speech and the mark behind it.
 *
 *      {"event":"media","streamSid":"MZ…","media":{"payload":"…"}}
 *      {"event":"mark","streamSid":"MZ…","mark":{"name":"…"}}
 *
 * Two text frames, byte for byte what the renderer in Python makes of them, which is the specification.
 */
#ifndef RELAY_PLAY_H
#define RELAY_PLAY_H

#include "link.h"

/* A name has characters that JSON must escape: that is left to Python. Beside what link_put returns. */
enum { PLAY_ESCAPES = -20 };

/* Frame n bytes of mu-law for the stream of this sid, and a mark of this name. The names are UTF-8.
 * Returns as link_put, or PLAY_ESCAPES. */
int play_put(link_end *phone, const char *sid, size_t sid_n, const uint8_t *mulaw, size_t n,
             const char *mark, size_t mark_n);

#endif
