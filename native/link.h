/* A WebSocket's end on a socket that does not block: two buffers of the caller's, ws.h, and tls.h if
 * it is sealed.
 *
 *      got   |  taken  | start .. end: received, not yet taken |  free  |
 *      out   |  sent   | sent .. filled: framed, not yet sent  |  free  |
 *
 * Nothing here waits. A caller owns a link and uses it from one thread at a time.
 */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "tls.h"
#include "ws.h"

/* Beside what ws_read says. */
enum {
    LINK_AGAIN = -11,   /* nothing to be received, or no more to be sent, now */
    LINK_ENDED = -12,   /* the peer's side is shut, or the connection is gone */
    LINK_NO_ROOM = -13, /* `got` is full, or `out` cannot take the frame: give a larger one */
};

typedef struct {
    int fd;
    tls_end *tls; /* what enciphers all of it; NULL: nobody does */
    int more;     /* there is more to receive that epoll does not tell of; only with TLS */
    ws_reader reader;
    ws_frame frame; /* what `link_next` found; its payload's place is counted from got[0] */
    uint8_t *got, *out;
    size_t got_size, start, end;
    size_t out_size, sent, filled;
    uint8_t keys[256]; /* random bytes, for masks */
    size_t keys_used;
    int takes; /* others than its owner may put frames, and have them sent */
} link_end;

/* Receive once, under TLS all that is there and fits in. Returns how many bytes came, LINK_AGAIN, LINK_ENDED or LINK_NO_ROOM. */
ptrdiff_t link_receive(link_end *end);

/* Take the next frame. Returns as ws_read. The payload stands at got[frame.payload], and stays there
 * until the next receive. */
int link_next(link_end *end);

/* Frame n bytes into `out`, masked if we are the client. Returns 0, LINK_NO_ROOM, or LINK_ENDED if
 * the kernel has no random bytes for a mask. */
int link_put(link_end *end, int opcode, const uint8_t *payload, size_t n);

/* Send what is framed. Returns bytes that remain (the peer takes no more now), or LINK_ENDED. */
ptrdiff_t link_flush(link_end *end);

/* End our direction of the connection. */
void link_shut(link_end *end);

/* The same as link_put for a payload in three pieces, of which the middle one is long. */
int link_put3(link_end *end, int opcode, const char *before, size_t before_n, const char *middle,
              size_t middle_n, const char *after, size_t after_n);

/* The same for a payload that the caller writes: n bytes at *payload, to be sealed before the next one
 * is opened. Nothing is framed until then. */
int link_open(link_end *end, int opcode, size_t n, uint8_t **payload);
void link_seal(link_end *end, uint8_t *payload, size_t n);

/* Have n bytes free behind what is framed. Returns 0 or LINK_NO_ROOM. */
int link_room(link_end *end, size_t n);

#endif
