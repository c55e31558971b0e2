/* WebSocket frames as RFC 6455 has them, both roles, no extension.
 *
 *      byte 0   FIN | RSV 1-3 | opcode          RSV must be 0
 *      byte 1   MASK | length                   126: 2 bytes follow, 127: 8 bytes, big endian,
 *      …        masking key, 4 bytes                 and the shortest form is the only one
 *      …        payload, each byte XOR key[i % 4]
 *
 *      opcode   0 continuation   1 text   2 binary   8 close   9 ping   10 pong
 *
 * A client's frames are masked, a server's are not, and whoever gets it otherwise ends with 1002.
 * A message is one data frame and its continuations; control frames, whole and of 125 bytes at
 * most, may stand between them. Text is UTF-8, and a character may go on in the next fragment.
 *
 * Pure functions over the caller's buffers: nothing is allocated or kept but in `ws_reader`.
 */
#ifndef RELAY_WS_H
#define RELAY_WS_H

#include <stddef.h>
#include <stdint.h>

enum { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* What `ws_read` says instead of an opcode. */
enum {
    WS_MORE = -1,   /* the frame is not all there; `need` bytes are wanted, from its first on */
    WS_BROKEN = -2, /* the peer breaks the protocol: close with `code` and read no more */
};

enum {
    WS_NO_CODE = 1005,
    WS_PROTOCOL_ERROR = 1002,
    WS_BAD_TEXT = 1007,
    WS_TOO_LONG = 1009,
};

enum { WS_HEAD = 14, WS_CONTROL_PAYLOAD = 125 };

/* One direction of one connection. Zero all but `limit` and `masked` to begin with. */
typedef struct {
    uint64_t limit;  /* bytes of the longest message that is taken */
    uint64_t length; /* of the message under way, so far */
    uint32_t utf8;   /* where its text stands between two fragments */
    int message;     /* its opcode; 0: none is under way */
    int masked;      /* whether what comes must be masked: we are the server */
} ws_reader;

/* One frame. */
typedef struct {
    size_t used;       /* bytes that it took, head and payload */
    size_t need;       /* WS_MORE: bytes that it will take, as far as is known yet */
    size_t payload;    /* where its payload stands, from its first byte on; unmasked in place */
    size_t payload_n;  /* WS_CLOSE: without the code */
    int opcode;        /* of data: the message's own, in its continuations, too */
    int final;         /* of data: the message is whole with it */
    int code;          /* WS_CLOSE: the peer's, WS_NO_CODE for none; WS_BROKEN: what we close with */
} ws_frame;

/* Read the frame that begins at `bytes`, of which n are there. Returns its opcode (of data: the
 * message's, WS_TEXT or WS_BINARY), WS_MORE or WS_BROKEN. What is incomplete is left untouched, but
 * what can be refused by its head is refused at once. */
int ws_read(ws_reader *reader, uint8_t *bytes, size_t n, ws_frame *frame);

/* Write the head of a frame of n bytes; key: the four bytes it is masked with, NULL: not masked.
 * Returns its length, at most WS_HEAD. */
size_t ws_head(uint8_t *out, int opcode, size_t n, const uint8_t *key);

/* XOR n bytes with the key, in place. */
void ws_mask(uint8_t *bytes, size_t n, const uint8_t *key);

/* Take n more bytes of a text. state: 0 at its beginning; is 0 again between two characters.
 * Returns 0, or -1 if they are no UTF-8. */
int ws_utf8(uint32_t *state, const uint8_t *bytes, size_t n);

#endif
