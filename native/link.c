#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* getentropy */
#endif
#include "link.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where there is none, the process ignores SIGPIPE, as Python does */
#endif

/* Bytes, 0 for none now, -1 at the end: as tls_receive, and of a socket that is not sealed. */
static ptrdiff_t from_peer(link_end *end, uint8_t *room, size_t n)
{
    ptrdiff_t got;
    if (end->tls != NULL)
        return tls_receive(end->tls, room, n, &end->more);
    do
        got = recv(end->fd, room, n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return -1;
    return got > 0 ? got : -(errno != EAGAIN && errno != EWOULDBLOCK);
}

/* The same of what is sent. */
static ptrdiff_t to_peer(link_end *end, const uint8_t *bytes, size_t n)
{
    ptrdiff_t took;
    if (end->tls != NULL)
        return tls_send(end->tls, bytes, n);
    do
        took = send(end->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (took < 0 && errno == EINTR);
    return took >= 0 ? took : -(errno != EAGAIN && errno != EWOULDBLOCK);
}

ptrdiff_t link_receive(link_end *end)
{
    if (end->start == end->end) {
        end->start = end->end = 0;
    } else if (end->end == end->got_size && end->start > 0) {
        memmove(end->got, end->got + end->start, end->end - end->start);
        end->end -= end->start;
        end->start = 0;
    }
    if (end->end == end->got_size)
        return LINK_NO_ROOM;
    ptrdiff_t got = from_peer(end, end->got + end->end, end->got_size - end->end);
    if (got <= 0)
        return got == 0 ? LINK_AGAIN : LINK_ENDED;
    end->end += (size_t)got;
    return got;
}

int link_next(link_end *end)
{
    size_t start = end->start;
    int kind = ws_read(&end->reader, end->got + start, end->end - start, &end->frame);
    end->frame.payload += start;
    end->start += end->frame.used;
    return kind;
}

/* Four random bytes. They come from the kernel, 64 masks at a time. */
static const uint8_t *next_key(link_end *end)
{
    if (end->keys_used + 4 > sizeof end->keys) {
        if (getentropy(end->keys, sizeof end->keys) != 0)
            return NULL; /* a kernel without randomness */
        end->keys_used = 0;
    }
    end->keys_used += 4;
    return end->keys + end->keys_used - 4;
}

int link_room(link_end *end, size_t n)
{
    if (end->sent == end->filled)
        end->sent = end->filled = 0;
    if (end->out_size - end->filled >= n)
        return 0;
    if (end->out_size - (end->filled - end->sent) < n)
        return LINK_NO_ROOM;
    memmove(end->out, end->out + end->sent, end->filled - end->sent);
    end->filled -= end->sent;
    end->sent = 0;
    return 0;
}

int link_open(link_end *end, int opcode, size_t n, uint8_t **payload)
{
    const uint8_t *key = NULL;
    if (n > SIZE_MAX - WS_HEAD || link_room(end, n + WS_HEAD) != 0)
        return LINK_NO_ROOM;
    if (!end->reader.masked && (key = next_key(end)) == NULL)
        return LINK_ENDED;
    uint8_t *at = end->out + end->filled;
    *payload = at + ws_head(at, opcode, n, key);
    return 0;
}

void link_seal(link_end *end, uint8_t *payload, size_t n)
{
    if (!end->reader.masked)
        ws_mask(payload, n, payload - 4); /* the key is the head's end */
    end->filled = (size_t)(payload - end->out) + n;
}

int link_put3(link_end *end, int opcode, const char *before, size_t before_n, const char *middle,
              size_t middle_n, const char *after, size_t after_n)
{
    size_t n = before_n + middle_n + after_n;
    uint8_t *payload;
    int done = link_open(end, opcode, n, &payload);
    if (done != 0)
        return done;
    if (before_n)
        memcpy(payload, before, before_n);
    if (middle_n)
        memcpy(payload + before_n, middle, middle_n);
    if (after_n)
        memcpy(payload + before_n + middle_n, after, after_n);
    link_seal(end, payload, n);
    return 0;
}

int link_put(link_end *end, int opcode, const uint8_t *payload, size_t n)
{
    return link_put3(end, opcode, NULL, 0, (const char *)payload, n, NULL, 0);
}

ptrdiff_t link_flush(link_end *end)
{
    while (end->sent < end->filled) {
        ptrdiff_t took = to_peer(end, end->out + end->sent, end->filled - end->sent);
        if (took < 0)
            return LINK_ENDED;
        if (took == 0)
            break;
        end->sent += (size_t)took;
    }
    return (ptrdiff_t)(end->filled - end->sent);
}

void link_shut(link_end *end)
{
    if (end->tls != NULL)
        tls_shut(end->tls);
    shutdown(end->fd, SHUT_WR);
}
